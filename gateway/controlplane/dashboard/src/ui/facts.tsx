import type { ComponentChildren } from 'preact';
import { cx } from '../lib/cx';
import { TONE_ICONS, type Tone } from './badge';
import css from './facts.module.css';

/** Names and what they are. */
export function KeyValue({
  items,
}: {
  items: readonly (readonly [label: ComponentChildren, value: ComponentChildren])[];
}) {
  return (
    <dl class={css.facts}>
      {items.map(([label, value], i) => (
        <div key={i} class={css.fact}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** One number that matters. */
export function Stat(props: {
  label: string;
  value: ComponentChildren;
  hint?: ComponentChildren;
  tone?: Tone;
}) {
  const Shown = props.tone === undefined ? undefined : TONE_ICONS[props.tone];
  return (
    <dl class={css.stat}>
      <dt class={css.label}>{props.label}</dt>
      <dd class={cx(css.value, props.tone && css[props.tone])}>
        {Shown && <Shown size={15} />}
        {props.value}
      </dd>
      {props.hint !== undefined && <dd class={css.hint}>{props.hint}</dd>}
    </dl>
  );
}
