import { useEffect } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { reachable } from '../api/reach';
import { loadSession, session } from '../api/session';
import { shell } from '../strings/shell';
import { Loading, Toasts } from '../ui';
import { Plain } from './plain';
import { Setup, SignIn } from './routes';
import { Shell } from './shell';

/** Shows the pages to who is signed in, and to others how to get in; the address stays as it is. */
export function Gate() {
  const { path, route } = useLocation();
  const { state } = session.value;

  useEffect(() => {
    loadSession().catch(() => {
      reachable.value = false;
    });
  }, []);

  useEffect(() => {
    if (state === 'signed-in' && (path === '/sign-in' || path === '/setup')) route('/', true);
  }, [state, path, route]);

  if (state === 'signed-in') {
    return (
      <>
        <Shell />
        <Toasts />
      </>
    );
  }
  const settingUp = state === 'setup' || path === '/setup';
  const title = settingUp ? shell.pages['/setup'] : shell.pages['/sign-in'];
  return (
    <>
      <Plain title={state === 'loading' ? shell.product : title}>
        {state === 'loading' ? <Loading what={shell.pageLoading} /> : settingUp ? <Setup /> : <SignIn />}
      </Plain>
      <Toasts />
    </>
  );
}
