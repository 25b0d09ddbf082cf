import { type Connection, Feed, type Listener, STATES, UNASKED } from './feed';
import { Kept, type LiveEvent } from './kept';

/** What a tab says to the feed that it shares. */
export type Said =
  | {
      kind: 'want';
      /** Who has signed in. */
      who: string;
      /** The tab has just asked the gateway who that is. */
      isFresh: boolean;
      topics: readonly string[];
      /** All is to be told of states once more. */
      anew: boolean;
      /** Id of the last event that the tab knows. */
      last: string;
      /** Characters of events that it has taken in so far. */
      taken: number;
    }
  | { kind: 'took'; taken: number }
  | { kind: 'hurry' }
  /** The tab is not looked at any more, or the session is over. */
  | { kind: 'leave'; isOver: boolean };

/** What a tab is told by the feed that it shares. */
export type Told =
  | ({ kind: 'event' } & LiveEvent)
  | { kind: 'state'; state: Connection }
  /** Who has signed in should be asked; `isStranger` where this side is not signed in whatever the tab is. */
  | { kind: 'doubt'; isStranger: boolean };

/** The part of a MessagePort that is needed here. */
export interface Port {
  onmessage: ((event: MessageEvent<Said>) => void) | null;
  postMessage(told: Told): void;
}

interface Tab {
  port: Port;
  topics: readonly string[];
  /** Characters of events that it was sent. */
  sent: number;
  taken: number;
  /** So much waits for it that it is told nothing more for now. */
  isBehind: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** A tab speaks every five seconds while somebody looks at it: after such a silence it has crashed, or sleeps. */
const TAB_SILENCE = 20_000;
/** Characters of events that may wait for a tab. */
const MOST_WAITING = 8_000_000;
/** What an event takes besides its data. */
const FRAME = 100;

/** Characters that an event counts for where a tab tells how far it has come. */
export function sizeOf(event: LiveEvent): number {
  return event.data.length + FRAME;
}

/** The tabs of a browser that share one feed. The feed is there while somebody looks at one of them. */
export class Audience implements Listener {
  private readonly feed = new Feed(this);
  private readonly kept = new Kept();
  /** Those that are looked at. */
  private readonly tabs = new Set<Tab>();
  /** Whose feed it is; empty after the end of a session, until a tab knows who has signed in. */
  private who: string | undefined;

  /** `isStranger` tells whether the gateway does not know whoever asks from here. */
  constructor(private readonly isStranger: () => Promise<boolean>) {}

  /** Takes in a tab; it says by itself what it wants, and when it goes. */
  welcome(port: Port): void {
    const tab: Tab = { port, topics: [], sent: 0, taken: 0, isBehind: false, timer: undefined };
    port.onmessage = ({ data: said }) => {
      if (said.kind === 'want') this.want(tab, said);
      else if (said.kind === 'took') tab.taken = said.taken;
      else if (said.kind === 'hurry') this.feed.hurry();
      else if (said.isOver && this.tabs.has(tab)) this.turnOver('', tab);
      else this.part(tab);
    };
  }

  heard(topic: string, data: string, id: string): void {
    this.kept.add({ topic, data, id });
    for (const tab of [...this.tabs]) {
      if (UNASKED.has(topic) || tab.topics.includes(topic)) {
        this.send(tab, { topic, data, id });
      }
    }
  }

  connection(state: Connection): void {
    for (const { port } of this.tabs) port.postMessage({ kind: 'state', state });
  }

  renews(topics: readonly string[], last: string): void {
    this.kept.follow(topics, last);
  }

  doubts(isRefused: boolean): void {
    const tabs = [...this.tabs];
    void (isRefused ? this.isStranger().catch(() => false) : Promise.resolve(false)).then((isStranger) => {
      for (const { port } of tabs) port.postMessage({ kind: 'doubt', isStranger });
    });
  }

  private want(tab: Tab, said: Said & { kind: 'want' }): void {
    tab.taken = said.taken;
    if (said.who !== this.who && this.who !== undefined && !said.isFresh) {
      this.part(tab);
      tab.port.postMessage({ kind: 'doubt', isStranger: false });
      return;
    }
    if (said.who !== this.who) this.turnOver(said.who, tab);
    clearTimeout(tab.timer);
    tab.timer = setTimeout(() => this.part(tab), TAB_SILENCE);
    const isBack = !this.tabs.has(tab);
    if (tab.isBehind && tab.sent > tab.taken) return;
    tab.isBehind = false;
    const known = isBack ? [] : tab.topics;
    tab.topics = said.topics;
    this.tabs.add(tab);
    if (isBack && said.last) this.catchUp(tab, said.last);
    this.watch(said.anew || said.topics.some((topic) => STATES.has(topic) && !known.includes(topic)));
    tab.port.postMessage({ kind: 'state', state: this.feed.state });
  }

  /** Tells a tab what it has missed; or, where that is not known, that it has missed something. */
  private catchUp(tab: Tab, last: string): void {
    if (!this.feed.last) {
      this.feed.last = last;
      return;
    }
    const missed = this.kept.since(last, tab.topics);
    const reset = { topic: 'reset', data: '{"why":"events are missing"}', id: this.feed.last };
    for (const event of missed ?? [reset]) this.send(tab, event);
  }

  private send(tab: Tab, event: LiveEvent): void {
    tab.sent += sizeOf(event);
    tab.port.postMessage({ kind: 'event', ...event });
    if (tab.sent - tab.taken <= MOST_WAITING) return;
    tab.isBehind = true;
    this.part(tab);
  }

  private watch(anew: boolean): void {
    this.feed.watch(
      [...this.tabs].flatMap(({ topics }) => topics),
      anew,
    );
  }

  private part(tab: Tab): void {
    clearTimeout(tab.timer);
    if (!this.tabs.delete(tab)) return;
    if (this.tabs.size > 0) this.watch(false);
    else this.feed.close();
  }

  /** Ends all that was somebody's: the other tabs have to find out who has signed in, by `by` or whoever else. */
  private turnOver(who: string, by: Tab): void {
    const others = [...this.tabs].filter((tab) => tab !== by);
    this.feed.forget();
    for (const tab of this.tabs) clearTimeout(tab.timer);
    this.tabs.clear();
    this.kept.clear();
    this.who = who;
    for (const { port } of others) port.postMessage({ kind: 'doubt', isStranger: false });
  }
}
