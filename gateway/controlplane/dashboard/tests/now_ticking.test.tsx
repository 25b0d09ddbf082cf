// @vitest-environment happy-dom
import { act, cleanup, render } from '@testing-library/preact';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { connection } from '../src/live/live';
import { Since } from '../src/pages/now/ticking';

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});

afterEach(() => {
  cleanup();
  connection.value = 'connecting';
  vi.useRealTimers();
});

test('an age goes on while the feed is live, and stands still while nothing is told', async () => {
  connection.value = 'open';
  const { container } = render(<Since at={990} />);
  const pass = (ms: number) => act(async () => void vi.advanceTimersByTime(ms));
  await pass(5_000);
  expect(container.textContent).toBe('15 s');
  connection.value = 'lost';
  await pass(20_000);
  expect(container.textContent).toBe('15 s');
  connection.value = 'open';
  await pass(1_000);
  expect(container.textContent).toBe('36 s');
});
