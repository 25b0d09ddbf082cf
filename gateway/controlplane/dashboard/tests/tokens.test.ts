import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const css = readFileSync('src/styles/tokens.css', 'utf8');

function colour(name: string, theme: 'light' | 'dark'): [number, number, number] {
  const found = new RegExp(`--${name}: (?:light-dark\\((#\\w{6}), (#\\w{6})\\)|(#\\w{6}))`).exec(css);
  if (!found) throw new Error(`no colour --${name}`);
  const hex = (found[3] ?? (theme === 'light' ? found[1] : found[2])) as string;
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255) as [number, number, number];
}

function luminance(rgb: [number, number, number]): number {
  const [r, g, b] = rgb.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)) as [
    number,
    number,
    number,
  ];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string, theme: 'light' | 'dark'): number {
  const [high, low] = [luminance(colour(a, theme)), luminance(colour(b, theme))].sort((x, y) => y - x) as [
    number,
    number,
  ];
  return (high + 0.05) / (low + 0.05);
}

const GROUNDS = ['bg', 'surface', 'surface-raised', 'surface-sunken', 'surface-head', 'hover', 'selected'];
const TONES = [
  'ok',
  'notice',
  'warning',
  'danger',
  'idle',
  'accent',
  'provider-anthropic',
  'provider-openai',
];

describe.each(['light', 'dark'] as const)('in the %s theme', (theme) => {
  test.each(GROUNDS)('all text is readable on %s', (ground) => {
    for (const text of ['text', 'text-quiet', 'accent', 'danger']) {
      expect(contrast(text, ground, theme), `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5);
    }
  });
  test.each(TONES)('%s is readable on its own ground and on the surface', (tone) => {
    expect(contrast(tone, `${tone}-soft`, theme)).toBeGreaterThanOrEqual(4.5);
    expect(contrast(tone, 'surface', theme)).toBeGreaterThanOrEqual(4.5);
  });
  test.each(['accent-fill', 'accent-fill-hover', 'danger-fill', 'danger-fill-hover'])(
    'a button of %s is readable',
    (fill) => {
      expect(contrast('on-fill', fill, theme)).toBeGreaterThanOrEqual(4.5);
    },
  );
  test('edges of fields, focus and the colours of charts stand out', () => {
    const drawn = ['line-strong', 'focus', ...Array.from({ length: 8 }, (_, i) => `series-${i + 1}`)];
    for (const name of drawn) expect(contrast(name, 'surface', theme), name).toBeGreaterThanOrEqual(3);
  });
});
