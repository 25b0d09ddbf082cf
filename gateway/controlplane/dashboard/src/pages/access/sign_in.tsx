import { useEffect, useRef, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { api, take } from '../../api/client';
import { failureFrom } from '../../api/failure';
import { loadSession, session } from '../../api/session';
import { useSubmission } from '../../api/use_submission';
import { access as words } from '../../strings/access';
import { Button, CodeBlock, ErrorNote, Link, Loading, TextField } from '../../ui';
import css from './access.module.css';
import { Card } from './card';
import { CodeField } from './code_field';
import { FormError } from './form_error';
import { dropToken, useLinkToken } from './link_token';
import { PasswordField } from './password_field';

/** The type of the error that asks for the second factor. */
export const CODE_NEEDED = 'code_needed';
const PATH = '/sign-in';

/** Signs in: by a link that the address holds, or else by name and password. */
export function SignIn() {
  const [token] = useLinkToken(PATH);
  return token === undefined ? <ByPassword /> : <ByLink key={token} token={token} />;
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
  const [missing, setMissing] = useState<'username' | 'password' | 'code'>();
  const { busy, failure, submit, clear } = useSubmission();
  const form = useRef<HTMLFormElement>(null);
  const { left } = session.value;
  const elsewhere = path !== '/' && path !== PATH;
  const whyHere = left ? words.signIn[left] : elsewhere ? words.signIn.back : undefined;

  useEffect(() => {
    // The browser minds `autofocus` but once, at the load of the page.
    focus(asksForCode ? 'code' : 'username');
  }, [asksForCode]);

  function focus(field: string): void {
    const input = form.current?.elements.namedItem(field);
    if (input instanceof HTMLInputElement) input.select();
  }

  async function signIn(): Promise<void> {
    // What a password manager filled in may not have been told to the fields yet.
    const filled = new FormData(form.current ?? undefined);
    const body = {
      name: String(filled.get('username') ?? name).trim(),
      password: String(filled.get('password') ?? password),
      code: String(filled.get('code') ?? ''),
    };
    setName(body.name);
    setPassword(body.password);
    const lacking = !body.name
      ? 'username'
      : !body.password
        ? 'password'
        : asksForCode && !body.code && 'code';
    setMissing(lacking || undefined);
    if (lacking) {
      clear();
      focus(lacking);
      return;
    }
    let wantsCode = false;
    const worked = await submit(async () => {
      try {
        await take(api.POST('/api/v1/session', { body }));
      } catch (error) {
        wantsCode = failureFrom(error).kind === CODE_NEEDED && !asksForCode;
        if (wantsCode) return;
        throw error;
      }
      await loadSession();
    });
    if (wantsCode) setAsksForCode(true);
    // What was wrong is what one corrects.
    if (!worked) focus(asksForCode ? 'code' : 'password');
  }

  function startOver(): void {
    clear();
    setMissing(undefined);
    setAsksForCode(false);
    setPassword('');
    setCode('');
  }

  return (
    <Card
      heading={asksForCode ? words.signIn.codeHeading : words.signIn.heading}
      about={asksForCode ? words.signIn.codeFor(name.trim()) : whyHere}
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
          <CodeField
            value={code}
            onValue={setCode}
            error={missing === 'code' ? words.missing.code : undefined}
            recovery
          />
        ) : (
          <>
            <TextField
              label={words.name}
              name="username"
              autocomplete="username"
              value={name}
              onValue={setName}
              error={missing === 'username' ? words.missing.name : undefined}
              maxlength={64}
            />
            <PasswordField
              label={words.password}
              value={password}
              onValue={setPassword}
              error={missing === 'password' ? words.missing.password : undefined}
            />
          </>
        )}
        <FormError failure={failure} />
        <Button kind="primary" type="submit" busy={busy} class={css.wide}>
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
          <p>{words.signIn.lostNext}</p>
          <CodeBlock label={words.signIn.command} text={words.signIn.lostCommand} />
        </details>
      )}
    </Card>
  );
}
