import type { ComponentChildren } from 'preact';
import type { RequestDetail } from '../../api/schema';
import { formatBytes, formatTime } from '../../lib/format';
import { requests as words } from '../../strings/requests';
import { CopyButton, KeyValue, Link, Panel, ProviderBadge } from '../../ui';
import css from './requests.module.css';

const labels = words.facts;

/** Everything else that is known. */
export function Facts({ detail }: { detail: RequestDetail }) {
  const { request } = detail;
  const filtered = (name: string, value: string | null) =>
    value !== null && <Link href={`/requests?${new URLSearchParams({ [name]: value })}`}>{value}</Link>;
  const size = [
    request.stream && labels.events(detail.events),
    (request.stream || detail.bytes_in > 0) && labels.bytesIn(formatBytes(detail.bytes_in)),
    labels.bytesOut(formatBytes(detail.bytes_out)),
  ].filter(Boolean);
  const items: [string, ComponentChildren][] = [
    [labels.id, <Id key="id" value={request.id} what={labels.id} />],
    [labels.upstreamId, <Id key="upstream" value={detail.upstream_request_id} what={labels.upstreamId} />],
    [labels.time, formatTime(request.at, 'full')],
    [
      labels.route,
      <span key="route" class="mono">
        {request.route}
      </span>,
    ],
    [labels.status, request.status],
    [labels.stream, request.stream ? labels.yes : labels.no],
    [labels.provider, request.provider && <ProviderBadge provider={request.provider} />],
    [labels.account, filtered('account', request.account)],
    [labels.actor, request.actor_id ? filtered('actor', request.actor) : request.actor],
    [labels.client, request.client],
    [labels.session, filtered('session', request.session)],
    [labels.agent, detail.agent],
    [labels.class, request.request_class],
    [labels.asked, filtered('model', request.model)],
    [labels.served, request.model_served],
    [labels.stop, request.stop_reason],
    [labels.reason, detail.reason],
    [labels.version, detail.api_version],
    [labels.trace, <Id key="trace" value={detail.trace_id} what={labels.trace} />],
    [labels.size, size.join(', ')],
    [
      labels.notes,
      detail.notes.length > 0 && (
        <ul key="notes">
          {detail.notes.map((note) => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      ),
    ],
  ];
  const known = items.filter(([label, value]) => {
    if (label === labels.trace) return detail.trace_id !== null;
    if (label === labels.upstreamId) return detail.upstream_request_id !== null;
    return value !== null && value !== false && value !== undefined && value !== '';
  });
  const half = Math.ceil(known.length / 2);
  return (
    <Panel title={labels.title}>
      <div class={css.facts}>
        <KeyValue items={known.slice(0, half)} />
        <KeyValue items={known.slice(half)} />
      </div>
    </Panel>
  );
}

function Id({ value, what }: { value: string | null; what: string }) {
  if (value === null) return null;
  return (
    <span class={css.id}>
      <span class="mono">{value}</span>
      <CopyButton text={value} label={labels.copy(what)} small />
    </span>
  );
}
