import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { HealthView, ProviderHealth } from '../../api/schema';
import { now as clock } from '../../lib/clock';
import { formatBytes, formatDuration } from '../../lib/format';
import { onLive } from '../../live/live';
import { now as words } from '../../strings/now';
import { Badge, CanaryIcon, ProviderBadge, TONE_ICONS, type Tone } from '../../ui';
import css from './now.module.css';

const LATE_SECONDS = 0.25;
const VERY_LATE_SECONDS = 1;
const STATES: readonly (readonly [state: string, tone: Tone])[] = [
  ['active', 'ok'],
  ['cooling', 'notice'],
  ['needs_reauth', 'danger'],
  ['parked', 'warning'],
  ['paused', 'idle'],
];

/** How the gateway is, as last told; `first` is what is known before the feed has said anything. */
export function useHealth(first: HealthView | undefined): HealthView | undefined {
  const [told, setTold] = useState<HealthView>();
  useEffect(() => onLive('health', setTold), []);
  return told && (!first || told.at > first.at) ? told : (first ?? told);
}

/** One line that says whether all is well, and if not, what is the matter. */
export function HealthStrip({ health, inFlight }: { health: HealthView; inFlight: number | undefined }) {
  const { health: labels } = words;
  const { workers } = health;
  const typical = Math.max(...workers.map((one) => one.lag_seconds), 0);
  const longest = Math.max(...workers.map((one) => one.longest_lag_seconds), 0);
  const waiting = workers.reduce((sum, one) => sum + one.records_waiting, 0);
  const forwarded = workers.reduce((sum, one) => sum + one.forwarded, 0);
  const known = inFlight ?? workers.reduce((sum, one) => sum + one.in_flight, 0);
  const isAway = workers.some((one) => one.ledger_away);
  const started = Math.min(...workers.map((one) => one.started_at));
  const isDraining = workers.some((one) => one.is_draining);
  return (
    <section class={css.health} aria-label={labels.title}>
      <dl class={css.facts}>
        <Fact label={labels.version} title={labels.rolloutMeans[health.rollout]}>
          <Badge tone={health.rollout === 'promoted' ? 'ok' : 'accent'} icon={CanaryIcon}>
            {labels.rollout[health.rollout] ?? health.rollout}
          </Badge>{' '}
          <span>{health.version}</span>
          {health.rollout_approval && (
            <span class={css.more}>{labels.approval(health.rollout_approval)}</span>
          )}
        </Fact>
        {health.providers.map((one) => (
          <Provider key={one.provider} of={one} />
        ))}
        {health.readiness !== 'ready' && !isDraining && (
          <Fact label={labels.readiness} title={labels.readinessHint} tone="danger">
            {labels.notReady}
          </Fact>
        )}
        <Fact label={labels.flight}>
          {labels.inFlight(known)}
          {forwarded > 0 && <span class={css.more}>{labels.forwarded(forwarded)}</span>}
        </Fact>
        <Fact
          label={labels.loop}
          title={labels.loopHint}
          tone={longest >= VERY_LATE_SECONDS ? 'danger' : longest >= LATE_SECONDS ? 'warning' : 'ok'}
        >
          {labels.loopValue(formatDuration(typical * 1000), formatDuration(longest * 1000))}
        </Fact>
        <Fact
          label={labels.ledger}
          title={labels.ledgerHint}
          tone={isAway ? 'danger' : health.spool_bytes > 0 ? 'warning' : 'ok'}
        >
          {isAway
            ? labels.ledgerAway(formatBytes(health.spool_bytes))
            : health.spool_bytes > 0
              ? labels.ledgerSpool(formatBytes(health.spool_bytes))
              : waiting > 0
                ? labels.ledgerWaiting(waiting)
                : labels.ledgerOk}
        </Fact>
        <Fact label={labels.database} tone={health.database_answers ? 'ok' : 'danger'}>
          {health.database_answers
            ? (labels.databaseOk[health.database] ?? health.database)
            : labels.databaseAway}
        </Fact>
        {(health.workers_wanted > 1 || isDraining) && (
          <Fact
            label={labels.workers}
            title={health.workers_known ? undefined : labels.workersAsked}
            tone={workersTone(health)}
          >
            {labels.workersOf(health.workers_known ? workers.length : undefined, health.workers_wanted)}
            {isDraining && <span class={css.more}>{labels.draining}</span>}
          </Fact>
        )}
        <Fact label={labels.uptime}>
          <Uptime since={started} />
        </Fact>
      </dl>
    </section>
  );
}

function workersTone({ workers, workers_known, workers_wanted }: HealthView): Tone | undefined {
  if (workers.some((one) => one.is_draining)) return 'warning';
  if (!workers_known) return undefined;
  return workers.length < workers_wanted ? 'warning' : 'ok';
}

function Fact(props: { label: ComponentChildren; tone?: Tone; title?: string; children: ComponentChildren }) {
  const Shown = props.tone && TONE_ICONS[props.tone];
  return (
    <div class={css.fact} title={props.title}>
      <dt>{props.label}</dt>
      <dd data-tone={props.tone}>
        {Shown && <Shown size={13} />}
        {props.children}
      </dd>
    </div>
  );
}

function Provider({ of }: { of: ProviderHealth }) {
  const { health: labels } = words;
  const counts = STATES.filter(([state]) => (of.accounts[state] ?? 0) > 0);
  return (
    <Fact label={<ProviderBadge provider={of.provider} />}>
      {counts.length === 0 && <span class={css.more}>{labels.noAccounts}</span>}
      {counts.map(([state, tone]) => {
        const Shown = TONE_ICONS[tone];
        return (
          <span key={state} class={css.state} data-tone={tone}>
            <Shown size={13} />
            {labels.stateCount(of.accounts[state] ?? 0, labels.states[state] ?? state)}
          </span>
        );
      })}
      {of.waiting > 0 && <span class={css.more}>{labels.waiting(of.waiting)}</span>}
    </Fact>
  );
}

function Uptime({ since }: { since: number }) {
  return <span>{formatDuration(Math.max(0, clock.value - since) * 1000)}</span>;
}
