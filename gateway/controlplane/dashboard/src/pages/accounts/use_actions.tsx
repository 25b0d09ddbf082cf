import { useCallback, useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import { failureFrom } from '../../api/failure';
import type { AccountView } from '../../api/schema';
import { isAdmin } from '../../api/session';
import { formatTime } from '../../lib/format';
import { accounts as words } from '../../strings/accounts';
import {
  EditIcon,
  KeysIcon,
  type MenuItem,
  OkIcon,
  PauseIcon,
  PlayIcon,
  SearchIcon,
  TrashIcon,
  toast,
} from '../../ui';
import type { Roster } from './roster';

/** What is being done with an account at this moment. */
export type Work = keyof typeof words.actions.working;

/** What a dialog is open for. */
export interface Opened {
  what: 'details' | 'edit' | 'replace' | 'remove';
  id: string;
}

/** What people can do with accounts. */
export interface Actions {
  /** What is under way, by id. */
  working: ReadonlyMap<string, Work>;
  items(account: AccountView, open: (what: Opened['what']) => void): MenuItem[];
  rename(account: AccountView, name: string): Promise<void>;
}

/** Tells whether an account can have another credential from here. */
export function isReplaceable(account: AccountView): boolean {
  return !account.is_environment && account.kind !== 'command';
}

/** What can be done with the accounts of a roster; what was done is told in a toast. */
export function useActions(roster: Roster): Actions {
  const [working, setWorking] = useState<ReadonlyMap<string, Work>>(new Map());
  const { put, reload } = roster;

  const run = useCallback(
    async (account: AccountView, work: Work, act: () => Promise<AccountView>): Promise<void> => {
      setWorking((old) => new Map(old).set(account.id, work));
      try {
        put(account.id, await act());
      } finally {
        setWorking((old) => new Map([...old].filter(([id]) => id !== account.id)));
      }
    },
    [put],
  );

  /** For what has no dialog of its own that could say what went wrong. */
  const runLoudly = (account: AccountView, work: Work, act: () => Promise<AccountView>) =>
    void run(account, work, act).catch((error: unknown) => {
      const failure = failureFrom(error);
      toast(failure.message, 'danger');
      if (failure.status === 404) reload();
    });

  function items(account: AccountView, open: (what: Opened['what']) => void): MenuItem[] {
    const details: MenuItem = {
      label: words.actions.details,
      icon: SearchIcon,
      onSelect: () => open('details'),
    };
    if (!isAdmin()) return [details];
    const paused = account.state === 'paused';
    const stopped = !['active', 'idle', 'not_configured'].includes(account.state);
    return [
      details,
      {
        label: words.actions.check,
        icon: OkIcon,
        onSelect: () => runLoudly(account, 'check', () => check(account)),
      },
      ...(paused
        ? []
        : [
            {
              label: words.actions.pause,
              icon: PauseIcon,
              onSelect: () => runLoudly(account, 'pause', () => pause(account)),
            },
          ]),
      ...(stopped
        ? [
            {
              label: words.actions.resume,
              icon: PlayIcon,
              onSelect: () => runLoudly(account, 'resume', () => resume(account)),
            },
          ]
        : []),
      { label: words.actions.edit, icon: EditIcon, onSelect: () => open('edit') },
      ...(isReplaceable(account)
        ? [{ label: words.actions.replace, icon: KeysIcon, onSelect: () => open('replace') }]
        : []),
      {
        label: words.actions.remove,
        icon: TrashIcon,
        tone: 'danger',
        disabled: !account.is_removable,
        hint: account.is_removable ? undefined : words.actions.kept,
        onSelect: () => open('remove'),
      },
    ];
  }

  const rename = useCallback(
    (account: AccountView, name: string) =>
      run(account, 'rename', async () => {
        const after = await take(
          api.PATCH('/api/v1/accounts/{id}', { params: { path: { id: account.id } }, body: { name } }),
        );
        toast(words.done.renamed(account.name, after.name));
        return after;
      }),
    [run],
  );

  return { working, items, rename };
}

function at(account: AccountView) {
  return { params: { path: { id: account.id } } };
}

async function check(account: AccountView): Promise<AccountView> {
  const found = await take(api.POST('/api/v1/accounts/{id}/check', at(account)));
  toast(words.done.checked(account.name, found.check.message), found.check.good ? 'ok' : 'danger');
  return found.account;
}

async function pause(account: AccountView): Promise<AccountView> {
  const after = await take(api.POST('/api/v1/accounts/{id}/pause', at(account)));
  toast(words.done.paused(account.name));
  return after;
}

async function resume(account: AccountView): Promise<AccountView> {
  const done = await take(api.POST('/api/v1/accounts/{id}/resume', at(account)));
  toast(words.done.resumed(account.name, done.cleared));
  const until = done.refresh_under_way_until;
  if (until !== null) toast(words.done.waiting(account.name, formatTime(until, 'clock')), 'warning');
  return done.account;
}
