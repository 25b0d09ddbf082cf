import type { RequestView } from '../../api/schema';

/** Requests that the page shows. */
export const SHOWN = 20;

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
