import { expect, test } from 'vitest';
import { linesOf, lineText, stepOf } from '../src/ui/chart_scale';

test.each([
  [0.131, 'usd', ['$0.00', '$0.05', '$0.10', '$0.15']],
  [0.019, 'usd', ['$0.00', '$0.005', '$0.010', '$0.015', '$0.020']],
  [12, 'usd', ['$0.00', '$5', '$10', '$15']],
  [3, 'count', ['0', '1', '2', '3']],
  [104, 'count', ['0', '50', '100', '150']],
  [1_664_000, 'tokens', ['0', '500K', '1M', '1.5M', '2M']],
  [1, 'percent', ['0%', '50%', '100%']],
])('lines for %d %s are even, and none is lower than the tallest value', (most, unit, expected) => {
  const lines = linesOf(most, unit);
  expect(lines.at(-1)).toBeGreaterThanOrEqual(most);
  // What is drawn up to the last line has the same lines.
  expect(linesOf(lines.at(-1) ?? 0, unit)).toEqual(lines);
  expect(lines.map((line) => lineText(line, stepOf(most, unit), unit))).toEqual(expected);
});
