import { describe, expect, it } from 'vitest';
import type { AccountView, LimitView } from '../src/api/schema';
import { byProvider, filtered, inOrder, mostUsed, type StateName } from '../src/pages/accounts/filter';

const NOTHING = { requests: 0, cost_usd: 0, unpriced: 0, input_tokens: 0, output_tokens: 0 };

function account(name: string, more: Partial<AccountView> = {}): AccountView {
  return {
    id: `acc_${name}`,
    name,
    provider: 'anthropic',
    kind: 'api_key',
    command: null,
    owner: '',
    base_url: 'https://api.anthropic.com',
    own_base_url: false,
    weight: 1,
    priority: 0,
    max_concurrency: null,
    created_at: 0,
    state: 'active',
    reason: '',
    since: null,
    until: null,
    rests: [],
    limits: [],
    limits_seen_at: null,
    renewal: null,
    in_flight: 0,
    last_used_at: null,
    day: NOTHING,
    month: NOTHING,
    is_environment: false,
    is_removable: true,
    ...more,
  };
}

function limit(used: number | null): LimitView {
  return {
    name: '5h',
    family: 'account',
    used,
    resets_at: null,
    status: null,
    observed_at: 0,
    seconds: 18_000,
  };
}

const inState = (name: string, state: StateName) => account(name, { state });
const names = (accounts: readonly AccountView[]) => accounts.map((one) => one.name);

const ALL = [
  inState('work 10', 'active'),
  account('Work 9', { owner: 'Ada <script>', day: { ...NOTHING, requests: 5, cost_usd: 0.1 } }),
  inState('parked', 'parked'),
  account('gpt', {
    provider: 'openai',
    state: 'needs_reauth',
    limits: [limit(0.2), limit(0.7), limit(null)],
  }),
];

describe('which accounts are shown', () => {
  it('are all of them, with how many there are in each state', () => {
    const { rows, counts } = filtered(ALL, {});
    expect(rows).toHaveLength(4);
    expect(counts).toMatchObject({ all: 4, attention: 2, active: 2, parked: 1, needs_reauth: 1, cooling: 0 });
  });

  it('have every word that is searched for, in name, owner or address', () => {
    expect(names(filtered(ALL, { q: ' WORK ' }).rows)).toEqual(['work 10', 'Work 9']);
    expect(names(filtered(ALL, { q: 'ada <script> work' }).rows)).toEqual(['Work 9']);
    expect(filtered(ALL, { q: 'nowhere' }).rows).toEqual([]);
  });

  it('are of a provider and in a state; the counts say what other states would show', () => {
    const { rows, counts } = filtered(ALL, { provider: 'anthropic', state: 'parked' });
    expect(names(rows)).toEqual(['parked']);
    expect(counts).toMatchObject({ all: 3, active: 2, needs_reauth: 0 });
    expect(names(filtered(ALL, { state: 'attention' }).rows)).toEqual(['parked', 'gpt']);
    expect(filtered(ALL, { state: 'no such state' }).rows).toEqual([]);
  });
});

describe('the order of accounts', () => {
  it('is that of their names, as people count', () => {
    expect(names(inOrder(ALL, undefined))).toEqual(['gpt', 'parked', 'Work 9', 'work 10']);
    expect(names(inOrder(ALL, 'no such order'))).toEqual(names(inOrder(ALL, undefined)));
  });

  it('puts first what wants to be seen', () => {
    expect(names(inOrder(ALL, 'state'))).toEqual(['gpt', 'parked', 'Work 9', 'work 10']);
    expect(inOrder(ALL, 'used')[0]?.name).toBe('gpt');
    expect(inOrder(ALL, 'requests')[0]?.name).toBe('Work 9');
    expect(inOrder(ALL, 'cost')[0]?.name).toBe('Work 9');
  });

  it('keeps providers apart', () => {
    expect(byProvider(ALL).map(([provider, some]) => [provider, some.length])).toEqual([
      ['anthropic', 3],
      ['openai', 1],
    ]);
  });

  it('goes by the limit that is nearest to its end', () => {
    expect(mostUsed(ALL[3] as AccountView)?.used).toBe(0.7);
    expect(mostUsed(ALL[0] as AccountView)).toBeUndefined();
    expect(mostUsed(account('x', { limits: [limit(null)] }))).toBeUndefined();
  });
});
