import type { ComponentChildren } from 'preact';
import type { UsageSums } from '../../api/schema';
import type { ResourceState } from '../../api/use_resource';
import { formatCompact, formatCount, formatPercent, formatUsd } from '../../lib/format';
import { usage as words } from '../../strings/usage';
import { Count, ErrorNote, Panel, Percent, Stat, Usd } from '../../ui';
import { change, tokensOf } from './sums';
import css from './usage.module.css';

const FACTOR = 10;
/** Keeps the place of what is still to come, so that nothing moves when it does. */
const PLACE = ' ';

/** What the period comes to, beside the one before it. */
export function Totals(props: {
  of: ResourceState<{ total: UsageSums }>;
  before: UsageSums | undefined;
  /** Requests that are in no sum yet. */
  waiting: number;
}) {
  const { before } = props;
  const { data, error, loading, reload } = props.of;
  const total = data?.total;
  const errors = total && total.requests > 0 ? formatPercent(total.errors / total.requests) : undefined;
  return (
    <Panel
      title={words.totals.title}
      hint={<span role="status">{props.waiting > 0 ? words.waiting(props.waiting) : PLACE}</span>}
      busy={loading}
    >
      {error && <ErrorNote error={error} onRetry={reload} />}
      {(total || !error) && (
        <div class={css.stats}>
          <Stat
            label={words.totals.cost}
            value={total ? <Usd value={total.cost_usd} /> : PLACE}
            hint={compared(total?.cost_usd, before?.cost_usd, formatUsd)}
          />
          <Stat
            label={words.totals.requests}
            value={total ? <Count value={total.requests} compact /> : PLACE}
            hint={compared(total?.requests, before?.requests, formatCount)}
          />
          <Stat
            label={words.totals.tokens}
            value={total ? <Count value={tokensOf(total)} compact /> : PLACE}
            hint={compared(total && tokensOf(total), before && tokensOf(before), formatCompact)}
          />
          <Stat
            label={words.totals.hits}
            value={total ? <Percent value={total.cached_share} /> : PLACE}
            hint={words.totals.hitsHint}
          />
          <Stat
            label={words.totals.errors}
            value={total ? <Count value={total.errors} compact /> : PLACE}
            hint={
              errors === undefined ? (
                PLACE
              ) : (
                <span title={words.totals.errorsMean}>{words.totals.errorShare(errors)}</span>
              )
            }
          />
        </div>
      )}
    </Panel>
  );
}

function compared(
  now: number | undefined,
  before: number | undefined,
  format: (value: number) => string,
): ComponentChildren {
  if (now === undefined || before === undefined) return PLACE;
  const by = change(now, before);
  if (by === undefined) return words.totals.noBefore;
  return <span title={format(before)}>{words.totals.before(changeText(by))}</span>;
}

/** A change as people say it: +12%, −3%, 15×. */
export function changeText(by: number): string {
  if (by >= FACTOR - 1) return words.totals.times(formatCompact(Math.round(by + 1)));
  const share = formatPercent(Math.abs(by));
  return by < 0 ? words.totals.down(share) : words.totals.up(share);
}
