import { useEffect, useRef } from 'preact/hooks';
import { api, take } from '../../api/client';
import { failureFrom } from '../../api/failure';
import type { RequestDetail, TimelineAnswer } from '../../api/schema';
import { type ResourceState, useResource } from '../../api/use_resource';
import { cx } from '../../lib/cx';
import { onLive } from '../../live/live';
import { requests as words } from '../../strings/requests';
import {
  Button,
  ChevronLeftIcon,
  CodeBlock,
  CopyButton,
  DownIcon,
  DownloadIcon,
  Empty,
  ErrorNote,
  IconButton,
  Link,
  Loading,
  PageActions,
  Panel,
  ProviderBadge,
  UpIcon,
  usePageTitle,
} from '../../ui';
import { CostPanel } from './cost';
import { Facts } from './detail_facts';
import { OutcomeBadge } from './outcome';
import type { RequestList } from './request_list';
import css from './requests.module.css';
import { summarise } from './summary';
import { TimePanel } from './time';
import { TimelinePanel } from './timeline';
import { UsagePanel } from './usage';
import { ViolationPanel } from './violation';

const { detail: labels } = words;

/**
 * One request in full. The buttons go to its neighbours in the list, and so do J and K while it has the focus; Escape
 * goes back to the list.
 */
export function Detail(props: {
  id: string;
  list: RequestList;
  back: string;
  href: (id: string) => string;
  onGo: (id: string) => void;
  onBack: () => void;
}) {
  const { id, list } = props;
  const found = useResource((signal) => loadRequest(id, signal), [id]);
  const { loading, slow, reload } = found;
  const timeline: ResourceState<TimelineAnswer> = { loading, slow, reload, ...found.data?.timeline };
  const box = useRef<HTMLDivElement>(null);
  usePageTitle(labels.title(id));
  useEffect(() => {
    window.scrollTo(0, 0);
    box.current?.focus({ preventScroll: true });
    return onLive('request', (row: { id?: string }) => {
      // It had not ended when it was asked for.
      if (row.id !== id) return;
      found.reload();
    });
  }, [id]);

  const rows = list.rows.value;
  const at = rows.findIndex((row) => row.id === id);
  const newer = at > 0 ? rows[at - 1]?.id : undefined;
  const older = at >= 0 ? rows[at + 1]?.id : undefined;
  useEffect(() => {
    if (at >= 0 && at >= rows.length - 2) void list.more();
  }, [at, rows.length]);
  useKeys({
    k: newer === undefined ? undefined : () => props.onGo(newer),
    j: older === undefined ? undefined : () => props.onGo(older),
    Escape: props.onBack,
  });

  // On the way to a neighbour the last one stays, so that nothing jumps.
  const isStale = found.data?.of !== id;
  const known = isStale && found.error ? undefined : found.data?.detail;
  return (
    <>
      <PageActions>
        <Link href={props.back} button="plain" icon={ChevronLeftIcon} aria-keyshortcuts="Escape">
          {labels.back}
        </Link>
        <span class={css.neighbours} data-keys="">
          <IconButton
            label={labels.previous}
            title={`${labels.previous} (K)`}
            aria-keyshortcuts="K"
            icon={UpIcon}
            disabled={newer === undefined}
            onClick={() => newer !== undefined && props.onGo(newer)}
          />
          <IconButton
            label={labels.next}
            title={`${labels.next} (J)`}
            aria-keyshortcuts="J"
            icon={DownIcon}
            disabled={older === undefined}
            onClick={() => older !== undefined && props.onGo(older)}
          />
        </span>
      </PageActions>
      <div ref={box} class={css.box} tabIndex={-1} data-keys="">
        {known ? (
          <div class={cx(css.detail, isStale && css.stale)} aria-busy={isStale ? 'true' : undefined}>
            {found.error && <ErrorNote error={found.error} onRetry={found.reload} />}
            <Summary detail={known} hasTimeline={Boolean(timeline.data?.timeline)} />
            {known.violation && (
              <ViolationPanel
                detail={known}
                violation={known.violation}
                broken={timeline.data?.timeline?.broken}
              />
            )}
            <TimePanel detail={known} />
            {known.request.stream && <TimelinePanel of={timeline} />}
            <div class={css.pair}>
              <UsagePanel usage={known.usage} />
              <CostPanel detail={known} />
            </div>
            <Facts detail={known} />
            {known.curl && (
              <Panel title={words.facts.curl} hint={words.facts.curlHint}>
                <CodeBlock text={known.curl} label={words.facts.curlCommand} />
              </Panel>
            )}
          </div>
        ) : found.error ? (
          <Panel title={labels.title(id)}>
            {found.error.status === 404 ? (
              <Empty title={labels.unknown}>
                <p>{found.error.message}</p>
                <Button onClick={found.reload}>{labels.retry}</Button>
              </Empty>
            ) : (
              <ErrorNote error={found.error} onRetry={found.reload} />
            )}
          </Panel>
        ) : (
          <Panel title={labels.title(id)}>
            <Loading what={labels.what} height={480} />
          </Panel>
        )}
      </div>
    </>
  );
}

