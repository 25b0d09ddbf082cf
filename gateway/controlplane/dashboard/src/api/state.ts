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
  /** What whoever signs in should know of the connection, in the gateway's sentences. */
  warnings?: string[];
}

/** The session of this tab. */
export const session = signal<Session>({ state: 'loading' });
