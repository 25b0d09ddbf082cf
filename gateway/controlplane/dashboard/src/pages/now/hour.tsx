import type { ComponentChildren } from 'preact';
import type { Overview } from '../../api/schema';
import { formatCompact, formatCount, formatDuration, formatPercent, formatUsd } from '../../lib/format';
import { now as words } from '../../strings/now';
import { Count, Duration, Percent, Spark, Stat, type Tone, Usd } from '../../ui';
import css from './now.module.css';

/** What the last hour's requests add up to, with how it came to that. */
export function Hour({ of }: { of: Overview }) {
  const { hour: labels } = words;
  const { sums, series } = of;
  const share = sums.requests ? sums.errors / sums.requests : 0;
  return (
    <div class={css.hour}>
      <Figure
        label={labels.requests}
        value={<Count value={sums.requests} compact />}
        hint={of.providers.length > 1 ? <PerProvider of={of} /> : undefined}
        values={series.requests}
        format={formatCount}
      />
      <Figure
        label={labels.firstContent}
        value={<Duration ms={sums.first_content_p50_ms} />}
        hint={
          sums.first_content_p95_ms === null
            ? undefined
            : labels.p95(formatDuration(sums.first_content_p95_ms))
        }
        values={series.first_content_p50_ms}
        format={formatDuration}
        title={labels.median}
      />
      <Figure
        label={labels.errors}
        title={labels.errorsMean}
        value={<Count value={sums.errors} />}
        tone={sums.errors > 0 ? 'warning' : undefined}
        hint={sums.errors > 0 ? labels.errorShare(formatPercent(share)) : labels.noErrors}
        values={series.errors}
        format={formatCount}
      />
      <Figure
        label={labels.cost}
        value={<Usd value={sums.cost_usd} />}
        hint={sums.unpriced > 0 ? labels.unpriced(sums.unpriced) : undefined}
        values={series.cost_usd}
        format={formatUsd}
      />
      <Figure
        label={labels.tokens}
        value={<Count value={sums.output_tokens} compact />}
        hint={labels.prompt(formatCompact(sums.prompt_tokens))}
        values={series.output_tokens}
        format={formatCount}
      />
      <Figure
        label={labels.cached}
        value={<Percent value={sums.cached_share} />}
        hint={labels.cachedHint}
        values={series.cached_share}
        format={formatPercent}
      />
    </div>
  );
}

/** Takes the room of the figures until they come. */
export function HourToCome() {
  const { hour: labels } = words;
  const names = ['requests', 'firstContent', 'errors', 'cost', 'tokens', 'cached'] as const;
  return (
    <div class={css.hour} aria-busy="true">
      {names.map((name) => (
        <div key={name} class={css.figure}>
          <Stat label={labels[name]} value=" " hint=" " />
          <Spark values={[]} label="" />
        </div>
      ))}
    </div>
  );
}

function Figure(props: {
  label: string;
  value: ComponentChildren;
  hint?: ComponentChildren;
  tone?: Tone;
  title?: string;
  values: readonly (number | null)[];
  format: (value: number | null) => string;
}) {
  return (
    <div class={css.figure} title={props.title}>
      <Stat label={props.label} value={props.value} hint={props.hint ?? ' '} tone={props.tone} />
      <Spark
        values={props.values}
        label={words.hour.spark(props.label, props.values.map(props.format).join(', '))}
      />
    </div>
  );
}

function PerProvider({ of }: { of: Overview }) {
  return (
    <>
      {of.providers
        .map(
          (one) =>
            `${words.provider.names[one.provider] ?? one.provider} ${formatCompact(one.sums.requests)}`,
        )
        .join(' · ')}
    </>
  );
}
