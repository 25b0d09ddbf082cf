import { useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import type { AccountView } from '../../api/schema';
import { useSubmission } from '../../api/use_submission';
import { accounts as words } from '../../strings/accounts';
import { FormDialog, NumberField, TextField, toast } from '../../ui';
import css from './accounts.module.css';
import { SubmissionNote } from './submission_note';

/** Changes what people say of an account. */
export function EditDialog(props: {
  account: AccountView;
  onDone: (account: AccountView) => void;
  onClose: () => void;
}) {
  const { account, onDone, onClose } = props;
  const [name, setName] = useState(account.name);
  const [owner, setOwner] = useState(account.owner);
  const [weight, setWeight] = useState<number | undefined>(account.weight);
  const [priority, setPriority] = useState<number | undefined>(account.priority);
  const [bound, setBound] = useState<number | undefined>(account.max_concurrency ?? undefined);
  const submission = useSubmission();

  const save = () =>
    submission.submit(async () => {
      const body = {
        // Its name is not its own there.
        ...(account.is_environment ? {} : { name }),
        owner,
        weight: weight ?? 1,
        priority: priority ?? 0,
        max_concurrency: bound ?? null,
      };
      const after = await take(
        api.PATCH('/api/v1/accounts/{id}', { params: { path: { id: account.id } }, body }),
      );
      toast(words.done.changed(after.name));
      onDone(after);
      onClose();
    });

  return (
    <FormDialog
      title={words.edit.title(account.name)}
      busy={submission.busy}
      submitLabel={words.edit.submit}
      disabled={name.trim() === ''}
      onSubmit={() => void save()}
      onClose={onClose}
    >
      <TextField
        label={words.form.name}
        hint={words.edit.renaming}
        value={name}
        onValue={setName}
        maxlength={100}
        disabled={account.is_environment}
        autocomplete="off"
      />
      <TextField
        label={words.form.owner}
        hint={words.form.ownerHint}
        value={owner}
        onValue={setOwner}
        maxlength={200}
        autocomplete="off"
      />
      <Numbers {...{ weight, setWeight, priority, setPriority, bound, setBound }} />
      <p class={css.quiet}>{words.edit.fixed}</p>
      <SubmissionNote of={submission} anyway="" onAnyway={() => {}} />
    </FormDialog>
  );
}

/** The numbers by which accounts are chosen. */
export function Numbers(props: {
  weight: number | undefined;
  setWeight: (value: number | undefined) => void;
  priority: number | undefined;
  setPriority: (value: number | undefined) => void;
  bound: number | undefined;
  setBound: (value: number | undefined) => void;
}) {
  return (
    <div class={css.numbers}>
      <NumberField
        label={words.form.weight}
        hint={words.form.weightHint}
        value={props.weight}
        onValue={props.setWeight}
        min={1}
        max={1_000_000}
        step={1}
      />
      <NumberField
        label={words.form.priority}
        hint={words.form.priorityHint}
        value={props.priority}
        onValue={props.setPriority}
        min={0}
        max={1_000_000}
        step={1}
      />
      <NumberField
        label={words.form.bound}
        hint={words.form.boundHint}
        value={props.bound}
        onValue={props.setBound}
        min={0}
        max={1_000_000}
        step={1}
      />
    </div>
  );
}
