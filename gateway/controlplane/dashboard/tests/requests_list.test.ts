import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { RequestView } from '../src/api/schema';
import { merged, RequestList, type Source } from '../src/pages/requests/request_list';
import { aRequest } from './requests_samples';

const ALL = Array.from({ length: 10 }, (_, index) =>
  aRequest({ id: `req_${100 + index}`, at: 2_000 - index }),
);

/** Gives requests page by page; the place is the number of those before it. */
function aSource(rows: readonly RequestView[] = ALL, size = 4): Source & { asked: unknown[] } {
  const asked: unknown[] = [];
  return {
    asked,
    page: async (query, after) => {
      asked.push({ query, after });
      const from = Number(after ?? 0);
      const to = from + size;
      return { requests: rows.slice(from, to), after: to < rows.length ? String(to) : null };
    },
    count: async () => ({ number: rows.length, is_exact: true }),
  };
}

function ids(list: RequestList): string[] {
  return list.rows.value.map((row) => row.id.slice(4));
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('rows are put into their places, none twice', () => {
  const more = [aRequest({ id: 'b', at: 1_999.5 }), ALL[0] as RequestView, aRequest({ id: 'a', at: 3_000 })];
  expect(merged(ALL.slice(0, 2), more).map((row) => row.id)).toEqual(['a', 'req_100', 'b', 'req_101']);
  expect(merged(ALL, [])).toBe(ALL);
  const tied = [aRequest({ id: 'x', at: 5 }), aRequest({ id: 'z', at: 5 })];
  expect(merged([aRequest({ id: 'y', at: 5 })], tied).map((row) => row.id)).toEqual(['z', 'y', 'x']);
});

describe('a list', () => {
  test('grows page by page until there is no more', async () => {
    const list = new RequestList(aSource());
    await list.open({});
    expect(ids(list)).toHaveLength(4);
    expect(list.count.value).toEqual({ number: 10, is_exact: true });
    await list.more();
    await list.more();
    expect(ids(list)).toHaveLength(10);
    expect(list.atEnd.value).toBe(true);
    await list.more();
    expect(ids(list)).toHaveLength(10);
  });

  test('looks through pages without a match, and asks before it goes on for ever', async () => {
    let asked = 0;
    const list = new RequestList({
      ...aSource(),
      page: async () => {
        asked += 1;
        return { requests: asked === 6 ? ALL : [], after: String(asked) };
      },
    });
    await list.open({ model: 'rare' });
    expect(list.gaveUp.value).toBe(true);
    expect(ids(list)).toEqual([]);
    await list.more();
    expect(list.gaveUp.value).toBe(false);
    expect(ids(list)).toHaveLength(10);
  });

  test('says why a page could not be loaded, and goes on from there', async () => {
    const source = aSource();
    const { page } = source;
    const list = new RequestList(source);
    await list.open({});
    source.page = () => Promise.reject(new Error('away'));
    await list.more();
    expect(list.error.value?.message).toBeTruthy();
    expect(ids(list)).toHaveLength(4);
    source.page = page;
    await list.more();
    expect(list.error.value).toBeUndefined();
    expect(ids(list)).toHaveLength(8);
  });

  test('shows nothing of an answer to a question that nobody asks any more', async () => {
    let answer: (() => void) | undefined;
    const source = aSource();
    const slow = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const list = new RequestList({
      ...source,
      page: async (query, after, signal) => {
        if (query.model === 'slow') await slow;
        return source.page(query, after, signal);
      },
    });
    const first = list.open({ model: 'slow' });
    await list.open({ model: 'fast' });
    answer?.();
    await first;
    await list.more();
    expect(source.asked.at(-1)).toEqual({ query: { model: 'fast' }, after: '4' });
  });
});

describe('requests that end meanwhile', () => {
  async function listening(mayAdd: () => boolean) {
    const list = new RequestList(aSource(), mayAdd);
    await list.open({ account: 'Team plan' });
    return list;
  }

  test('come in at their places while the reader is at the top', async () => {
    const list = await listening(() => true);
    list.hear(aRequest({ id: 'req_new', at: 2_500 }));
    list.hear(aRequest({ id: 'req_late', at: 1_999.5 }));
    list.hear(aRequest({ id: 'req_100', at: 2_000 }));
    list.hear(aRequest({ id: 'req_other', at: 2_600, account: 'Spare' }));
    vi.runAllTimers();
    expect(ids(list).slice(0, 4)).toEqual(['new', '100', 'late', '101']);
    expect(list.count.value?.number).toBe(12);
  });

  test('are held back while not, until the reader asks for them', async () => {
    const list = await listening(() => false);
    list.hear(aRequest({ id: 'req_new', at: 2_500 }));
    vi.runAllTimers();
    list.hear(aRequest({ id: 'req_new', at: 2_500 }));
    vi.runAllTimers();
    expect(ids(list)[0]).toBe('100');
    expect(list.held.value).toHaveLength(1);
    await list.showHeld();
    expect(ids(list)[0]).toBe('new');
    expect(list.held.value).toHaveLength(0);
  });

  test('are loaded again when there were too many to hold, or when some were missed', async () => {
    const list = await listening(() => false);
    for (let index = 0; index < 600; index++) list.hear(aRequest({ id: `req_n${index}`, at: 3_000 + index }));
    vi.runAllTimers();
    expect(list.missed.value).toBe(true);
    await list.showHeld();
    expect(list.missed.value).toBe(false);
    expect(ids(list)).toHaveLength(4);
    list.reset();
    expect(list.missed.value).toBe(true);
    list.close();
  });
});
