import { formatPercent } from '../../lib/format';
import { Bar } from '../../ui';
import css from './usage.module.css';

/** A share of the whole, as a bar and in words. */
export function ShareBar({ value, label }: { value: number; label: string }) {
  return (
    <span class={css.share}>
      <Bar value={value} label={label} />
      <span aria-hidden="true">{formatPercent(value)}</span>
    </span>
  );
}
