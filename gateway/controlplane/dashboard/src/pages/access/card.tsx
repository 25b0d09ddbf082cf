import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import { session } from '../../api/session';
import { WarningIcon } from '../../ui';
import css from './access.module.css';

/** What is asked for before one is in, below what the gateway warns of. */
export function Card(props: { heading: string; about?: ComponentChildren; children?: ComponentChildren }) {
  const heading = useId();
  return (
    <section class={css.card} aria-labelledby={heading}>
      <div class={css.cardHead}>
        <h1 id={heading}>{props.heading}</h1>
        {props.about && <p class={css.about}>{props.about}</p>}
      </div>
      {(session.value.warnings ?? []).map((warning) => (
        <p key={warning} class={css.warning}>
          <WarningIcon />
          <span>{warning}</span>
        </p>
      ))}
      {props.children}
    </section>
  );
}
