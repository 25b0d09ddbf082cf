import { useMemo } from 'preact/hooks';
import type { HeldView, KeyUsage, KeyView, UsageGroup } from '../../api/schema';
import { isAdmin } from '../../api/session';
import { useResource } from '../../api/use_resource';
import { formatCompact, formatCount, formatDay } from '../../lib/format';
import { keys as words } from '../../strings/keys';
import {
  Button,
  Chart,
  type Column,
  CopyButton,
  Count,
  DataTable,
  Dialog,
  EditIcon,
  KeyValue,
  Link,
  RefreshIcon,
  RequestsIcon,
  Resource,
  Stat,
  TimeText,
  TrashIcon,
  Usd,
} from '../../ui';
import { BudgetBar } from '../usage/budget_bar';
import { loadUsage } from './data';
import { StateBadge } from './key_state';
import css from './keys.module.css';
import { limitsInWords } from './limits';

const EVERY = 10_000;

/** What can be done with a key. */
export type KeyAction = 'edit' | 'rotate' | 'revoke';

/** All that is known of a key. */
export function KeyDetails(props: {
  id: string;
  name: string | undefined;
  onAction: (action: KeyAction, key: KeyView) => void;
  onClose: () => void;
}) {
  const usage = useResource((signal) => loadUsage(props.id, signal), [props.id], {
    refreshOn: ['keys'],
    everyMs: EVERY,
  });
  const key = usage.data?.key;
  const act = (action: KeyAction) => key && props.onAction(action, key);
  return (
    <Dialog
      open
      wide
      title={words.detail.title(key?.name ?? props.name ?? props.id)}
      onClose={props.onClose}
      footer={
        <>
          {key && (
            <span class={css.footStart}>
              <Link button="quiet" icon={RequestsIcon} href={`/requests?actor=${encodeURIComponent(key.id)}`}>
                {words.detail.requests}
              </Link>
            </span>
          )}
          {key && key.state !== 'revoked' && isAdmin() && (
            <>
              <Button kind="danger" icon={TrashIcon} onClick={() => act('revoke')}>
                {words.detail.revoke}
              </Button>
              <Button icon={RefreshIcon} onClick={() => act('rotate')}>
                {words.detail.rotate}
              </Button>
              <Button icon={EditIcon} onClick={() => act('edit')}>
                {words.detail.edit}
              </Button>
            </>
          )}
          <Button onClick={props.onClose}>{words.detail.close}</Button>
        </>
      }
    >
      <Resource of={usage} what={words.detail.what} height={480}>
        {(data) => <Details usage={data} />}
      </Resource>
    </Dialog>
  );
}

function Details({ usage }: { usage: KeyUsage }) {
  const { key, budgets } = usage;
  return (
    <div class={css.sections}>
      <KeyValue items={factsOf(key)} />
      <div class={css.stats}>
        {(['day', 'week', 'month', 'total'] as const).map((period) => (
          <Stat
            key={period}
            label={
              { day: words.detail.today, week: words.detail.week, month: words.detail.month }[
                period as 'day'
              ] ?? words.detail.total
            }
            value={<Usd value={key[period].cost_usd} />}
            hint={words.detail.usedHint(formatCount(key[period].requests), formatCompact(key[period].tokens))}
          />
        ))}
      </div>
      {budgets.length > 0 && (
        <section class={css.section} aria-label={words.detail.budgets}>
          <h3>{words.detail.budgets}</h3>
          <div class={css.budgets}>
            {budgets.map((budget) => (
              <BudgetBar key={`${budget.period}/${budget.unit}`} budget={budget} />
            ))}
          </div>
        </section>
      )}
      <Held usage={usage} />
      <Days usage={usage} />
      <section class={css.section} aria-label={words.detail.byModel}>
        <h3>{words.detail.byModel}</h3>
        {usage.models.length > 0 && <p class={css.hint}>{words.detail.byModelHint}</p>}
        {usage.models.length === 0 ? (
          <p class={css.hint}>{words.detail.noModels}</p>
        ) : (
          <div class={css.table}>
            <DataTable
              rows={usage.models}
              columns={MODEL_COLUMNS}
              rowKey={(group) => group.model ?? ''}
              caption={words.detail.byModel}
              height={220}
              empty={null}
            />
          </div>
        )}
      </section>
    </div>
  );
}

