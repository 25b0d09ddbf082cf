import type { RequestView } from '../../api/schema';
import { requests as words } from '../../strings/requests';
import { Badge, OkIcon, type Tone } from '../../ui';
import css from './requests.module.css';

const BROKEN = new Set(['truncated', 'violation', 'upstream_error', 'failed']);

/** How much an end calls for somebody to look at it. */
export function toneOf(request: Pick<RequestView, 'outcome' | 'went_wrong'>): Tone {
  if (request.outcome === 'complete') return 'ok';
  if (request.outcome === 'repaired') return 'notice';
  if (BROKEN.has(request.outcome ?? '')) return 'danger';
  return request.went_wrong ? 'warning' : 'idle';
}

/** How a request ended. In a list, one that went well is quiet. */
export function OutcomeBadge({ request, quiet }: { request: RequestView; quiet?: boolean }) {
  if (request.damage !== null) {
    return (
      <Badge tone="danger" title={request.damage}>
        {words.damaged}
      </Badge>
    );
  }
  const tone = toneOf(request);
  const title = words.outcomeMeans(request.outcome);
  if (quiet && tone === 'ok') {
    return (
      <span class={css.well} title={title}>
        <OkIcon size={13} />
        {words.outcome(request.outcome)}
      </span>
    );
  }
  return (
    <Badge tone={tone} title={title}>
      {words.outcome(request.outcome)}
    </Badge>
  );
}
