import type { ComponentChildren } from 'preact';
import { useMemo, useRef } from 'preact/hooks';
import type { AccountView } from '../../api/schema';
import { formatPercent } from '../../lib/format';
import { accounts as words } from '../../strings/accounts';
import {
  Badge,
  Bar,
  type Column,
  Count,
  DataTable,
  Menu,
  MoreIcon,
  ProviderBadge,
  TimeText,
  Usd,
} from '../../ui';
import css from './accounts.module.css';
import { mostUsed, STATES } from './filter';
import { limitName, limitTone, useForecast } from './limits';
import { StateBadge } from './state_badge';
import type { Actions, Opened } from './use_actions';

/** Columns that are shown before anybody chooses. */
export const SHOWN_AT_FIRST = ['name', 'provider', 'state', 'limit', 'inFlight', 'requests', 'cost'];

/** Columns of the table; the same list as long as the actions stay, so that it need not be sorted again. */
export function useColumns(
  actions: Actions,
  onOpen: (account: AccountView, what: Opened['what']) => void,
): Column<AccountView>[] {
  const latest = useRef({ actions, onOpen });
  latest.current = { actions, onOpen };
  const { working } = actions;
  return useMemo(
    () => [
      {
        key: 'name',
        label: words.columns.name,
        hideable: false,
        render: (account) => <strong class={css.cellName}>{account.name}</strong>,
        sortValue: (account) => account.name,
      },
      {
        key: 'provider',
        label: words.columns.provider,
        width: 112,
        render: (account) => <ProviderBadge provider={account.provider} />,
        sortValue: (account) => account.provider,
      },
      {
        key: 'state',
        label: words.columns.state,
        width: 172,
        render: (account) => {
          const work = working.get(account.id);
          return work ? (
            <Badge tone="accent">{words.actions.working[work]}</Badge>
          ) : (
            <StateBadge account={account} short />
          );
        },
        sortValue: (account) => STATES.indexOf(account.state),
      },
      {
        key: 'limit',
        label: words.columns.limit,
        width: 168,
        render: (account) => <MostUsed account={account} />,
        sortValue: (account) => mostUsed(account)?.used,
      },
      number('inFlight', 88, (account) => account.in_flight),
      number('requests', 132, (account) => account.day.requests),
      money('cost', 110, (account) => account.day.cost_usd),
      number('monthRequests', 132, (account) => account.month.requests),
      money('monthCost', 110, (account) => account.month.cost_usd),
      moment('last', 110, (account) => account.last_used_at),
      {
        key: 'owner',
        label: words.columns.owner,
        width: 150,
        render: (account) => account.owner,
        sortValue: (account) => account.owner || null,
      },
      moment('expires', 120, (account) => account.renewal?.expires_at ?? null),
      {
        key: 'actions',
        label: words.columns.actions,
        width: 84,
        align: 'end',
        hideable: false,
        render: (account) => (
          <Menu
            label={words.actions.of(account.name)}
            icon={MoreIcon}
            iconOnly
            disabled={working.has(account.id)}
            items={latest.current.actions.items(account, (what) => latest.current.onOpen(account, what))}
          />
        ),
      },
    ],
    [working],
  );
}

type Key = keyof typeof words.columns;

function number(key: Key, width: number, value: (account: AccountView) => number): Column<AccountView> {
  return {
    key,
    label: words.columns[key],
    width,
    align: 'end',
    render: (account) => <Count value={value(account)} />,
    sortValue: value,
  };
}

function money(key: Key, width: number, value: (account: AccountView) => number): Column<AccountView> {
  return { ...number(key, width, value), render: (account) => <Usd value={value(account)} /> };
}

function moment(
  key: Key,
  width: number,
  value: (account: AccountView) => number | null,
): Column<AccountView> {
  return {
    key,
    label: words.columns[key],
    width,
    align: 'end',
    render: (account) => <TimeText at={value(account)} />,
    sortValue: value,
  };
}

function MostUsed({ account }: { account: AccountView }): ComponentChildren {
  const limit = mostUsed(account);
  return limit ? <LimitCell account={account.id} limit={limit} /> : null;
}

function LimitCell({ account, limit }: { account: string; limit: AccountView['limits'][number] }) {
  const expected = useForecast(account, limit);
  const name = limitName(limit);
  return (
    <div class={css.limitCell} title={name}>
      <Bar
        value={limit.used ?? 0}
        forecast={expected?.share}
        tone={limitTone(limit, expected)}
        label={name}
      />
      <span>{formatPercent(limit.used)}</span>
    </div>
  );
}

/** Accounts as a table of any length. */
export function AccountTable(props: {
  accounts: readonly AccountView[];
  columns: Column<AccountView>[];
  shown: readonly string[];
  selected: string | undefined;
  onOpen: (account: AccountView, what: Opened['what']) => void;
  empty: ComponentChildren;
}) {
  return (
    <DataTable
      rows={props.accounts}
      columns={props.columns}
      rowKey={keyOf}
      onRow={(account) => props.onOpen(account, 'details')}
      empty={props.empty}
      caption={words.caption}
      sort={BY_NAME}
      shown={props.shown}
      selected={props.selected}
      isPure
    />
  );
}

const BY_NAME = { key: 'name', direction: 'asc' } as const;

function keyOf(account: AccountView): string {
  return account.id;
}
