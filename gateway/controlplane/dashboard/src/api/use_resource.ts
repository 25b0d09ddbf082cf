import { effect } from '@preact/signals';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { onLive } from '../live/live';
import { type ApiFailure, failureFrom } from './failure';
import { reachable } from './reach';

/** What a panel shows: the data, or why there is none. */
export interface ResourceState<T> {
  data?: T;
  error?: ApiFailure;
  /** A call is under way. */
  loading: boolean;
  /** The first call takes more than half a second. */
  slow: boolean;
  /** Loads again; what is shown stays until the answer is there. */
  reload(): void;
}

/** When a resource loads again by itself. */
export interface ResourceOptions {
  /** Names of live `changed` messages that make it out of date. */
  refreshOn?: string[];
  /** Milliseconds between two calls, while the page is visible. */
  everyMs?: number;
}

const SLOW = 500;

interface Known<T> {
  data?: T;
  error?: ApiFailure;
  loading: boolean;
  slow: boolean;
}

/**
 * Loads what a panel shows, and again when `deps` or the gateway's data change. Old data stays while new data is
 * under way and when a later call fails; calls of a panel that is gone are aborted; nothing is asked for while
 * nobody looks at the page.
 */
export function useResource<T>(
  load: (signal: AbortSignal) => Promise<T>,
  deps: unknown[],
  options: ResourceOptions = {},
): ResourceState<T> {
  const [known, setKnown] = useState<Known<T>>({ loading: true, slow: false });
  const latestLoad = useRef(load);
  latestLoad.current = load;
  const trigger = useRef<() => void>(() => {});
  const { everyMs } = options;
  const names = (options.refreshOn ?? []).join(',');

  useEffect(() => {
    const watched = names ? names.split(',') : [];
    const ended = new AbortController();
    let running = false;
    let again = false;
    let due: ReturnType<typeof setTimeout> | undefined;

    async function run(): Promise<void> {
      if (ended.signal.aborted) return;
      if (running || document.hidden) {
        again = true;
        return;
      }
      running = true;
      again = false;
      clearTimeout(due);
      setKnown((old) => ({ ...old, loading: true }));
      const slow = setTimeout(() => setKnown((old) => ({ ...old, slow: old.data === undefined })), SLOW);
      let outcome: Partial<Known<T>>;
      try {
        outcome = { data: await latestLoad.current(ended.signal), error: undefined };
      } catch (error) {
        outcome = { error: failureFrom(error) };
      }
      clearTimeout(slow);
      running = false;
      if (ended.signal.aborted) return;
      setKnown((old) => ({ ...old, ...outcome, loading: again, slow: false }));
      if (again) void run();
      else if (everyMs !== undefined) due = setTimeout(run, everyMs);
    }

    const onVisible = () => {
      if (!document.hidden && again && !running) void run();
    };
    document.addEventListener('visibilitychange', onVisible);
    const stops = [
      onLive('changed', (data: { what?: string }) => {
        if (data?.what && watched.includes(data.what)) void run();
      }),
      onLive('reset', () => {
        if (watched.length > 0 || everyMs !== undefined) void run();
      }),
      onReturn(() => void run()),
    ];
    trigger.current = () => void run();
    void run();
    return () => {
      ended.abort();
      clearTimeout(due);
      document.removeEventListener('visibilitychange', onVisible);
      for (const stop of stops) stop();
    };
  }, [...deps, names, everyMs]);

  const reload = useCallback(() => trigger.current(), []);
  return { ...known, reload };
}

/** Calls `handler` each time that the gateway can be reached again. */
function onReturn(handler: () => void): () => void {
  let before = reachable.peek();
  return effect(() => {
    const present = reachable.value;
    if (present && !before) queueMicrotask(handler);
    before = present;
  });
}
