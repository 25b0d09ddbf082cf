import { api, take } from '../../api/client';
import type { BudgetList, CacheReport, UsageGroup, UsageReport } from '../../api/schema';
import type { Period, Span } from './period';
import { type Dimension, TOP } from './sums';

/** What is asked of the gateway for a period; without an end where that is now. */
function during(span: Span, now: number): { since: number; until?: number } {
  return span.until >= now ? { since: span.since } : { since: span.since, until: span.until };
}

/** Sums by bar and the groups that cost most. */
export function loadOverTime(
  period: Period,
  by: Dimension,
  now: number,
  signal: AbortSignal,
): Promise<UsageReport> {
  const query = { ...during(period, now), by: [period.by, by], top: TOP, limit: 10_000 };
  return take(api.GET('/api/v1/usage', { params: { query }, signal }));
}

/** Sums of the whole period by groups, those first that cost most. */
export function loadGroups(
  period: Period,
  by: Dimension,
  now: number,
  signal: AbortSignal,
  limit = 500,
): Promise<UsageReport> {
  const query = { ...during(period, now), by: [by], limit };
  return take(api.GET('/api/v1/usage', { params: { query }, signal }));
}

/** Sums by model, if requests have no known cost: they say which. */
export async function loadUnpriced(
  report: UsageReport,
  period: Period,
  now: number,
  signal: AbortSignal,
): Promise<readonly UsageGroup[]> {
  if (report.total.unpriced === 0) return [];
  return (await loadGroups(period, 'model', now, signal)).groups;
}

/** The total of a span. */
export function loadTotal(span: Period['before'], signal: AbortSignal): Promise<UsageReport> {
  const query = { since: span.since, until: span.until, by: [span.by], limit: 1 };
  return take(api.GET('/api/v1/usage', { params: { query }, signal }));
}

/** What the prompt cache did. */
export function loadCache(period: Period, now: number, signal: AbortSignal): Promise<CacheReport> {
  const query = { ...during(period, now), span: period.by };
  return take(api.GET('/api/v1/usage/cache', { params: { query }, signal }));
}

/** How the budgets of keys stand. */
export function loadBudgets(signal: AbortSignal): Promise<BudgetList> {
  return take(api.GET('/api/v1/budgets', { params: { query: { limit: 50 } }, signal }));
}

/** Where a table for spreadsheets is. */
export function csvPath(period: Period, by: readonly string[], now: number): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(during(period, now))) query.set(name, String(value));
  for (const one of by) query.append('by', one);
  return `/api/v1/usage.csv?${query}`;
}
