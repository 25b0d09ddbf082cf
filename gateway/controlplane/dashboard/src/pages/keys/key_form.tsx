import { useState } from 'preact/hooks';
import { type ApiFailure, failureFrom } from '../../api/failure';
import type { KeyView, MadeKey } from '../../api/schema';
import { keys as words } from '../../strings/keys';
import { Button, Dialog, ErrorNote, SelectField, toast } from '../../ui';
import { changeKey, createKey, rotateKey } from './data';
import css from './keys.module.css';
import { changeOf, draftOf, emptyForm, errorsOf, formOf, type TermsForm } from './limits';
import { TermsFields } from './terms_fields';

function useSending(): {
  busy: boolean;
  failure: ApiFailure | undefined;
  send: (work: () => Promise<void>) => Promise<void>;
} {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<ApiFailure>();
  return {
    busy,
    failure,
    async send(work) {
      setBusy(true);
      setFailure(undefined);
      try {
        await work();
      } catch (error) {
        setFailure(failureFrom(error));
      } finally {
        setBusy(false);
      }
    },
  };
}

function now(): number {
  return Date.now() / 1_000;
}

/** Makes a key. */
export function CreateDialog(props: { onMade: (made: MadeKey) => void; onClose: () => void }) {
  return (
    <FormDialog
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
    <FormDialog
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

function FormDialog(props: {
  title: string;
  initial: TermsForm;
  expiresAt?: number | null;
  submit: string;
  onSubmit: (form: TermsForm) => Promise<void>;
  onClose: () => void;
}) {
  const [form, setForm] = useState(props.initial);
  const [tried, setTried] = useState(false);
  const { busy, failure, send } = useSending();
  const errors = errorsOf(form, now());
  const isSound = Object.keys(errors).length === 0;

  function submit(event: Event): void {
    event.preventDefault();
    setTried(true);
    if (isSound && !busy) void send(() => props.onSubmit(form));
  }

  return (
    <Dialog
      open
      title={props.title}
      onClose={() => !busy && props.onClose()}
      footer={
        <>
          <Button onClick={props.onClose} disabled={busy}>
            {words.form.cancel}
          </Button>
          <Button kind="primary" type="submit" form="key-form" busy={busy}>
            {props.submit}
          </Button>
        </>
      }
    >
      <form id="key-form" noValidate onSubmit={submit} class={css.form}>
        <TermsFields form={form} errors={tried ? errors : {}} onForm={setForm} expiresAt={props.expiresAt} />
        {failure && <ErrorNote error={failure} />}
      </form>
    </Dialog>
  );
}

/** Puts a new key in the place of one. */
export function RotateDialog(props: { of: KeyView; onMade: (made: MadeKey) => void; onClose: () => void }) {
  const [grace, setGrace] = useState('3600');
  const { busy, failure, send } = useSending();
  return (
    <Dialog
      open
      title={words.rotate.title(props.of.name)}
      onClose={() => !busy && props.onClose()}
      footer={
        <>
          <Button onClick={props.onClose} disabled={busy}>
            {words.form.cancel}
          </Button>
          <Button
            kind="primary"
            busy={busy}
            onClick={() => void send(async () => props.onMade(await rotateKey(props.of.id, Number(grace))))}
          >
            {words.rotate.submit}
          </Button>
        </>
      }
    >
      <div class={css.form}>
        <p>{words.rotate.body}</p>
        <SelectField
          label={words.rotate.grace}
          hint={words.rotate.graceHint}
          value={grace}
          onValue={setGrace}
          options={Object.entries(words.rotate.options).map(([value, label]) => ({ value, label }))}
        />
        {failure && <ErrorNote error={failure} />}
      </div>
    </Dialog>
  );
}
