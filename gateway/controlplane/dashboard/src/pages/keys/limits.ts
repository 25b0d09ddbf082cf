import type { KeyChange, KeyDraft, KeyView, LimitsView } from '../../api/schema';
import { dayStart, parseDay } from '../../lib/days';
import { formatCompact, formatCount, formatUsd } from '../../lib/format';
import { keys as words } from '../../strings/keys';

export type LimitName = keyof LimitsView;

export const USD_BUDGETS = ['budget_usd_day', 'budget_usd_week', 'budget_usd_month'] as const;
export const TOKEN_BUDGETS = ['budget_tokens_day', 'budget_tokens_week', 'budget_tokens_month'] as const;
export const RATES = ['requests_per_minute', 'tokens_per_minute', 'concurrent'] as const;
const LIMITS: readonly LimitName[] = [...USD_BUDGETS, ...RATES, ...TOKEN_BUDGETS];
const PERIODS = ['day', 'week', 'month'] as const;

export const LIFETIMES = { '7d': 7, '30d': 30, '90d': 90, '365d': 365 } as const;
export type Expiry = 'keep' | 'never' | keyof typeof LIFETIMES | 'date';

const DAY = 86_400;
const LONGEST_NAME = 100;
const MOST_MODELS = 50;
const LONGEST_MODEL = 100;
const MOST_USD = 1_000_000;
const MOST_COUNT = 1e15;

/** What a key may do, as it stands in the fields of a form. */
export interface TermsForm {
  name: string;
  expiry: Expiry;
  /** Last day, as a date field has it. */
  day: string;
  /** With commas or lines between them. */
  models: string;
  limits: Partial<Record<LimitName, number>>;
}

/** A form for a key that is to be made. */
export function emptyForm(): TermsForm {
  return { name: '', expiry: 'never', day: '', models: '', limits: {} };
}

/** A form for a key that is to be changed. */
export function formOf(key: KeyView): TermsForm {
  const limits: TermsForm['limits'] = {};
  for (const name of LIMITS) {
    const value = key.limits[name];
    if (value !== null) limits[name] = value;
  }
  return { name: key.name, expiry: 'keep', day: '', models: key.models.join(', '), limits };
}

/** What is wrong with a form, by its fields. */
export type FormErrors = Partial<Record<'name' | 'day' | 'models' | LimitName, string>>;

/** The patterns of models that a form names, each once. */
export function modelsOf(text: string): string[] {
  const parts = text.split(/[,\n]/).map((part) => part.trim());
  return [...new Set(parts.filter(Boolean))];
}

/** Looks a form over, as the gateway will. */
export function errorsOf(form: TermsForm, now: number, zone?: string): FormErrors {
  const errors: FormErrors = {};
  const name = form.name.trim();
  if (!name) errors.name = words.form.nameMissing;
  else if ([...name].length > LONGEST_NAME) errors.name = words.form.nameLong;
  if (form.expiry === 'date' && (expiryOf(form, now, zone) ?? 0) <= now) errors.day = words.form.dayMissing;
  const models = modelsOf(form.models);
  if (models.length > MOST_MODELS || models.some((model) => model.length > LONGEST_MODEL)) {
    errors.models = words.form.modelsMany;
  }
  for (const limit of LIMITS) {
    const value = form.limits[limit];
    if (value === undefined) continue;
    if (isUsd(limit)) {
      if (!(value >= 1e-9 && value <= MOST_USD)) errors[limit] = words.form.amount;
    } else if (!(Number.isInteger(value) && value >= 1 && value <= MOST_COUNT)) {
      errors[limit] = words.form.whole;
    }
  }
  return errors;
}

function isUsd(limit: LimitName): boolean {
  return limit.startsWith('budget_usd');
}

/** When a key of this form expires, in Unix seconds; null for never, undefined for no change. */
export function expiryOf(form: TermsForm, now: number, zone?: string): number | null | undefined {
  switch (form.expiry) {
    case 'keep':
      return undefined;
    case 'never':
      return null;
    case 'date': {
      const day = parseDay(form.day);
      return day === undefined ? 0 : dayStart(day + 1, zone);
    }
    default:
      return Math.round(now) + LIFETIMES[form.expiry] * DAY;
  }
}

/** What is sent to make a key of a form. */
export function draftOf(form: TermsForm, now: number, zone?: string): KeyDraft {
  const draft: KeyDraft = { name: form.name.trim(), ...form.limits };
  const expiry = expiryOf(form, now, zone);
  if (expiry !== undefined && expiry !== null) draft.expires_at = expiry;
  const models = modelsOf(form.models);
  if (models.length > 0) draft.models = models;
  return draft;
}

/** What is sent to change a key: what differs from what it is, and null for a limit that is taken away. */
export function changeOf(key: KeyView, form: TermsForm, now: number, zone?: string): KeyChange {
  const change: KeyChange = {};
  if (form.name.trim() !== key.name) change.name = form.name.trim();
  const expiry = expiryOf(form, now, zone);
  if (expiry !== undefined && expiry !== key.expires_at) change.expires_at = expiry;
  const models = modelsOf(form.models);
  if (models.join('\n') !== key.models.join('\n')) change.models = models.length > 0 ? models : null;
  for (const limit of LIMITS) {
    const value = form.limits[limit] ?? null;
    if (value !== key.limits[limit]) change[limit] = value;
  }
  return change;
}

type Limits = Partial<Record<LimitName, number | null>>;

/** Limits in plain words: `$5 a day, 60 requests a minute`; nothing for no limits. */
export function limitsInWords(limits: Limits): string {
  const parts: string[] = [];
  for (const period of PERIODS) {
    const usd = limits[`budget_usd_${period}`];
    if (usd != null) parts.push(words.words.usd(usdText(usd), words.words.period[period]));
  }
  for (const period of PERIODS) {
    const tokens = limits[`budget_tokens_${period}`];
    if (tokens != null) parts.push(words.words.tokens(formatCompact(tokens), words.words.period[period]));
  }
  const { requests_per_minute: requests, tokens_per_minute: tokens, concurrent } = limits;
  if (requests != null) parts.push(words.words.requestsPerMinute(formatCount(requests), requests === 1));
  if (tokens != null) parts.push(words.words.tokensPerMinute(formatCompact(tokens)));
  if (concurrent != null) parts.push(words.words.concurrent(formatCount(concurrent)));
  return parts.join(', ');
}

/** All that a key may do in plain words. */
export function termsInWords(limits: Limits, models: readonly string[]): string {
  const parts = [limitsInWords(limits), models.length > 0 ? words.words.only(models.join(', ')) : ''];
  return parts.filter(Boolean).join(', ') || words.words.none;
}

function usdText(usd: number): string {
  return Number.isInteger(usd) ? `$${formatCount(usd)}` : formatUsd(usd);
}

/** The budget of a key of which most is used up. */
export function fullestBudget(
  key: KeyView,
): { share: number; period: (typeof PERIODS)[number]; unit: 'usd' | 'tokens' } | undefined {
  let fullest: ReturnType<typeof fullestBudget>;
  for (const period of PERIODS) {
    for (const unit of ['usd', 'tokens'] as const) {
      const limit = key.limits[`budget_${unit}_${period}`];
      if (limit === null) continue;
      const used = unit === 'usd' ? key[period].cost_usd : key[period].tokens;
      const share = limit > 0 ? used / limit : 1;
      if (!fullest || share > fullest.share) fullest = { share, period, unit };
    }
  }
  return fullest;
}
