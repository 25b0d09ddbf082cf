import type { CacheGroup, UsageGroup, UsageSums } from '../../api/schema';
import { barAt } from './period';

/** By what use is broken down. */
export const DIMENSIONS = ['model', 'actor', 'account', 'provider', 'outcome', 'stop_reason'] as const;
export type Dimension = (typeof DIMENSIONS)[number];

/** What a chart shows of each group. */
export const MEASURES = ['cost', 'tokens', 'requests'] as const;
export type Measure = (typeof MEASURES)[number];

/** As many groups as a chart has colours for, but for the one of all others. */
export const TOP = 7;

/** All tokens, of prompts and of answers. */
export function tokensOf(sums: UsageSums): number {
  return sums.input_tokens + sums.cache_write_tokens + sums.cache_read_tokens + sums.output_tokens;
}

/** A sum by its name. */
export function measureOf(sums: UsageSums, measure: Measure): number {
  if (measure === 'cost') return sums.cost_usd;
  return measure === 'tokens' ? tokensOf(sums) : sums.requests;
}

/** What a group is known by: text of the upstream's or the operator's; undefined for none. */
export function groupName(group: UsageGroup, by: Dimension): string | undefined {
  return group[by] ?? undefined;
}

/** Tells groups apart. */
export function groupKey(group: UsageGroup, by: Dimension): string {
  return by === 'actor' ? (group.actor_id ?? '') : (group[by] ?? '');
}

/** One colour of a chart. */
export interface Layer {
  key: string;
  name: string | undefined;
  isRest: boolean;
  values: number[];
}

/** The groups of a chart, the largest first and what is left last, with a value for each bar. */
export function layersOf(
  groups: readonly UsageGroup[],
  bars: readonly number[],
  by: Dimension,
  measure: Measure,
): Layer[] {
  const layers = new Map<string, Layer>();
  for (const group of groups) {
    const isRest = group.is_rest === true;
    const key = isRest ? '\0rest' : groupKey(group, by);
    let layer = layers.get(key);
    if (!layer) {
      layer = { key, name: groupName(group, by), isRest, values: bars.map(() => 0) };
      layers.set(key, layer);
    }
    addAt(layer.values, barAt(bars, group.start ?? 0), measureOf(group.sums, measure));
  }
  const total = (layer: Layer) => layer.values.reduce((sum, value) => sum + value, 0);
  return [...layers.values()]
    .filter((layer) => total(layer) > 0)
    .sort((a, b) => Number(a.isRest) - Number(b.isRest) || total(b) - total(a));
}

/** Tokens of each kind for each bar, from all groups. */
export function tokenLayers(
  groups: readonly UsageGroup[],
  bars: readonly number[],
): Record<TokenKind, number[]> {
  const layers = Object.fromEntries(TOKEN_KINDS.map((kind) => [kind, bars.map(() => 0)])) as Record<
    TokenKind,
    number[]
  >;
  for (const group of groups) {
    const bar = barAt(bars, group.start ?? 0);
    for (const kind of TOKEN_KINDS) addAt(layers[kind], bar, group.sums[kind]);
  }
  return layers;
}

export const TOKEN_KINDS = [
  'cache_read_tokens',
  'cache_write_tokens',
  'input_tokens',
  'output_tokens',
] as const;
export type TokenKind = (typeof TOKEN_KINDS)[number];

/** Sums of one kind for each bar, from all groups. */
export function perBar(
  groups: readonly UsageGroup[],
  bars: readonly number[],
  value: (sums: UsageSums) => number,
): number[] {
  const values = bars.map(() => 0);
  for (const group of groups) addAt(values, barAt(bars, group.start ?? 0), value(group.sums));
  return values;
}

/** What the cache did for each bar: the share of the prompts that was read, null without any, and what it saved. */
export function cachePerBar(
  groups: readonly CacheGroup[],
  bars: readonly number[],
): { hits: (number | null)[]; saved: number[] } {
  const read = bars.map(() => 0);
  const prompts = bars.map(() => 0);
  const saved = bars.map(() => 0);
  for (const group of groups) {
    const bar = barAt(bars, group.start ?? 0);
    addAt(read, bar, group.read_tokens);
    addAt(prompts, bar, group.read_tokens + group.write_tokens + group.input_tokens);
    addAt(saved, bar, group.saved_usd);
  }
  return {
    hits: prompts.map((prompt, bar) => (prompt > 0 ? (read[bar] ?? 0) / prompt : null)),
    saved,
  };
}

/** By how much a value differs from the one before, as a share of that; undefined where there was none. */
export function change(now: number, before: number): number | undefined {
  return before > 0 ? now / before - 1 : undefined;
}

function addAt(values: number[], at: number, more: number): void {
  if (at < values.length) values[at] = (values[at] ?? 0) + more;
}

/** What a group cost; null where nothing is known of it: what has no price is no reason to say $0. */
export function costOf(sums: UsageSums): number | null {
  return sums.unpriced > 0 && sums.cost_usd === 0 ? null : sums.cost_usd;
}
