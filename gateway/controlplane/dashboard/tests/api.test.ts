// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ApiFailure, api, take } from '../src/api/client';
import { reachable } from '../src/api/reach';
import { loadSession } from '../src/api/session';
import { session } from '../src/api/state';

type Answer = () => Response | Promise<Response>;

const OPS = {
  name: 'ops',
  role: 'admin',
  how: 'password',
  has_password: true,
  has_totp: false,
  recovery_codes: 0,
} as const;

let sent: Request[] = [];

/** The gateway's side of the wire: what fetch is given is kept, and answered. */
function gateway(...answers: Answer[]): void {
  sent = [];
  vi.stubGlobal('fetch', async (request: Request) => {
    sent.push(request);
    return (answers.length > 1 ? answers.shift() : answers[0])?.();
  });
}

function json(status: number, body: unknown): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } });
}

// biome-ignore lint/suspicious/noExplicitAny: these paths are made up
const call = api as any;

async function failureOf(promise: Promise<unknown>): Promise<ApiFailure> {
  const error = await promise.then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(ApiFailure);
  return error;
}

beforeEach(() => {
  session.value = {
    state: 'signed-in',
    csrf: 'csrf-1',
    user: OPS,
  };
  reachable.value = true;
});
afterEach(() => vi.unstubAllGlobals());

test('an answer is unwrapped', async () => {
  gateway(() => json(200, { items: [1] }));
  expect(await take(call.GET('/api/v1/things'))).toEqual({ items: [1] });
  expect(sent[0]?.headers.get('x-csrf-token')).toBeNull();
});

test('what changes something carries the token of the session', async () => {
  gateway(() => json(200, {}));
  await take(call.POST('/api/v1/things', { body: { name: 'a' } }));
  expect(sent[0]?.headers.get('x-csrf-token')).toBe('csrf-1');
});

test('an error is said in the words of the gateway, with the id of the request', async () => {
  const error = { type: 'invalid_request_error', message: 'The name is taken.' };
  gateway(() => json(409, { type: 'error', error, request_id: 'req_7' }));
  const failure = await failureOf(take(call.GET('/api/v1/things')));
  expect(failure).toMatchObject({
    message: 'The name is taken.',
    status: 409,
    kind: error.type,
    requestId: 'req_7',
  });
  expect(reachable.value).toBe(true);
});

test('without an answer the failure says so, and the gateway counts as away until it answers', async () => {
  gateway(
    () => Promise.reject(new TypeError('Failed to fetch')),
    () => json(200, {}),
  );
  const failure = await failureOf(take(call.GET('/api/v1/things')));
  expect(failure).toMatchObject({ status: 0, kind: 'network', message: 'The gateway cannot be reached.' });
  expect(reachable.value).toBe(false);
  await take(call.GET('/api/v1/things'));
  expect(reachable.value).toBe(true);
});

test('a call that is given up on purpose says nothing about the gateway', async () => {
  const ended = new AbortController();
  gateway(() => {
    ended.abort();
    return Promise.reject(new DOMException('aborted', 'AbortError'));
  });
  await failureOf(take(call.GET('/api/v1/things', { signal: ended.signal })));
  expect(reachable.value).toBe(true);
});

test('a page of a proxy is not taken for the gateway; its own 503 is', async () => {
  gateway(
    () => new Response('<html>Bad gateway</html>', { status: 502, headers: { 'content-type': 'text/html' } }),
    () => json(503, { type: 'error', error: { type: 'api_error', message: 'The gateway is ending.' } }),
  );
  const failure = await failureOf(take(call.GET('/api/v1/things')));
  expect(failure.message).toBe('Something in front of the gateway answered with status 502.');
  expect(reachable.value).toBe(false);
  expect((await failureOf(take(call.GET('/api/v1/things')))).message).toBe('The gateway is ending.');
  expect(reachable.value).toBe(true);
});

test('a session that is over leads to the sign-in page', async () => {
  gateway(() =>
    json(401, { type: 'error', error: { type: 'authentication_error', message: 'Sign in first.' } }),
  );
  await failureOf(take(call.GET('/api/v1/things')));
  expect(session.value.state).toBe('signed-out');
});

test('a wrong password does not', async () => {
  gateway(() =>
    json(401, { type: 'error', error: { type: 'authentication_error', message: 'Wrong password.' } }),
  );
  const failure = await failureOf(take(call.POST('/api/v1/session', { body: {} })));
  expect(failure.message).toBe('Wrong password.');
  expect(session.value.state).toBe('signed-in');
});

test('a wrong code in one’s own settings does not end the session, unless it is over', async () => {
  const wrong = () =>
    json(401, { type: 'error', error: { type: 'authentication_error', message: 'Wrong code.' } });
  const told = (signedIn: boolean) => () =>
    json(200, { signed_in: signedIn, user: signedIn ? OPS : null, warnings: [] });
  gateway(wrong, told(true));
  expect((await failureOf(take(call.POST('/api/v1/session/totp/remove')))).message).toBe('Wrong code.');
  await vi.waitFor(() => expect(sent).toHaveLength(2));
  expect(session.value.state).toBe('signed-in');
  gateway(wrong, told(false));
  await failureOf(take(call.POST('/api/v1/session/totp/remove')));
  await vi.waitFor(() => expect(session.value.state).toBe('signed-out'));
});

test('a change is sent once more with the token of a newer session of the same person, and of no other', async () => {
  const refused = () =>
    json(403, { type: 'error', error: { type: 'permission_error', message: 'Reload the page.' } });
  const told = (name: string) => () =>
    json(200, { signed_in: true, user: { name, role: 'admin', how: 'password' }, csrf_token: 'csrf-9' });
  gateway(refused, told('ops'), () => json(200, { done: true }));
  expect(await take(call.POST('/api/v1/things', { body: { name: 'a' } }))).toEqual({ done: true });
  expect(sent.map((request) => request.headers.get('x-csrf-token'))).toEqual(['csrf-1', null, 'csrf-9']);
  expect(await sent[2]?.json()).toEqual({ name: 'a' });

  session.value = { ...session.value, csrf: 'csrf-1' };
  gateway(refused, told('somebody else'));
  expect((await failureOf(take(call.POST('/api/v1/things')))).message).toBe('Reload the page.');
  expect(sent).toHaveLength(2);
});

test.each([
  [
    { signed_in: true, setup_needed: false, user: { name: 'a', role: 'viewer', how: 'password' } },
    'signed-in',
  ],
  [{ signed_in: false, setup_needed: false, user: null }, 'signed-out'],
  [{ signed_in: false, setup_needed: true, user: null }, 'setup'],
])('the session that the gateway tells of is known: %j', async (answer, state) => {
  gateway(() => json(200, { csrf_token: 'csrf-2', rollout: 'direct', version: '1.0', ...answer }));
  await loadSession();
  expect(session.value).toMatchObject({ state, csrf: 'csrf-2', rollout: 'direct', version: '1.0' });
});
