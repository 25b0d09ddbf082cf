import { useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import { loadSession, session } from '../../api/session';
import { useSubmission } from '../../api/use_submission';
import { access as words } from '../../strings/access';
import { Button, Panel, toast } from '../../ui';
import { FormDialog } from './form_dialog';
import { PasswordField } from './password_field';
import { SHORTEST } from './password_strength';

/** Changes the reader's password. */
export function OwnPassword() {
  const [changing, setChanging] = useState(false);
  const hasOne = session.value.user?.has_password ?? true;
  return (
    <Panel
      title={words.mine.password.title}
      hint={hasOne ? words.mine.password.hint : words.mine.password.none}
      actions={
        <Button onClick={() => setChanging(true)}>
          {hasOne ? words.mine.password.change : words.mine.password.set}
        </Button>
      }
    >
      {changing && <Change hasOne={hasOne} onClose={() => setChanging(false)} />}
    </Panel>
  );
}

function Change({ hasOne, onClose }: { hasOne: boolean; onClose: () => void }) {
  const [current, setCurrent] = useState('');
  const [fresh, setFresh] = useState('');
  const [tried, setTried] = useState(false);
  const submission = useSubmission();
  const short = [...fresh].length < SHORTEST;

  async function change(): Promise<void> {
    setTried(true);
    if (short || (hasOne && !current)) return;
    await submission.submit(async () => {
      await take(api.POST('/api/v1/session/password', { body: { current, new: fresh } }));
      await loadSession();
      toast(words.mine.password.done);
      onClose();
    });
  }

  return (
    <FormDialog
      title={hasOne ? words.mine.password.change : words.mine.password.set}
      submission={submission}
      submitLabel={words.mine.password.submit}
      onSubmit={() => void change()}
      onClose={onClose}
    >
      <input
        type="text"
        name="username"
        autocomplete="username"
        value={session.value.user?.name}
        readOnly
        hidden
      />
      {hasOne && (
        <PasswordField
          label={words.mine.password.current}
          value={current}
          onValue={setCurrent}
          error={tried && !current ? words.missing.password : undefined}
          autofocus
        />
      )}
      <PasswordField
        label={words.newPassword}
        value={fresh}
        onValue={setFresh}
        error={tried && short ? words.missing.newPassword : undefined}
        autofocus={!hasOne}
        fresh
      />
    </FormDialog>
  );
}
