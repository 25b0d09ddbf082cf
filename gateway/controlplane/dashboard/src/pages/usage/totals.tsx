import type { UsageSums } from '../../api/schema';
import type { ResourceState } from '../../api/use_resource';
import { formatCompact, formatCount, formatPercent, formatUsd } from '../../lib/format';
import { usage as words } from '../../strings/usage';
import { Count, Panel, Percent, Resource, Stat, Usd } from '../../ui';
import { change, tokensOf } from './sums';
import css from './usage.module.css';

const FACTOR = 10;

/** What the period comes to, beside the one before it. */
export function Totals(props: { of: ResourceState<{ total: UsageSums }>; before: UsageSums | undefined }) {
  const { before } = props;
  return (
    <Panel title={words.totals.title} busy={props.of.loading}>
      <Resource of={props.of} what={words.totals.what} height={66}>
        {({ total }) => (
          <div class={css.stats}>
            <Stat
              label={words.totals.cost}
              value={<Usd value={total.cost_usd} />}
              hint={compared(total.cost_usd, before?.cost_usd, formatUsd)}
            />
            <Stat
              label={words.totals.requests}
              value={<Count value={total.requests} compact />}
              hint={compared(total.requests, before?.requests, formatCount)}
            />
            <Stat
              label={words.totals.tokens}
              value={<Count value={tokensOf(total)} compact />}
              hint={compared(tokensOf(total), before && tokensOf(before), formatCompact)}
            />
            <Stat
              label={words.totals.hits}
              value={<Percent value={total.cached_share} />}
              hint={words.totals.hitsHint}
            />
            <Stat
              label={words.totals.errors}
              value={<Count value={total.errors} compact />}
              hint={
                total.requests > 0
                  ? words.totals.errorShare(formatPercent(total.errors / total.requests))
                  : undefined
              }
            />
          </div>
        )}
      </Resource>
    </Panel>
  );
}

function compared(now: number, before: number | undefined, format: (value: number) => string) {
  // The place is kept, so that nothing moves when it comes.
  if (before === undefined) return ' ';
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
