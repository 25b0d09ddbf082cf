import { api, take } from '../../api/client';
import type {
  KeyChange,
  KeyDraft,
  KeyList,
  KeyOrder,
  KeyState,
  KeyUsage,
  KeyView,
  MadeKey,
} from '../../api/schema';
import type { Sort } from '../../ui';

export const STATES = ['active', 'expiring', 'expired', 'revoked'] as const;
const CURRENT: readonly KeyState[] = ['active', 'expiring', 'expired'];
const PAGE = 500;
/** Of a key that the gateway keeps: enough to know it by, and none of its secret. */
const SHOWN = 10;
/** What keys begin with. */
const PREFIX = 'csg_';

/** Which keys are listed, and in which order. */
export interface KeyQuery {
  search: string;
  /** One of `STATES`, `all`, or undefined for all but the revoked ones. */
  state: string | undefined;
  sort: Sort;
}

/** By what the gateway orders, and which direction is its usual one. */
const ORDERS: Record<string, { order: KeyOrder; usual: Sort['direction'] }> = {
  name: { order: 'name', usual: 'asc' },
  created: { order: 'newest', usual: 'desc' },
  last: { order: 'last_used', usual: 'desc' },
  month: { order: 'month', usual: 'desc' },
};

/** The states that a filter stands for. */
export function statesOf(state: string | undefined): readonly KeyState[] {
  if (state === 'all') return [];
  return STATES.includes(state as KeyState) ? [state as KeyState] : CURRENT;
}

/** What is searched for, as it may stand in an address: of a whole key only its beginning. */
export function searchable(text: string): string {
  const trimmed = text.trim();
  return trimmed.startsWith(PREFIX) ? trimmed.slice(0, SHOWN) : trimmed;
}

/** Lists keys, page by page until there are so many; goes on behind those of `before`, if they are given. */
export async function loadKeys(
  query: KeyQuery,
  most: number,
  signal: AbortSignal,
  before?: KeyList,
): Promise<KeyList> {
  const { order, usual } = ORDERS[query.sort.key] ?? { order: 'newest' as const, usual: 'desc' as const };
  const found: KeyView[] = [...(before?.keys ?? [])];
  let after = before?.after ?? undefined;
  for (;;) {
    const page: KeyList = await take(
      api.GET('/api/v1/keys', {
        params: {
          query: {
            search: searchable(query.search).slice(0, 100),
            state: [...statesOf(query.state)],
            order,
            reversed: query.sort.direction !== usual,
            limit: Math.min(PAGE, most - found.length),
            after,
          },
        },
        signal,
      }),
    );
    found.push(...page.keys);
    if (page.after === null || found.length >= most) return { ...page, keys: found };
    after = page.after;
  }
}

/** What a key has used and is using. */
export function loadUsage(id: string, signal: AbortSignal): Promise<KeyUsage> {
  return take(api.GET('/api/v1/keys/{id}/usage', { params: { path: { id } }, signal }));
}

export function createKey(draft: KeyDraft): Promise<MadeKey> {
  return take(api.POST('/api/v1/keys', { body: draft }));
}

export function changeKey(id: string, change: KeyChange): Promise<KeyView> {
  return take(api.PATCH('/api/v1/keys/{id}', { params: { path: { id } }, body: change }));
}

export function rotateKey(id: string, graceSeconds: number): Promise<MadeKey> {
  return take(
    api.POST('/api/v1/keys/{id}/rotate', { params: { path: { id } }, body: { grace_seconds: graceSeconds } }),
  );
}

export async function revokeKey(id: string): Promise<void> {
  await take(api.DELETE('/api/v1/keys/{id}', { params: { path: { id } } }));
}
