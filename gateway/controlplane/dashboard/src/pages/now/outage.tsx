import type { HealthView, ProviderHealth } from '../../api/schema';
import { now as words } from '../../strings/now';
import { Countdown, Link, WarningIcon } from '../../ui';
import css from './outage.module.css';

const STATES = ['needs_reauth', 'parked', 'paused', 'cooling'] as const;

/** Says that nothing can be served for a provider, why, and what to do or until when. */
export function Outages({ health }: { health: HealthView }) {
  const out = outages(health);
  if (out.length === 0) return null;
  return (
    <div class={css.outages} role="alert">
      {out.map((one) => (
        <Outage key={one.provider} of={one} isReady={health.readiness === 'ready'} />
      ))}
    </div>
  );
}

/** Providers that cannot be served for; one without an account counts where nothing else is served either. */
export function outages({ providers, readiness }: HealthView): ProviderHealth[] {
  if (readiness === 'draining') return [];
  const out = providers.filter(({ serves }) => serves === 'later' || serves === 'not');
  if (out.length > 0 || readiness === 'ready') return out;
  return providers.filter(({ serves }) => serves === 'none').slice(0, 1);
}

function Outage({ of, isReady }: { of: ProviderHealth; isReady: boolean }) {
  const { outage: labels } = words;
  const parts = STATES.filter((state) => (of.accounts[state] ?? 0) > 0).map(
    (state) => labels.accounts[state]?.(of.accounts[state] ?? 0) ?? '',
  );
  return (
    <div class={css.outage}>
      <WarningIcon />
      <p>
        <strong>{labels.title(words.provider.names[of.provider] ?? of.provider)}</strong>{' '}
        {parts.length > 0 ? labels.why(parts) : labels.noAccount} {isReady ? labels.refused : labels.notReady}
        {of.back_at !== null && (
          <>
            {' '}
            {labels.later} <Countdown until={of.back_at} />.
          </>
        )}
      </p>
      <Link href="/accounts" button="plain">
        {labels.link}
      </Link>
    </div>
  );
}
