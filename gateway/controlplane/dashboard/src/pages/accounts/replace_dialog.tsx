import { useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import type { AccountView } from '../../api/schema';
import { type Submission, useSubmission } from '../../api/use_submission';
import { accounts as words } from '../../strings/accounts';
import { ui } from '../../strings/ui';
import { Button, CheckField, Dialog, Tabs, TextField, toast } from '../../ui';
import css from './accounts.module.css';
import { ReplaceFromFile } from './import_file';
import { SubmissionNote } from './submission_note';

const TABS = [
  { key: 'key', label: words.form.tabs.key },
  { key: 'file', label: words.replace.fromFile },
] as const;

/** Gives an account another credential; all else stays. */
export function ReplaceDialog(props: {
  account: AccountView;
  onDone: (account: AccountView) => void;
  onClose: () => void;
}) {
  const { account, onClose } = props;
  const byKey = account.kind === 'api_key';
  const [how, setHow] = useState<string>(byKey ? 'key' : 'file');
  const submission = useSubmission();
  const form = { ...props, submission };

  function turnTo(next: string): void {
    if (submission.busy) return;
    submission.clear();
    setHow(next);
  }

  return (
    <Dialog
      open
      wide={how === 'file'}
      title={words.replace.title(account.name)}
      // What becomes of a credential that is being saved has to be said.
      onClose={() => !submission.busy && onClose()}
    >
      {byKey ? (
        <Tabs label={words.form.tabs.label} tabs={TABS} active={how} onActive={turnTo}>
          {how === 'key' ? <KeyForm {...form} /> : <ReplaceFromFile {...form} />}
        </Tabs>
      ) : (
        <ReplaceFromFile {...form} />
      )}
    </Dialog>
  );
}

function KeyForm(props: {
  account: AccountView;
  submission: Submission;
  onDone: (account: AccountView) => void;
  onClose: () => void;
}) {
  const { account, submission, onDone, onClose } = props;
  const [key, setKey] = useState('');
  const [check, setCheck] = useState(true);
  const ready = key.trim() !== '';

  const save = (checked: boolean) =>
    submission.submit(async () => {
      const done = await take(
        api.PUT('/api/v1/accounts/{id}/key', {
          params: { path: { id: account.id } },
          body: { api_key: key, check: checked },
        }),
      );
      toast(words.done.replaced(account.name));
      for (const warning of done.warnings) toast(warning, 'warning');
      onDone(done.account);
      onClose();
    });

  return (
    <form
      class={css.form}
      noValidate
      onInput={submission.clear}
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) void save(check);
      }}
    >
      <p class={css.quiet}>{words.replace.hint}</p>
      <TextField
        label={words.replace.key}
        type="password"
        value={key}
        onValue={setKey}
        autocomplete="off"
        autofocus
        required
        mono
      />
      <CheckField label={words.form.check} hint={words.form.checkHint} value={check} onValue={setCheck} />
      <SubmissionNote of={submission} anyway={words.replace.anyway} onAnyway={() => void save(false)} />
      <div class={css.formFoot}>
        <Button onClick={onClose} disabled={submission.busy}>
          {ui.cancel}
        </Button>
        <Button kind="primary" type="submit" busy={submission.busy} disabled={!ready}>
          {words.replace.submit}
        </Button>
      </div>
    </form>
  );
}
