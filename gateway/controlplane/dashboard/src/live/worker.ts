/** What the tabs of a browser share: the one feed of all of them. */
import { Audience, type Port } from './audience';

const LIMIT = 20_000;

/** Whether the gateway does not know who asks, as where a tab's credentials are added by something between. */
async function isStranger(): Promise<boolean> {
  const answer = await fetch('/api/v1/session', { signal: AbortSignal.timeout(LIMIT) });
  return answer.ok && !((await answer.json()) as { signed_in?: boolean }).signed_in;
}

const audience = new Audience(isStranger);

addEventListener('connect', (event) => audience.welcome((event as MessageEvent).ports[0] as unknown as Port));
