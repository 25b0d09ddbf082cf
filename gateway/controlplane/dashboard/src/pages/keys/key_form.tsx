import { useState } from 'preact/hooks';
import type { KeyView, MadeKey } from '../../api/schema';
import { useSubmission } from '../../api/use_submission';
import { keys as words } from '../../strings/keys';
import { ErrorNote, FormDialog, SelectField, toast } from '../../ui';
import { changeKey, createKey, rotateKey } from './data';
import { changeOf, draftOf, emptyForm, errorsOf, formOf, type TermsForm } from './limits';
import { TermsFields } from './terms_fields';

function now(): number {
  return Date.now() / 1_000;
}

/** Makes a key. */
export function CreateDialog(props: { onMade: (made: MadeKey) => void; onClose: () => void }) {
  return (
    <KeyForm
      title={words.form.title}
      initial={emptyForm()}
      submit={words.form.submit}
      onClose={props.onClose}
      onSubmit={async (form) => props.onMade(await createKey(draftOf(form, now())))}
    />
  );
}

/** Changes what a key may do, and its name. */
export function EditDialog(props: { of: KeyView; onChanged: () => void; onClose: () => void }) {
  const { of } = props;
  return (
    <KeyForm
      title={words.form.edit(of.name)}
      initial={formOf(of)}
      expiresAt={of.expires_at}
      submit={words.form.save}
      onClose={props.onClose}
      onSubmit={async (form) => {
        const change = changeOf(of, form, now());
        if (Object.keys(change).length === 0) {
          toast(words.form.nothing, 'notice');
        } else {
          const changed = await changeKey(of.id, change);
          toast(words.form.changed(changed.name));
        }
        props.onChanged();
      }}
    />
  );
}

function KeyForm(props: {
  title: string;
  initial: TermsForm;
  expiresAt?: number | null;
  submit: string;
  onSubmit: (form: TermsForm) => Promise<void>;
  onClose: () => void;
}) {
  const [form, setForm] = useState(props.initial);
  const [tried, setTried] = useState(false);
  const { busy, failure, submit } = useSubmission();
  const errors = errorsOf(form, now());
  const isSound = Object.keys(errors).length === 0;

  return (
    <FormDialog
      title={props.title}
      submitLabel={props.submit}
      busy={busy}
      onSubmit={() => {
        setTried(true);
        if (isSound) void submit(() => props.onSubmit(form));
      }}
      onClose={props.onClose}
    >
      <TermsFields form={form} errors={tried ? errors : {}} onForm={setForm} expiresAt={props.expiresAt} />
      {failure && <ErrorNote error={failure} />}
    </FormDialog>
  );
}

/** Puts a new key in the place of one. */
export function RotateDialog(props: { of: KeyView; onMade: (made: MadeKey) => void; onClose: () => void }) {
  const [grace, setGrace] = useState('3600');
  const { busy, failure, submit } = useSubmission();
  return (
    <FormDialog
      title={words.rotate.title(props.of.name)}
      submitLabel={words.rotate.submit}
      busy={busy}
      onSubmit={() => void submit(async () => props.onMade(await rotateKey(props.of.id, Number(grace))))}
      onClose={props.onClose}
    >
      <p>{words.rotate.body}</p>
      <SelectField
        label={words.rotate.grace}
        hint={words.rotate.graceHint}
        value={grace}
        onValue={setGrace}
        options={Object.entries(words.rotate.options).map(([value, label]) => ({ value, label }))}
      />
      {failure && <ErrorNote error={failure} />}
    </FormDialog>
  );
}
