import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Audience, type Port, type Said, type Told } from '../src/live/audience';
import { SharedLine, type Want } from '../src/live/line';
import { Feed } from './live_feed';

const ANA: Want = { who: 'ana', isFresh: true, topics: ['changed', 'job'], anew: false };

/** One side of a channel between a tab and what it shares; messages come later, as in a browser. */
class Side {
  other: Side | undefined;
  onmessage: ((event: MessageEvent) => void) | null = null;

  postMessage(data: unknown): void {
    const to = this.other;
    setTimeout(() => to?.onmessage?.({ data } as MessageEvent), 0);
  }

  close(): void {
    this.other = undefined;
  }
}

/** A tab: what it heard, and what it is told of its connection. */
class Tab {
  readonly heard: [topic: string, data: string][] = [];
  readonly states: string[] = [];
  readonly failures: [last: string, tryAgain: boolean][] = [];
  doubts = 0;
  goesOn = true;
  readonly line: SharedLine;
  readonly side = new Side();

  constructor(audience?: Audience) {
    const far = new Side();
    this.side.other = far;
    far.other = this.side;
    const worker = { port: this.side, onerror: null } as unknown as SharedWorker;
    audience?.welcome(far as unknown as Port);
    this.line = new SharedLine(
      worker,
      {
        heard: (topic, data) => this.heard.push([topic, data]),
        connection: (state) => this.states.push(state),
        doubts: async () => {
          this.doubts += 1;
          return this.goesOn;
        },
      },
      (last, tryAgain) => this.failures.push([last, tryAgain]),
    );
  }

  get topics(): string[] {
    return this.heard.map(([topic]) => topic);
  }

  /** As a tab that crashes: it says nothing any more. */
  crash(): void {
    this.side.close();
    this.line.leave(false);
  }
}

let audience: Audience;
let isStranger = false;

async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(1);
}

async function watching(more: Partial<Want> = {}): Promise<Tab> {
  const tab = new Tab(audience);
  tab.line.want({ ...ANA, ...more });
  await settle();
  return tab;
}

/** Beats, so that the connection is not taken for a dead one. */
async function wait(milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += 1_000) {
    if (Feed.latest.readyState !== Feed.CLOSED) Feed.latest.tell('beat', {}, Feed.latest.id);
    await vi.advanceTimersByTimeAsync(1_000);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('EventSource', Feed);
  Feed.all = [];
  isStranger = false;
  audience = new Audience(async () => isStranger);
});

