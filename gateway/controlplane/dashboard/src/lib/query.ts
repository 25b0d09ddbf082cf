import { useCallback, useMemo } from 'preact/hooks';
import { useLocation } from 'preact-iso';

/** The named values of a query string; what is missing or empty is undefined. */
export function parseQuery<T extends Record<string, string | undefined>>(
  search: string,
  names: readonly (keyof T & string)[],
): T {
  const given = new URLSearchParams(search);
  const found: Record<string, string | undefined> = {};
  for (const name of names) found[name] = given.get(name) || undefined;
  return found as T;
}

/**
 * The query string `search` with `changes` made in it. Undefined and empty values are taken out; parameters that
 * are not named stay. The result starts with `?`, or is empty.
 */
export function formatQuery(search: string, changes: Record<string, string | undefined>): string {
  const params = new URLSearchParams(search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) params.set(name, value);
    else params.delete(name);
  }
  const text = params.toString();
  return text ? `?${text}` : '';
}

/** How a change of filters enters the browser's history. */
export interface QueryChange {
  /** True for what is typed: the entry is replaced, so that Back does not go letter by letter. */
  replace?: boolean;
}

/**
 * Filters that live in the address. Gives the values of `names` and a function that changes some of them: pushed
 * on the history for choices, replaced for typing.
 */
export function useQueryState<T extends Record<string, string | undefined>>(
  names: readonly (keyof T & string)[],
): [T, (changes: Partial<T>, how?: QueryChange) => void] {
  const location = useLocation();
  const search = new URL(location.url, window.location.origin).search;
  const key = names.join(',');
  const values = useMemo(() => parseQuery<T>(search, names), [search, key]);
  const { path, route } = location;
  const change = useCallback(
    (changes: Partial<T>, how?: QueryChange) => {
      // Read from the browser: two changes in one event must both survive.
      const current = window.location.search;
      const next = formatQuery(current, changes);
      if (next !== formatQuery(current, {})) route(path + next, how?.replace ?? false);
    },
    [path, route],
  );
  return [values, change];
}
