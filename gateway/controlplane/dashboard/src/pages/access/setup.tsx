import { useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import { failureFrom } from '../../api/failure';
import type { LinkView } from '../../api/schema';
import { loadSession, session } from '../../api/session';
import { useResource } from '../../api/use_resource';
import { useSubmission } from '../../api/use_submission';
import { access as words } from '../../strings/access';
import { Button, CodeBlock, ErrorNote, Link, Loading, TextField } from '../../ui';
import css from './access.module.css';
import { Card } from './card';
import { CodeField } from './code_field';
import { FormError } from './form_error';
import { dropToken, tokenIn, useLinkToken } from './link_token';
import { PasswordField } from './password_field';
import { SHORTEST } from './password_strength';
import { CODE_NEEDED } from './sign_in';

/** Sets a password by a one-time link; without a link, says where there is one. */
export function Setup() {
  const [token, setToken] = useLinkToken('/setup');
  return token === undefined ? <WithoutLink onToken={setToken} /> : <WithLink key={token} token={token} />;
}

function WithLink({ token }: { token: string }) {
  const link = useResource(
    (signal) => take(api.POST('/api/v1/session/link/check', { body: { token }, signal })),
    [token],
  );
  if (link.data) return <Choose token={token} link={link.data} />;
  if (link.error) {
    const isStale = link.error.status === 404;
    return (
      <Card heading={words.setup.stale}>
        <ErrorNote error={link.error} onRetry={isStale ? undefined : link.reload} />
        {isStale && <CodeBlock label={words.signIn.command} text={words.setup.without.command} />}
        <Link href={session.value.state === 'signed-in' ? '/' : '/sign-in'} onClick={dropToken}>
          {session.value.state === 'signed-in' ? words.signIn.goOn : words.setup.without.toSignIn}
        </Link>
      </Card>
    );
  }
  return <Loading what={words.setup.checking} height={240} />;
}

function Choose({ token, link }: { token: string; link: LinkView }) {
  const isFirst = link.name === '';
  const [name, setName] = useState(link.name);
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const [needsCode, setNeedsCode] = useState(link.needs_code);
  const [tried, setTried] = useState(false);
  const { busy, failure, submit } = useSubmission();
  const short = [...password].length < SHORTEST;

  async function choose(): Promise<void> {
    setTried(true);
    if (!name.trim() || short) return;
    await submit(async () => {
      try {
        const body = { token, password, name: isFirst ? name.trim() : null, code };
        await take(api.POST('/api/v1/session/link', { body }));
      } catch (error) {
        if (failureFrom(error).kind === CODE_NEEDED) setNeedsCode(true);
        throw error;
      }
      dropToken();
      await loadSession();
    });
  }

  return (
    <Card
      heading={isFirst ? words.setup.headingFirst : words.setup.headingFor(link.name)}
      about={isFirst ? words.setup.aboutFirst : words.setup.aboutFor[link.role]}
    >
      <form
        class={css.form}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void choose();
        }}
      >
        {isFirst ? (
          <TextField
            label={words.name}
            hint={words.setup.nameHint}
            name="username"
            autocomplete="username"
            value={name}
            onValue={setName}
            error={tried && !name.trim() ? words.missing.name : undefined}
            maxlength={64}
            autofocus
          />
        ) : (
          // Tells a password manager whose password it is to keep.
          <input type="text" name="username" autocomplete="username" value={link.name} readOnly hidden />
        )}
        <PasswordField
          label={words.newPassword}
          value={password}
          onValue={setPassword}
          error={tried && short ? words.missing.newPassword : undefined}
          autofocus={!isFirst}
          fresh
        />
        {needsCode && <CodeField value={code} onValue={setCode} recovery />}
        <FormError failure={failure} />
        <Button kind="primary" type="submit" busy={busy} class={css.wide}>
          {words.setup.submit}
        </Button>
      </form>
    </Card>
  );
}

function WithoutLink({ onToken }: { onToken: (token: string) => void }) {
  const [pasted, setPasted] = useState('');
  const [wrong, setWrong] = useState(false);
  const isSetUp = session.value.state !== 'setup';

  function use(): void {
    const token = tokenIn(pasted);
    if (token === undefined) setWrong(true);
    else onToken(token);
  }

  return (
    <Card
      heading={words.setup.without.heading}
      about={isSetUp ? words.setup.without.done : words.setup.without.about}
    >
      {isSetUp ? (
        <Link href="/sign-in" button="primary" class={css.wide}>
          {words.setup.without.toSignIn}
        </Link>
      ) : (
        <>
          <p class={css.about}>{words.setup.without.missed}</p>
          <CodeBlock label={words.signIn.command} text={words.setup.without.command} />
        </>
      )}
      <form
        class={css.form}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          use();
        }}
      >
        <TextField
          label={words.setup.without.paste}
          hint={words.setup.without.pasteHint}
          error={wrong ? words.setup.without.notALink : undefined}
          value={pasted}
          onValue={(value) => {
            setWrong(false);
            setPasted(value);
          }}
          autocomplete="off"
          mono
        />
        <Button type="submit" class={css.wide}>
          {words.setup.without.use}
        </Button>
      </form>
    </Card>
  );
}
