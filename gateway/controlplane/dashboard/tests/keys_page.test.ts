import { describe, expect, it } from 'vitest';
import type { KeyView, LimitsView } from '../src/api/schema';
import { searchable, statesOf } from '../src/pages/keys/data';
import {
  changeOf,
  draftOf,
  emptyForm,
  errorsOf,
  expiryOf,
  formOf,
  fullestBudget,
  limitsInWords,
  modelsOf,
  termsInWords,
} from '../src/pages/keys/limits';
import { cleanAddress, exampleModel, likelyAddress, snippet } from '../src/pages/keys/snippets';

const NOW = Date.parse('2026-11-23T12:00:00Z') / 1000;
const NONE: LimitsView = {
  requests_per_minute: null,
  tokens_per_minute: null,
  concurrent: null,
  budget_usd_day: null,
  budget_usd_week: null,
  budget_usd_month: null,
  budget_tokens_day: null,
  budget_tokens_week: null,
  budget_tokens_month: null,
};

function key(more: Partial<KeyView> = {}): KeyView {
  const spent = { requests: 0, tokens: 0, cost_usd: 0 };
  return {
    id: 'key_1',
    name: 'ci',
    prefix: 'csg_abcdef',
    state: 'active',
    created_at: NOW,
    revoked_at: null,
    expires_at: null,
    models: [],
    limits: NONE,
    day: spent,
    week: spent,
    month: spent,
    total: spent,
    running: 0,
    requests_last_minute: null,
    tokens_last_minute: null,
    reserved_tokens: 0,
    reserved_usd: 0,
    last_used_at: null,
    replaced_valid_until: null,
    secret_key: 'current',
    cost_by_day_usd: [],
    ...more,
  };
}

describe('limits', () => {
  it('are said in plain words', () => {
    expect(limitsInWords({ ...NONE, budget_usd_day: 5, requests_per_minute: 60 })).toBe(
      '$5 a day, 60 requests a minute',
    );
    expect(
      limitsInWords({
        budget_usd_month: 1234.5,
        budget_tokens_week: 5_000_000,
        tokens_per_minute: 400_000,
        requests_per_minute: 1,
        concurrent: 4,
      }),
    ).toBe('$1,234.50 a month, 5M tokens a week, 1 request a minute, 400K tokens a minute, 4 at a time');
    expect(limitsInWords(NONE)).toBe('');
    expect(termsInWords(NONE, [])).toBe('No limits');
    expect(termsInWords({ concurrent: 2 }, ['claude-haiku-*', 'x'])).toBe(
      '2 at a time, only claude-haiku-*, x',
    );
  });

  it('are only sent where they were given, and taken away where they were emptied', () => {
    const form = { ...emptyForm(), name: ' laptop ', limits: { budget_usd_day: 5 }, models: 'a, b\nb,' };
    expect(draftOf(form, NOW)).toEqual({ name: 'laptop', budget_usd_day: 5, models: ['a', 'b'] });
    const before = key({
      limits: { ...NONE, budget_usd_day: 5, concurrent: 2 },
      models: ['a'],
      expires_at: NOW + 9,
    });
    expect(changeOf(before, formOf(before), NOW)).toEqual({});
    const changed = {
      ...formOf(before),
      name: 'b',
      models: '',
      limits: { concurrent: 3 },
      expiry: 'never' as const,
    };
    expect(changeOf(before, changed, NOW)).toEqual({
      name: 'b',
      models: null,
      concurrent: 3,
      budget_usd_day: null,
      expires_at: null,
    });
  });

  it('that the gateway would refuse are found before they are sent', () => {
    expect(errorsOf(emptyForm(), NOW)).toHaveProperty('name');
    const sound = { ...emptyForm(), name: 'x', limits: { budget_usd_day: 0.000000001, concurrent: 1e15 } };
    expect(errorsOf(sound, NOW)).toEqual({});
    const wrong = {
      ...emptyForm(),
      name: 'x'.repeat(101),
      models: 'm'.repeat(101),
      expiry: 'date' as const,
      day: '2026-11-22',
      limits: { budget_usd_day: 0, budget_usd_week: 1_000_001, concurrent: 1.5, tokens_per_minute: -1 },
    };
    expect(Object.keys(errorsOf(wrong, NOW, 'UTC')).sort()).toEqual(
      [
        'name',
        'models',
        'day',
        'budget_usd_day',
        'budget_usd_week',
        'concurrent',
        'tokens_per_minute',
      ].sort(),
    );
    expect(modelsOf(Array.from({ length: 51 }, (_, i) => `m${i}`).join())).toHaveLength(51);
  });

  it('of time end with the last day of the reader', () => {
    const form = { ...emptyForm(), expiry: 'date' as const, day: '2026-11-23' };
    expect(expiryOf(form, NOW, 'UTC')).toBe(Date.parse('2026-11-24T00:00:00Z') / 1000);
    expect(expiryOf(form, NOW, 'America/New_York')).toBe(Date.parse('2026-11-24T05:00:00Z') / 1000);
    expect(expiryOf({ ...form, expiry: '30d' }, NOW)).toBe(NOW + 30 * 86_400);
    expect(expiryOf({ ...form, expiry: 'keep' }, NOW)).toBeUndefined();
  });

  it('are as full as the fullest budget', () => {
    expect(fullestBudget(key())).toBeUndefined();
    const limited = key({
      limits: { ...NONE, budget_usd_day: 10, budget_tokens_month: 1000 },
      day: { requests: 1, tokens: 900, cost_usd: 2 },
      month: { requests: 1, tokens: 900, cost_usd: 2 },
    });
    expect(fullestBudget(limited)).toEqual({ share: 0.9, period: 'month', unit: 'tokens' });
  });
});