afterEach(() => {
  vi.clearAllTimers();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test('tabs share one connection, and each hears what it watches', async () => {
  const first = await watching();
  const second = await watching({ topics: ['changed', 'job', 'request'] });
  expect(Feed.open).toHaveLength(1);
  expect(Feed.latest.topics).toEqual(['changed', 'job', 'request']);
  Feed.latest.open();
  Feed.latest.tell('changed', { what: 'keys' }, 'aaaaaaaa-1');
  Feed.latest.tell('request', { id: 'one' }, 'aaaaaaaa-2');
  await settle();
  expect(first.heard).toEqual([['changed', '{"what":"keys"}']]);
  expect(second.topics).toEqual(['changed', 'request']);
  expect([first.states.at(-1), second.states.at(-1)]).toEqual(['open', 'open']);
});

test('a tab that begins to watch a state has all of it told, and one that says the same again has not', async () => {
  await watching({ topics: ['changed', 'job', 'streams'] });
  const second = await watching({ topics: ['changed', 'job', 'streams'] });
  expect(Feed.all).toHaveLength(2);
  await wait(20_000);
  second.line.want({ ...ANA, topics: ['changed', 'job', 'streams'] });
  await settle();
  expect(Feed.all).toHaveLength(2);
  second.line.want({ ...ANA, topics: ['changed', 'job', 'streams'], anew: true });
  await settle();
  expect(Feed.all).toHaveLength(3);
});

test('what only one tab watched is not asked for when it has gone, and nothing is when all have', async () => {
  const first = await watching();
  const second = await watching({ topics: ['changed', 'job', 'request'] });
  second.line.leave(false);
  await wait(12_000);
  expect(Feed.latest.topics).toEqual(['changed', 'job']);
  first.line.leave(false);
  await settle();
  expect(Feed.open).toHaveLength(0);
});

test('a tab that has crashed keeps nothing open', async () => {
  const first = await watching();
  const second = await watching();
  first.crash();
  await wait(30_000);
  expect(Feed.open).toHaveLength(1);
  second.crash();
  await wait(30_000);
  expect(Feed.open).toHaveLength(0);
});

test('a tab that comes back is told what it has missed, each event once', async () => {
  const first = await watching();
  const second = await watching();
  Feed.latest.open();
  Feed.latest.tell('start', {}, 'aaaaaaaa-4');
  Feed.latest.tell('changed', { what: 'keys' }, 'aaaaaaaa-5');
  await settle();
  second.line.leave(false);
  await settle();
  Feed.latest.tell('changed', { what: 'users' }, 'aaaaaaaa-6');
  Feed.latest.tell('job', { id: 'a' }, 'aaaaaaaa-7');
  await settle();
  second.heard.length = 0;
  second.line.want(ANA);
  await settle();
  expect(second.heard).toEqual([
    ['changed', '{"what":"users"}'],
    ['job', '{"id":"a"}'],
  ]);
  expect(first.topics).toEqual(['start', 'changed', 'changed', 'job']);
  expect(Feed.all).toHaveLength(1);
});

test('a tab that comes back too late loads again, and it alone', async () => {
  const first = await watching();
  const second = await watching({ topics: ['changed', 'job', 'request'] });
  Feed.latest.open();
  Feed.latest.tell('start', {}, 'aaaaaaaa-4');
  await settle();
  second.line.leave(false);
  // Requests are not asked for in the meantime.
  await wait(12_000);
  Feed.latest.tell('start', {}, 'aaaaaaaa-9');
  await settle();
  second.line.want({ ...ANA, topics: ['changed', 'job', 'request'] });
  await settle();
  expect(second.topics.at(-1)).toBe('reset');
  expect(first.topics).not.toContain('reset');
});

test('all tabs that come back go on behind the last event', async () => {
  const tab = await watching();
  Feed.latest.open();
  Feed.latest.tell('changed', { what: 'keys' }, 'aaaaaaaa-5');
  await settle();
  tab.line.leave(false);
  await settle();
  expect(Feed.open).toHaveLength(0);
  tab.line.want(ANA);
  await settle();
  expect(Feed.latest.resumes).toBe('aaaaaaaa-5');
  expect(tab.topics).toEqual(['changed']);
});

test('signing out in one tab ends the feed for all, until a tab knows who has signed in', async () => {
  const first = await watching();
  const second = await watching();
  Feed.latest.open();
  Feed.latest.tell('changed', { what: 'keys' }, 'aaaaaaaa-5');
  first.line.leave(true);
  await settle();
  expect(Feed.open).toHaveLength(0);
  expect(second.doubts).toBe(1);
  // It has not found out yet, and says that it is there.
  await vi.advanceTimersByTimeAsync(6_000);
  expect(Feed.open).toHaveLength(0);
  second.line.leave(true);
  first.line.want({ ...ANA, who: 'bob' });
  await settle();
  expect(Feed.open).toHaveLength(1);
  expect(Feed.latest.resumes).toBeNull();
});

test('nothing that one user may see goes to a tab of another one', async () => {
  const ana = await watching();
  const bob = await watching({ who: 'bob' });
  expect(ana.doubts).toBe(1);
  Feed.latest.open();
  Feed.latest.tell('changed', { what: 'users' }, 'aaaaaaaa-5');
  await vi.advanceTimersByTimeAsync(6_000);
  expect(ana.heard).toEqual([]);
  expect(bob.topics).toEqual(['changed']);
  expect(Feed.open).toHaveLength(1);
  ana.line.leave(true);
  ana.line.want({ ...ANA, who: 'bob' });
  await settle();
  Feed.latest.tell('changed', { what: 'keys' }, 'aaaaaaaa-6');
  await settle();
  expect(ana.topics).toEqual(['changed']);
});

test('a feed that is lost is said to be lost in all tabs, and each asks whether it is signed in', async () => {
  const tabs = [await watching(), await watching()];
  Feed.latest.open();
  Feed.latest.fail(Feed.CONNECTING);
  await vi.advanceTimersByTimeAsync(4_100);
  for (const tab of tabs) {
    expect(tab.states.at(-1)).toBe('lost');
    expect(tab.doubts).toBe(1);
  }
});

test('a tab that is signed in where what it shares is not gets a feed of its own', async () => {
  isStranger = true;
  const signedIn = await watching();
  const signedOut = await watching();
  signedOut.goesOn = false;
  Feed.latest.fail(Feed.CLOSED);
  await settle();
  expect(signedIn.failures).toEqual([['', false]]);
  expect(signedOut.failures).toEqual([]);
});

test('a tab whose shared feed is gone is not live for long, and tries another one', async () => {
  const tab = await watching();
  Feed.latest.open();
  Feed.latest.tell('changed', { what: 'keys' }, 'aaaaaaaa-5');
  await settle();
  tab.side.other = undefined;
  await vi.advanceTimersByTimeAsync(15_000);
  expect(tab.states.at(-1)).toBe('lost');
  await vi.advanceTimersByTimeAsync(6_000);
  expect(tab.failures).toEqual([['aaaaaaaa-5', true]]);
});

test('a tab that was never answered does not try it again', async () => {
  const tab = new Tab();
  tab.line.want(ANA);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(tab.failures).toEqual([['', false]]);
});

test('a page that says much while it is made leaves what it shares as long to begin as any other', async () => {
  const tab = new Tab();
  for (let said = 0; said < 5; said += 1) tab.line.want(ANA);
  await vi.advanceTimersByTimeAsync(14_000);
  expect(tab.failures).toEqual([]);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(tab.failures).toEqual([['', false]]);
});

test('what waits for a tab that takes nothing is bounded, and it goes on behind what it has taken', async () => {
  const quick = await watching();
  const slow = await watching();
  Feed.latest.open();
  Feed.latest.tell('start', {}, 'aaaaaaaa-1');
  await settle();
  const take = slow.side.onmessage;
  const waiting: Told[] = [];
  slow.side.onmessage = ({ data }) => waiting.push(data);
  const long = 'x'.repeat(100_000);
  for (let number = 2; number < 202; number += 1) {
    Feed.latest.tell('job', { long }, `aaaaaaaa-${number}`);
    await settle();
  }
  expect(quick.topics.filter((topic) => topic === 'job')).toHaveLength(200);
  const jobs = waiting.filter((told) => told.kind === 'event');
  expect(jobs.length).toBeGreaterThan(50);
  expect(jobs.length).toBeLessThan(100);
  slow.side.onmessage = take;
  for (const data of waiting)
    take?.call(slow.side as unknown as MessagePort, { data } as MessageEvent<Told & Said>);
  await vi.advanceTimersByTimeAsync(6_000);
  // More is missing than is kept.
  expect(slow.topics.at(-1)).toBe('reset');
  Feed.latest.tell('changed', { what: 'keys' }, 'aaaaaaaa-300');
  await settle();
  expect(slow.topics.at(-1)).toBe('changed');
  expect(quick.failures).toEqual([]);
});
