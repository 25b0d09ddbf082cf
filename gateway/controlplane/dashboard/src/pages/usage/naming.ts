import type { UsageGroup } from '../../api/schema';
import { usage as words } from '../../strings/usage';
import type { Period } from './period';
import { type Dimension, groupKey, groupName } from './sums';

/** What a group is called on the page. */
export function groupLabel(group: UsageGroup, by: Dimension): string {
  return groupName(group, by) ?? words.noneOf[by];
}

const JUST_NOW = 120;

/** Where the requests of a group are listed; undefined for what cannot be searched for there. */
export function requestsPath(
  group: UsageGroup,
  by: Dimension,
  period: Period,
  now = Date.now() / 1000,
): string | undefined {
  const value = groupKey(group, by);
  if (!value || value === '(other)') return undefined;
  const query = new URLSearchParams({ [by]: value, since: String(period.since) });
  if (period.until < now - JUST_NOW) query.set('until', String(period.until));
  return `/requests?${query}`;
}
