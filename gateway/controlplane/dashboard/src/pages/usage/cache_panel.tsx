import { useMemo } from 'preact/hooks';
import type { CacheGroup, CacheReport } from '../../api/schema';
import type { ResourceState } from '../../api/use_resource';
import { formatCompact } from '../../lib/format';
import { usage as words } from '../../strings/usage';
import {
  Badge,
  Chart,
  type Column,
  Count,
  DataTable,
  Empty,
  Panel,
  Percent,
  Resource,
  Stat,
  Usd,
} from '../../ui';
import { barNames } from './bar_names';
import { barsOf, type Period } from './period';
import { ShareBar } from './share_bar';
import { cachePerBar } from './sums';
import css from './usage.module.css';

/** What the prompt cache did: how much of the prompts was read from it, and what that saved. */
export function CachePanel({ of }: { of: ResourceState<{ period: Period; report: CacheReport }> }) {
  return (
    <Panel title={words.cache.title} hint={words.cache.hint} busy={of.loading}>
      <Resource of={of} what={words.cache.what} height={420}>
        {({ period, report }) =>
          report.total.hit_share === null ? (
            <Empty title={words.cache.none} />
          ) : (
            <Cache period={period} report={report} />
          )
        }
      </Resource>
    </Panel>
  );
}

function Cache({ period, report }: { period: Period; report: CacheReport }) {
  const { total } = report;
  const bars = useMemo(() => barsOf(period), [period]);
  const { hits } = useMemo(() => cachePerBar(report.by_time, bars), [report, bars]);
  const isLoss = total.saved_usd < 0;
  return (
    <div class={css.inset}>
      <div class={css.stats}>
        <Stat
          label={isLoss ? words.cache.lost : words.cache.saved}
          value={<Usd value={Math.abs(total.saved_usd)} />}
          hint={isLoss ? words.cache.lostHint : words.cache.savedHint}
          tone={isLoss ? 'warning' : undefined}
        />
        <Stat
          label={words.cache.hits}
          value={<Percent value={total.hit_share} />}
          hint={words.cache.hitsHint}
        />
        <Stat
          label={words.cache.read}
          value={<Count value={total.read_tokens} compact />}
          hint={words.cache.writtenHint(formatCompact(total.write_tokens))}
        />
      </div>
      {!total.is_priced && <p class={css.note}>{words.cache.unpriced}</p>}
      {report.has_more && <p class={css.note}>{words.cache.cut}</p>}
      <Chart
        kind="bars"
        x={barNames(bars, period)}
        series={[{ label: words.cache.series, values: hits, color: 2 }]}
        unit="percent"
        label={words.cache.chart}
        height={160}
      />
      <div class={css.tableWithin}>
        <DataTable
          rows={report.by_model}
          columns={COLUMNS}
          rowKey={(group) => `${group.provider ?? ''}/${group.model ?? ''}`}
          caption={words.cache.caption}
          height={260}
          empty={null}
        />
      </div>
    </div>
  );
}

const COLUMNS: readonly Column<CacheGroup>[] = [
  {
    key: 'model',
    label: words.column.model,
    width: 140,
    sortValue: (group) => group.model,
    render: (group) => <span title={group.model ?? undefined}>{group.model ?? words.noneOf.model}</span>,
  },
  {
    key: 'hits',
    label: words.cache.hitsColumn,
    width: 110,
    sortValue: (group) => group.hit_share,
    render: (group) => <ShareBar value={group.hit_share ?? 0} label={words.cache.hits} />,
  },
  {
    key: 'saved',
    label: words.cache.saved,
    align: 'end',
    width: 92,
    sortValue: (group) => (group.is_priced ? group.saved_usd : undefined),
    render: (group) =>
      group.is_priced ? <Usd value={group.saved_usd} /> : <Badge tone="warning">{words.cache.noPrice}</Badge>,
  },
  {
    key: 'read',
    label: words.cache.readColumn,
    align: 'end',
    width: 72,
    sortValue: (group) => group.read_tokens,
    render: (group) => <Count value={group.read_tokens} compact />,
  },
  {
    key: 'written',
    label: words.cache.writtenColumn,
    align: 'end',
    width: 84,
    sortValue: (group) => group.write_tokens,
    render: (group) => <Count value={group.write_tokens} compact />,
  },
];
