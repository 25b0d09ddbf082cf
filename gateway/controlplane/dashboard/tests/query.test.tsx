// @vitest-environment happy-dom
import { act, cleanup, render } from '@testing-library/preact';
import { LocationProvider } from 'preact-iso';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { formatQuery, parseQuery, useQueryState } from '../src/lib/query';

afterEach(cleanup);

test('a query is read by name, and an empty value is none', () => {
  expect(parseQuery('?model=a%20b&q=&other=1', ['model', 'q'])).toEqual({ model: 'a b', q: undefined });
});

test('a change keeps parameters that it does not name, and takes out what is empty', () => {
  expect(formatQuery('?a=1&b=2', { a: undefined, c: 'x&y' })).toBe('?b=2&c=x%26y');
  expect(formatQuery('?a=1', { a: '' })).toBe('');
});

type Filters = { q?: string; model?: string };

let change: (changes: Partial<Filters>, how?: { replace?: boolean }) => void;
let seen: Filters;

function Page() {
  [seen, change] = useQueryState<Filters>(['q', 'model']);
  return null;
}

beforeEach(() => {
  history.replaceState(null, '', '/requests?q=old&tab=2');
  render(
    <LocationProvider>
      <Page />
    </LocationProvider>,
  );
});

test('filters come from the address and go there, beside what else is in it', () => {
  expect(seen).toEqual({ q: 'old', model: undefined });
  act(() => change({ model: 'claude', q: undefined }));
  expect(seen).toEqual({ q: undefined, model: 'claude' });
  expect(location.pathname + location.search).toBe('/requests?tab=2&model=claude');
});

test('two changes at once both count', () => {
  act(() => {
    change({ q: 'new' });
    change({ model: 'claude' });
  });
  expect(seen).toEqual({ q: 'new', model: 'claude' });
});

test('choices can be undone with Back; typing is one step', () => {
  const before = history.length;
  act(() => change({ q: 'n' }, { replace: true }));
  act(() => change({ q: 'ne' }, { replace: true }));
  expect(history.length).toBe(before);
  act(() => change({ model: 'claude' }));
  expect(history.length).toBe(before + 1);
  act(() => change({ model: 'claude' }));
  expect(history.length).toBe(before + 1);
});
