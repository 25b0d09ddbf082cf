import type { KeyView } from '../../api/schema';
import { keys as words } from '../../strings/keys';
import { Badge, type Tone } from '../../ui';

const TONES: Record<string, Tone> = {
  active: 'ok',
  expiring: 'warning',
  expired: 'danger',
  revoked: 'idle',
};

/** What a key is good for. */
export function StateBadge({ of }: { of: KeyView }) {
  const trouble = of.state === 'revoked' ? undefined : words.secretKey[of.secret_key ?? ''];
  const tone = trouble ? 'warning' : (TONES[of.state] ?? 'idle');
  return (
    <Badge tone={tone} title={trouble}>
      {words.state[of.state] ?? of.state}
      {trouble && <span class="visually-hidden">. {trouble}</span>}
    </Badge>
  );
}
