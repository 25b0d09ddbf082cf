import type { RequestView } from '../../api/schema';

/** What requests can be picked by, as it stands in the address. */
export const FILTER_NAMES = [
  'range',
  'since',
  'until',
  'wrong',
  'outcome',
  'model',
  'account',
  'tried',
  'actor',
  'provider',
  'stop_reason',
  'code',
  'status',
  'session',
  'route',
] as const;

export type FilterName = (typeof FILTER_NAMES)[number];

/** A filter: texts from the address, which may say anything. */
export type Filter = { [name in FilterName]?: string };

/** Lengths of time that are offered, in seconds. */
export const RANGES = {
  '15m': 900,
  '1h': 3_600,
  '6h': 21_600,
  '24h': 86_400,
  '7d': 604_800,
  '30d': 2_592_000,
} as const;

export const OUTCOMES = [
  'complete',
  'repaired',
  'truncated',
  'violation',
  'upstream_error',
  'cancelled',
  'refused',
  'rejected',
  'failed',
] as const;

export type Outcome = (typeof OUTCOMES)[number];

/** A filter as the admin API takes it. */
export interface RequestsQuery {
  since?: number;
  until?: number;
  provider?: string;
  account?: string;
  tried?: string;
  actor?: string;
  model?: string;
  outcome?: Outcome[];
  went_wrong?: boolean;
  stop_reason?: string;
  session?: string;
  route?: string;
  status?: number;
  code?: string;
}

const PLAIN = [
  'provider',
  'account',
  'tried',
  'actor',
  'model',
  'stop_reason',
  'session',
  'route',
  'code',
] as const;
const LONGEST = 200;
const LATEST = 1e11;

/** The outcomes that a filter names; what is none is left out. */
export function outcomesOf(filter: Filter): Outcome[] {
  const named = (filter.outcome ?? '').split(',');
  return OUTCOMES.filter((outcome) => named.includes(outcome));
}

function seconds(text: string | undefined): number | undefined {
  const value = text === undefined ? Number.NaN : Number(text);
  return value >= 0 && value <= LATEST ? value : undefined;
}

function isRange(text: string | undefined): text is keyof typeof RANGES {
  return text !== undefined && Object.hasOwn(RANGES, text);
}

/**
 * What a filter means to the admin API at a moment, in Unix seconds. Values that it would refuse, as somebody may
 * have typed them into the address, are left out.
 */
export function toQuery(filter: Filter, now: number): RequestsQuery {
  const query: RequestsQuery = {};
  const since = isRange(filter.range) ? Math.floor(now) - RANGES[filter.range] : seconds(filter.since);
  const until = isRange(filter.range) ? undefined : seconds(filter.until);
  if (since !== undefined) query.since = since;
  if (until !== undefined) query.until = until;
  for (const name of PLAIN) {
    const value = filter[name]?.replaceAll('\0', '').slice(0, LONGEST);
    if (value) query[name] = value;
  }
  const outcomes = outcomesOf(filter);
  if (outcomes.length > 0) query.outcome = outcomes;
  if (filter.wrong === '1') query.went_wrong = true;
  const status = Number(filter.status);
  if (Number.isInteger(status) && status >= 100 && status <= 599) query.status = status;
  return query;
}

/** A query as the query string of an address, with a question mark before it unless it is empty. */
export function toSearch(query: RequestsQuery): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) params.append(name, String(one));
  }
  const text = params.toString();
  return text && `?${text}`;
}

/** Whether a text is what a pattern stands for, in which `*` is any text and `?` any character. */
function matchesPattern(pattern: string, text: string): boolean {
  let at = 0;
  let to = 0;
  let star = -1;
  let retry = 0;
  // Without a regular expression, which a pattern with many stars would keep busy for ever.
  while (to < text.length) {
    if (pattern[at] === '*') {
      star = at++;
      retry = to;
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === text[to])) {
      at++;
      to++;
    } else if (star >= 0) {
      at = star + 1;
      to = ++retry;
    } else {
      return false;
    }
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}

function matchesModel(pattern: string, model: string | null): boolean {
  if (model === null) return false;
  if (!/[*?]/.test(pattern)) return model === pattern;
  return matchesPattern(pattern.toLowerCase(), model.toLowerCase());
}

/** Whether the admin API would list a request for a query. */
export function matches(row: RequestView, query: RequestsQuery): boolean {
  const { model, actor, tried, outcome } = query;
  const same = (['provider', 'account', 'stop_reason', 'session', 'route', 'code', 'status'] as const).every(
    (name) => query[name] === undefined || row[name] === query[name],
  );
  return (
    same &&
    (query.since === undefined || row.at >= query.since) &&
    (query.until === undefined || row.at < query.until) &&
    (tried === undefined || row.tried.includes(tried)) &&
    (actor === undefined || row.actor === actor || row.actor_id === actor) &&
    (model === undefined || matchesModel(model, row.model) || matchesModel(model, row.model_served)) &&
    (outcome === undefined || outcome.includes(row.outcome as Outcome)) &&
    (!query.went_wrong || row.went_wrong)
  );
}

/** One part of a filter that can be taken out, and what the filter changes to then. */
export interface Chip {
  name: FilterName;
  value: string;
  without: Partial<Filter>;
}

/** The parts of a filter, in the order of `FILTER_NAMES`. */
export function chipsOf(filter: Filter): Chip[] {
  const query = toQuery(filter, 0);
  const chips: Chip[] = [];
  if (isRange(filter.range)) chips.push(chip('range', filter.range));
  for (const name of ['since', 'until'] as const) {
    if (!isRange(filter.range) && query[name] !== undefined) chips.push(chip(name, String(query[name])));
  }
  if (query.went_wrong) chips.push(chip('wrong', '1'));
  const outcomes = query.outcome ?? [];
  for (const outcome of outcomes) {
    const others = outcomes.filter((other) => other !== outcome).join(',');
    chips.push({ name: 'outcome', value: outcome, without: { outcome: others || undefined } });
  }
  for (const name of ['model', 'account', 'tried', 'actor', 'provider', 'stop_reason', 'code'] as const) {
    if (query[name] !== undefined) chips.push(chip(name, query[name]));
  }
  if (query.status !== undefined) chips.push(chip('status', String(query.status)));
  for (const name of ['session', 'route'] as const) {
    if (query[name] !== undefined) chips.push(chip(name, query[name]));
  }
  return chips;
}

function chip(name: FilterName, value: string): Chip {
  return { name, value, without: { [name]: undefined } };
}

/** A change of a filter that leaves nothing of it. */
export const NO_FILTER: Partial<Filter> = Object.fromEntries(
  FILTER_NAMES.map((name) => [name, undefined]),
) as Partial<Filter>;

/** A moment, in Unix seconds, as a field for date and time shows it, in the reader's zone; empty for none. */
export function toLocal(at: string | undefined): string {
  const value = seconds(at);
  if (value === undefined || value > 8e9) return '';
  const date = new Date(value * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** What a field for date and time says, in Unix seconds; undefined while it says nothing. */
export function fromLocal(text: string): string | undefined {
  const at = new Date(text).getTime();
  return Number.isFinite(at) && at >= 0 ? String(Math.floor(at / 1000)) : undefined;
}
