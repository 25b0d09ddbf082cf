import { batch, computed, type Signal, signal } from '@preact/signals';
import { type ApiFailure, failureFrom } from '../../api/failure';
import type { RequestCount, RequestList as RequestPage, RequestView } from '../../api/schema';
import { matches, type RequestsQuery } from './filters';

/** Where requests come from. */
export interface Source {
  page(query: RequestsQuery, after: string | undefined, signal: AbortSignal): Promise<RequestPage>;
  count(query: RequestsQuery, signal: AbortSignal): Promise<RequestCount>;
}

/** Pages without a single match that are asked for one after the other before the reader is asked. */
const PATIENCE = 4;
/** Most requests that are kept; whoever wants more exports them. */
export const MOST = 20_000;
/** New ones on top are added to so many; beyond, the list begins anew. */
const MOST_LIVE = 2_000;
/** Most new ones that are held back while the reader is further down. */
const MOST_HELD = 500;
/** Milliseconds in which new ones are gathered. */
const GATHER = 250;

/** Whether a request stands before another one in the list: the newest come first. */
export function isBefore(one: RequestView, other: RequestView): boolean {
  return one.at !== other.at ? one.at > other.at : one.id > other.id;
}

/** A list with more requests in their places, none of them twice. */
export function merged(rows: readonly RequestView[], more: readonly RequestView[]): RequestView[] {
  const known = new Set(rows.map((row) => row.id));
  const added = more.filter((row) => !known.has(row.id) && known.add(row.id));
  if (added.length === 0) return rows as RequestView[];
  added.sort((one, other) => (isBefore(one, other) ? -1 : 1));
  const all: RequestView[] = [];
  let at = 0;
  for (const row of added) {
    while (at < rows.length && isBefore(rows[at] as RequestView, row)) all.push(rows[at++] as RequestView);
    all.push(row);
  }
  for (; at < rows.length; at++) all.push(rows[at] as RequestView);
  return all;
}

/**
 * The requests that a filter takes, page after page, and those that end while one looks. New ones are added while
 * the reader is at the top, and held back while not, so that nothing moves under the eyes.
 */
export class RequestList {
  readonly rows: Signal<readonly RequestView[]> = signal([]);
  /** The first page is under way, or a later one. */
  readonly loading: Signal<'first' | 'more' | undefined> = signal();
  readonly error: Signal<ApiFailure | undefined> = signal();
  /** How many there are in all, as far as it is counted. */
  readonly count: Signal<RequestCount | undefined> = signal();
  /** New ones that are held back. */
  readonly held: Signal<readonly RequestView[]> = signal([]);
  /** New ones came that were not told of. */
  readonly missed = signal(false);
  /** Nothing older is left. */
  readonly atEnd = computed(() => this.after.value === null);
  /** Several pages had no match; older requests have not been looked at. */
  readonly gaveUp = signal(false);
  /** There would be more, but so many are kept. */
  readonly full = computed(() => this.rows.value.length >= MOST);

  private readonly after: Signal<string | null | undefined> = signal(undefined);
  private query: RequestsQuery = {};
  private ended = new AbortController();
  private gathered: RequestView[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly source: Source,
    /** Whether new ones may be added where the reader looks now. */
    private readonly mayAdd: () => boolean = () => true,
  ) {}

  /** Begins anew. What was there stays until the answer comes. */
  async open(query: RequestsQuery): Promise<void> {
    this.ended.abort();
    this.ended = new AbortController();
    this.query = query;
    this.gathered = [];
    batch(() => {
      this.loading.value = 'first';
      this.error.value = undefined;
      this.gaveUp.value = false;
    });
    const { signal: current } = this.ended;
    const found = await this.fetch(undefined, current);
    if (!found) return;
    batch(() => {
      this.rows.value = merged(found.rows, this.gathered);
      this.held.value = [];
      this.missed.value = false;
      this.after.value = found.after;
      this.count.value = undefined;
      this.loading.value = undefined;
    });
    try {
      const count = await this.source.count(query, current);
      if (!current.aborted) this.count.value = count;
    } catch {
      // The list says what went wrong, if it goes on.
    }
  }

  /** Loads the next page, unless one is under way or there is none. */
  async more(): Promise<void> {
    const { value: after } = this.after;
    if (this.loading.peek() || after === null || after === undefined || this.full.peek()) return;
    batch(() => {
      this.loading.value = 'more';
      this.error.value = undefined;
      this.gaveUp.value = false;
    });
    const found = await this.fetch(after, this.ended.signal);
    if (!found) return;
    batch(() => {
      this.rows.value = merged(this.rows.peek(), found.rows);
      this.after.value = found.after;
      this.loading.value = undefined;
    });
  }

  /** Takes note of a request that has just ended. */
  hear(row: RequestView): void {
    if (!matches(row, this.query)) return;
    this.gathered.push(row);
    this.timer ??= setTimeout(() => this.add(), GATHER);
  }

  /** Shows the new ones that are held back. */
  async showHeld(): Promise<void> {
    if (this.missed.peek()) return this.open(this.query);
    batch(() => {
      this.rows.value = merged(this.rows.peek(), this.held.peek());
      this.held.value = [];
    });
  }

  /** Events were missed: loads again, or offers to. */
  reset(): void {
    if (this.mayAdd()) void this.open(this.query);
    else this.missed.value = true;
  }

  /** Nobody looks any more. */
  close(): void {
    this.ended.abort();
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private add(): void {
    this.timer = undefined;
    // The page under way may have them already.
    if (this.loading.peek() === 'first') return;
    const fresh = this.gathered;
    this.gathered = [];
    const rows = this.rows.peek();
    const before = this.held.peek().length;
    const number = merged(rows, [...this.held.peek(), ...fresh]).length - rows.length;
    batch(() => {
      if (!this.mayAdd()) {
        if (number > MOST_HELD) this.missed.value = true;
        else this.held.value = merged(this.held.peek(), fresh);
      } else if (rows.length + fresh.length > MOST_LIVE) {
        void this.open(this.query);
      } else {
        this.rows.value = merged(rows, [...this.held.peek(), ...fresh]);
        this.held.value = [];
      }
      const count = this.count.peek();
      if (count) this.count.value = { ...count, number: count.number + Math.max(0, number - before) };
    });
  }

  private async fetch(
    from: string | undefined,
    current: AbortSignal,
  ): Promise<{ rows: RequestView[]; after: string | null } | undefined> {
    const rows: RequestView[] = [];
    let after: string | null | undefined = from;
    try {
      for (let round = 0; round < PATIENCE; round++) {
        const page: RequestPage = await this.source.page(this.query, after ?? undefined, current);
        if (current.aborted) return undefined;
        rows.push(...page.requests);
        after = page.after;
        if (rows.length > 0 || after === null) break;
      }
    } catch (error) {
      if (current.aborted) return undefined;
      batch(() => {
        this.error.value = failureFrom(error);
        this.loading.value = undefined;
      });
      return undefined;
    }
    this.gaveUp.value = rows.length === 0 && after !== null;
    return { rows, after: after ?? null };
  }
}
