import { effect, signal } from '@preact/signals';
import { reachable } from '../api/reach';
import { loadSession } from '../api/session';
import { session } from '../api/state';

/** State of the feed of live events. */
export type Connection = 'connecting' | 'open' | 'lost';

// biome-ignore lint/suspicious/noExplicitAny: each topic has its own shape, which its handler knows
type Handler = (data: any) => void;

const ADDRESS = '/api/v1/live';
const HIDDEN_GRACE = 30_000;
const LOST_AFTER = 4_000;
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 15_000;

/** State of the one feed of this tab. */
export const connection = signal<Connection>('connecting');

const handlers = new Map<string, Set<Handler>>();
let source: EventSource | undefined;
let lastEventId = '';
let attempts = 0;
let retryTimer: ReturnType<typeof setTimeout> | undefined;
let lostTimer: ReturnType<typeof setTimeout> | undefined;
let hiddenTimer: ReturnType<typeof setTimeout> | undefined;

/**
 * Calls `handler` with the data of each live event of `topic`; the function that it gives back ends that. A
 * `reset` says that events were missed: handlers of it load again what they show.
 */
export function onLive(topic: string, handler: Handler): () => void {
  let known = handlers.get(topic);
  if (!known) {
    known = new Set();
    handlers.set(topic, known);
    if (source) listen(source, topic);
  }
  known.add(handler);
  return () => {
    known.delete(handler);
  };
}

function listen(from: EventSource, topic: string): void {
  from.addEventListener(topic, (event) => {
    if (from !== source) return;
    const message = event as MessageEvent<string>;
    if (message.lastEventId) lastEventId = message.lastEventId;
    let data: unknown;
    try {
      data = JSON.parse(message.data);
    } catch {
      return;
    }
    for (const handler of handlers.get(topic) ?? []) handler(data);
  });
}

function mayOpen(): boolean {
  return session.peek().state === 'signed-in' && !document.hidden;
}

function open(): void {
  clearTimeout(retryTimer);
  if (source || !mayOpen()) return;
  connection.value = connection.peek() === 'lost' ? 'lost' : 'connecting';
  const query = lastEventId ? `?last_event_id=${encodeURIComponent(lastEventId)}` : '';
  const next = new EventSource(ADDRESS + query);
  source = next;
  next.onopen = () => {
    if (next !== source) return;
    attempts = 0;
    clearTimeout(lostTimer);
    lostTimer = undefined;
    connection.value = 'open';
  };
  next.onerror = () => {
    if (next === source) void onError(next);
  };
  for (const topic of handlers.keys()) listen(next, topic);
}

function close(): void {
  clearTimeout(retryTimer);
  clearTimeout(lostTimer);
  lostTimer = undefined;
  source?.close();
  source = undefined;
}

async function onError(failed: EventSource): Promise<void> {
  if (connection.peek() === 'open') connection.value = 'connecting';
  lostTimer ??= setTimeout(() => {
    connection.value = 'lost';
  }, LOST_AFTER);
  if (failed.readyState === EventSource.CLOSED) {
    // The browser does not try again after an answer that is not a stream, such as a 401.
    source = undefined;
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** attempts);
    attempts += 1;
    retryTimer = setTimeout(open, pause * (0.75 + Math.random() / 2));
  }
  try {
    await loadSession();
  } catch {
    // Not reachable: the shell says so, and asks until it is.
  }
}

effect(() => {
  if (session.value.state === 'signed-in') {
    queueMicrotask(open);
  } else {
    close();
    lastEventId = '';
    connection.value = 'connecting';
  }
});

effect(() => {
  if (!reachable.value) return;
  attempts = 0;
  queueMicrotask(() => {
    // Back again: do not wait for the end of the browser's own pause.
    if (source && source.readyState !== EventSource.OPEN && connection.peek() === 'lost') close();
    open();
  });
});

document.addEventListener('visibilitychange', () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) hiddenTimer = setTimeout(close, HIDDEN_GRACE);
  else open();
});
