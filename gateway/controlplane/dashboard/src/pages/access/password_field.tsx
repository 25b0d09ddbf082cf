import { useState } from 'preact/hooks';
import { access as words } from '../../strings/access';
import { Button, Field } from '../../ui';
import css from './access.module.css';
import { strengthOf } from './password_strength';

interface PasswordProps {
  label: string;
  value: string;
  onValue: (value: string) => void;
  error?: string | undefined;
  autofocus?: boolean;
  name?: string;
  /** It is being chosen, not asked for. */
  fresh?: boolean;
}

/** A password, which its owner may look at; says how long a new one should be. */
export function PasswordField({ label, value, onValue, error, autofocus, name, fresh }: PasswordProps) {
  const [shown, setShown] = useState(false);
  return (
    <Field
      label={label}
      error={error}
      hint={fresh ? <span aria-live="polite">{strengthOf(value)}</span> : undefined}
    >
      {(ids) => (
        <span class={css.password}>
          <input
            {...ids}
            class={css.passwordInput}
            type={(shown ? 'text' : 'password') as 'text'}
            name={name ?? (fresh ? 'new-password' : 'password')}
            autocomplete={fresh ? 'new-password' : 'current-password'}
            autofocus={autofocus}
            autocapitalize="off"
            spellcheck={false}
            maxLength={256}
            value={value}
            onInput={(event) => onValue(event.currentTarget.value)}
          />
          <Button
            kind="quiet"
            class={css.reveal}
            aria-pressed={shown}
            aria-label={shown ? words.hidePassword(label) : words.showPassword(label)}
            onClick={() => setShown(!shown)}
          >
            {shown ? words.hide : words.show}
          </Button>
        </span>
      )}
    </Field>
  );
}
