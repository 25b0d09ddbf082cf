import { effect, signal } from '@preact/signals';
import { reachable } from '../api/reach';
import { loadSession } from '../api/session';
import { session } from '../api/state';

/** State of the feed of live events. */
export type Connection = 'connecting' | 'open' | 'lost';

// biome-ignore lint/suspicious/noExplicitAny: each topic has its own shape, which its handler knows
type Handler = (data: any) => void;

const ADDRESS = '/api/v1/live';
/** Topics that are states: whoever begins to watch one has to be told all of it first. */
const STATES: ReadonlySet<string> = new Set(['streams', 'health', 'machine']);
/** Topics that are watched in any case: they cost nothing while nothing happens. */
const ALWAYS = ['changed', 'job'];
/** Said on every connection, whatever it watches. */
const UNASKED = new Set(['reset', 'start', 'beat']);
const HIDDEN_GRACE = 30_000;
const LOST_AFTER = 4_000;
/** The gateway says something every ten seconds: after such a silence nothing can be expected of a connection. */
const SILENCE = 35_000;
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 15_000;
/** Long enough for all parts of a page to say what they watch. */
const SETTLE = 30;
/** Until the gateway is asked to stop telling what nobody here watches any more. */
const SURPLUS_GRACE = 10_000;

/** State of the one feed of this tab. */
export const connection = signal<Connection>('connecting');

const handlers = new Map<string, Set<Handler>>();
let source: EventSource | undefined;
/** What the present connection watches. */
let asked: string[] = [];
let lastEventId = '';
/** There was a connection since sign-in, so that events may have been missed. */
let wasOpen = false;
let attempts = 0;
let retryTimer: ReturnType<typeof setTimeout> | undefined;
let lostTimer: ReturnType<typeof setTimeout> | undefined;
let hiddenTimer: ReturnType<typeof setTimeout> | undefined;
let settleTimer: ReturnType<typeof setTimeout> | undefined;
let surplusTimer: ReturnType<typeof setTimeout> | undefined;
let silenceTimer: ReturnType<typeof setTimeout> | undefined;

/**
 * Calls `handler` with the data of each live event of `topic`; the function that it gives back ends that. What
 * nobody on the page watches is not asked for. Of a state (`streams`, `health`, `machine`) all is told first. A
 * `reset` says that events were missed: its handlers load again what they show.
 */
export function onLive(topic: string, handler: Handler): () => void {
  const known = handlers.get(topic) ?? new Set<Handler>();
  handlers.set(topic, known);
  known.add(handler);
  if (source && (STATES.has(topic) || !(asked.includes(topic) || UNASKED.has(topic)))) {
    clearTimeout(settleTimer);
    settleTimer = setTimeout(reopen, SETTLE);
  }
  return () => {
    known.delete(handler);
    if (known.size > 0 || !asked.includes(topic)) return;
    clearTimeout(surplusTimer);
    surplusTimer = setTimeout(() => {
      if (asked.some((one) => !wanted().includes(one))) reopen();
    }, SURPLUS_GRACE);
  };
}

function wanted(): string[] {
  const watched = [...handlers].filter(([topic, known]) => known.size > 0 && !UNASKED.has(topic));
  return [...new Set([...ALWAYS, ...watched.map(([topic]) => topic)])].sort();
}

function dispatch(topic: string, data: unknown): void {
  for (const handler of [...(handlers.get(topic) ?? [])]) {
    try {
      handler(data);
    } catch (error) {
      // One panel that fails must not keep the others from hearing of it.
      reportError(error);
    }
  }
}

function listen(from: EventSource, topic: string): void {
  from.addEventListener(topic, (event) => {
    if (from !== source) return;
    awaitNews();
    const message = event as MessageEvent<string>;
    if (message.lastEventId) lastEventId = message.lastEventId;
    let data: unknown;
    try {
      data = JSON.parse(message.data);
    } catch {
      return;
    }
    dispatch(topic, data);
  });
}

function mayOpen(): boolean {
  return session.peek().state === 'signed-in' && !document.hidden;
}

function open(): void {
  clearTimeout(retryTimer);
  if (source || !mayOpen()) return;
  asked = wanted();
  const query = new URLSearchParams({ topics: asked.join(',') });
  if (lastEventId) query.set('last_event_id', lastEventId);
  else if (wasOpen) queueMicrotask(() => dispatch('reset', { why: 'the last event is not known' }));
  const next = new EventSource(`${ADDRESS}?${query}`);
  source = next;
  awaitNews();
  next.onopen = () => {
    if (next !== source) return;
    awaitNews();
    attempts = 0;
    wasOpen = true;
    clearTimeout(lostTimer);
    lostTimer = undefined;
    connection.value = 'open';
  };
  next.onerror = () => {
    if (next === source) void onError(next);
  };
  for (const topic of [...asked, ...UNASKED]) listen(next, topic);
}

function close(): void {
  clearTimeout(retryTimer);
  clearTimeout(settleTimer);
  clearTimeout(surplusTimer);
  clearTimeout(silenceTimer);
  clearTimeout(lostTimer);
  lostTimer = undefined;
  source?.close();
  source = undefined;
}

/** Watches what is wanted now; the gateway tells what happened in between. */
function reopen(): void {
  if (!source) return;
  close();
  open();
}

/** A connection that breaks on the way, as while a computer sleeps, says nothing of it: it is made anew. */
function awaitNews(): void {
  clearTimeout(silenceTimer);
  silenceTimer = setTimeout(() => {
    if (!source) return;
    close();
    open();
    suspect();
    void loadSession().catch(() => {});
  }, SILENCE);
}

/** What is shown may be old; is it so for long, the reader is told. */
function suspect(): void {
  if (connection.peek() === 'open') connection.value = 'connecting';
  if (!source) return;
  lostTimer ??= setTimeout(() => {
    connection.value = 'lost';
  }, LOST_AFTER);
}

async function onError(failed: EventSource): Promise<void> {
  suspect();
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
    wasOpen = false;
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
