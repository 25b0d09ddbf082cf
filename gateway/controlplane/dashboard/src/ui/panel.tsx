import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import { cx } from '../lib/cx';
import css from './panel.module.css';

/** A part of a page: a section with a heading, and what can be done with it to the right. */
export function Panel(props: {
  title: ComponentChildren;
  hint?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
  /** What is shown is being brought up to date. */
  busy?: boolean;
  id?: string;
  /** Without padding, for a table that reaches the edges. */
  flush?: boolean;
}) {
  const heading = useId();
  return (
    <section
      class={css.panel}
      id={props.id}
      aria-labelledby={heading}
      aria-busy={props.busy ? 'true' : undefined}
    >
      <header class={css.header}>
        <div class={css.titles}>
          <h2 id={heading}>{props.title}</h2>
          {props.hint && <p class={css.hint}>{props.hint}</p>}
        </div>
        {props.actions && <div class={css.actions}>{props.actions}</div>}
      </header>
      <div class={cx(css.body, props.flush && css.flush)}>{props.children}</div>
    </section>
  );
}
