/** A value that the gateway may not know. */
export type Maybe = number | null | undefined;

/** Stands where a value is unknown. */
export const UNKNOWN = '–';

const MINUS = '−';
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const GROUPED = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const COMPACT = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });
const CENTS = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const FINE = new Intl.NumberFormat('en', { maximumSignificantDigits: 2, maximumFractionDigits: 6 });

function known(value: Maybe): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

/** Fixed decimals without trailing zeros: 1.50 → 1.5, 2.00 → 2. */
function trimmed(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}

/** A length of time from milliseconds, in at most two units: `850 ms`, `2.4 s`, `3 min 20 s`, `2 d 4 h`. */
export function formatDuration(ms: Maybe): string {
  if (!known(ms)) return UNKNOWN;
  if (ms < 0) return `${MINUS}${formatDuration(-ms)}`;
  if (ms === 0) return '0 ms';
  if (ms < 9.95) return `${trimmed(ms, 1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${trimmed(ms / 1000, 1)} s`;
  return formatSeconds(ms / 1000);
}

function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return twoUnits(Math.floor(whole / MINUTE), 'min', whole % MINUTE, 's');
  const minutes = Math.round(seconds / MINUTE);
  if (minutes < 24 * 60) return twoUnits(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(seconds / HOUR);
  return twoUnits(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function twoUnits(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

/** Dollars with cents; below a cent two significant digits: `$0.0042`. */
export function formatUsd(value: Maybe): string {
  if (!known(value)) return UNKNOWN;
  if (value < 0) return `${MINUS}${formatUsd(-value)}`;
  if (value === 0 || value >= 0.00995) return `$${CENTS.format(value)}`;
  if (value < 0.000001) return '<$0.000001';
  return `$${FINE.format(value)}`;
}

/** A whole number with thousands separated: `12,345`. */
export function formatCount(value: Maybe): string {
  if (!known(value)) return UNKNOWN;
  return value < 0 ? `${MINUS}${GROUPED.format(-value)}` : GROUPED.format(value);
}

/** A number in three significant digits: `12.3K`, `4.56M`. Below 10,000 it is exact. */
export function formatCompact(value: Maybe): string {
  if (!known(value)) return UNKNOWN;
  if (Math.abs(value) < 10_000) return formatCount(value);
  return value < 0 ? `${MINUS}${COMPACT.format(-value)}` : COMPACT.format(value);
}

/** Bytes in binary units: `512 B`, `1.5 KiB`. */
export function formatBytes(value: Maybe): string {
  if (!known(value)) return UNKNOWN;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let size = Math.abs(value);
  let unit = 0;
  while (size >= 1023.5 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || size >= 99.95 ? 0 : 1;
  return `${value < 0 ? MINUS : ''}${trimmed(size, digits)} ${units[unit]}`;
}

/** A share (1 is all) as per cent: `42%`, below 10 with one decimal; never rounded up to 100 nor down to 0. */
export function formatPercent(value: Maybe): string {
  if (!known(value)) return UNKNOWN;
  if (value < 0) return `${MINUS}${formatPercent(-value)}`;
  const percent = value * 100;
  if (percent > 0 && percent < 0.1) return '<0.1%';
  if (percent < 9.95) return `${trimmed(percent, 1)}%`;
  if (percent > 99 && percent < 100) return `${trimmed(Math.floor(percent * 10) / 10, 1)}%`;
  return `${Math.round(percent)}%`;
}

/** A rate with its unit: `48.2 tok/s`. */
export function formatRate(value: Maybe, unit: string): string {
  if (!known(value)) return UNKNOWN;
  return `${Math.abs(value) < 99.95 ? trimmed(value, 1) : formatCount(value)} ${unit}`;
}

/** How a moment is written out; `full` carries the zone and UTC. */
export type TimeMode = 'clock' | 'date' | 'full';

const formats = new Map<string, Intl.DateTimeFormat>();

function format(name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  let made = formats.get(name);
  if (!made) {
    made = new Intl.DateTimeFormat('en-GB', options);
    formats.set(name, made);
  }
  return made;
}

const CLOCK: Intl.DateTimeFormatOptions = {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
};
const DATE: Intl.DateTimeFormatOptions = { day: 'numeric', month: 'short', year: 'numeric' };

/**
 * A moment (Unix seconds): `clock` 14:03:59, `date` 3 Nov 2026, 14:03 or `full` with seconds, zone and UTC.
 * `zone` is an IANA name; without it, the reader's.
 */
export function formatTime(at: Maybe, mode: TimeMode = 'date', zone?: string): string {
  if (!known(at) || Math.abs(at) > 8.64e12) return UNKNOWN;
  const date = new Date(at * 1000);
  const key = `${mode}/${zone ?? ''}`;
  const where = zone ? { timeZone: zone } : {};
  if (mode === 'clock') return format(key, { ...CLOCK, ...where }).format(date);
  if (mode === 'date') {
    const { second: _, ...minutes } = CLOCK;
    return format(key, { ...DATE, ...minutes, ...where }).format(date);
  }
  const local = format(key, { ...DATE, ...CLOCK, timeZoneName: 'short', ...where }).format(date);
  return `${local} (${formatUtc(at)})`;
}

/** A moment in UTC to the second: `2026-11-03 13:03:59 UTC`. */
export function formatUtc(at: Maybe): string {
  if (!known(at) || Math.abs(at) > 8.64e12) return UNKNOWN;
  return `${new Date(at * 1000).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** A day in the reader's zone, or in `zone`: `3 Nov 2026`. */
export function formatDay(at: Maybe, zone?: string): string {
  if (!known(at) || Math.abs(at) > 8.64e12) return UNKNOWN;
  return format(`day/${zone ?? ''}`, { ...DATE, ...(zone ? { timeZone: zone } : {}) }).format(
    new Date(at * 1000),
  );
}

function largestUnit(seconds: number): string {
  if (seconds < MINUTE) return `${seconds} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min`;
  if (seconds < 2 * DAY) return `${Math.floor(seconds / HOUR)} h`;
  return `${Math.floor(seconds / DAY)} d`;
}

/** A moment as seen from `now`, both Unix seconds: `just now`, `3 min ago`, `in 2 h`. */
export function relativeTime(at: Maybe, now: number): string {
  if (!known(at)) return UNKNOWN;
  const ago = Math.round(now - at);
  if (Math.abs(ago) < 2) return 'just now';
  return ago > 0 ? `${largestUnit(ago)} ago` : `in ${largestUnit(-ago)}`;
}

/** What is left until a moment, both Unix seconds: `3:09`, `2 h 5 min`, `2 d 4 h`; `now` once it has come. */
export function formatCountdown(until: Maybe, now: number): string {
  if (!known(until)) return UNKNOWN;
  const left = Math.ceil(until - now);
  if (left <= 0) return 'now';
  if (left < HOUR) return `${Math.floor(left / MINUTE)}:${String(left % MINUTE).padStart(2, '0')}`;
  return formatSeconds(left);
}

/** What a number in a chart means, and so how it is written. */
export type Unit = 'usd' | 'count' | 'tokens' | 'ms' | 'bytes' | 'percent' | (string & {});

/** A number in its unit; an unknown unit is written behind the number. */
export function formatUnit(value: Maybe, unit: Unit): string {
  switch (unit) {
    case 'usd':
      return formatUsd(value);
    case 'count':
    case 'tokens':
      return formatCompact(value);
    case 'ms':
      return formatDuration(value);
    case 'bytes':
      return formatBytes(value);
    case 'percent':
      return formatPercent(value);
    default:
      return formatRate(value, unit);
  }
}