describe('searching', () => {
  it('never puts a whole key into an address', () => {
    expect(searchable(' csg_abcdefghijklmnopqrstuvwxyz ')).toBe('csg_abcdef');
    expect(searchable('laptop')).toBe('laptop');
  });

  it('leaves revoked keys out unless they are asked for', () => {
    expect(statesOf(undefined)).toEqual(['active', 'expiring', 'expired']);
    expect(statesOf('revoked')).toEqual(['revoked']);
    expect(statesOf('all')).toEqual([]);
    expect(statesOf('nonsense')).toEqual(['active', 'expiring', 'expired']);
  });
});

describe('lines to paste', () => {
  it('have the address under which the reader knows the gateway', () => {
    const known = 'http://127.0.0.1:8787/claude';
    expect(likelyAddress(known, false, 'gateway.example')).toBe('http://gateway.example:8787/claude');
    expect(likelyAddress(known, false, 'localhost')).toBe(known);
    expect(likelyAddress(known, true, 'gateway.example')).toBe(known);
    expect(likelyAddress('http://[::1]:8787/claude', false, '[2001:db8::1]')).toBe(
      'http://[2001:db8::1]:8787/claude',
    );
    expect(cleanAddress(' https://g.example/claude// ')).toBe('https://g.example/claude');
  });

  it('are what each client takes', () => {
    const made = (client: Parameters<typeof snippet>[0], address = 'http://g:1/claude') =>
      snippet(client, address, 'csg_k', ['claude-opus-*']);
    expect(made('claude')).toBe('ANTHROPIC_BASE_URL=http://g:1/claude ANTHROPIC_AUTH_TOKEN=csg_k claude');
    expect(made('curl')).toContain('curl -N http://g:1/claude/v1/messages \\\n');
    expect(made('curl')).toContain('"model":"claude-opus-5-5"');
    expect(made('python')).toContain('base_url="http://g:1/claude"');
    expect(made('typescript')).toContain('baseURL: "http://g:1/claude"');
    // An address that somebody typed must not become a command.
    expect(made('claude', "http://g/$(id)'`")).toBe(
      `ANTHROPIC_BASE_URL='http://g/$(id)'\\''\`' ANTHROPIC_AUTH_TOKEN=csg_k claude`,
    );
  });

  it('ask for a model that the key may use', () => {
    expect(exampleModel([])).toBe('claude-haiku-5-5');
    expect(exampleModel(['CLAUDE-SONNET-*'])).toBe('claude-sonnet-5-5');
    expect(exampleModel(['claude-opus-5?5'])).toBe('claude-opus-5-5');
    expect(exampleModel(['my-model', 'x*'])).toBe('my-model');
    expect(exampleModel(['(a+)+*'])).toBe('claude-haiku-5-5');
  });
});
