import type { RequestDetail } from '../../api/schema';

/** What a bar of the waterfall stands for. */
export type BarKind = 'waiting' | 'attempt' | 'served' | 'pause' | 'answer';

/** Something that took its time; milliseconds since the request came in. */
export interface TimeBar {
  kind: BarKind;
  from: number;
  to: number;
  /** Place in the list of attempts. */
  attempt?: number;
}

/** Where the time of a request went. */
export interface Waterfall {
  total: number;
  bars: TimeBar[];
  /** Attempts of older versions do not say when they began: they are put one behind the other. */
  isExact: boolean;
}

/** Shorter pauses between two attempts are not worth a bar. */
const PAUSE = 20;

/** Lays out what happened between a request's first moment and its last. */
export function waterfall(detail: RequestDetail): Waterfall {
  const { request, attempts } = detail;
  const bars: TimeBar[] = [];
  let at = 0;
  let isExact = true;
  attempts.forEach((attempt, index) => {
    if (attempt.began_ms === null) isExact = false;
    const from = Math.max(at, attempt.began_ms ?? at);
    const kind = index === 0 ? 'waiting' : 'pause';
    if (from - at >= (index === 0 ? 1 : PAUSE)) bars.push({ kind, from: at, to: from });
    const to = from + Math.max(0, attempt.ms ?? 0);
    const served = attempt.fault === null && index === attempts.length - 1 && request.account !== null;
    bars.push({ kind: served ? 'served' : 'attempt', from, to, attempt: index });
    at = to;
  });
  const end = Math.max(request.ms ?? at, at);
  const content = request.ms_to_content;
  if (attempts.length === 0 && end > 0) bars.push({ kind: 'waiting', from: 0, to: end });
  else if (content !== null && end > content)
    bars.push({ kind: 'answer', from: Math.max(content, at), to: end });
  return { total: Math.max(end, 1), bars, isExact };
}

/** Round numbers from 0 to about `most`, at most `number` of them and 0. */
export function ticks(most: number, number = 5): number[] {
  if (!(most > 0)) return [0];
  const rough = most / number;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((one) => one * power >= rough * 0.999) ?? 10) * power;
  const count = Math.floor(most / step + 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}
