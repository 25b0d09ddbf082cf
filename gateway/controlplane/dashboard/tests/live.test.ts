// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { reachable } from '../src/api/reach';
import { session, type User } from '../src/api/state';
import { connection, onLive } from '../src/live/live';
import { Feed } from './live_feed';

function latest(): Feed {
  return Feed.latest;
}

const ANA: User = {
  name: 'ana',
  role: 'admin',
  how: 'password',
  has_password: true,
  has_totp: false,
  recovery_codes: 0,
};

function answers(signedIn: boolean): void {
  const body = { signed_in: signedIn, setup_needed: false, user: signedIn ? ANA : null };
  const headers = { 'content-type': 'application/json' };
  vi.stubGlobal('fetch', async () => new Response(JSON.stringify(body), { headers }));
}

let hidden = false;
let stops: (() => void)[] = [];

function watch(topic: string): unknown[] {
  const heard: unknown[] = [];
  stops.push(onLive(topic, (data) => heard.push(data)));
  return heard;
}

function hide(now: boolean): void {
  hidden = now;
  document.dispatchEvent(new Event('visibilitychange'));
}

beforeEach(async () => {
  vi.useFakeTimers();
  vi.stubGlobal('EventSource', Feed);
  vi.spyOn(document, 'hidden', 'get').mockImplementation(() => hidden);
  answers(true);
  Feed.all = [];
  reachable.value = true;
  session.value = { state: 'signed-in', user: ANA };
  await vi.advanceTimersByTimeAsync(0);
});

afterEach(async () => {
  for (const stop of stops) stop();
  stops = [];
  hidden = false;
  session.value = { state: 'signed-out' };
  await vi.advanceTimersByTimeAsync(60_000);
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

test('a feed opens on signing in and ends with the session', async () => {
  expect(Feed.all).toHaveLength(1);
  expect(connection.value).toBe('connecting');
  latest().open();
  expect(connection.value).toBe('open');
  session.value = { state: 'signed-out' };
  expect(latest().readyState).toBe(Feed.CLOSED);
});

test('what nobody on the page watches is not asked for', async () => {
  latest().open();
  expect(latest().topics).toEqual(['changed', 'job']);
  const heard = watch('streams');
  const health = watch('health');
  await vi.advanceTimersByTimeAsync(100);
  expect(Feed.all).toHaveLength(2);
  expect(latest().topics).toEqual(['changed', 'health', 'job', 'streams']);
  latest().open();
  latest().tell('streams', { whole: [] });
  expect(heard).toEqual([{ whole: [] }]);
  expect(health).toEqual([]);
  for (const stop of stops) stop();
  await vi.advanceTimersByTimeAsync(10_100);
  expect(latest().topics).toEqual(['changed', 'job']);
});

test('whoever begins to watch a state is told all of it, even if the page watched it before', async () => {
  watch('streams');
  await vi.advanceTimersByTimeAsync(100);
  const before = Feed.all.length;
  watch('streams');
  await vi.advanceTimersByTimeAsync(100);
  expect(Feed.all).toHaveLength(before + 1);
});

test('a feed that is made anew goes on behind the last event', async () => {
  const heard = watch('changed');
  latest().open();
  latest().tell('changed', { what: 'keys' }, 'aaaaaaaa-7');
  watch('streams');
  await vi.advanceTimersByTimeAsync(100);
  expect(latest().resumes).toBe('aaaaaaaa-7');
  expect(heard).toEqual([{ what: 'keys' }]);
});

test('where the last event is not known, everything is loaded again', async () => {
  const resets = watch('reset');
  latest().open();
  watch('request');
  await vi.advanceTimersByTimeAsync(100);
  expect(resets).toHaveLength(1);
});

test('a page that nobody looks at closes its feed after a while, and opens it on return', async () => {
  latest().open();
  hide(true);
  await vi.advanceTimersByTimeAsync(29_000);
  expect(latest().readyState).toBe(Feed.OPEN);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(latest().readyState).toBe(Feed.CLOSED);
  hide(false);
  expect(Feed.all).toHaveLength(2);
});

test('a feed that the browser gives up is opened again, later each time', async () => {
  latest().open();
  latest().fail(Feed.CLOSED);
  expect(connection.value).toBe('connecting');
  await vi.advanceTimersByTimeAsync(1_300);
  expect(Feed.all).toHaveLength(2);
  latest().fail(Feed.CLOSED);
  await vi.advanceTimersByTimeAsync(1_300);
  expect(Feed.all).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(1_300);
  expect(Feed.all).toHaveLength(3);
  await vi.advanceTimersByTimeAsync(4_000);
  expect(connection.value).toBe('lost');
  latest().open();
  expect(connection.value).toBe('open');
});

test('a feed that ends because the session is over leads to the sign-in page', async () => {
  latest().open();
  answers(false);
  latest().fail(Feed.CLOSED);
  await vi.advanceTimersByTimeAsync(50);
  expect(session.value.state).toBe('signed-out');
  await vi.advanceTimersByTimeAsync(60_000);
  expect(Feed.all).toHaveLength(1);
});

test('one part of a page that fails does not keep the others from hearing', async () => {
  const reported = vi.fn();
  vi.stubGlobal('reportError', reported);
  stops.push(
    onLive('job', () => {
      throw new Error('broken');
    }),
  );
  const heard = watch('job');
  latest().open();
  latest().tell('job', { id: 1 });
  expect(heard).toEqual([{ id: 1 }]);
  expect(reported).toHaveBeenCalledOnce();
});

test('a connection that has gone silent is made anew, and what is said goes on behind the last event', async () => {
  const first = latest();
  first.open();
  first.tell('changed', { what: 'keys' }, 'aaaaaaaa-7');
  for (let beats = 0; beats < 6; beats += 1) {
    await vi.advanceTimersByTimeAsync(10_000);
    first.tell('beat', {}, 'aaaaaaaa-7');
  }
  expect(latest()).toBe(first);
  await vi.advanceTimersByTimeAsync(35_000);
  expect(latest()).not.toBe(first);
  expect(first.readyState).toBe(Feed.CLOSED);
  expect(latest().resumes).toBe('aaaaaaaa-7');
  expect(connection.value).toBe('connecting');
  await vi.advanceTimersByTimeAsync(4_000);
  expect(connection.value).toBe('lost');
  latest().open();
  expect(connection.value).toBe('open');
});
