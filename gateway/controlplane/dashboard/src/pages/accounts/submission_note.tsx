import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Submission } from '../../api/use_submission';
import { accounts as words } from '../../strings/accounts';
import { Button, ErrorNote } from '../../ui';
import css from './accounts.module.css';

/** The kinds of failures that a check of a credential ends in. */
const CHECK = /^check_/;

/** What went wrong with a form; where it was the check alone, that it can be left out. */
export function SubmissionNote(props: { of: Submission; anyway: string; onAnyway: () => void }) {
  const { failure, busy } = props.of;
  const unchecked = failure !== undefined && CHECK.test(failure.kind);
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
