import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { ApiFailure } from '../api/failure';
import { loadSession, session } from '../api/session';
import { shell } from '../strings/shell';
import { Empty, ErrorNote, Loading, Toasts } from '../ui';
import { Plain } from './plain';
import { preload, Setup, SignIn } from './routes';
import { Shell } from './shell';

const ENTRANCES = new Set(['/sign-in', '/setup']);
/** The address that the page was opened by, if it is a link that lets somebody in: it counts even for who is in. */
const LINK =
  window.location.hash.length > 1 && ENTRANCES.has(window.location.pathname) && window.location.pathname;

/** Shows the pages to who is signed in, and to others how to get in; the address stays as it is. */
export function Gate() {
  const { path, route } = useLocation();
  const { state, csrf } = session.value;
  const before = useRef<{ csrf: string | undefined } | undefined>(undefined);
  if (state !== 'loading') before.current ??= { csrf };
  const linkPending = path === LINK && before.current?.csrf === csrf;
  const [failure, setFailure] = useState<ApiFailure>();

  const ask = useCallback(() => {
    setFailure(undefined);
    loadSession().catch((error) => {
      // Without an answer the banner says so, and asks again.
      if (error instanceof ApiFailure && error.status > 0) setFailure(error);
    });
  }, []);

  useEffect(() => {
    preload(path);
    ask();
  }, []);

  // A session that has just ended left nothing known; the page to sign in tells what the gateway warns of.
  const unknown = state === 'signed-out' && session.value.warnings === undefined;
  useEffect(() => {
    if (unknown) loadSession().catch(() => {});
  }, [unknown]);

  useEffect(() => {
    if (state === 'signed-in' && !linkPending && ENTRANCES.has(path)) route('/', true);
  }, [state, path, route, linkPending]);

  if (state === 'signed-in' && !linkPending) {
    return (
      <>
        <Shell />
        <Toasts />
      </>
    );
  }
  const settingUp = path === '/setup' || (state === 'setup' && path !== LINK);
  const title = settingUp ? shell.pages['/setup'] : shell.pages['/sign-in'];
  return (
    <>
      <Plain title={state === 'loading' ? undefined : title}>
        {state !== 'loading' ? (
          settingUp ? (
            <Setup />
          ) : (
            <SignIn />
          )
        ) : failure ? (
          <Empty title={shell.noSession}>
            <ErrorNote error={failure} onRetry={ask} />
          </Empty>
        ) : (
          <Loading what={shell.pageLoading} />
        )}
      </Plain>
      <Toasts />
    </>
  );
}
