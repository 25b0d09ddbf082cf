import type { RequestView } from '../../api/schema';

/** Requests that the page shows. */
export const SHOWN = 20;
/** Requests that are kept of those that were told of. */
export const KEPT = 100;

/** The newest ends: those that were told of, which are in order, before those that were loaded. */
export function mergeEndings(
  told: readonly RequestView[],
  loaded: readonly RequestView[],
  provider: string | undefined,
): RequestView[] {
  const found = new Map<string, RequestView>();
  for (const row of [...told, ...loaded]) {
    if (provider && row.provider !== provider) continue;
    if (!found.has(row.id)) found.set(row.id, row);
    if (found.size === SHOWN) break;
  }
  return [...found.values()];
}

/** How many of those that were told of are not among the rows that are shown. */
export function countSince(
  shown: readonly RequestView[],
  told: readonly RequestView[],
  provider: string | undefined,
): number {
  const known = new Set(shown.map((row) => row.id));
  const fresh = told.filter((row) => !known.has(row.id) && (!provider || row.provider === provider));
  return new Set(fresh.map((row) => row.id)).size;
}
