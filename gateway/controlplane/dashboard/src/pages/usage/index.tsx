import { useEffect, useMemo, useState } from 'preact/hooks';
import { useResource } from '../../api/use_resource';
import { dayNumber } from '../../lib/days';
import { useQueryState } from '../../lib/query';
import { usage as words } from '../../strings/usage';
import { DownloadIcon, Loading, Menu, PageActions } from '../../ui';
import { BudgetsPanel } from './budgets_panel';
import { CachePanel } from './cache_panel';
import { csvPath, loadBudgets, loadCache, loadGroups, loadOverTime, loadTotal, loadUnpriced } from './data';
import { Groups, OverTime, TokensOverTime } from './over_time';
import { periodOf } from './period';
import { DaysNote, PeriodPicker } from './period_picker';
import { DIMENSIONS, type Dimension, MEASURES } from './sums';
import { SwitchesPanel } from './switches_panel';
import { Totals } from './totals';
import { Unpriced } from './unpriced';
import css from './usage.module.css';

const MINUTE = 60;

/** The minute that it is, in Unix seconds: sums are brought up to date with each. */
function useMinute(): number {
  const [minute, setMinute] = useState(() => thisMinute());
  useEffect(() => {
    const timer = setInterval(() => setMinute(thisMinute()), 1_000 * MINUTE);
    return () => clearInterval(timer);
  }, []);
  return minute;
}

function thisMinute(): number {
  return Math.floor(Date.now() / 1_000 / MINUTE) * MINUTE;
}

/** What was used and what it cost. */
export default function Page() {
  const [query, setQuery] = useQueryState<{
    period?: string;
    from?: string;
    to?: string;
    by?: string;
    show?: string;
  }>(['period', 'from', 'to', 'by', 'show']);
  const now = useMinute();
  const by = DIMENSIONS.find((one) => one === query.by) ?? 'model';
  const measure = MEASURES.find((one) => one === query.show) ?? 'cost';
  const period = useMemo(
    () => periodOf({ period: query.period, from: query.from, to: query.to }, now),
    [query.period, query.from, query.to, now],
  );

  const overTime = useResource(
    async (signal) => {
      const report = await loadOverTime(period, by, now, signal);
      return { period, by, report, unpriced: await loadUnpriced(report, period, now, signal) };
    },
    [period, by],
  );
  const groups = useResource(
    async (signal) => ({ period, by, report: await loadGroups(period, by, now, signal) }),
    [period, by],
  );
  const before = useResource(
    async (signal) => ({ period, report: await loadTotal(period.before, signal) }),
    [period],
  );
  const cache = useResource(
    async (signal) => ({ period, report: await loadCache(period, now, signal) }),
    [period],
  );
  const budgets = useResource((signal) => loadBudgets(signal), [], {
    refreshOn: ['keys'],
    everyMs: 1_000 * MINUTE,
  });
  const totals = {
    ...overTime,
    data: overTime.data && { total: overTime.data.report.total },
  };
  const isBeforeOfThis = before.data?.period === overTime.data?.period;
  const unpriced = overTime.data?.report.total.unpriced ?? 0;
  // How much room each panel takes is known by then: none of them pushes another away when it comes.
  const isThere = [overTime, groups, cache, budgets].every((one) => one.data || one.error);

  return (
    <div class={css.stack}>
      <PageActions>
        <Menu
          label={words.export.label}
          icon={DownloadIcon}
          items={[
            ...DIMENSIONS.map((one) => ({
              label: words.export.table(words.dimension[one]),
              href: csvPath(period, [one], now),
            })),
            ...[...new Set<Dimension>(['model', 'actor', 'account', by])].map((one) => ({
              label: words.export.days(words.dimension[one]),
              hint: words.export.hint,
              href: csvPath(period, ['day', one], now),
            })),
          ]}
        />
      </PageActions>
      <div class={css.period}>
        <PeriodPicker
          period={period}
          today={dayNumber(now)}
          onChange={(change, how) => setQuery({ from: undefined, to: undefined, ...change }, how)}
        />
        <DaysNote period={period} />
      </div>
      <Totals
        of={totals}
        before={isBeforeOfThis ? before.data?.report.total : undefined}
        waiting={overTime.data?.report.waiting ?? 0}
      />
      {isThere ? (
        <div class={css.stack} key="there">
          {unpriced > 0 && <Unpriced models={overTime.data?.unpriced ?? []} count={unpriced} />}
          <OverTime
            of={overTime}
            by={by}
            measure={measure}
            onBy={(next) => setQuery({ by: next === 'model' ? undefined : next })}
            onMeasure={(next) => setQuery({ show: next === 'cost' ? undefined : next })}
          />
          <Groups of={groups} />
          <div class={css.columns}>
            <div class={css.stack}>
              <TokensOverTime of={overTime} />
              <CachePanel of={cache} />
            </div>
            <div class={css.stack}>
              <BudgetsPanel of={budgets} />
              <SwitchesPanel of={overTime} now={now} />
            </div>
          </div>
        </div>
      ) : (
        <Loading key="coming" what={words.breakdown.what} height={480} />
      )}
    </div>
  );
}
