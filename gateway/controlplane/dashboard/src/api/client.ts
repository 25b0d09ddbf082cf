import createClient, { type Middleware } from 'openapi-fetch';
import { failureFrom, failureOf, isEnvelope } from './failure';
import { reachable } from './reach';
import type { paths } from './schema';
import { howLeft, session } from './state';

export { ApiFailure } from './failure';

/** Milliseconds after which a call is given up that only reads. */
export const TIMEOUT = 20_000;

/** The same for one that changes something: a check of a credential waits for the upstream. */
export const CHANGE_TIMEOUT = 120_000;

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);
const GATEWAY_GONE = new Set([502, 503, 504]);
const SESSION_PATH = '/api/v1/session';

/** Where a 401 speaks about the password or link just given, not about the session. */
const ENTRANCES = new Set([SESSION_PATH, `${SESSION_PATH}/link`, `${SESSION_PATH}/link/check`]);

function signsIn(request: Request): boolean {
  return request.method === 'POST' && ENTRANCES.has(new URL(request.url).pathname);
}

/**
 * Sends a request. Whoever has signed in again in another tab has a new token: a change that is refused for the
 * old one is sent once more, if the same person is signed in.
 */
async function send(request: Request): Promise<Response> {
  const { csrf, user } = session.peek();
  if (SAFE.has(request.method) || !csrf || signsIn(request)) return fetchInTime(request);
  const again = request.clone();
  const response = await fetchInTime(request);
  if (response.status !== 403) return response;
  await reloadSession.current().catch(() => {});
  const now = session.peek();
  if (now.state !== 'signed-in' || !now.csrf || now.csrf === csrf || now.user?.name !== user?.name)
    return response;
  again.headers.set('x-csrf-token', now.csrf);
  return fetchInTime(again);
}

async function fetchInTime(request: Request): Promise<Response> {
  const limit = AbortSignal.timeout(SAFE.has(request.method) ? TIMEOUT : CHANGE_TIMEOUT);
  try {
    const response = await fetch(request, { signal: AbortSignal.any([request.signal, limit]) });
    // What these say about the gateway is in the body: `take` reads it.
    if (!GATEWAY_GONE.has(response.status)) reachable.value = true;
    return response;
  } catch (error) {
    if (!request.signal.aborted) reachable.value = false;
    throw limit.aborted ? limit.reason : error;
  }
}

/** Set by `session.ts`, which is made of this. */
export const reloadSession: { current: () => Promise<unknown> } = { current: async () => {} };

const credentials: Middleware = {
  onRequest({ request }) {
    const token = session.peek().csrf;
    if (token && !SAFE.has(request.method)) request.headers.set('x-csrf-token', token);
    return request;
  },
  onResponse({ request, response }) {
    if (response.status !== 401 || signsIn(request)) return;
    const { pathname } = new URL(request.url);
    // Below the session's own address it may be about a password or code that was asked for again.
    if (pathname.startsWith(`${SESSION_PATH}/`)) void reloadSession.current().catch(() => {});
    else session.value = { state: 'signed-out', left: howLeft() };
  },
};

/**
 * The admin API. Each call is given up in time, carries the session's CSRF token where it changes
 * something, and sends the reader to the sign-in page when the session is over.
 */
export const api = createClient<paths>({
  baseUrl: globalThis.location?.origin ?? '',
  credentials: 'same-origin',
  fetch: send,
});
api.use(credentials);

/** Unwraps a call of `api`. Throws an ApiFailure that carries the gateway's own sentence. */
export async function take<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let answer: { data?: T; error?: unknown; response: Response };
  try {
    answer = await call;
  } catch (error) {
    throw failureFrom(error);
  }
  const { data, error, response } = answer;
  if (response.ok) return data as T;
  // A proxy that stands in for a gateway that is gone: wait for the gateway as if there were no answer.
  if (GATEWAY_GONE.has(response.status)) reachable.value = isEnvelope(error);
  throw failureOf(response.status, error);
}
