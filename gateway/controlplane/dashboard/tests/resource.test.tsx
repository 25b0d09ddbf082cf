// @vitest-environment happy-dom
import { act, cleanup, render, screen } from '@testing-library/preact';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ApiFailure } from '../src/api/client';
import { reachable } from '../src/api/reach';
import { type ResourceState, useResource } from '../src/api/use_resource';
import { Resource } from '../src/ui';

interface Call {
  signal: AbortSignal;
  answer: (data: string) => void;
  fail: (error: unknown) => void;
}

let calls: Call[] = [];
let state: ResourceState<string>;

function load(signal: AbortSignal): Promise<string> {
  return new Promise((answer, fail) => calls.push({ signal, answer, fail }));
}

function Page({ id = 1, everyMs }: { id?: number; everyMs?: number }) {
  state = useResource(load, [id], { everyMs });
  return (
    <Resource of={state} what="the list">
      {(data) => <p>{data}</p>}
    </Resource>
  );
}

async function settle(change: () => void, ms = 0): Promise<void> {
  await act(async () => {
    change();
    await vi.advanceTimersByTimeAsync(ms);
  });
}

let hidden = false;

beforeEach(() => {
  calls = [];
  hidden = false;
  reachable.value = true;
  vi.useFakeTimers();
  vi.spyOn(document, 'hidden', 'get').mockImplementation(() => hidden);
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test('loading says so only after half a second', async () => {
  await settle(() => render(<Page />));
  await settle(() => {}, 400);
  expect(state).toMatchObject({ loading: true, slow: false });
  expect(screen.getByRole('status').textContent).toBe('');
  await settle(() => {}, 200);
  expect(state.slow).toBe(true);
  expect(screen.getByRole('status').textContent).toBe('Loading the list…');
  await settle(() => calls[0]?.answer('first'));
  expect(screen.getByText('first')).toBeTruthy();
  expect(state).toMatchObject({ loading: false, slow: false });
});

test('old data stays while new data comes, and above it stands why a later call failed', async () => {
  await settle(() => render(<Page />));
  await settle(() => calls[0]?.answer('first'));
  await settle(() => state.reload());
  expect(state).toMatchObject({ data: 'first', loading: true });
  await settle(() => calls[1]?.fail(new ApiFailure('The database is away.', 503, 'api_error')));
  expect(screen.getByText('first')).toBeTruthy();
  expect(screen.getByRole('alert').textContent).toContain('The database is away.');
  await settle(() => screen.getByText('Try again').click());
  await settle(() => calls[2]?.answer('third'));
  expect(screen.queryByRole('alert')).toBeNull();
  expect(screen.getByText('third')).toBeTruthy();
});

test('a reload that is asked for during a call follows it', async () => {
  await settle(() => render(<Page />));
  await settle(() => state.reload());
  await settle(() => state.reload());
  expect(calls).toHaveLength(1);
  await settle(() => calls[0]?.answer('first'));
  expect(calls).toHaveLength(2);
});

test('a change of what it depends on ends the old call and starts another', async () => {
  let page = render(<Page id={1} />);
  await settle(() => {});
  await settle(() => page.rerender(<Page id={2} />));
  expect(calls[0]?.signal.aborted).toBe(true);
  await settle(() => calls[1]?.answer('second'));
  await settle(() => calls[0]?.answer('late'));
  expect(screen.getByText('second')).toBeTruthy();
  await settle(() => page.unmount());
  page = render(<Page />);
  await settle(() => {});
  await settle(() => page.unmount());
  expect(calls[2]?.signal.aborted).toBe(true);
});

test('nothing is asked for while nobody looks, and at once on return', async () => {
  await settle(() => render(<Page everyMs={1_000} />));
  await settle(() => calls[0]?.answer('first'));
  hidden = true;
  await settle(() => {}, 10_000);
  expect(calls).toHaveLength(1);
  hidden = false;
  await settle(() => document.dispatchEvent(new Event('visibilitychange')));
  expect(calls).toHaveLength(2);
  await settle(() => calls[1]?.answer('second'), 1_000);
  expect(calls).toHaveLength(3);
});

test('a gateway that is back is asked again', async () => {
  await settle(() => render(<Page />));
  await settle(() => {
    reachable.value = false;
    calls[0]?.fail(new TypeError('Failed to fetch'));
  });
  expect(state.error?.message).toBe('The gateway cannot be reached.');
  await settle(() => {
    reachable.value = true;
  });
  await settle(() => calls[1]?.answer('back'));
  expect(state.error).toBeUndefined();
  expect(screen.getByText('back')).toBeTruthy();
});
