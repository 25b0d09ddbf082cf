import { useState } from 'preact/hooks';
import { access as words } from '../../strings/access';
import { Button, TextField } from '../../ui';
import css from './access.module.css';

interface CodeProps {
  value: string;
  onValue: (value: string) => void;
  error?: string | undefined;
  autofocus?: boolean;
  /** Codes on paper do here as well. */
  recovery?: boolean;
}

/** The code of the second factor. */
export function CodeField({ value, onValue, error, autofocus, recovery }: CodeProps) {
  const [onPaper, setOnPaper] = useState(false);
  return (
    <div class={css.codeField}>
      <TextField
        key={String(onPaper)}
        label={onPaper ? words.recoveryCode : words.code}
        hint={onPaper ? words.recoveryHint : words.codeHint}
        error={error}
        value={value}
        onValue={onValue}
        mono
        name="code"
        autocomplete={onPaper ? 'off' : 'one-time-code'}
        inputmode={onPaper ? 'text' : 'numeric'}
        maxlength={onPaper ? 30 : 10}
        autofocus={autofocus || onPaper}
      />
      {recovery && (
        <Button
          kind="quiet"
          class={css.switch}
          onClick={() => {
            onValue('');
            setOnPaper(!onPaper);
          }}
        >
          {onPaper ? words.useApp : words.useRecovery}
        </Button>
      )}
    </div>
  );
}