function Summary({ detail, hasTimeline }: { detail: RequestDetail; hasTimeline: boolean }) {
  const { request, curl } = detail;
  return (
    <Panel
      title={labels.summary}
      actions={
        <>
          <CopyButton text={request.id} label={labels.copyId} />
          {curl && <CopyButton text={curl} label={labels.copyCurl} />}
          {hasTimeline && (
            <Link
              href={`/api/v1/requests/${encodeURIComponent(request.id)}/skeleton.sse`}
              download
              button="plain"
              icon={DownloadIcon}
            >
              {labels.skeleton}
            </Link>
          )}
        </>
      }
    >
      <div class={css.summary}>
        <div class={css.badges}>
          <OutcomeBadge request={request} />
          {request.provider && <ProviderBadge provider={request.provider} />}
          {request.session && (
            <Link href={`/requests?${new URLSearchParams({ session: request.session })}`}>
              {labels.session}
            </Link>
          )}
          {asksForAccounts(detail) && <Link href="/accounts">{labels.accounts}</Link>}
        </div>
        <p class={css.sentences}>{summarise(detail).join(' ')}</p>
      </div>
    </Panel>
  );
}

const OF_ACCOUNTS = new Set(['credential', 'quota', 'billing']);

/** Whether what happened is something to look for at the accounts. */
function asksForAccounts({ request, attempts }: RequestDetail): boolean {
  if (request.outcome === 'rejected') return request.status === 503 || request.status === 529;
  return attempts.some((attempt) => OF_ACCOUNTS.has(attempt.fault ?? ''));
}

/** A request with its timeline: what the timeline says of it takes its place among the rest. */
async function loadRequest(id: string, signal: AbortSignal) {
  const params = { path: { id } };
  const timeline = take(api.GET('/api/v1/requests/{id}/timeline', { params, signal })).then(
    (data) => ({ data, error: undefined }),
    (error: unknown) => ({ data: undefined, error: failureFrom(error) }),
  );
  const detail = await take(api.GET('/api/v1/requests/{id}', { params, signal }));
  return { of: id, detail, timeline: await timeline };
}

/** Single keys that do something, unless the reader types or a dialog is open; characters only within `data-keys`. */
function useKeys(keys: Record<string, (() => void) | undefined>): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.target as HTMLElement;
      if (target.closest('input, textarea, select, [contenteditable], [role=menu], dialog[open]')) return;
      if (document.querySelector('dialog[open], :popover-open')) return;
      const run = latest.current[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      // A single character is meant only by somebody who is here: words that are spoken may have it in them.
      if (!run || (event.key.length === 1 && !target.closest('[data-keys]'))) return;
      event.preventDefault();
      run();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);
}
