import { useMemo, useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import type { AccountView } from '../../api/schema';
import { isAdmin } from '../../api/session';
import { formatCount } from '../../lib/format';
import { useQueryState } from '../../lib/query';
import { accounts as words } from '../../strings/accounts';
import {
  Button,
  ColumnMenu,
  ConfirmDialog,
  Empty,
  ErrorNote,
  Loading,
  PageActions,
  PlusIcon,
  ProgressBar,
  ProviderBadge,
  toast,
  useShownColumns,
} from '../../ui';
import css from './accounts.module.css';
import { AddDialog, type How } from './add_dialog';
import { AccountCard } from './card';
import { AccountDetails } from './details';
import { EditDialog } from './edit_dialog';
import { byProvider, filtered, inOrder, type Wanted } from './filter';
import { Filters } from './filters';
import { ReplaceDialog } from './replace_dialog';
import { type Roster, useRoster } from './roster';
import { AccountTable, SHOWN_AT_FIRST, useColumns } from './table';
import { type Opened, useActions } from './use_actions';

/** So many accounts still fit on cards. */
const MOST_CARDS = 24;

type Query = Wanted & { view?: string; account?: string };
const QUERY = ['q', 'provider', 'state', 'sort', 'view', 'account'] as const;

/** The upstream accounts: what they do, what is left of them, and all that can be done with them. */
export default function Page() {
  const roster = useRoster();
  const [query, setQuery] = useQueryState<Query>(QUERY);
  const [adding, setAdding] = useState<How>();
  const { accounts, total, error } = roster;
  return (
    <>
      {isAdmin() && (
        <PageActions>
          <Button kind="primary" icon={PlusIcon} onClick={() => setAdding('key')}>
            {words.add}
          </Button>
        </PageActions>
      )}
      <div class={css.page}>
        {error && <ErrorNote error={error} onRetry={roster.reload} />}
        {total === undefined && !error && <Loading what={words.what} height={320} />}
        {total !== undefined && accounts.length === 0 && !roster.loading && (
          <NoAccounts onAdd={() => setAdding('key')} />
        )}
        {accounts.length > 0 && <Accounts roster={roster} query={query} setQuery={setQuery} />}
      </div>
      {adding && (
        <AddDialog
          how={adding}
          onHow={setAdding}
          onClose={() => setAdding(undefined)}
          onAdded={(added) => {
            for (const account of added) roster.put(account.id, account);
          }}
        />
      )}
    </>
  );
}

function NoAccounts({ onAdd }: { onAdd: () => void }) {
  return (
    <Empty title={words.none.title}>
      <p>{words.none.body}</p>
      {isAdmin() ? (
        <Button kind="primary" icon={PlusIcon} onClick={onAdd}>
          {words.add}
        </Button>
      ) : (
        <p>{words.none.viewer}</p>
      )}
    </Empty>
  );
}

function Accounts(props: {
  roster: Roster;
  query: Query;
  setQuery: (changes: Partial<Query>, how?: { replace?: boolean }) => void;
}) {
  const { roster, query, setQuery } = props;
  const { accounts, total = 0 } = roster;
  const { q, provider, state, sort } = query;
  const { rows, counts } = useMemo(
    () => filtered(accounts, { q, provider, state }),
    [accounts, q, provider, state],
  );
  const actions = useActions(roster);
  const [opened, setOpened] = useState<Opened>();
  const view = query.view ?? (total > MOST_CARDS ? 'table' : 'cards');
  const [shown, setShown] = useShownColumns('accounts', SHOWN_AT_FIRST);

  function open(account: AccountView, what: Opened['what']): void {
    if (what === 'details') {
      setOpened(undefined);
      setQuery({ account: account.id });
    } else {
      setQuery({ account: undefined });
      setOpened({ what, id: account.id });
    }
  }

  const columns = useColumns(actions, open);
  const empty = (
    <Empty title={words.noneFound.title}>
      <p>{words.noneFound.body}</p>
      <Button onClick={() => setQuery({ q: undefined, provider: undefined, state: undefined })}>
        {words.noneFound.clear}
      </Button>
    </Empty>
  );
  return (
    <>
      <Filters
        query={query}
        counts={counts}
        providers={[...new Set(accounts.map((account) => account.provider))].sort()}
        view={view}
        onQuery={setQuery}
        more={view === 'table' && <ColumnMenu columns={columns} shown={shown} onShown={setShown} />}
      />
      {accounts.length < total && (
        <div class={css.loadedOf} role="status">
          <span>{words.loaded(formatCount(accounts.length), formatCount(total))}</span>
          <ProgressBar value={accounts.length / total} label={words.what} />
        </div>
      )}
      {view === 'table' ? (
        <div class={css.tablePanel}>
          <AccountTable
            accounts={rows}
            columns={columns}
            shown={shown}
            selected={query.account}
            onOpen={open}
            empty={empty}
          />
        </div>
      ) : (
        <Cards rows={inOrder(rows, sort)} actions={actions} open={open} empty={empty} />
      )}
      <Dialogs
        roster={roster}
        actions={actions}
        opened={opened ?? (query.account ? { what: 'details', id: query.account } : undefined)}
        open={open}
        onClose={() => {
          setOpened(undefined);
          setQuery({ account: undefined });
        }}
      />
    </>
  );
}

function Cards(props: {
  rows: readonly AccountView[];
  actions: ReturnType<typeof useActions>;
  open: (account: AccountView, what: Opened['what']) => void;
  empty: preact.ComponentChildren;
}) {
  if (props.rows.length === 0) return <>{props.empty}</>;
  return (
    <>
      {byProvider(props.rows).map(([provider, accounts]) => (
        <section key={provider} class={css.group}>
          <h2 class={css.groupHead}>
            <ProviderBadge provider={provider} />
            <span class={css.quiet}>{formatCount(accounts.length)}</span>
          </h2>
          <ul class={css.cards}>
            {accounts.map((account) => (
              <AccountCard
                key={account.id}
                account={account}
                actions={props.actions}
                onOpen={(what) => props.open(account, what)}
              />
            ))}
          </ul>
        </section>
      ))}
    </>
  );
}

function Dialogs(props: {
  roster: Roster;
  actions: ReturnType<typeof useActions>;
  opened: Opened | undefined;
  open: (account: AccountView, what: Opened['what']) => void;
  onClose: () => void;
}) {
  const { roster, actions, opened, onClose } = props;
  const account = opened && roster.accounts.find((one) => one.id === opened.id);
  if (!account) return null;
  const put = (after: AccountView) => roster.put(after.id, after);
  switch (opened.what) {
    case 'details':
      return (
        <AccountDetails
          account={account}
          actions={actions}
          onOpen={(what) => props.open(account, what)}
          onClose={onClose}
        />
      );
    case 'edit':
      return <EditDialog key={account.id} account={account} onDone={put} onClose={onClose} />;
    case 'replace':
      return <ReplaceDialog key={account.id} account={account} onDone={put} onClose={onClose} />;
    case 'remove':
      return (
        <ConfirmDialog
          open
          title={words.remove.title(account.name)}
          body={
            <>
              <p>{words.remove.body}</p>
              {account.in_flight > 0 && <p>{words.remove.busy(account.in_flight)}</p>}
            </>
          }
          confirmLabel={words.remove.confirm}
          typeToConfirm={account.name}
          onClose={onClose}
          onConfirm={async () => {
            await take(api.DELETE('/api/v1/accounts/{id}', { params: { path: { id: account.id } } }));
            toast(words.done.removed(account.name));
            roster.put(account.id, undefined);
          }}
        />
      );
  }
}
