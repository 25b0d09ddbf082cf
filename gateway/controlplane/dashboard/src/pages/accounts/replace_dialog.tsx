import { useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import type { AccountView } from '../../api/schema';
import { accounts as words } from '../../strings/accounts';
import { CheckField, TextField, toast } from '../../ui';
import css from './accounts.module.css';
import { FormDialog, SubmissionNote, useSubmission } from './form_dialog';

/** Gives an account another API key. */
export function ReplaceDialog(props: {
  account: AccountView;
  onDone: (account: AccountView) => void;
  onClose: () => void;
}) {
  const { account, onDone, onClose } = props;
  const [key, setKey] = useState('');
  const [check, setCheck] = useState(true);
  const submission = useSubmission();

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
    <FormDialog
      title={words.replace.title(account.name)}
      submission={submission}
      submitLabel={words.replace.submit}
      disabled={key.trim() === ''}
      onSubmit={() => void save(check)}
      onClose={onClose}
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
    </FormDialog>
  );
}
