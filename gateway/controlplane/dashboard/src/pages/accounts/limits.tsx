import { useComputed } from '@preact/signals';
import type { AccountView, LimitView } from '../../api/schema';
import { now } from '../../lib/clock';
import { formatPercent } from '../../lib/format';
import { accounts as words } from '../../strings/accounts';
import { Bar, Countdown, TimeText, type Tone } from '../../ui';
import css from './accounts.module.css';
import { type Forecast, forecast } from './forecast';
import { sightings } from './roster';

const NEAR = 0.8;
/** A limit of a minute that is hardly used says nothing to anybody. */
const SHOWN = 0.005;

/** What a limit is called. */
export function limitName(limit: LimitView): string {
  const [base = limit.name] = limit.name.split('_');
  const name = words.limits.names[limit.name] ?? words.limits.names[base] ?? limit.name;
  return limit.family === 'account' || limit.family === ''
    ? name
    : words.limits.of(name, capitalized(limit.family));
}

function capitalized(family: string): string {
  return family.charAt(0).toUpperCase() + family.slice(1);
}

/** How worrying a limit is. */
export function limitTone(limit: LimitView, expected: Forecast | undefined): Tone {
  if (limit.status === 'rejected' || (limit.used ?? 0) >= 1) return 'danger';
  if ((limit.used ?? 0) >= NEAR || expected?.fullAt !== undefined) return 'warning';
  return 'accent';
}

/** Where a limit will stand when it starts anew; computed again as time goes by. */
export function useForecast(account: string, limit: LimitView): Forecast | undefined {
  // Once a minute is enough, and spares what is shown.
  const minute = useComputed(() => Math.floor(now.value / 60) * 60).value;
  const at = Math.max(minute, limit.observed_at);
  return forecast(limit, sightings.of(account, limit), at);
}

/** The limits of an account as bars. Those of a minute only where they are used. */
export function Limits({ account, all }: { account: AccountView; all?: boolean }) {
  const shown = all
    ? account.limits
    : account.limits.filter((limit) => (limit.seconds ?? 0) > 60 || (limit.used ?? 0) >= SHOWN);
  if (shown.length === 0) return <Unused account={account} />;
  return (
    <ul class={css.limits} aria-label={words.limits.title}>
      {shown.map((limit) => (
        <LimitRow key={`${limit.name}/${limit.family}`} account={account.id} limit={limit} />
      ))}
    </ul>
  );
}

/** Nothing is left of limits a moment after a request, if they are of a minute and large. */
function Unused({ account }: { account: AccountView }) {
  const seen = account.limits_seen_at;
  if (seen === null) return <p class={css.quiet}>{words.limits.none}</p>;
  return (
    <p class={css.quiet}>
      {words.limits.unused} <TimeText at={seen} />
    </p>
  );
}

function LimitRow({ account, limit }: { account: string; limit: LimitView }) {
  const expected = useForecast(account, limit);
  const name = limitName(limit);
  const tone = limitTone(limit, expected);
  return (
    <li class={css.limit}>
      <div class={css.limitHead}>
        <span>{name}</span>
        <span class={css.limitUsed}>
          {limit.used === null
            ? words.limits.unknownUse
            : `${formatPercent(limit.used)} ${words.limits.used}`}
        </span>
      </div>
      <Bar value={limit.used ?? 0} forecast={expected?.share} tone={tone} label={name} />
      <LimitOutlook limit={limit} expected={expected} />
    </li>
  );
}

function LimitOutlook({ limit, expected }: { limit: LimitView; expected: Forecast | undefined }) {
  const soon = expected?.fullAt;
  return (
    <p class={css.limitFoot}>
      <span>
        {limit.resets_at !== null && (
          <>
            {limit.resets_at > now.value ? words.limits.resets : words.limits.startsAnew}{' '}
            <Countdown until={limit.resets_at} />
          </>
        )}
      </span>
      {soon !== undefined ? (
        <span class={css.warning}>
          {words.limits.full} <Countdown until={soon} />
        </span>
      ) : (
        expected && <span>{words.limits.forecast(formatPercent(expected.share))}</span>
      )}
    </p>
  );
}
