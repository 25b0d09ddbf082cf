import { signal } from '@preact/signals';
import type { SessionUser } from './schema';

/** Who looks at the dashboard, and how they signed in. */
export type User = SessionUser;

/** What is known about the session. */
export interface Session {
  state: 'loading' | 'signed-out' | 'setup' | 'signed-in';
  user?: User;
  csrf?: string;
  /** The gateway's rollout mode. */
  rollout?: string;
  /** The gateway's version. */
  version?: string;
  /** How the session of this tab ended: the reader signed out in it, or it was ended. */
  left?: 'left' | 'ended' | undefined;
  /** What whoever signs in should know of the connection, in the gateway's sentences. */
  warnings?: string[];
}

/** The session of this tab. */
export const session = signal<Session>({ state: 'loading' });

/** How the session of this tab ended, now that there is none: that of `session` as it was until now. */
export function howLeft(): Session['left'] {
  const { state, left } = session.peek();
  return state === 'signed-in' ? 'ended' : left;
}
