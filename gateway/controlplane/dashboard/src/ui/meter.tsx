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

/** A small curve of the last values, oldest first, with a gap where one is not known. */
export function Spark({ values, label }: { values: readonly (number | null)[]; label: string }) {
  const width = 96;
  const height = 24;
  const known = values.filter(isKnown);
  const most = Math.max(...known, 0);
  const least = Math.min(...known, 0);
  const span = most - least || 1;
  const step = values.length > 1 ? width / (values.length - 1) : width;
  const runs: [x: string, y: string][][] = [];
  values.forEach((value, i) => {
    if (!isKnown(value)) return;
    const y = 1 + (height - 2) * (1 - (value - least) / span);
    if (i === 0 || !isKnown(values[i - 1])) runs.push([]);
    runs.at(-1)?.push([(i * step).toFixed(1), y.toFixed(1)]);
  });
  return (
    <svg
      class={css.spark}
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {values.length > 1 &&
        runs.map((run) => {
          // One point alone is a line of no length, whose round ends make a dot.
          const isDot = run.length === 1;
          const line = (isDot ? [...run, ...run] : run).map((point) => point.join(',')).join(' ');
          const [from, to] = [run[0]?.[0], run.at(-1)?.[0]];
          return (
            <g key={from}>
              <polygon points={`${from},${height} ${line} ${to},${height}`} class={css.sparkArea} />
              <polyline
                points={line}
                class={cx(css.sparkLine, isDot && css.sparkDot)}
                vector-effect="non-scaling-stroke"
              />
            </g>
          );
        })}
    </svg>
  );
}

function isKnown(value: number | null | undefined): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
