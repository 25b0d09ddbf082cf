import { cx } from '../lib/cx';
import { formatPercent } from '../lib/format';
import { ui } from '../strings/ui';
import type { Tone } from './badge';
import css from './meter.module.css';

function share(value: number): number {
  return Number.isFinite(value) ? Math.max(0, Math.min(1, value)) : 0;
}

/** How full something is, 0 to 1, and where it will stand at the end of its window if it goes on like this. */
export function Bar(props: { value: number; tone?: Tone; label: string; forecast?: number }) {
  const value = share(props.value);
  const forecast = props.forecast === undefined ? undefined : share(props.forecast);
  const said = [
    formatPercent(props.value),
    props.forecast !== undefined && ui.forecast(formatPercent(props.forecast)),
  ].filter(Boolean);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a meter element cannot show the forecast
    <div
      class={cx(css.bar, css[props.tone ?? 'accent'])}
      role="meter"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(value * 100)}
      aria-valuetext={said.join(', ')}
      title={`${props.label}: ${said.join(', ')}`}
    >
      {forecast !== undefined && forecast > value && (
        <span class={css.forecast} style={{ width: `${forecast * 100}%` }} />
      )}
      <span class={css.fill} style={{ width: `${value * 100}%` }} />
    </div>
  );
}

/** How far something has come, 0 to 1; without a value, that it goes on. */
export function ProgressBar({ value, label }: { value?: number; label: string }) {
  const known = value === undefined ? undefined : share(value);
  return (
    <div
      class={cx(css.bar, css.accent, known === undefined && css.endless)}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={known === undefined ? undefined : Math.round(known * 100)}
    >
      <span class={css.fill} style={{ width: known === undefined ? '30%' : `${known * 100}%` }} />
    </div>
  );
}

/** A small curve of the last values, oldest first. */
export function Spark({ values, label }: { values: readonly number[]; label: string }) {
  const width = 96;
  const height = 24;
  const most = Math.max(...values, 0);
  const least = Math.min(...values, 0);
  const span = most - least || 1;
  const step = values.length > 1 ? width / (values.length - 1) : width;
  const points = values.map((value, i) => {
    const y = 1 + (height - 2) * (1 - ((Number.isFinite(value) ? value : 0) - least) / span);
    return `${(i * step).toFixed(1)},${y.toFixed(1)}`;
  });
  return (
    <svg
      class={css.spark}
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {points.length > 1 && (
        <>
          <polygon points={`0,${height} ${points.join(' ')} ${width},${height}`} class={css.sparkArea} />
          <polyline points={points.join(' ')} class={css.sparkLine} vector-effect="non-scaling-stroke" />
        </>
      )}
    </svg>
  );
}
