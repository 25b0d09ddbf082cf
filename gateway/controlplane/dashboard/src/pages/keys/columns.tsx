import type { KeyView } from '../../api/schema';
import { formatPercent } from '../../lib/format';
import { keys as words } from '../../strings/keys';
import { Bar, type Column, Spark, TimeText, type Tone, Usd } from '../../ui';
import { StateBadge } from './key_state';
import css from './keys.module.css';
import { fullestBudget, termsInWords } from './limits';

const NEAR = 0.8;

/** What the list of keys can show. */
export const COLUMNS: readonly Column<KeyView>[] = [
  {
    key: 'name',
    label: words.column.name,
    width: 160,
    sortable: true,
    hideable: false,
    render: (key) => (
      <span class={css.name} title={key.name}>
        {key.name}
      </span>
    ),
  },
  { key: 'state', label: words.column.state, width: 122, render: (key) => <StateBadge of={key} /> },
  { key: 'prefix', label: words.column.prefix, width: 106, render: (key) => <code>{key.prefix}…</code> },
  {
    key: 'limits',
    label: words.column.limits,
    width: 176,
    render: (key) => {
      const text = termsInWords(key.limits, key.models);
      return (
        <span class={text === words.words.none ? 'quiet' : undefined} title={text}>
          {text}
        </span>
      );
    },
  },
  {
    key: 'budget',
    label: words.column.budget,
    width: 118,
    render: (key) => <FullestBudget of={key} />,
  },
  {
    key: 'day',
    label: words.column.day,
    align: 'end',
    width: 76,
    render: (key) => <Usd value={key.day.cost_usd} />,
  },
  {
    key: 'month',
    label: words.column.month,
    align: 'end',
    width: 94,
    sortable: true,
    render: (key) => <Usd value={key.month.cost_usd} />,
  },
  {
    key: 'days',
    label: words.column.days,
    width: 84,
    render: (key) =>
      key.cost_by_day_usd.some((usd) => usd > 0) ? (
        <Spark values={key.cost_by_day_usd} label={words.spark(key.name)} />
      ) : null,
  },
  {
    key: 'last',
    label: words.column.last,
    width: 100,
    sortable: true,
    render: (key) =>
      key.last_used_at === null ? (
        <span class="quiet">{words.never}</span>
      ) : (
        <TimeText at={key.last_used_at} />
      ),
  },
  {
    key: 'expires',
    label: words.column.expires,
    width: 150,
    render: (key) =>
      key.expires_at === null ? (
        <span class="quiet">{words.never}</span>
      ) : (
        <TimeText at={key.expires_at} mode="date" />
      ),
  },
  {
    key: 'created',
    label: words.column.created,
    width: 150,
    sortable: true,
    render: (key) => <TimeText at={key.created_at} mode="date" />,
  },
];

/** Those that are shown before somebody chooses others. */
export const INITIAL_COLUMNS = [
  'name',
  'state',
  'prefix',
  'limits',
  'budget',
  'day',
  'month',
  'days',
  'last',
];

function FullestBudget({ of }: { of: KeyView }) {
  const fullest = fullestBudget(of);
  if (!fullest) return <span class="quiet">{words.noBudget}</span>;
  const { share, period } = fullest;
  const tone: Tone = share >= 1 ? 'danger' : share >= NEAR ? 'warning' : 'ok';
  return (
    <span class={css.budget}>
      <Bar value={share} tone={tone} label={words.budgetOf(of.name, words.words.period[period])} />
      <span aria-hidden="true">{formatPercent(share)}</span>
    </span>
  );
}
