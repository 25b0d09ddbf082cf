import type { AccountView } from '../../api/schema';

/** A state of an account. */
export type StateName = AccountView['state'];

/** Which accounts are wanted, as in the address. */
export type Wanted = {
  q?: string;
  provider?: string;
  /** A state, or `attention` for those that need a person. */
  state?: string;
  sort?: string;
};

/** States in the order of how much they want to be seen. */
export const STATES: readonly StateName[] = [
  'needs_reauth',
  'parked',
  'cooling',
  'paused',
  'not_configured',
  'idle',
  'active',
];

const ATTENTION: ReadonlySet<StateName> = new Set(['needs_reauth', 'parked', 'not_configured']);

/** Tells whether only a person can bring an account back. */
export function needsPerson(account: AccountView): boolean {
  return ATTENTION.has(account.state);
}

/** What the account shares out of the limit that is nearest to its end; undefined if nothing is known. */
export function mostUsed(account: AccountView): AccountView['limits'][number] | undefined {
  let most: AccountView['limits'][number] | undefined;
  for (const limit of account.limits) {
    if (limit.used !== null && limit.used > (most?.used ?? -1)) most = limit;
  }
  return most;
}

/** The accounts that have all words of the search in their name, owner, address or id. */
function matches(account: AccountView, words: readonly string[]): boolean {
  if (words.length === 0) return true;
  const text = `${account.name}\n${account.owner}\n${account.base_url}\n${account.id}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** How many accounts are in each state, of those that the other filters take. */
export type Counts = Record<StateName | 'all' | 'attention', number>;

/** The accounts that are wanted, in no particular order, and how many there are in each state. */
export function filtered(
  accounts: readonly AccountView[],
  wanted: Wanted,
): { rows: AccountView[]; counts: Counts } {
  const words = (wanted.q ?? '').toLowerCase().split(/\s+/).filter(Boolean);
  const counts = { all: 0, attention: 0 } as Counts;
  for (const state of STATES) counts[state] = 0;
  const rows: AccountView[] = [];
  for (const account of accounts) {
    if (wanted.provider && account.provider !== wanted.provider) continue;
    if (!matches(account, words)) continue;
    counts.all += 1;
    counts[account.state] += 1;
    const attention = needsPerson(account);
    if (attention) counts.attention += 1;
    if (wanted.state === 'attention' ? attention : !wanted.state || account.state === wanted.state) {
      rows.push(account);
    }
  }
  return { rows, counts };
}

/** What accounts can be sorted by. */
export const SORTS = ['name', 'state', 'used', 'requests', 'cost', 'last'] as const;

const COMPARE = new Intl.Collator('en', { numeric: true, sensitivity: 'base' }).compare;
const BY: Record<string, (account: AccountView) => number> = {
  state: (account) => STATES.indexOf(account.state),
  used: (account) => -(mostUsed(account)?.used ?? -1),
  requests: (account) => -account.day.requests,
  cost: (account) => -account.day.cost_usd,
  last: (account) => -(account.last_used_at ?? 0),
};

/** The accounts in an order; equals by name. */
export function inOrder(accounts: readonly AccountView[], sort: string | undefined): AccountView[] {
  const by = BY[sort ?? ''];
  return accounts
    .map((account) => ({ account, place: by ? by(account) : 0 }))
    .sort((a, b) => a.place - b.place || COMPARE(a.account.name, b.account.name))
    .map(({ account }) => account);
}

/** The accounts of each provider, those of `anthropic` first. */
export function byProvider(accounts: readonly AccountView[]): [provider: string, accounts: AccountView[]][] {
  const groups = new Map<string, AccountView[]>();
  for (const account of accounts) {
    const group = groups.get(account.provider);
    if (group) group.push(account);
    else groups.set(account.provider, [account]);
  }
  return [...groups].sort(([a], [b]) => COMPARE(a, b));
}
