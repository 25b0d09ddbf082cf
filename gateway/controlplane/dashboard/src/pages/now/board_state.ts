import type { StreamsState, StreamView } from '../../api/schema';

/** What people sort the board by. */
export type Order = 'age' | 'silence' | 'rate';

/**
 * The requests in flight, as the feed tells of them. A row that has changed is a new object; one that has not is
 * the same, so that only what has changed is drawn again.
 */
export class BoardState {
  readonly rows = new Map<string, StreamView>();
  notShown = 0;
  /** Seconds that the gateway's clock is ahead of this one. */
  ahead = 0;

  /** Takes in what is new. */
  apply(state: StreamsState, nowSeconds: number): void {
    this.ahead = state.at - nowSeconds;
    this.notShown = state.not_shown;
    if (state.whole) this.rows.clear();
    for (const row of state.came) this.rows.set(row.id, row);
    for (const { lane_from, lane, ...change } of state.changed) {
      const row = this.rows.get(change.id);
      if (!row) continue;
      const next = { ...row, ...change };
      if (lane) next.lane = [...row.lane.slice(0, lane_from ?? 0), ...lane];
      this.rows.set(row.id, next);
    }
    for (const id of state.gone) this.rows.delete(id);
  }
}

/** The requests of one provider, or all of them. */
export function ofProvider(rows: Iterable<StreamView>, provider: string | undefined): StreamView[] {
  const all = [...rows];
  return provider ? all.filter((row) => row.provider === provider) : all;
}

/** Seconds since the upstream spoke; where it has not spoken yet, since the request came in. */
export function silenceOf(row: StreamView, now: number): number {
  return Math.max(0, now - (row.heard_at ?? row.began_at));
}

/**
 * Rows in an order. What was there before keeps its place if `keep` says so, however it has changed since: rows
 * that change places while somebody reads them cannot be read.
 */
export function arrange(
  rows: readonly StreamView[],
  by: { key: string; direction: 'asc' | 'desc' } | undefined,
  now: number,
  keep: readonly string[] | undefined,
): StreamView[] {
  const value = VALUES[by?.key ?? ''] ?? ((row: StreamView) => row.began_at);
  const sign = by?.direction === 'desc' ? -1 : 1;
  if (!keep) {
    return rows
      .map((row) => ({ row, at: value(row, now) }))
      .sort((a, b) => compare(a.at, b.at, sign) || a.row.began_at - b.row.began_at)
      .map(({ row }) => row);
  }
  const left = new Map(rows.map((row) => [row.id, row]));
  const found: StreamView[] = [];
  for (const id of keep) {
    const row = left.get(id);
    if (row && left.delete(id)) found.push(row);
  }
  return [...found, ...left.values()];
}

type Value = (row: StreamView, now: number) => number | string | null;

const VALUES: Record<string, Value> = {
  age: (row, now) => now - row.began_at,
  silence: silenceOf,
  rate: (row) => row.tokens_per_second,
  tokens: (row) => row.output_tokens,
  bytes: (row) => row.bytes,
  events: (row) => row.events,
  attempts: (row) => row.attempts,
  gap: (row) => row.longest_gap,
  actor: (row) => row.actor,
  account: (row) => row.account,
  model: (row) => row.model,
  phase: (row) => row.phase,
};

function compare(a: number | string | null, b: number | string | null, sign: number): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (typeof a === 'number' && typeof b === 'number') return sign * (a - b);
  return sign * String(a).localeCompare(String(b), 'en', { numeric: true });
}