function factsOf(key: KeyView): [string, preact.ComponentChildren][] {
  const facts: [string, preact.ComponentChildren][] = [
    [words.detail.state, <StateBadge of={key} />],
    [
      words.detail.id,
      <span class={css.id}>
        <code>{key.id}</code>
        <CopyButton text={key.id} label={words.detail.copyId} small />
      </span>,
    ],
    [words.detail.prefix, <code>{key.prefix}…</code>],
    [words.detail.created, <TimeText at={key.created_at} mode="date" />],
    [
      words.detail.lastUsed,
      key.last_used_at === null ? words.detail.neverUsed : <TimeText at={key.last_used_at} />,
    ],
    [
      words.detail.expires,
      key.expires_at === null ? words.never : <TimeText at={key.expires_at} mode="date" />,
    ],
    [words.detail.models, key.models.length > 0 ? <code>{key.models.join(', ')}</code> : words.allModels],
    [words.detail.limits, limitsInWords(key.limits) || words.words.none],
  ];
  if (key.revoked_at !== null) {
    facts.push([words.detail.revoked, <TimeText at={key.revoked_at} mode="date" />]);
  }
  if (key.replaced_valid_until !== null) {
    facts.push([words.detail.replaced, <TimeText at={key.replaced_valid_until} mode="date" />]);
  }
  if (key.requests_last_minute !== null) {
    const limit = formatCount(key.limits.requests_per_minute);
    facts.push([words.detail.requestsMinute, words.detail.of(formatCount(key.requests_last_minute), limit)]);
  }
  if (key.tokens_last_minute !== null) {
    const limit = formatCompact(key.limits.tokens_per_minute);
    facts.push([words.detail.tokensMinute, words.detail.of(formatCompact(key.tokens_last_minute), limit)]);
  }
  if (key.limits.concurrent !== null) {
    const limit = formatCount(key.limits.concurrent);
    facts.push([words.detail.running, words.detail.of(formatCount(key.running), limit)]);
  }
  return facts;
}

function Days({ usage }: { usage: KeyUsage }) {
  const { days } = usage;
  const x = useMemo(() => days.map((day) => formatDay(day.start, 'UTC')), [days]);
  const series = useMemo(
    () => [{ label: words.detail.daysSeries, values: days.map((day) => day.cost_usd) }],
    [days],
  );
  return (
    <section class={css.section} aria-label={words.detail.days}>
      <h3>{words.detail.days}</h3>
      <Chart kind="bars" x={x} series={series} unit="usd" label={words.detail.days} height={150} />
    </section>
  );
}

function Held({ usage }: { usage: KeyUsage }) {
  if (usage.held.length === 0) return null;
  return (
    <section class={css.section} aria-label={words.detail.held}>
      <h3>{words.detail.held}</h3>
      <p class={css.hint}>{words.detail.heldHint}</p>
      <div class={css.table}>
        <DataTable
          rows={usage.held}
          columns={HELD_COLUMNS}
          rowKey={(held) => held.request_id}
          caption={words.detail.held}
          height={200}
          empty={null}
        />
      </div>
    </section>
  );
}

const HELD_COLUMNS: readonly Column<HeldView>[] = [
  {
    key: 'request',
    label: words.detail.heldRequest,
    width: 220,
    render: (held) => <code title={held.request_id}>{held.request_id}</code>,
  },
  { key: 'since', label: words.detail.heldSince, width: 100, render: (held) => <TimeText at={held.at} /> },
  {
    key: 'tokens',
    label: words.detail.heldTokens,
    align: 'end',
    width: 90,
    render: (held) => <Count value={held.tokens} compact />,
  },
  {
    key: 'cost',
    label: words.detail.heldCost,
    align: 'end',
    width: 90,
    render: (held) => <Usd value={held.cost_usd} />,
  },
];

const MODEL_COLUMNS: readonly Column<UsageGroup>[] = [
  {
    key: 'model',
    label: words.detail.model,
    width: 200,
    render: (group) => <span title={group.model ?? undefined}>{group.model}</span>,
  },
  {
    key: 'requests',
    label: words.detail.modelRequests,
    align: 'end',
    width: 90,
    render: ({ sums }) => <Count value={sums.requests} compact />,
  },
  {
    key: 'tokens',
    label: words.detail.heldTokens,
    align: 'end',
    width: 90,
    render: ({ sums }) => (
      <Count
        value={sums.input_tokens + sums.cache_write_tokens + sums.cache_read_tokens + sums.output_tokens}
        compact
      />
    ),
  },
  {
    key: 'cost',
    label: words.detail.heldCost,
    align: 'end',
    width: 90,
    render: ({ sums }) => <Usd value={sums.unpriced === sums.requests ? null : sums.cost_usd} />,
  },
];
