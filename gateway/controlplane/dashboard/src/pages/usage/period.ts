import { dayNumber, dayStart, dayText, parseDay } from '../../lib/days';

const HOUR = 3600;
const DAY = 24 * HOUR;
/** As long as the gateway adds up by hour without being asked for a year of it. */
const MOST_HOURLY_DAYS = 8;
/** For so long sums by hour are kept; it is a little less than that. */
const HOURS_LAST = 390 * DAY;
const MOST_DAYS = 800;

export const PRESETS = ['today', '7d', '30d', '90d', 'custom'] as const;
export type Preset = (typeof PRESETS)[number];

const LENGTHS: Record<Exclude<Preset, 'custom'>, number> = { today: 1, '7d': 7, '30d': 30, '90d': 90 };

/** What of the period stands in the address. */
export type PeriodQuery = { period?: string | undefined; from?: string | undefined; to?: string | undefined };

/** A span of time as Unix seconds. */
export interface Span {
  since: number;
  until: number;
}

/** What the page shows. */
export interface Period extends Span {
  preset: Preset;
  /** Of how long spans the sums are asked for. */
  by: 'hour' | 'day';
  /** What one bar of a chart is. */
  bars: 'hour' | 'day';
  /** Whether days are those of the reader's zone; those of UTC otherwise. */
  isLocal: boolean;
  /** First and last day, as their numbers. */
  from: number;
  to: number;
  /**
   * As long a time right before it, up to the same time of day where the period is not over yet: so by hours as
   * long as there are any, because the last day of sums by day is a whole one.
   */
  before: Span & { by: 'hour' | 'day' };
}

/** The period that an address means. What makes no sense in it is 30 days. */
export function periodOf(query: PeriodQuery, now: number, zone?: string): Period {
  const preset = PRESETS.find((one) => one === query.period) ?? '30d';
  if (preset !== 'custom') return lastDays(preset, LENGTHS[preset], now, zone);
  const today = dayNumber(now, zone);
  const to = Math.min(parseDay(query.to) ?? today, today);
  const from = Math.min(parseDay(query.from) ?? to - 6, to);
  return between('custom', Math.max(from, to - MOST_DAYS + 1), to, now, zone);
}

function lastDays(preset: Preset, days: number, now: number, zone: string | undefined): Period {
  const isLocal = days <= MOST_HOURLY_DAYS;
  const today = isLocal ? dayNumber(now, zone) : Math.floor(now / DAY);
  return between(preset, today - days + 1, today, now, zone);
}

function between(preset: Preset, from: number, to: number, now: number, zone: string | undefined): Period {
  const days = to - from + 1;
  const isLocal = days <= MOST_HOURLY_DAYS && now - from * DAY < HOURS_LAST;
  const start = (day: number) => (isLocal ? dayStart(day, zone) : day * DAY);
  const since = start(from);
  // West of UTC a day of UTC may be over while it is still today: what came since belongs to today too.
  const end = to === dayNumber(now, zone) ? Number.POSITIVE_INFINITY : start(to + 1);
  const until = Math.min(end, Math.max(now, since + 1));
  const beforeSince = start(from - days);
  return {
    preset,
    since,
    until,
    by: isLocal ? 'hour' : 'day',
    bars: days <= 2 && isLocal ? 'hour' : 'day',
    isLocal,
    from,
    to,
    before: {
      since: beforeSince,
      until: Math.min(beforeSince + (until - since), since),
      by: isLocal || now - beforeSince < HOURS_LAST ? 'hour' : 'day',
    },
  };
}

/** The days of a period as a date field takes them. */
export function daysOf(period: Period): { from: string; to: string } {
  return { from: dayText(period.from), to: dayText(period.to) };
}

/** When the bars of a chart begin: all of the period, those without a request too. */
export function barsOf(period: Period, zone?: string): number[] {
  const bars: number[] = [];
  if (period.bars === 'hour') {
    for (let at = Math.floor(period.since / HOUR) * HOUR; at < period.until; at += HOUR) bars.push(at);
    return bars;
  }
  for (let day = period.from; day <= period.to; day += 1) {
    bars.push(period.isLocal ? dayStart(day, zone) : day * DAY);
  }
  return bars;
}

/**
 * The bar that a span of the sums belongs to. Hours that lie across midnight, of zones that are not whole hours
 * ahead, count for the day they begin on; what begins before the first bar counts for that.
 */
export function barAt(bars: readonly number[], start: number): number {
  let low = 0;
  let high = bars.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((bars[middle] as number) <= start) low = middle;
    else high = middle - 1;
  }
  return low;
}
