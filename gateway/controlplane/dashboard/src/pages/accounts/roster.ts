import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import type { ApiFailure } from '../../api/failure';
import type { AccountView } from '../../api/schema';
import { useResource } from '../../api/use_resource';
import { onLive } from '../../live/live';
import { Sightings } from './forecast';

const FIRST_PAGE = 100;
const PAGE = 500;
const MANY = 500;

/** What is seen of limits while the page is open, whatever is shown of it. */
export const sightings = new Sightings();

/** All accounts, as far as they are loaded. */
export interface Roster {
  accounts: readonly AccountView[];
  /** How many there are; undefined before the first answer. */
  total: number | undefined;
  error: ApiFailure | undefined;
  loading: boolean;
  reload(): void;
  /** Shows at once what an account has become; undefined: it is gone. */
  put(id: string, account: AccountView | undefined): void;
}

interface Loaded {
  accounts: AccountView[];
  total: number;
}

/** Loads one page after the other; `onPage` sees what is there so far. */
async function load(signal: AbortSignal, onPage: (loaded: Loaded) => void): Promise<Loaded> {
  const accounts: AccountView[] = [];
  let after: string | undefined;
  let total = 0;
  do {
    const query = after === undefined ? { limit: FIRST_PAGE } : { limit: PAGE, after };
    const page = await take(api.GET('/api/v1/accounts', { params: { query }, signal }));
    accounts.push(...page.accounts);
    total = page.total;
    after = page.next ?? undefined;
    for (const account of page.accounts) {
      for (const limit of account.limits) sightings.note(account.id, limit);
    }
    onPage({ accounts: [...accounts], total });
  } while (after !== undefined);
  return { accounts, total };
}

/** Milliseconds between two looks: the more accounts there are, the fewer. */
function pauseFor(total: number): number {
  if (total <= FIRST_PAGE) return 5_000;
  return total <= MANY ? 15_000 : 60_000;
}

/** Loads the accounts, and again when one has changed. While the first load goes on, what is there is shown. */
export function useRoster(): Roster {
  const [partial, setPartial] = useState<Loaded>();
  const [changes, setChanges] = useState<ReadonlyMap<string, AccountView | undefined>>(new Map());
  const total = useRef(0);
  const latestChanges = useRef(changes);
  latestChanges.current = changes;
  const resource = useResource(async (signal) => {
    const before = latestChanges.current;
    const loaded = await load(signal, (some) => {
      total.current = some.total;
      setPartial(some);
    });
    // What was changed meanwhile may be newer than what was loaded.
    setChanges((old) => new Map([...old].filter(([id, account]) => before.get(id) !== account)));
    return loaded;
  }, []);
  const { reload, loading } = resource;

  useEffect(() => {
    if (loading) return;
    const timer = setTimeout(reload, pauseFor(total.current));
    return () => clearTimeout(timer);
  }, [loading, reload]);

  useEffect(() => {
    let due: ReturnType<typeof setTimeout> | undefined;
    let last = 0;
    const stop = onLive('changed', (data: { what?: string }) => {
      if (data?.what !== 'accounts' || due !== undefined) return;
      const pause = total.current > MANY ? 15_000 : 300;
      due = setTimeout(
        () => {
          due = undefined;
          last = Date.now();
          reload();
        },
        Math.max(50, last + pause - Date.now()),
      );
    });
    return () => {
      stop();
      clearTimeout(due);
    };
  }, [reload]);

  const put = useCallback((id: string, account: AccountView | undefined) => {
    setChanges((old) => new Map(old).set(id, account));
  }, []);
  const known = resource.data ?? partial;
  const accounts = useMemo(() => merged(known?.accounts ?? [], changes), [known, changes]);
  const more = accounts.length - (known?.accounts.length ?? 0);
  return {
    accounts,
    total: known && known.total + more,
    error: resource.error,
    loading,
    reload,
    put,
  };
}

function merged(
  accounts: readonly AccountView[],
  changes: ReadonlyMap<string, AccountView | undefined>,
): readonly AccountView[] {
  if (changes.size === 0) return accounts;
  const left = new Map(changes);
  const found: AccountView[] = [];
  for (const account of accounts) {
    if (left.has(account.id)) {
      const now = left.get(account.id);
      left.delete(account.id);
      if (now) found.push(now);
    } else found.push(account);
  }
  for (const added of left.values()) if (added) found.push(added);
  return found;
}
