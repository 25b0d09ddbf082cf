import { formatUnit, type Unit } from '../lib/format';

const LINES = 4;
const WHOLE: ReadonlySet<string> = new Set(['count', 'tokens']);

/** How far apart the lines of a chart are whose tallest value is `most`: 1, 2 or 5 of some power of ten. */
export function stepOf(most: number, unit: Unit): number {
  if (!(most > 0)) return 1;
  const rough = most / LINES;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.999_999) ?? rough;
  return WHOLE.has(unit) ? Math.max(1, step) : step;
}

/** Where the lines are: from nothing to the first that nothing stands above. */
export function linesOf(most: number, unit: Unit): number[] {
  const step = stepOf(most, unit);
  const count = Math.max(1, Math.ceil((most > 0 ? most : step) / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

/** What a line says: as exactly as it takes to tell it from its neighbours. */
export function lineText(value: number, step: number, unit: Unit): string {
  if (unit !== 'usd' || value === 0) return formatUnit(value, unit);
  const decimals = Math.min(8, Math.max(step >= 1 ? 0 : 2, Math.ceil(-Math.log10(step) - 1e-9)));
  const digits = new Intl.NumberFormat('en', {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
  return `$${digits.format(value)}`;
}
