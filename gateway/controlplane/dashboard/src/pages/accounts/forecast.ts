import type { LimitView } from '../../api/schema';

/** How much of a limit was used at a moment. */
export interface Sight {
  /** Unix seconds. */
  at: number;
  /** 0 for untouched, 1 for used up. */
  used: number;
}

/** What a limit comes to if things go on as they do. */
export interface Forecast {
  /** How much will be used when it starts anew; may be more than 1. */
  share: number;
  /** When it is used up, in Unix seconds; undefined if that is not before it starts anew. */
  fullAt: number | undefined;
}

/** Limits that last less long start anew before anybody could do something about them. */
const SHORTEST = 3600;
/** Part of a limit's time that must have passed before its average says something. */
const LEAST_ELAPSED = 0.05;
/** Part of a limit's time that is looked back on. */
const LOOK_BACK = 0.2;
/** Part of a limit's time that two sights must be apart. */
const APART = 0.01;
const SAME_RESET = 60;
const MOST_SIGHTS = 48;
const MOST_LIMITS = 2000;

/**
 * Where a limit will stand when it starts anew, at the pace of late: between the oldest sight of the last fifth of
 * its time and now; without such a sight, at the average since it began. Undefined where too little is known.
 */
export function forecast(
  limit: Pick<LimitView, 'used' | 'resets_at' | 'seconds'>,
  sights: readonly Sight[],
  now: number,
): Forecast | undefined {
  const { used, resets_at: end, seconds } = limit;
  if (used === null || end === null || seconds === null || seconds < SHORTEST) return undefined;
  const left = end - now;
  const elapsed = seconds - left;
  if (left <= 0 || elapsed <= 0 || !Number.isFinite(used)) return undefined;
  const pace = paceOf(used, sights, now, seconds, elapsed);
  if (pace === undefined || pace < 0) return undefined;
  const share = used + pace * left;
  const toFull = pace > 0 && used < 1 ? (1 - used) / pace : Number.POSITIVE_INFINITY;
  return { share, fullAt: toFull < left ? now + toFull : undefined };
}

function paceOf(
  used: number,
  sights: readonly Sight[],
  now: number,
  seconds: number,
  elapsed: number,
): number | undefined {
  const horizon = now - Math.min(seconds * LOOK_BACK, elapsed);
  const from = sights.find((sight) => sight.at >= horizon);
  if (from && now - from.at >= seconds * APART) return (used - from.used) / (now - from.at);
  return elapsed >= seconds * LEAST_ELAPSED ? used / elapsed : undefined;
}

interface Known {
  resetsAt: number;
  sights: Sight[];
}

/** Remembers how limits were seen, for as long as the page is open. Bounded. */
export class Sightings {
  readonly #known = new Map<string, Known>();

  /** Takes note of a limit of an account. */
  note(account: string, limit: LimitView): void {
    const { used, resets_at: end, seconds } = limit;
    if (used === null || end === null || seconds === null || seconds < SHORTEST) return;
    const key = keyOf(account, limit);
    const known = this.#known.get(key);
    const sight = { at: limit.observed_at, used };
    if (!known || Math.abs(known.resetsAt - end) > SAME_RESET) {
      this.#known.delete(key);
      if (this.#known.size >= MOST_LIMITS) this.#known.delete(this.#known.keys().next().value as string);
      this.#known.set(key, { resetsAt: end, sights: [sight] });
      return;
    }
    const last = known.sights.at(-1) as Sight;
    if (sight.at <= last.at) return;
    const before = known.sights.at(-2);
    // Close together they say little: the newer one stands for both.
    if (before && last.at - before.at < (seconds * LOOK_BACK) / MOST_SIGHTS) known.sights.pop();
    known.sights.push(sight);
    if (known.sights.length > MOST_SIGHTS) known.sights.shift();
  }

  /** What was seen of a limit, the oldest first. */
  of(account: string, limit: LimitView): readonly Sight[] {
    return this.#known.get(keyOf(account, limit))?.sights ?? [];
  }
}

function keyOf(account: string, limit: LimitView): string {
  return `${account}\n${limit.name}\n${limit.family}`;
}
