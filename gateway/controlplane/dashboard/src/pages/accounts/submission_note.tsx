import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { type ApiFailure, failureFrom } from '../../api/failure';
import { accounts as words } from '../../strings/accounts';
import { ui } from '../../strings/ui';
import { Button, Dialog, ErrorNote } from '../../ui';
import css from './accounts.module.css';

/** The kinds of failures that a check of a credential ends in. */
const CHECK = /^check_/;

/** A form that is under way, and how it went. */
export interface Submission {
  busy: boolean;
  failure: ApiFailure | undefined;
  /** Does it; a second call while it goes on does nothing. */
  submit: (act: () => Promise<void>) => Promise<void>;
  /** Forgets what went wrong: it was about what stood there before. */
  clear: () => void;
  /** The last try failed because the provider did not take the credential. */
  unchecked: boolean;
}

/** Keeps what becomes of a form. */
export function useSubmission(): Submission {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<ApiFailure>();
  async function submit(act: () => Promise<void>): Promise<void> {
    if (busy) return;
    setBusy(true);
    setFailure(undefined);
    try {
      await act();
    } catch (error) {
      setFailure(failureFrom(error));
    } finally {
      setBusy(false);
    }
  }
  return {
    busy,
    failure,
    submit,
    clear: () => setFailure(undefined),
    unchecked: failure !== undefined && CHECK.test(failure.kind),
  };
}

/** What went wrong with a form; where it was the check alone, that it can be left out. */
export function SubmissionNote(props: { of: Submission; anyway: string; onAnyway: () => void }) {
  const { failure, unchecked, busy } = props.of;
  const place = useRef<HTMLDivElement>(null);
  // A long form may have it out of sight.
  useLayoutEffect(() => place.current?.scrollIntoView({ block: 'nearest' }), [failure]);
  if (!failure) return null;
  return (
    <div class={css.formNote} ref={place}>
      {unchecked && <p class={css.quiet}>{words.form.anywayHint}</p>}
      <ErrorNote error={failure} />
      {unchecked && (
        <Button busy={busy} onClick={props.onAnyway}>
          {props.anyway}
        </Button>
      )}
    </div>
  );
}

/** A dialog with a form: Enter in a field submits it. */
export function FormDialog(props: {
  title: string;
  submission: Submission;
  submitLabel: string;
  disabled?: boolean;
  onSubmit: () => void;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const id = useId();
  const { busy } = props.submission;
  return (
    <Dialog
      open
      title={props.title}
      onClose={() => !busy && props.onClose()}
      footer={
        <>
          <Button onClick={props.onClose} disabled={busy}>
            {ui.cancel}
          </Button>
          <Button kind="primary" type="submit" form={id} busy={busy} disabled={props.disabled}>
            {props.submitLabel}
          </Button>
        </>
      }
    >
      <form
        id={id}
        class={css.form}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (!busy && !props.disabled) props.onSubmit();
        }}
      >
        {props.children}
      </form>
    </Dialog>
  );
}
