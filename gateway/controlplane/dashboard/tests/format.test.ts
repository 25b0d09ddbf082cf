import { describe, expect, test } from 'vitest';
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatCountdown,
  formatDay,
  formatDuration,
  formatPercent,
  formatRate,
  formatTime,
  formatUnit,
  formatUsd,
  formatUtc,
  relativeTime,
} from '../src/lib/format';

const NOON = Date.UTC(2026, 10, 3, 12, 0, 0) / 1000;

describe('what is not known is a dash', () => {
  const all = [
    formatDuration,
    formatUsd,
    formatCount,
    formatCompact,
    formatBytes,
    formatPercent,
    formatTime,
    formatUtc,
  ];
  test.each(all.map((one) => [one.name, one]))('%s', (_, format) => {
    for (const value of [null, undefined, Number.NaN, Number.POSITIVE_INFINITY])
      expect(format(value)).toBe('–');
  });
  test('moments that no calendar has do not throw', () => {
    expect(formatTime(1e15)).toBe('–');
    expect(formatDay(-1e15)).toBe('–');
  });
});

test.each([
  [0, '0 ms'],
  [0.42, '0.4 ms'],
  [9.96, '10 ms'],
  [850, '850 ms'],
  [999.6, '1 s'],
  [2_400, '2.4 s'],
  [9_949, '9.9 s'],
  [9_950, '10 s'],
  [59_400, '59 s'],
  [59_600, '1 min'],
  [200_000, '3 min 20 s'],
  [3_599_600, '1 h'],
  [7_500_000, '2 h 5 min'],
  [187_200_000, '2 d 4 h'],
  [-1_500, '−1.5 s'],
])('a duration of %d ms is %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test.each([
  [0, '$0.00'],
  [12.3456, '$12.35'],
  [1_234_567.891, '$1,234,567.89'],
  [0.01, '$0.01'],
  [0.00421, '$0.0042'],
  [0.000_012_3, '$0.000012'],
  [0.000_000_1, '<$0.000001'],
  [-3, '−$3.00'],
])('%d dollars are %s', (value, text) => {
  expect(formatUsd(value)).toBe(text);
});

test.each([
  [999, '999', '999'],
  [9_999, '9,999', '9,999'],
  [12_345, '12,345', '12.3K'],
  [-4_560_000, '−4,560,000', '−4.56M'],
])('the count %d is %s, compact %s', (value, exact, compact) => {
  expect(formatCount(value)).toBe(exact);
  expect(formatCompact(value)).toBe(compact);
});

test.each([
  [512, '512 B'],
  [1_023, '1023 B'],
  [1_024, '1 KiB'],
  [1_536, '1.5 KiB'],
  [1_048_575, '1 MiB'],
  [5 * 1024 ** 4, '5 TiB'],
])('%d bytes are %s', (value, text) => {
  expect(formatBytes(value)).toBe(text);
});

test.each([
  [0, '0%'],
  [0.0004, '<0.1%'],
  [0.0123, '1.2%'],
  [0.424, '42%'],
  [0.9996, '99.9%'],
  [1, '100%'],
  [1.2, '120%'],
])('the share %d is %s: all and nothing are said only of all and nothing', (value, text) => {
  expect(formatPercent(value)).toBe(text);
});

test('a rate carries its unit, and an unknown unit is written as it is', () => {
  expect(formatRate(48.24, 'tok/s')).toBe('48.2 tok/s');
  expect(formatUnit(1_234.4, 'req/min')).toBe('1,234 req/min');
  expect(formatUnit(0.5, 'percent')).toBe('50%');
});

test('a moment is written in the zone of the reader, and exactly with UTC', () => {
  expect(formatTime(NOON, 'clock', 'Asia/Tokyo')).toBe('21:00:00');
  expect(formatTime(NOON, 'date', 'America/New_York')).toBe('3 Nov 2026, 07:00');
  expect(formatTime(NOON, 'full', 'Europe/Berlin')).toBe(
    '3 Nov 2026, 13:00:00 CET (2026-11-03 12:00:00 UTC)',
  );
  expect(formatDay(NOON + 6 * 3600, 'Asia/Tokyo')).toBe('4 Nov 2026');
});

test.each([
  [0, 'just now'],
  [1, 'just now'],
  [12, '12 s ago'],
  [59, '59 s ago'],
  [60, '1 min ago'],
  [3_599, '59 min ago'],
  [7_200, '2 h ago'],
  [47 * 3600, '47 h ago'],
  [5 * 86_400, '5 d ago'],
  [-90, 'in 1 min'],
])('what was %d seconds ago is %s', (ago, text) => {
  expect(relativeTime(NOON - ago, NOON)).toBe(text);
});

test.each([
  [-5, 'now'],
  [0, 'now'],
  [9, '0:09'],
  [189, '3:09'],
  [7_500, '2 h 5 min'],
])('with %d seconds left the countdown shows %s', (left, text) => {
  expect(formatCountdown(NOON + left, NOON)).toBe(text);
});
