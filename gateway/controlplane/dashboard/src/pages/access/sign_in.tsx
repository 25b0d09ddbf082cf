import { useEffect, useRef, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { api, take } from '../../api/client';
import { loadSession, session } from '../../api/session';
import { access as words } from '../../strings/access';
import { Button, CodeBlock, ErrorNote, Link, Loading, TextField } from '../../ui';
import css from './access.module.css';
import { Card } from './card';
import { CodeField } from './code_field';
import { dropToken, takeToken } from './link_token';
import { PasswordField } from './password_field';
import { useSubmission } from './use_submission';

/** The type of the error that asks for the second factor. */
export const CODE_NEEDED = 'code_needed';
const PATH = '/sign-in';

/** Signs in: by a link that the address holds, or else by name and password. */
export function SignIn() {
  const [token] = useState(() => takeToken(PATH));
  return token === undefined ? <ByPassword /> : <ByLink token={token} />;
}

function ByLink({ token }: { token: string }) {
  const { busy, failure, submit } = useSubmission();
  const begun = useRef(false);
  useEffect(() => {
    if (begun.current) return;
    begun.current = true;
    void submit(async () => {
      dropToken();
      await take(api.POST('/api/v1/session/link', { body: { token, name: null, password: '', code: '' } }));
      await loadSession();
    });
  }, []);
  if (failure) {
    return (
      <>
        <Card heading={words.signIn.linkFailed}>
          <ErrorNote error={failure} />
          {session.value.state === 'signed-in' && (
            <Link href="/" button="primary">
              {words.signIn.goOn}
            </Link>
          )}
        </Card>
        {session.value.state !== 'signed-in' && <ByPassword />}
      </>
    );
  }
  return (
    <Card heading={words.signIn.heading}>
      <p role="status">{busy ? words.signIn.byLink : ''}</p>
      <Loading what={words.signIn.byLink} height={40} />
    </Card>
  );
}

function ByPassword() {
  const { path } = useLocation();
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const [asksForCode, setAsksForCode] = useState(false);
  const { busy, failure, submit, clear } = useSubmission();
  const form = useRef<HTMLFormElement>(null);
  const elsewhere = path !== '/' && path !== PATH;

  async function signIn(): Promise<void> {
    const body = { name: name.trim(), password, code };
    let wantsCode = false;
    const worked = await submit(async () => {
      try {
        await take(api.POST('/api/v1/session', { body }));
      } catch (error) {
        wantsCode = (error as { kind?: string }).kind === CODE_NEEDED && !asksForCode;
        if (wantsCode) return;
        throw error;
      }
      await loadSession();
    });
    if (wantsCode) setAsksForCode(true);
    // What was wrong is what one corrects.
    if (!worked) form.current?.querySelector<HTMLInputElement>('input:last-of-type')?.select();
  }

  function startOver(): void {
    clear();
    setAsksForCode(false);
    setPassword('');
    setCode('');
  }

  return (
    <Card
      heading={asksForCode ? words.signIn.codeHeading : words.signIn.heading}
      about={asksForCode ? words.signIn.codeFor(name.trim()) : elsewhere ? words.signIn.back : undefined}
    >
      <form
        ref={form}
        class={css.form}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void signIn();
        }}
      >
        {asksForCode ? (
          <CodeField value={code} onValue={setCode} autofocus recovery />
        ) : (
          <>
            <TextField
              label={words.name}
              name="username"
              autocomplete="username"
              value={name}
              onValue={setName}
              maxlength={64}
              autofocus
            />
            <PasswordField label={words.password} value={password} onValue={setPassword} />
          </>
        )}
        {failure && <ErrorNote error={failure} />}
        <Button
          kind="primary"
          type="submit"
          busy={busy}
          class={css.wide}
          disabled={asksForCode ? !code.trim() : !name.trim() || !password}
        >
          {words.signIn.submit}
        </Button>
        {asksForCode && (
          <Button kind="quiet" class={css.wide} onClick={startOver}>
            {words.signIn.another}
          </Button>
        )}
      </form>
      {!asksForCode && (
        <details class={css.lost}>
          <summary>{words.signIn.lost}</summary>
          <CodeBlock label={words.signIn.command} text={words.signIn.lostCommand} />
        </details>
      )}
    </Card>
  );
}
