// @vitest-environment happy-dom
import { describe, expect, it } from 'vitest';
import type { CacheGroup, UsageGroup, UsageSums } from '../src/api/schema';
import { barNames } from '../src/pages/usage/bar_names';
import { requestsPath } from '../src/pages/usage/naming';
import { barsOf, periodOf } from '../src/pages/usage/period';
import {
  cachePerBar,
  change,
  groupKey,
  layersOf,
  measureOf,
  perBar,
  TOKEN_KINDS,
  tokenLayers,
  tokensOf,
} from '../src/pages/usage/sums';
import { changeText } from '../src/pages/usage/totals';

const HOUR = 3600;
const NOW = Date.parse('2026-11-23T12:00:00Z') / 1000;

function sums(values: Partial<UsageSums>): UsageSums {
  return {
    requests: 1,
    errors: 0,
    partial: 0,
    unpriced: 0,
    attempts: 1,
    input_tokens: 0,
    cache_write_tokens: 0,
    cache_write_5m_tokens: 0,
    cache_write_1h_tokens: 0,
    cache_read_tokens: 0,
    output_tokens: 0,
    thinking_tokens: 0,
    web_searches: 0,
    cached_share: null,
    cost_usd: 0,
    switches: 0,
    switch_usd: 0,
    ...values,
  };
}

/** A group as it comes: what it has none of is left out. */
function group(facts: Partial<UsageGroup>, values: Partial<UsageSums>): UsageGroup {
  return { ...facts, sums: sums(values) } as UsageGroup;
}

describe('layers of a chart', () => {
  const week = periodOf({ period: '7d' }, NOW, 'Europe/Berlin');
  const bars = barsOf(week, 'Europe/Berlin');

  it('hold all that was used, whichever hour it was, with what is left last', () => {
    const groups: UsageGroup[] = [];
    for (let at = week.since; at < week.until; at += HOUR) {
      groups.push(group({ start: at, model: 'small' }, { cost_usd: 1 }));
      groups.push(group({ start: at, model: 'large' }, { cost_usd: 3 }));
      groups.push(group({ start: at }, { cost_usd: 0.5 }));
      groups.push(group({ start: at, is_rest: true }, { cost_usd: 9 }));
    }
    const layers = layersOf(groups, bars, 'model', 'cost');
    expect(layers.map((layer) => [layer.name, layer.isRest])).toEqual([
      ['large', false],
      ['small', false],
      [undefined, false],
      [undefined, true],
    ]);
    const hours = (week.until - week.since) / HOUR;
    expect(layers[0]?.values.reduce((a, b) => a + b, 0)).toBeCloseTo(3 * hours);
    expect(layers[1]?.values.slice(0, 6)).toEqual([24, 24, 24, 24, 24, 24]);
    expect(layers.every((layer) => layer.values.length === 7)).toBe(true);
  });

  it('leave out what has nothing of what is shown', () => {
    const groups = [group({ start: week.since, model: 'free' }, { cost_usd: 0, requests: 4 })];
    expect(layersOf(groups, bars, 'model', 'cost')).toEqual([]);
    expect(layersOf(groups, bars, 'model', 'requests')[0]?.values[0]).toBe(4);
  });

  it('tell keys of one name apart', () => {
    const groups = [
      group({ start: week.since, actor: 'ci (key_1)', actor_id: 'key_1' }, { cost_usd: 1 }),
      group({ start: week.since, actor: 'ci (key_2)', actor_id: 'key_2' }, { cost_usd: 2 }),
    ];
    expect(layersOf(groups, bars, 'actor', 'cost').map((layer) => layer.key)).toEqual(['key_2', 'key_1']);
    expect(groupKey(groups[0] as UsageGroup, 'actor')).toBe('key_1');
  });
});

describe('sums', () => {
  it('of tokens are those of all kinds', () => {
    const one = sums({
      input_tokens: 1,
      cache_write_tokens: 20,
      cache_read_tokens: 300,
      output_tokens: 4000,
    });
    expect(tokensOf(one)).toBe(4321);
    expect(measureOf(one, 'tokens')).toBe(4321);
    const layers = tokenLayers([group({ start: 0 }, one), group({ start: HOUR }, one)], [0, HOUR]);
    expect(TOKEN_KINDS.map((kind) => layers[kind])).toEqual([
      [300, 300],
      [20, 20],
      [1, 1],
      [4000, 4000],
    ]);
    expect(perBar([group({ start: 5 }, { switches: 2 })], [0, HOUR], (each) => each.switches)).toEqual([
      2, 0,
    ]);
  });

  it('are compared with the time before, unless there was nothing', () => {
    expect(change(3, 2)).toBeCloseTo(0.5);
    expect(change(3, 0)).toBeUndefined();
    expect(changeText(0.5)).toBe('+50%');
    expect(changeText(-0.031)).toBe('−3.1%');
    expect(changeText(14)).toBe('15×');
  });

  it('of the cache weigh large prompts more than small ones', () => {
    const cache = (start: number, read: number, input: number, saved: number) =>
      ({ start, read_tokens: read, write_tokens: 0, input_tokens: input, saved_usd: saved }) as CacheGroup;
    const { hits, saved } = cachePerBar([cache(0, 900, 0, 1), cache(60, 0, 100, -0.25)], [0, HOUR]);
    expect(hits).toEqual([0.9, null]);
    expect(saved).toEqual([0.75, 0]);
  });
});

describe('names', () => {
  it('of days are those of whoever they are days of', () => {
    const month = periodOf({ period: '30d' }, NOW, 'America/New_York');
    expect(barNames(barsOf(month, 'America/New_York'), month, 'America/New_York').at(-1)).toBe('Mon 23 Nov');
    const week = periodOf({ period: '7d' }, NOW, 'America/New_York');
    expect(barNames(barsOf(week, 'America/New_York'), week, 'America/New_York')).toContain('Sun 22 Nov');
  });

  it('lead to the requests that are meant', () => {
    const week = periodOf({ period: 'custom', from: '2026-11-01', to: '2026-11-02' }, NOW, 'UTC');
    const path = requestsPath(group({ actor: 'a & b', actor_id: 'key_1' }, {}), 'actor', week, NOW);
    expect(path).toBe(`/requests?actor=key_1&since=${week.since}&until=${week.until}`);
    expect(requestsPath(group({}, {}), 'model', week, NOW)).toBeUndefined();
    const today = periodOf({ period: 'today' }, NOW, 'UTC');
    expect(requestsPath(group({ model: 'm?&' }, {}), 'model', today, NOW)).toBe(
      `/requests?model=m%3F%26&since=${today.since}`,
    );
  });
});
