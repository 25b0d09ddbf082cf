import { signal } from '@preact/signals';

/** Who looks at the dashboard. */
export interface User {
  name: string;
  role: 'admin' | 'viewer';
  /** How they signed in, as the gateway names it. */
  how: string;
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
}

/** The session of this tab. */
export const session = signal<Session>({ state: 'loading' });
