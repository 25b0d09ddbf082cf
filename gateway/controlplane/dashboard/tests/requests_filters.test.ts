import { describe, expect, test } from 'vitest';
import {
  chipsOf,
  fromLocal,
  matches,
  NO_FILTER,
  OUTCOMES,
  RANGES,
  toLocal,
  toQuery,
  toSearch,
} from '../src/pages/requests/filters';
import { aRequest } from './requests_samples';

const NOW = 1_795_000_000.4;

describe('a filter from the address', () => {
  test('becomes what the API takes', () => {
    expect(
      toQuery(
        {
          range: '1h',
          outcome: 'violation,truncated',
          model: 'claude-*',
          status: '529',
          wrong: '1',
          session: '5f1c',
        },
        NOW,
      ),
    ).toEqual({
      since: 1_795_000_000 - RANGES['1h'],
      outcome: ['truncated', 'violation'],
      model: 'claude-*',
      status: 529,
      went_wrong: true,
      session: '5f1c',
    });
  });

  test('loses what the API would refuse', () => {
    const nonsense = {
      since: 'NaN',
      until: '-1',
      outcome: 'well,',
      status: '9',
      range: 'toString',
      wrong: 'yes',
    };
    expect(toQuery(nonsense, NOW)).toEqual({});
    expect(toQuery({ since: 'Infinity', status: '200.5', session: '\0' }, NOW)).toEqual({});
    expect(toQuery({ session: 'x'.repeat(300) }, NOW).session).toHaveLength(200);
  });

  test('prefers a range to moments', () => {
    expect(toQuery({ since: '1', until: '2', range: '15m' }, NOW)).toEqual({ since: 1_794_999_100 });
    expect(toQuery({ since: '1', until: '2' }, NOW)).toEqual({ since: 1, until: 2 });
  });

  test('is written into the address of an export', () => {
    expect(toSearch({})).toBe('');
    expect(toSearch({ outcome: ['failed', 'refused'], actor: 'A & B', since: 5 })).toBe(
      '?outcome=failed&outcome=refused&actor=A+%26+B&since=5',
    );
  });
});

describe('a request that has just ended', () => {
  const row = aRequest({ tried: ['Spare', 'Team plan'], code: 'block_index_gap', session: 's' });

  test.each([
    [{}, true],
    [{ account: 'Team plan' }, true],
    [{ account: 'Spare' }, false],
    [{ tried: 'Spare' }, true],
    [{ actor: 'laptop' }, true],
    [{ actor: 'key_1' }, true],
    [{ actor: 'Laptop' }, false],
    [{ model: 'claude-opus-5-5' }, true],
    [{ model: 'CLAUDE-*-?-5' }, true],
    [{ model: 'claude-opus' }, false],
    [{ model: '*.*' }, false],
    [{ outcome: ['complete' as const] }, true],
    [{ outcome: ['failed' as const] }, false],
    [{ went_wrong: true }, false],
    [{ since: row.at, until: row.at + 1 }, true],
    [{ until: row.at }, false],
    [{ status: 200, session: 's', code: 'block_index_gap', stop_reason: 'end_turn' }, true],
    [{ status: 404 }, false],
    [{ provider: 'openai' }, false],
  ])('is taken by %o: %s', (query, expected) => {
    expect(matches(row, query)).toBe(expected);
  });

  test('is compared in no time, whatever the pattern', () => {
    const text = 'a'.repeat(200);
    expect(matches(aRequest({ model: text }), { model: `${'*a'.repeat(99)}*b` })).toBe(false);
    expect(matches(aRequest({ model: text }), { model: `${'*a'.repeat(99)}*` })).toBe(true);
  });
});

describe('chips', () => {
  test('stand for each part of a filter, and take it out', () => {
    const filter = { range: '24h', outcome: 'failed,violation', actor: 'laptop', status: 'x' };
    expect(chipsOf(filter)).toEqual([
      { name: 'range', value: '24h', without: { range: undefined } },
      { name: 'outcome', value: 'violation', without: { outcome: 'failed' } },
      { name: 'outcome', value: 'failed', without: { outcome: 'violation' } },
      { name: 'actor', value: 'laptop', without: { actor: undefined } },
    ]);
    expect(chipsOf({ outcome: 'failed' })[0]?.without).toEqual({ outcome: undefined });
    expect(chipsOf({ ...filter, ...NO_FILTER })).toEqual([]);
  });

  test('know all outcomes', () => {
    expect(chipsOf({ outcome: OUTCOMES.join(',') })).toHaveLength(OUTCOMES.length);
  });
});

test('moments go through a field for date and time and back', () => {
  const at = '1795000020';
  expect(Math.abs(Number(fromLocal(toLocal(at))) - Number(at))).toBeLessThan(60);
  expect(toLocal(undefined)).toBe('');
  expect(toLocal('1e11')).toBe('');
  expect(fromLocal('')).toBeUndefined();
});
