import address from './worker?worker&url';

interface Policy {
  createScriptURL(from: string): string;
}

interface Policies {
  createPolicy(name: string, rules: Policy): Policy;
}

/**
 * The only policy that the gateway allows, made before anything else could make it. Whatever it is asked for, it
 * gives this one address.
 */
const policy = attempt(() =>
  (globalThis as { trustedTypes?: Policies }).trustedTypes?.createPolicy('live-worker', {
    createScriptURL: () => address,
  }),
);

/** What all tabs of this browser share; undefined where there is no such thing. */
export function sharedWorker(): SharedWorker | undefined {
  if (typeof SharedWorker === 'undefined') return undefined;
  return attempt(
    () => new SharedWorker(policy?.createScriptURL(address) ?? address, { name: 'live', type: 'module' }),
  );
}

/** Forbidden, by a policy of somebody between or by the browser's settings, is as if it were not there. */
function attempt<T>(what: () => T): T | undefined {
  try {
    return what();
  } catch {
    return undefined;
  }
}
