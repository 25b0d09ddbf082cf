import { describe, expect, it } from 'vitest';
import type { LimitView } from '../src/api/schema';
import { forecast, Sightings } from '../src/pages/accounts/forecast';

const HOUR = 3600;
const START = 1_800_000_000;

function limit(used: number | null, at: number, more: Partial<LimitView> = {}): LimitView {
  return {
    name: '5h',
    family: 'account',
    used,
    resets_at: START + 5 * HOUR,
    status: 'allowed',
    observed_at: at,
    seconds: 5 * HOUR,
    ...more,
  };
}

describe('where a limit will stand when it starts anew', () => {
  it('goes on at the average since it began, as long as nothing newer is known', () => {
    const expected = forecast(limit(0.3, START + 2 * HOUR), [], START + 2 * HOUR);
    expect(expected?.share).toBeCloseTo(0.75);
    expect(expected?.fullAt).toBeUndefined();
  });

  it('goes on at the pace between what was seen of late', () => {
    const now = START + 2 * HOUR;
    const sights = [{ at: now - 0.5 * HOUR, used: 0.35 }];
    const expected = forecast(limit(0.4, now), sights, now);
    expect(expected?.share).toBeCloseTo(0.4 + 0.1 * 3);
    expect(expected?.fullAt).toBeUndefined();
  });

  it('says when a limit is used up before it starts anew', () => {
    const now = START + 2 * HOUR;
    const expected = forecast(limit(0.8, now), [{ at: now - HOUR, used: 0.6 }], now);
    expect(expected?.share).toBeCloseTo(1.4);
    expect(expected?.fullAt).toBeCloseTo(now + HOUR);
  });

  it('falls while nothing is used', () => {
    const now = START + 2 * HOUR;
    const idle = forecast(limit(0.4, now - 0.9 * HOUR), [{ at: now - 0.9 * HOUR, used: 0.4 }], now);
    expect(idle?.share).toBeCloseTo(0.4);
  });

  it('does not look back beyond a fifth of its time', () => {
    const now = START + 4 * HOUR;
    const burst = [{ at: START, used: 0 }];
    expect(forecast(limit(0.4, now), burst, now)?.share).toBeCloseTo(0.5);
  });

  it('is none where too little is known', () => {
    const now = START + 2 * HOUR;
    expect(forecast(limit(null, now), [], now)).toBeUndefined();
    expect(forecast(limit(0.4, now, { resets_at: null }), [], now)).toBeUndefined();
    expect(forecast(limit(0.4, now, { seconds: null }), [], now)).toBeUndefined();
    // A minute is over before anybody could do anything about it.
    expect(forecast(limit(0.4, now, { seconds: 60, resets_at: now + 30 }), [], now)).toBeUndefined();
    // It has only just begun.
    expect(forecast(limit(0.01, START + 60), [], START + 60)).toBeUndefined();
    // It is over.
    expect(forecast(limit(0.4, now), [], START + 6 * HOUR)).toBeUndefined();
    // It went down: whatever that was, it is no pace.
    expect(forecast(limit(0.2, now), [{ at: now - HOUR, used: 0.5 }], now)).toBeUndefined();
  });
});

describe('what is remembered of a limit', () => {
  it('is what was seen of it, once each and in order', () => {
    const seen = new Sightings();
    for (const hours of [1, 1, 2, 1.5, 3]) seen.note('a', limit(hours / 10, START + hours * HOUR));
    expect(seen.of('a', limit(0, START)).map(({ used }) => used)).toEqual([0.1, 0.2, 0.3]);
    expect(seen.of('b', limit(0, START))).toEqual([]);
  });

  it('is forgotten when the limit starts anew', () => {
    const seen = new Sightings();
    seen.note('a', limit(0.9, START + 4 * HOUR));
    const anew = { resets_at: START + 10 * HOUR };
    seen.note('a', limit(0.1, START + 6 * HOUR, anew));
    expect(seen.of('a', limit(0, 0, anew)).map(({ used }) => used)).toEqual([0.1]);
  });

  it('stays small, and keeps the newest', () => {
    const seen = new Sightings();
    for (let second = 0; second < 5 * HOUR; second += 10) {
      seen.note('a', limit(second / (5 * HOUR), START + second));
    }
    const sights = seen.of('a', limit(0, START));
    expect(sights.length).toBeLessThanOrEqual(48);
    expect(sights.at(-1)?.at).toBe(START + 5 * HOUR - 10);
    // Still as old as what is looked back on.
    expect(sights[0]?.at).toBeLessThan(START + 4 * HOUR);
    for (let number = 0; number < 3000; number += 1) seen.note(String(number), limit(0.1, START + HOUR));
    expect(seen.of('0', limit(0, START))).toEqual([]);
    expect(seen.of('2999', limit(0, START))).toHaveLength(1);
  });
});
