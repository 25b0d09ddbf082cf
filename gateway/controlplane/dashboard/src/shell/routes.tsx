import type { AnyComponent } from 'preact';
import { lazy } from 'preact-iso';
import { Outdated } from './problems';

type Page = AnyComponent<Record<string, unknown>> & { preload?: () => Promise<unknown> };

/** A page that is loaded when it is first shown. One that cannot be loaded says what to do. */
function page(load: () => Promise<unknown>, name = 'default'): Page {
  return lazy(() =>
    load().then(
      (module) => ({ default: (module as Record<string, Page>)[name] as Page }),
      () => ({ default: Outdated as Page }),
    ),
  );
}

export const Now = page(() => import('../pages/now'));
export const Requests = page(() => import('../pages/requests'));
export const Accounts = page(() => import('../pages/accounts'));
export const Usage = page(() => import('../pages/usage'));
export const Keys = page(() => import('../pages/keys'));
export const Canary = page(() => import('../pages/canary'));
export const Settings = page(() => import('../pages/settings'));
export const SignIn = page(() => import('../pages/access'), 'SignIn');
export const Setup = page(() => import('../pages/access'), 'Setup');

const BY_NAME: Record<string, Page> = {
  '': Now,
  requests: Requests,
  accounts: Accounts,
  usage: Usage,
  keys: Keys,
  canary: Canary,
  settings: Settings,
};

/** Begins to load the page at an address, while it is still being found out who is signed in. */
export function preload(path: string): void {
  void BY_NAME[path.split('/')[1] ?? '']?.preload?.();
}
