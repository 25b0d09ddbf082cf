/** State of the feed of live events. */
export type Connection = 'connecting' | 'open' | 'lost';

/** Who listens to a feed. */
export interface Listener {
  /** An event came; `data` is JSON, `id` that of the last event that has one. */
  heard(topic: string, data: string, id: string): void;
  connection(state: Connection): void;
  /** A connection is about to be made, which tells `topics`, of states all first, and of events those behind `last`. */
  renews?(topics: readonly string[], last: string): void;
  /** The connection failed, so that the session may be over; `isRefused` where the gateway did not want it. */
  doubts(isRefused: boolean): void;
}

/** Topics that are states: whoever begins to watch one has to be told all of it first. */
export const STATES: ReadonlySet<string> = new Set(['streams', 'health', 'machine']);
/** Said on every connection, whatever it watches. */
export const UNASKED: ReadonlySet<string> = new Set(['reset', 'start', 'beat']);

const ADDRESS = '/api/v1/live';
const LOST_AFTER = 4_000;
/** The gateway says something every ten seconds: after such a silence nothing can be expected of a connection. */
const SILENCE = 35_000;
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 15_000;
/** Until the gateway is asked to stop telling what nobody watches any more. */
const SURPLUS_GRACE = 10_000;

type Timer = ReturnType<typeof setTimeout> | undefined;

/**
 * One connection to the gateway's live events, made again whenever it breaks or goes silent, and going on behind the
 * last event. It knows nothing of pages, so that it can be where several of them share it.
 */
export class Feed {
  /** Id of the last event; a connection goes on behind it. */
  last = '';
  state: Connection = 'connecting';
  private source: EventSource | undefined;
  private wanted: readonly string[] = [];
  /** What the present connection tells. */
  private asked: readonly string[] = [];
  /** There was a connection, so that events may have been missed. */
  private wasOpen = false;
  private attempts = 0;
  private retryTimer: Timer;
  private lostTimer: Timer;
  private surplusTimer: Timer;
  private silenceTimer: Timer;

  constructor(private readonly listener: Listener) {}

  /** Watches topics, from now on these alone. With `anew` all is told of states once more. */
  watch(topics: Iterable<string>, anew: boolean): void {
    this.wanted = [...new Set(topics)].sort();
    if (!this.source) {
      if (this.retryTimer === undefined) this.begin();
      return;
    }
    if (anew || this.wanted.some((topic) => !this.asked.includes(topic))) {
      this.renew();
      return;
    }
    if (!this.hasSurplus()) return;
    this.surplusTimer ??= setTimeout(() => {
      this.surplusTimer = undefined;
      if (this.source && this.hasSurplus()) this.renew();
    }, SURPLUS_GRACE);
  }

  /** Ends the connection; the next one goes on behind the last event. */
  close(): void {
    this.end();
    this.wanted = [];
  }

  /** Ends the connection, and knows nothing any more of what was told. */
  forget(): void {
    this.close();
    this.last = '';
    this.wasOpen = false;
    this.attempts = 0;
    this.say('connecting');
  }

  /** The gateway can be reached: does not wait for the end of the browser's own pause. */
  hurry(): void {
    this.attempts = 0;
    if (this.source && (this.source.readyState === EventSource.OPEN || this.state !== 'lost')) return;
    if (this.wanted.length === 0) return;
    this.end();
    this.begin();
  }

  private hasSurplus(): boolean {
    return this.asked.some((topic) => !this.wanted.includes(topic));
  }

  /** Nothing is known yet of a connection that is made after a pause. */
  private begin(): void {
    this.open();
    this.suspect();
  }

  private renew(): void {
    const isSuspect = this.lostTimer !== undefined;
    this.end();
    this.open();
    if (isSuspect) this.suspect();
  }

  private open(): void {
    this.asked = this.wanted;
    const query = new URLSearchParams({ topics: this.asked.join(',') });
    if (this.last) query.set('last_event_id', this.last);
    this.listener.renews?.(this.asked, this.last);
    if (!this.last && this.wasOpen) {
      queueMicrotask(() => this.listener.heard('reset', '{"why":"the last event is not known"}', ''));
    }
    const next = new EventSource(`${ADDRESS}?${query}`);
    this.source = next;
    this.awaitNews();
    next.onopen = () => {
      if (next !== this.source) return;
      this.awaitNews();
      this.attempts = 0;
      this.wasOpen = true;
      clearTimeout(this.lostTimer);
      this.lostTimer = undefined;
      this.say('open');
    };
    next.onerror = () => {
      if (next === this.source) this.fail(next);
    };
    for (const topic of [...this.asked, ...UNASKED]) {
      next.addEventListener(topic, (event) => {
        if (next !== this.source) return;
        this.awaitNews();
        const { data, lastEventId } = event as MessageEvent<string>;
        if (lastEventId) this.last = lastEventId;
        this.listener.heard(topic, data, this.last);
      });
    }
  }

  private end(): void {
    for (const timer of [this.retryTimer, this.lostTimer, this.surplusTimer, this.silenceTimer]) {
      clearTimeout(timer);
    }
    this.retryTimer = undefined;
    this.lostTimer = undefined;
    this.surplusTimer = undefined;
    this.source?.close();
    this.source = undefined;
  }

  private say(state: Connection): void {
    if (this.state === state) return;
    this.state = state;
    this.listener.connection(state);
  }

  /** A connection that breaks on the way, as while a computer sleeps, says nothing of it: it is made anew. */
  private awaitNews(): void {
    clearTimeout(this.silenceTimer);
    this.silenceTimer = setTimeout(() => {
      this.end();
      this.begin();
      this.listener.doubts(false);
    }, SILENCE);
  }

  /** What is shown may be old; is it so for long, the reader is told. */
  private suspect(): void {
    if (this.state === 'open') this.say('connecting');
    this.lostTimer ??= setTimeout(() => this.say('lost'), LOST_AFTER);
  }

  private fail(failed: EventSource): void {
    this.suspect();
    const isRefused = failed.readyState === EventSource.CLOSED;
    if (isRefused) {
      // The browser does not try again after an answer that is not a stream, such as a 401.
      this.source = undefined;
      clearTimeout(this.silenceTimer);
      const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.attempts);
      this.attempts += 1;
      this.retryTimer = setTimeout(
        () => {
          this.retryTimer = undefined;
          this.open();
        },
        pause * (0.75 + Math.random() / 2),
      );
    }
    this.listener.doubts(isRefused);
  }
}
