import { effect, signal } from '@preact/signals';
import { reachable } from '../api/reach';
import { loadSession } from '../api/session';
import { session } from '../api/state';
import { type Connection, STATES, UNASKED } from './feed';
import { type Hearer, type Line, OwnLine, SharedLine } from './line';
import { sharedWorker } from './shared_worker';

export type { Connection };

// biome-ignore lint/suspicious/noExplicitAny: each topic has its own shape, which its handler knows
type Handler = (data: any) => void;

/** Topics that are watched in any case: they cost nothing while nothing happens. */
const ALWAYS = ['changed', 'job'];
const HIDDEN_GRACE = 30_000;
/** Long enough for all parts of a page to say what they watch. */
const SETTLE = 30;

/** State of the feed. */
export const connection = signal<Connection>('connecting');

const handlers = new Map<string, Set<Handler>>();
let line: Line | undefined;
/** This tab is looked at, and somebody has signed in. */
let isWatching = false;
/** A part of the page that began to watch a state has to be told all of it. */
let anew = false;
let hiddenTimer: ReturnType<typeof setTimeout> | undefined;
let settleTimer: ReturnType<typeof setTimeout> | undefined;

/**
 * Calls `handler` with the data of each live event of `topic`; the function that it gives back ends that. What
 * nobody on the page watches is not asked for. Of a state (`streams`, `health`, `machine`) all is told first. A
 * `reset` says that events were missed: its handlers load again what they show.
 */
export function onLive(topic: string, handler: Handler): () => void {
  const known = handlers.get(topic) ?? new Set<Handler>();
  handlers.set(topic, known);
  known.add(handler);
  if (STATES.has(topic)) anew = true;
  if (STATES.has(topic) || known.size === 1) settle();
  return () => {
    known.delete(handler);
    if (known.size === 0) settle();
  };
}

function settle(): void {
  clearTimeout(settleTimer);
  settleTimer = setTimeout(() => {
    if (isWatching) say(false);
  }, SETTLE);
}

function wanted(): string[] {
  const watched = [...handlers].filter(([topic, known]) => known.size > 0 && !UNASKED.has(topic));
  return [...new Set([...ALWAYS, ...watched.map(([topic]) => topic)])].sort();
}

function say(isFresh: boolean): void {
  line ??= newLine('', true);
  line.want({ who: who(), isFresh, topics: wanted(), anew });
  anew = false;
}

function who(): string {
  const { user } = session.peek();
  return JSON.stringify([user?.name, user?.role, user?.how]);
}

const hearer: Hearer = {
  heard(topic, text) {
    let data: unknown;
    try {
      data = JSON.parse(text);
    } catch {
      return;
    }
    for (const handler of [...(handlers.get(topic) ?? [])]) {
      try {
        handler(data);
      } catch (error) {
        // One panel that fails must not keep the others from hearing of it.
        reportError(error);
      }
    }
  },
  connection(state) {
    connection.value = state;
  },
  async doubts() {
    try {
      await loadSession();
    } catch {
      // Not reachable: the shell says so, and asks until it is.
      return false;
    }
    if (isWatching) say(true);
    return isWatching;
  },
};

function newLine(last: string, mayShare: boolean): Line {
  const worker = mayShare ? sharedWorker() : undefined;
  if (!worker) return new OwnLine(hearer, last);
  const onFailure = (known: string, tryAgain: boolean) => {
    line = newLine(known, tryAgain);
    if (isWatching) say(false);
  };
  return new SharedLine(worker, hearer, onFailure, last);
}

function update(isFresh: boolean): void {
  const may = session.peek().state === 'signed-in' && !document.hidden;
  clearTimeout(hiddenTimer);
  if (!may || isWatching) return;
  isWatching = true;
  say(isFresh);
}

function leave(isOver: boolean): void {
  clearTimeout(hiddenTimer);
  isWatching = false;
  line?.leave(isOver);
}

let before: string | undefined;
effect(() => {
  const present = session.value.state === 'signed-in' ? who() : undefined;
  if (present === before) return;
  before = present;
  // Nothing that one user was told goes on to the next one.
  leave(true);
  if (present !== undefined) queueMicrotask(() => update(true));
});

effect(() => {
  if (reachable.value) queueMicrotask(() => line?.hurry());
});

document.addEventListener('visibilitychange', () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) hiddenTimer = setTimeout(leave, HIDDEN_GRACE, false);
  else update(false);
});
// A page that is left says so at once; one that comes back as it was goes on.
addEventListener('pagehide', () => leave(false));
addEventListener('pageshow', () => update(false));
