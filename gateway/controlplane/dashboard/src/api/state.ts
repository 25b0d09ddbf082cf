import { signal } from '@preact/signals';

/** Who looks at the dashboard. */
export interface User {
  name: string;
  role: 'admin' | 'viewer';
  /** How they signed in: `password`, `link`, `token`, or `header` where a proxy in front says who it is. */
  how: string;
  /** Whether it is a user of this gateway who has a password. */
  has_password?: boolean;
  /** Whether signing in takes a second factor. */
  has_totp?: boolean;
  /** Recovery codes that are left. */
  recovery_codes?: number;
}

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
