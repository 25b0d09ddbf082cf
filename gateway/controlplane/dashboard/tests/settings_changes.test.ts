import { describe, expect, it } from 'vitest';
import { changedFields, timesOf } from '../src/pages/settings/changes';

describe('entries of the audit log', () => {
  it('say how often that happened which they stand for', () => {
    expect(timesOf({ times: 12, last: '2026-01-01T00:00:00+00:00' })).toBe(12);
    for (const after of [{ times: 1 }, { times: 'x' }, {}, null, undefined, 'text', 7])
      expect(timesOf(after)).toBe(1);
  });

  it('show what differs, and what came or went', () => {
    expect(changedFields({ a: 1, b: 2 }, { a: 1, b: 3, c: null })).toEqual([
      { name: 'b', before: '2', after: '3' },
    ]);
    expect(changedFields(null, { expires_at: 1795445848.12, times_at: 'x' })).toEqual([
      { name: 'expires_at', before: undefined, after: expect.stringContaining('2026-11-23 14:57:28 UTC') },
      { name: 'times_at', before: undefined, after: 'x' },
    ]);
    expect(changedFields(null, { times: 2 })).toEqual([{ name: 'times', before: undefined, after: '2' }]);
  });
});
