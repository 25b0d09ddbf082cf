// @vitest-environment happy-dom
import { act, cleanup, render, screen, waitFor } from '@testing-library/preact';
import { LocationProvider } from 'preact-iso';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { reachable } from '../src/api/reach';
import { session } from '../src/api/state';
import { Navigation, pageOf } from '../src/shell/navigation';
import { Boundary } from '../src/shell/problems';
import { Unreachable } from '../src/shell/unreachable';
import { UserMenu } from '../src/shell/user_menu';

const USER = {
  name: 'ops',
  role: 'admin',
  how: 'password',
  has_password: true,
  has_totp: false,
  recovery_codes: 0,
} as const;

beforeEach(() => {
  reachable.value = true;
  history.replaceState(null, '', '/requests/req_1');
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

test.each([
  ['/', '/'],
  ['/requests', '/requests'],
  ['/requests/req_1', '/requests'],
  ['/requestsx', undefined],
  ['/setup', undefined],
])('the address %s belongs to the page %s', (path, page) => {
  expect(pageOf(path)).toBe(page);
});

test('the navigation says which page one is on, also from a page below it', () => {
  render(
    <LocationProvider>
      <Navigation />
    </LocationProvider>,
  );
  const links = screen.getAllByRole('link');
  expect(links.map((link) => link.textContent)).toEqual([
    'Now',
    'Requests',
    'Accounts',
    'Usage',
    'Keys',
    'Canary',
    'Settings',
  ]);
  const current = links.filter((link) => link.getAttribute('aria-current') === 'page');
  expect(current.map((link) => link.textContent)).toEqual(['Requests']);
});

function Broken(): never {
  throw new Error('<b>no such field</b>');
}

test('an error in a page leaves the frame, says what to do, and is gone on the next page', () => {
  const page = render(
    <Boundary address="/keys">
      <Broken />
    </Boundary>,
  );
  expect(screen.getByRole('heading').textContent).toBe('This page has stopped working');
  expect(screen.getByText('Reload the page')).toBeTruthy();
  expect(page.container.textContent).toContain('<b>no such field</b>');
  page.rerender(
    <Boundary address="/usage">
      <p>Usage</p>
    </Boundary>,
  );
  expect(screen.getByText('Usage')).toBeTruthy();
  expect(screen.queryByText('Reload the page')).toBeNull();
});

test('a gateway that is away is asked until it answers, and the banner goes', async () => {
  vi.useFakeTimers();
  const answer = { signed_in: true, setup_needed: false, user: USER, warnings: [] };
  let up = false;
  let asked = 0;
  vi.stubGlobal('fetch', async () => {
    asked += 1;
    if (!up) throw new TypeError('Failed to fetch');
    return new Response(JSON.stringify(answer), { headers: { 'content-type': 'application/json' } });
  });
  reachable.value = false;
  render(<Unreachable />);
  expect(screen.getByRole('alert').textContent).toContain('The gateway cannot be reached.');
  for (let second = 0; second < 8; second += 1)
    await act(() => vi.advanceTimersByTimeAsync(1_000).then(() => {}));
  expect(asked).toBeGreaterThanOrEqual(2);
  expect(asked).toBeLessThan(6);
  up = true;
  await act(async () => screen.getByText('Try now').click());
  vi.useRealTimers();
  await waitFor(() => expect(screen.queryByRole('alert')).toBeNull());
});

test('who is signed in by a proxy is told to sign out there', async () => {
  session.value = { state: 'signed-in', user: { ...USER, how: 'header' }, rollout: 'canary', version: '1.2' };
  render(<UserMenu />);
  await act(async () => screen.getByRole('button', { name: 'Signed in as ops' }).click());
  const item = screen.getByRole('menuitem', { hidden: true });
  expect(item.hasAttribute('disabled')).toBe(true);
  expect(item.textContent).toContain('At the proxy in front');
});
