const HOUR = 3600;
const DAY = 24 * HOUR;

const clocks = new Map<string, Intl.DateTimeFormat>();

function clockOf(zone: string | undefined): Intl.DateTimeFormat {
  const key = zone ?? '';
  let clock = clocks.get(key);
  if (!clock) {
    clock = new Intl.DateTimeFormat('en-US', {
      ...(zone ? { timeZone: zone } : {}),
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
      hourCycle: 'h23',
    });
    clocks.set(key, clock);
  }
  return clock;
}

/** Seconds by which the clocks of a zone (of the reader without one) are ahead of UTC at a moment. */
export function offsetAt(at: number, zone?: string): number {
  const parts: Record<string, number> = {};
  const whole = Math.floor(at);
  for (const { type, value } of clockOf(zone).formatToParts(new Date(whole * 1000))) {
    if (type !== 'literal') parts[type] = Number(value);
  }
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) / 1000 - whole;
}

/** The number of the day that a moment is in, by the clocks of a zone; the next day has the next number. */
export function dayNumber(at: number, zone?: string): number {
  return Math.floor((Math.floor(at) + offsetAt(at, zone)) / DAY);
}

/**
 * When a day begins, in Unix seconds: its first moment, also where clocks are put forward at midnight.
 *
 * @param day as `dayNumber` gives it.
 */
export function dayStart(day: number, zone?: string): number {
  const midnight = day * DAY;
  // What clocks are ahead by changes within days of that; the moment is the earliest that has the day's number.
  const offsets = [-DAY, 0, DAY].map((shift) => offsetAt(midnight + shift, zone));
  const candidates = [...new Set(offsets)].map((offset) => midnight - offset).sort((a, b) => a - b);
  for (const candidate of candidates) {
    if (dayNumber(candidate, zone) === day && dayNumber(candidate - 1, zone) < day) return candidate;
  }
  // There is no midnight: the day begins when the clocks are put forward.
  let [before, after] = [(candidates[0] ?? midnight) - DAY, (candidates.at(-1) ?? midnight) + DAY];
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (dayNumber(middle, zone) < day) before = middle;
    else after = middle;
  }
  return after;
}

/** A day as `<input type="date">` has it: `2026-11-23`. */
export function dayText(day: number): string {
  return new Date(day * DAY * 1000).toISOString().slice(0, 10);
}

/** The number of a day that was written as `2026-11-23`; undefined for none. */
export function parseDay(text: string | undefined): number | undefined {
  if (!text || !/^\d{4}-\d{2}-\d{2}$/.test(text)) return undefined;
  const at = Date.parse(`${text}T00:00:00Z`);
  if (Number.isNaN(at) || new Date(at).toISOString().slice(0, 10) !== text) return undefined;
  return at / 1000 / DAY;
}

/** The name of the reader's time zone: `Europe/Berlin`. */
export function readersZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}
