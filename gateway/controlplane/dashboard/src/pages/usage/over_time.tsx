import { useMemo } from 'preact/hooks';
import type { UsageGroup, UsageReport } from '../../api/schema';
import type { ResourceState } from '../../api/use_resource';
import { formatCount } from '../../lib/format';
import { usage as words } from '../../strings/usage';
import {
  Chart,
  Choice,
  type Column,
  Count,
  DataTable,
  Empty,
  Link,
  Panel,
  Percent,
  Resource,
  Usd,
} from '../../ui';
import { barNames } from './bar_names';
import { groupLabel, requestsPath } from './naming';
import { barsOf, type Period } from './period';
import { ShareBar } from './share_bar';
import {
  costOf,
  DIMENSIONS,
  type Dimension,
  groupKey,
  layersOf,
  MEASURES,
  type Measure,
  TOKEN_KINDS,
  tokenLayers,
  tokensOf,
} from './sums';
import css from './usage.module.css';

const UNITS = { cost: 'usd', tokens: 'tokens', requests: 'count' } as const;
const REST_COLOR = 8;

/** Sums with what they were asked for. */
export interface Shown {
  period: Period;
  by: Dimension;
  report: UsageReport;
}

/** What was used, bar by bar and by what the reader chose. */
export function OverTime(props: {
  of: ResourceState<Shown>;
  by: Dimension;
  measure: Measure;
  onBy: (by: Dimension) => void;
  onMeasure: (measure: Measure) => void;
}) {
  return (
    <Panel
      title={words.breakdown.title}
      busy={props.of.loading}
      actions={
        <div class={css.controls}>
          <Choice
            label={words.breakdown.measure}
            options={MEASURES.map((value) => ({ value, label: words.measure[value] }))}
            value={props.measure}
            onValue={props.onMeasure}
          />
          <Choice
            label={words.breakdown.by}
            options={DIMENSIONS.map((value) => ({ value, label: words.column[value] }))}
            value={props.by}
            onValue={props.onBy}
          />
        </div>
      }
    >
      <Resource of={props.of} what={words.breakdown.what} height={290}>
        {(shown) => <GroupsChart {...shown} measure={props.measure} />}
      </Resource>
    </Panel>
  );
}

function GroupsChart({ period, by, report, measure }: Shown & { measure: Measure }) {
  const bars = useMemo(() => barsOf(period), [period]);
  const series = useMemo(
    () =>
      layersOf(report.groups, bars, by, measure).map((layer, place) => ({
        label: layer.isRest ? words.breakdown.rest : (layer.name ?? words.noneOf[by]),
        values: layer.values,
        color: layer.isRest ? REST_COLOR : place + 1,
      })),
    [report, bars, by, measure],
  );
  if (series.length === 0) {
    return <Empty title={words.breakdown.nothing}>{words.breakdown.nothingNext}</Empty>;
  }
  return (
    <Chart
      kind="stacked"
      x={barNames(bars, period)}
      series={series}
      unit={UNITS[measure]}
      label={words.breakdown.chart(words.measure[measure], words.dimension[by])}
      height={240}
    />
  );
}

/** Tokens of each kind, bar by bar. */
export function TokensOverTime({ of }: { of: ResourceState<Shown> }) {
  return (
    <Panel title={words.tokens.title} hint={words.tokens.hint} busy={of.loading}>
      <Resource of={of} what={words.breakdown.what} height={250}>
        {(shown) => <TokensChart {...shown} />}
      </Resource>
    </Panel>
  );
}

function TokensChart({ period, report }: Shown) {
  const bars = useMemo(() => barsOf(period), [period]);
  const layers = useMemo(() => tokenLayers(report.groups, bars), [report, bars]);
  if (tokensOf(report.total) === 0) return <Empty title={words.breakdown.nothing} />;
  return (
    <div class={css.inset}>
      <Chart
        kind="stacked"
        x={barNames(bars, period)}
        series={TOKEN_KINDS.map((kind) => ({ label: words.tokens.kinds[kind], values: layers[kind] }))}
        unit="tokens"
        label={words.tokens.chart}
        height={200}
      />
      {report.total.thinking_tokens > 0 && (
        <p class={css.note}>{words.tokens.thinking(formatCount(report.total.thinking_tokens))}</p>
      )}
    </div>
  );
}

/** All groups of the period, with what they used. */
export function Groups({ of }: { of: ResourceState<Shown> }) {
  const by = of.data?.by ?? 'model';
  return (
    <Panel title={words.table.caption(words.dimension[by])} busy={of.loading} flush>
      <Resource of={of} what={words.breakdown.what} height={200}>
        {(shown) => <GroupsTable {...shown} />}
      </Resource>
    </Panel>
  );
}

function GroupsTable({ period, by, report }: Shown) {
  const columns = useMemo(() => columnsOf(period, by, report), [period, by, report]);
  return (
    <DataTable
      rows={report.groups}
      columns={columns}
      rowKey={(group) => groupKey(group, by)}
      caption={words.table.caption(words.dimension[by])}
      height={420}
      sort={{ key: 'cost', direction: 'desc' }}
      empty={<Empty title={words.breakdown.nothing} />}
      footer={
        report.has_more ? (
          <p class={css.note}>{words.table.more(formatCount(report.groups.length))}</p>
        ) : undefined
      }
    />
  );
}

function columnsOf(period: Period, by: Dimension, report: UsageReport): Column<UsageGroup>[] {
  const total = report.total.cost_usd;
  const number = (
    key: string,
    label: string,
    value: (group: UsageGroup) => number,
    width = 96,
  ): Column<UsageGroup> => ({
    key,
    label,
    align: 'end',
    width,
    sortValue: value,
    render: (group) => <Count value={value(group)} compact />,
  });
  const columns: Column<UsageGroup>[] = [
    {
      key: 'name',
      label: words.column[by],
      width: 166,
      sortValue: (group) => groupLabel(group, by),
      render: (group) => {
        const label = groupLabel(group, by);
        const path = requestsPath(group, by, period);
        return path === undefined ? (
          <span title={label}>{label}</span>
        ) : (
          <Link href={path} title={words.table.open(label)}>
            {label}
          </Link>
        );
      },
    },
    {
      key: 'cost',
      label: words.column.cost,
      align: 'end',
      width: 88,
      sortValue: (group) => group.sums.cost_usd,
      render: ({ sums }) => <Usd value={costOf(sums)} />,
    },
    {
      key: 'share',
      label: words.column.share,
      width: 116,
      render: ({ sums }) => (
        <ShareBar value={total > 0 ? sums.cost_usd / total : 0} label={words.column.share} />
      ),
    },
    number('requests', words.column.requests, ({ sums }) => sums.requests, 86),
    number('errors', words.column.errors, ({ sums }) => sums.errors, 68),
    number('input', words.column.input, ({ sums }) => sums.input_tokens, 66),
    number('write', words.column.write, ({ sums }) => sums.cache_write_tokens, 108),
    number('read', words.column.read, ({ sums }) => sums.cache_read_tokens, 104),
    {
      key: 'cached',
      label: words.column.cached,
      align: 'end',
      width: 78,
      sortValue: ({ sums }) => sums.cached_share,
      render: ({ sums }) => <Percent value={sums.cached_share} />,
    },
    number('output', words.column.output, ({ sums }) => sums.output_tokens, 72),
  ];
  if (report.total.unpriced > 0) {
    columns.push(number('unpriced', words.column.unpriced, ({ sums }) => sums.unpriced, 84));
  }
  return columns;
}
