import type { Period } from './period';

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(options: Intl.DateTimeFormatOptions, zone: string | undefined): Intl.DateTimeFormat {
  const key = `${JSON.stringify(options)}/${zone ?? ''}`;
  let made = formats.get(key);
  if (!made) {
    made = new Intl.DateTimeFormat('en-GB', { ...options, ...(zone ? { timeZone: zone } : {}) });
    formats.set(key, made);
  }
  return made;
}

/** What stands below the bars of a chart: hours by the reader's clock, days by their dates, whosever days they are. */
export function barNames(bars: readonly number[], period: Period, zone?: string): string[] {
  const where = period.isLocal ? zone : 'UTC';
  const isLong = period.to - period.from >= 300;
  const format =
    period.bars === 'hour'
      ? formatOf({ weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }, where)
      : formatOf(
          { weekday: 'short', day: 'numeric', month: 'short', ...(isLong && { year: 'numeric' }) },
          where,
        );
  return bars.map((bar) => format.format(new Date(bar * 1000)));
}
