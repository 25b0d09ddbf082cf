import { describe, expect, it } from 'vitest';
import { dayNumber, dayStart, dayText, offsetAt, parseDay } from '../src/lib/days';
import { barAt, barsOf, daysOf, periodOf } from '../src/pages/usage/period';

const DAY = 86_400;
const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/Sao_Paulo',
  'America/Santiago',
  'Asia/Kolkata',
  'Asia/Beirut',
  'Australia/Lord_Howe',
  'Pacific/Kiritimati',
  'Pacific/Chatham',
];

function moments(count: number): number[] {
  // The same ones each time: a generator of Lehmer's, from 2018 to 2030.
  let state = 20_261_123;
  return Array.from({ length: count }, () => {
    state = (state * 48_271) % 2_147_483_647;
    return 1_514_764_800 + (state % (12 * 365 * DAY));
  });
}

const at = (text: string) => Date.parse(text) / 1000;

describe('days', () => {
  it.each(ZONES)('begin at their first moment and hold all of it, in %s', (zone) => {
    for (const moment of moments(60)) {
      const day = dayNumber(moment, zone);
      const start = dayStart(day, zone);
      expect(start).toBeLessThanOrEqual(moment);
      expect(dayStart(day + 1, zone)).toBeGreaterThan(moment);
      expect(dayNumber(start, zone)).toBe(day);
      expect(dayNumber(start - 1, zone)).toBe(day - 1);
    }
  });

  it('are 23 and 25 hours long when clocks change', () => {
    const length = (text: string, zone: string) => {
      const day = parseDay(text) as number;
      return (dayStart(day + 1, zone) - dayStart(day, zone)) / 3600;
    };
    expect(length('2026-03-29', 'Europe/Berlin')).toBe(23);
    expect(length('2026-10-25', 'Europe/Berlin')).toBe(25);
    expect(length('2026-11-01', 'America/New_York')).toBe(25);
    expect(length('2026-11-02', 'America/New_York')).toBe(24);
    expect(length('2026-04-05', 'Australia/Lord_Howe')).toBe(24.5);
    // Clocks go from midnight to one: the day has no midnight.
    expect(length('2026-09-06', 'America/Santiago')).toBe(23);
    expect(dayStart(parseDay('2026-09-06') as number, 'America/Santiago')).toBe(at('2026-09-06T04:00:00Z'));
  });

  it('know how far clocks are ahead, of moments before 1970 and of halves of an hour too', () => {
    expect(offsetAt(at('2026-07-01T00:00:00Z'), 'Asia/Kolkata')).toBe(19_800);
    expect(offsetAt(0.5, 'UTC')).toBe(0);
    expect(offsetAt(-1.5, 'UTC')).toBe(0);
  });

  it('are read as a date field writes them', () => {
    for (const text of ['2026-02-28', '2024-02-29', '1999-12-31']) {
      expect(dayText(parseDay(text) as number)).toBe(text);
    }
    for (const text of ['', undefined, '2026-02-30', '2026-13-01', 'today', '26-1-1', '2026-02-29']) {
      expect(parseDay(text)).toBeUndefined();
    }
  });
});

