import { useMemo } from 'preact/hooks';
import type { UsageGroup } from '../../api/schema';
import { type ResourceState, useResource } from '../../api/use_resource';
import { formatPercent } from '../../lib/format';
import { usage as words } from '../../strings/usage';
import { type Column, Count, DataTable, Panel, Resource, Spark, Stat, Usd } from '../../ui';
import { loadGroups } from './data';
import { groupLabel } from './naming';
import type { Shown } from './over_time';
import { barsOf, type Period } from './period';
import { groupKey, perBar } from './sums';
import css from './usage.module.css';

/** Sessions that had to leave their account, and what that cost. */
export function SwitchesPanel({ of, now }: { of: ResourceState<Shown>; now: number }) {
  return (
    <Panel title={words.switches.title} hint={words.switches.hint} busy={of.loading}>
      <Resource of={of} what={words.breakdown.what} height={120}>
        {(shown) =>
          shown.report.total.switches === 0 ? (
            <p class={css.note}>{words.switches.none}</p>
          ) : (
            <Switches shown={shown} now={now} />
          )
        }
      </Resource>
    </Panel>
  );
}

function Switches({ shown, now }: { shown: Shown; now: number }) {
  const { period, report } = shown;
  const { total } = report;
  const bars = useMemo(() => barsOf(period), [period]);
  const values = useMemo(() => perBar(report.groups, bars, (sums) => sums.switches), [report, bars]);
  return (
    <div class={css.inset}>
      <div class={css.stats}>
        <Stat
          label={words.switches.count}
          value={<Count value={total.switches} />}
          hint={words.switches.share(formatPercent(total.switches / total.requests))}
        />
        <Stat
          label={words.switches.cost}
          value={<Usd value={total.switch_usd} />}
          hint={
            total.cost_usd > 0
              ? words.switches.shareOfCost(formatPercent(total.switch_usd / total.cost_usd))
              : undefined
          }
        />
        {bars.length > 1 && (
          <div class={css.spark}>
            <Spark values={values} label={words.switches.spark} />
          </div>
        )}
      </div>
      <ByAccount period={period} now={now} />
    </div>
  );
}

function ByAccount({ period, now }: { period: Period; now: number }) {
  const accounts = useResource((signal) => loadGroups(period, 'account', now, signal), [period.since, now]);
  return (
    <Resource of={accounts} what={words.switches.whatAccounts} height={80}>
      {(report) => (
        <div class={css.tableWithin}>
          <DataTable
            rows={report.groups.filter((group) => group.sums.switches > 0)}
            columns={COLUMNS}
            rowKey={(group) => groupKey(group, 'account')}
            caption={words.switches.caption}
            height={220}
            sort={{ key: 'cost', direction: 'desc' }}
            empty={null}
          />
        </div>
      )}
    </Resource>
  );
}

const COLUMNS: readonly Column<UsageGroup>[] = [
  {
    key: 'account',
    label: words.switches.to,
    width: 180,
    sortValue: (group) => groupLabel(group, 'account'),
    render: (group) => groupLabel(group, 'account'),
  },
  {
    key: 'switches',
    label: words.switches.count,
    align: 'end',
    width: 96,
    sortValue: ({ sums }) => sums.switches,
    render: ({ sums }) => <Count value={sums.switches} />,
  },
  {
    key: 'cost',
    label: words.column.cost,
    align: 'end',
    width: 104,
    sortValue: ({ sums }) => sums.switch_usd,
    render: ({ sums }) => <Usd value={sums.switch_usd} />,
  },
];
