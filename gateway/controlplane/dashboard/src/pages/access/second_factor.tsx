import { useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import type { TotpOffer } from '../../api/schema';
import { loadSession, session } from '../../api/session';
import { useSubmission } from '../../api/use_submission';
import { access as words } from '../../strings/access';
import { Badge, Button, CodeBlock, CopyButton, Dialog, IdleIcon, OkIcon, Panel, toast } from '../../ui';
import css from './access.module.css';
import { CodeField } from './code_field';
import { FormDialog } from './form_dialog';
import { PasswordField } from './password_field';
import { QrCode } from './qr_code';

const FEW = 3;

type Step =
  | { name: 'prove' }
  | { name: 'scan'; offer: TotpOffer }
  | { name: 'keep'; codes: string[] }
  | { name: 'remove' };

/** Adds and removes the reader's second factor. */
export function SecondFactor() {
  const { user } = session.value;
  const [step, setStep] = useState<Step>();
  if (!user) return null;
  const close = () => setStep(undefined);
  return (
    <Panel
      title={words.mine.second.title}
      hint={words.mine.second.hint}
      actions={
        user.has_totp ? (
          <Button onClick={() => setStep({ name: 'remove' })}>{words.mine.second.remove}</Button>
        ) : (
          <Button onClick={() => setStep({ name: 'prove' })}>{words.mine.second.add}</Button>
        )
      }
    >
      <p class={css.status}>
        <Badge tone={user.has_totp ? 'ok' : 'idle'} icon={user.has_totp ? OkIcon : IdleIcon}>
          {user.has_totp ? words.mine.second.on : words.mine.second.off}
        </Badge>
        {user.has_totp && (
          <span class="quiet">
            {words.mine.second.left(user.recovery_codes)}
            {user.recovery_codes <= FEW && ` ${words.mine.second.few}`}
          </span>
        )}
      </p>
      {step?.name === 'prove' && (
        <Prove
          hasPassword={user.has_password}
          onOffer={(offer) => setStep({ name: 'scan', offer })}
          onClose={close}
        />
      )}
      {step?.name === 'scan' && (
        <Scan offer={step.offer} onCodes={(codes) => setStep({ name: 'keep', codes })} onClose={close} />
      )}
      {step?.name === 'keep' && <Keep codes={step.codes} onClose={close} />}
      {step?.name === 'remove' && <Remove hasPassword={user.has_password} onClose={close} />}
    </Panel>
  );
}

function Prove(props: { hasPassword: boolean; onOffer: (offer: TotpOffer) => void; onClose: () => void }) {
  const [password, setPassword] = useState('');
  const submission = useSubmission();
  return (
    <FormDialog
      title={words.mine.second.add}
      submission={submission}
      submitLabel={words.mine.second.next}
      onClose={props.onClose}
      onSubmit={() =>
        void submission.submit(async () =>
          props.onOffer(await take(api.POST('/api/v1/session/totp', { body: { password } }))),
        )
      }
    >
      {props.hasPassword && (
        <>
          <p>{words.mine.second.prove}</p>
          <PasswordField label={words.password} value={password} onValue={setPassword} autofocus />
        </>
      )}
    </FormDialog>
  );
}

function Scan(props: { offer: TotpOffer; onCodes: (codes: string[]) => void; onClose: () => void }) {
  const [code, setCode] = useState('');
  const submission = useSubmission();
  return (
    <FormDialog
      title={words.mine.second.add}
      submission={submission}
      submitLabel={words.mine.second.confirm}
      onClose={props.onClose}
      onSubmit={() =>
        void submission.submit(async () => {
          const paper = await take(api.POST('/api/v1/session/totp/confirm', { body: { code } }));
          await loadSession();
          toast(words.mine.second.added);
          props.onCodes(paper.codes);
        })
      }
    >
      <p>{words.mine.second.scan}</p>
      <QrCode text={props.offer.uri} label={words.mine.second.qr} />
      <p class={css.key}>
        <span class="quiet">{words.mine.second.key}</span>
        <code>{props.offer.secret.replace(/(.{4})(?=.)/g, '$1 ')}</code>
        <CopyButton text={props.offer.secret} label={words.mine.second.copyKey} small />
      </p>
      <CodeField value={code} onValue={setCode} autofocus />
    </FormDialog>
  );
}

function Keep({ codes, onClose }: { codes: string[]; onClose: () => void }) {
  const text = codes.join('\n');
  return (
    <Dialog
      open
      title={words.mine.second.codesTitle}
      onClose={onClose}
      footer={
        <>
          <Button onClick={() => download(text)}>{words.mine.second.download}</Button>
          <Button kind="primary" onClick={onClose}>
            {words.mine.second.kept}
          </Button>
        </>
      }
    >
      <div class={css.form}>
        <p>{words.mine.second.codesAbout}</p>
        <CodeBlock label={words.mine.second.codesLabel} text={text} />
      </div>
    </Dialog>
  );
}

function Remove({ hasPassword, onClose }: { hasPassword: boolean; onClose: () => void }) {
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const submission = useSubmission();
  return (
    <FormDialog
      title={words.mine.second.removeTitle}
      submission={submission}
      submitLabel={words.mine.second.remove}
      danger
      onClose={onClose}
      onSubmit={() =>
        void submission.submit(async () => {
          await take(api.POST('/api/v1/session/totp/remove', { body: { password, code } }));
          await loadSession();
          toast(words.mine.second.removed);
          onClose();
        })
      }
    >
      <p>{words.mine.second.removeAbout}</p>
      {hasPassword && (
        <PasswordField label={words.password} value={password} onValue={setPassword} autofocus />
      )}
      <CodeField value={code} onValue={setCode} recovery />
    </FormDialog>
  );
}

function download(text: string): void {
  const url = URL.createObjectURL(new Blob([`${text}\n`], { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = words.mine.second.file;
  link.click();
  URL.revokeObjectURL(url);
}