describe('a period', () => {
  it.each(ZONES)('of today begins at midnight and is compared with yesterday up to now, in %s', (zone) => {
    for (const now of moments(25)) {
      const period = periodOf({ period: 'today' }, now, zone);
      expect(period).toMatchObject({ by: 'hour', bars: 'hour', isLocal: true, until: now });
      expect(period.since).toBe(dayStart(dayNumber(now, zone), zone));
      expect(period.before.since).toBe(dayStart(dayNumber(now, zone) - 1, zone));
      expect(period.before.until).toBeLessThanOrEqual(period.since);
      expect(period.before.until - period.before.since).toBeLessThanOrEqual(now - period.since);
    }
  });

  it.each(ZONES)('has a bar for each of its days, and each moment of it is in one, in %s', (zone) => {
    for (const now of moments(15)) {
      for (const [name, days] of [
        ['7d', 7],
        ['30d', 30],
        ['90d', 90],
      ] as const) {
        const period = periodOf({ period: name }, now, zone);
        const bars = barsOf(period, zone);
        expect(bars.length).toBe(days);
        expect(bars[0]).toBe(period.since);
        expect(bars.every((bar, i) => i === 0 || bar > (bars[i - 1] as number))).toBe(true);
        expect(barAt(bars, period.until - 1)).toBe(days - 1);
        expect(period.until).toBe(now);
      }
    }
  });

  it('of more than eight days is of days of UTC, as the sums are', () => {
    const now = at('2026-11-23T22:30:00-05:00');
    const month = periodOf({ period: '30d' }, now, 'America/New_York');
    expect(month).toMatchObject({ by: 'day', isLocal: false, since: at('2026-10-26T00:00:00Z') });
    expect(daysOf(month)).toEqual({ from: '2026-10-26', to: '2026-11-24' });
    const week = periodOf({ period: '7d' }, now, 'America/New_York');
    expect(daysOf(week)).toEqual({ from: '2026-11-17', to: '2026-11-23' });
    expect(week.since).toBe(at('2026-11-17T00:00:00-05:00'));
  });

  it('of days that is not over yet is compared with a time as long to the hour, while sums by hour are kept', () => {
    const now = at('2026-11-23T01:00:00Z');
    for (const [period, days] of [
      ['30d', 30],
      ['90d', 90],
    ] as const) {
      const { since, until, before } = periodOf({ period }, now, 'Europe/Berlin');
      expect(before).toEqual({ since: since - days * DAY, until: until - days * DAY, by: 'hour' });
    }
    const long = periodOf({ period: 'custom', from: '2025-10-01', to: '2026-11-23' }, now, 'UTC');
    expect(long.before.by).toBe('day');
  });

  it('goes on until now west of UTC, where a day of UTC is over while it is still today', () => {
    const evening = at('2026-11-24T03:30:00Z');
    const query = { period: 'custom', from: '2026-11-01', to: '2026-11-23' };
    const period = periodOf(query, evening, 'America/New_York');
    expect([period.isLocal, period.until]).toEqual([false, evening]);
    expect(barAt(barsOf(period), at('2026-11-24T00:00:00Z'))).toBe(22);
    expect(periodOf({ ...query, to: '2026-11-22' }, evening, 'America/New_York').until).toBe(
      at('2026-11-23T00:00:00Z'),
    );
  });

  it('that was chosen has its last day whole, and ends now where that is today', () => {
    const now = at('2026-11-23T12:00:00Z');
    const past = periodOf({ period: 'custom', from: '2026-11-01', to: '2026-11-03' }, now, 'Europe/Berlin');
    expect(past).toMatchObject({
      since: at('2026-11-01T00:00:00+01:00'),
      until: at('2026-11-04T00:00:00+01:00'),
    });
    expect(past.before).toEqual({
      since: at('2026-10-29T00:00:00+01:00'),
      until: at('2026-11-01T00:00:00+01:00'),
      by: 'hour',
    });
    expect(periodOf({ period: 'custom', from: '2026-11-20', to: '2027-01-01' }, now, 'UTC').until).toBe(now);
  });

  it('that makes no sense in the address is one that does', () => {
    const now = at('2026-11-23T12:00:00Z');
    expect(periodOf({ period: 'x' }, now, 'UTC').preset).toBe('30d');
    for (const query of [
      { from: 'x', to: 'y' },
      { from: '2026-12-01', to: '2026-11-01' },
      { from: '0001-01-01', to: '2026-11-01' },
      { from: '9999-01-01', to: '9999-01-02' },
    ]) {
      const period = periodOf({ period: 'custom', ...query }, now, 'UTC');
      expect(period.since).toBeLessThan(period.until);
      expect(period.until).toBeLessThanOrEqual(now);
      expect(period.before.since).toBeLessThan(period.before.until);
      expect(barsOf(period, 'UTC').length).toBeLessThanOrEqual(800);
    }
  });

  it('of a time before sums by hour were given up is of days', () => {
    const now = at('2026-11-23T12:00:00Z');
    expect(periodOf({ period: 'custom', from: '2024-01-01', to: '2024-01-02' }, now, 'UTC').by).toBe('day');
  });
});
