import { api, reloadSession, take } from './client';
import type { SessionView } from './schema';
import { howLeft, type Session, session, type User } from './state';

export { type Session, session, type User };

function understood(answer: SessionView): Session {
  const about = {
    csrf: answer.csrf_token ?? undefined,
    rollout: answer.rollout ?? undefined,
    version: answer.version ?? undefined,
    warnings: answer.warnings,
  };
  if (answer.signed_in && answer.user) return { state: 'signed-in', user: answer.user, ...about };
  return { state: answer.setup_needed ? 'setup' : 'signed-out', ...about };
}

/** Asks the gateway who is signed in, and tells `session`. Throws an ApiFailure when there is no answer. */
export async function loadSession(): Promise<Session> {
  const answer = await take(api.GET('/api/v1/session', {}));
  const next = understood(answer);
  if (next.state === 'signed-out') next.left = howLeft();
  if (JSON.stringify(next) !== JSON.stringify(session.peek())) session.value = next;
  return next;
}

/** Ends the session. Throws an ApiFailure when the gateway did not end it. */
export async function signOut(): Promise<void> {
  await take(api.DELETE('/api/v1/session', {}));
  session.value = { state: 'signed-out', left: 'left' };
}

/** Whether the reader may change things; the gateway checks it again. */
export function isAdmin(): boolean {
  return session.value.user?.role === 'admin';
}

reloadSession.current = loadSession;
