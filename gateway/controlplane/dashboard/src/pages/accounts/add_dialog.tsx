import { useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import type { AccountView } from '../../api/schema';
import { type Submission, useSubmission } from '../../api/use_submission';
import { accounts as words } from '../../strings/accounts';
import { ui } from '../../strings/ui';
import { Button, CheckField, Dialog, SelectField, Tabs, TextField, toast } from '../../ui';
import css from './accounts.module.css';
import { Numbers } from './edit_dialog';
import { ImportFile } from './import_file';
import { SubmissionNote } from './submission_note';

/** How an account comes in. */
export type How = 'key' | 'file';

const TABS = [
  { key: 'key', label: words.form.tabs.key },
  { key: 'file', label: words.form.tabs.file },
] as const;

/** Adds accounts, by an API key or from a file. */
export function AddDialog(props: {
  how: How;
  onHow: (how: How) => void;
  onAdded: (accounts: readonly AccountView[]) => void;
  onClose: () => void;
}) {
  const { how, onHow, onAdded, onClose } = props;
  const submission = useSubmission();
  const form = { submission, onAdded, onClose };

  function turnTo(next: string): void {
    if (submission.busy) return;
    submission.clear();
    onHow(next as How);
  }

  return (
    <Dialog
      open
      wide={how === 'file'}
      title={words.form.title}
      // What becomes of an account that is being added has to be said.
      onClose={() => !submission.busy && onClose()}
    >
      <Tabs label={words.form.tabs.label} tabs={TABS} active={how} onActive={turnTo}>
        {how === 'key' ? <KeyForm {...form} /> : <ImportFile {...form} />}
      </Tabs>
    </Dialog>
  );
}

type Provider = 'anthropic' | 'openai';

const PROVIDERS: readonly { value: Provider; label: string }[] = [
  { value: 'anthropic', label: ui.provider.anthropic },
  { value: 'openai', label: ui.provider.openai },
];

function KeyForm({
  submission,
  onAdded,
  onClose,
}: {
  submission: Submission;
  onAdded: (accounts: readonly AccountView[]) => void;
  onClose: () => void;
}) {
  const [provider, setProvider] = useState<Provider>('anthropic');
  const [name, setName] = useState('');
  const [key, setKey] = useState('');
  const [base, setBase] = useState('');
  const [owner, setOwner] = useState('');
  const [weight, setWeight] = useState<number | undefined>(1);
  const [priority, setPriority] = useState<number | undefined>(0);
  const [bound, setBound] = useState<number>();
  const [check, setCheck] = useState(true);
  const ready = name.trim() !== '' && key.trim() !== '';

  const add = (checked: boolean) =>
    submission.submit(async () => {
      const done = await take(
        api.POST('/api/v1/accounts', {
          body: {
            name,
            provider,
            api_key: key,
            base_url: base.trim() || null,
            owner,
            weight: weight ?? 1,
            priority: priority ?? 0,
            max_concurrency: bound ?? null,
            check: checked,
          },
        }),
      );
      const { name: added, state } = done.account;
      if (state !== 'active') toast(words.done.addedAlone(added), 'warning');
      else if (done.check === null) toast(words.done.addedUnchecked(added), 'warning');
      else toast(words.done.added(added));
      for (const warning of done.warnings) toast(warning, 'warning');
      onAdded([done.account]);
      onClose();
    });

  return (
    <form
      class={css.form}
      noValidate
      onInput={submission.clear}
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) void add(check);
      }}
    >
      <SelectField
        label={words.provider}
        value={provider}
        onValue={(value) => setProvider(value as Provider)}
        options={PROVIDERS}
      />
      <TextField
        label={words.form.name}
        hint={words.form.nameHint}
        value={name}
        onValue={setName}
        maxlength={100}
        autocomplete="off"
        autofocus
        required
      />
      <TextField
        label={words.form.key}
        hint={words.form.keyHint[provider]}
        type="password"
        value={key}
        onValue={setKey}
        autocomplete="off"
        required
        mono
      />
      <details class={css.more}>
        <summary>{words.form.more}</summary>
        <div class={css.form}>
          <TextField
            label={words.form.base}
            hint={words.form.baseHint}
            type="url"
            value={base}
            onValue={setBase}
            autocomplete="off"
            mono
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
        </div>
      </details>
      <CheckField label={words.form.check} hint={words.form.checkHint} value={check} onValue={setCheck} />
      <SubmissionNote of={submission} anyway={words.form.anyway} onAnyway={() => void add(false)} />
      <div class={css.formFoot}>
        <Button onClick={onClose} disabled={submission.busy}>
          {ui.cancel}
        </Button>
        <Button kind="primary" type="submit" busy={submission.busy} disabled={!ready}>
          {words.form.submit}
        </Button>
      </div>
    </form>
  );
}
