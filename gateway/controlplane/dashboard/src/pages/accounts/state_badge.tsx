import type { AccountView } from '../../api/schema';
import { accounts as words } from '../../strings/accounts';
import {
  Badge,
  ClockIcon,
  Countdown,
  DangerIcon,
  type Icon,
  IdleIcon,
  LockIcon,
  OkIcon,
  PauseIcon,
  SettingsIcon,
  TimeText,
  type Tone,
} from '../../ui';
import css from './accounts.module.css';
import type { StateName } from './filter';

/** How each state looks. */
export const LOOKS: Record<StateName, { tone: Tone; icon: Icon }> = {
  active: { tone: 'ok', icon: OkIcon },
  cooling: { tone: 'notice', icon: ClockIcon },
  paused: { tone: 'idle', icon: PauseIcon },
  needs_reauth: { tone: 'danger', icon: DangerIcon },
  parked: { tone: 'danger', icon: LockIcon },
  not_configured: { tone: 'warning', icon: SettingsIcon },
  idle: { tone: 'idle', icon: IdleIcon },
};

/** The state of an account, with what is left of it where it ends by itself. */
export function StateBadge({ account, short }: { account: AccountView; short?: boolean }) {
  const { tone, icon } = LOOKS[account.state];
  const names = short ? words.statesShort : words.states;
  return (
    <Badge tone={tone} icon={icon} title={account.reason || undefined}>
      {names[account.state]}
      {account.until !== null && (
        <>
          {' · '}
          <Countdown until={account.until} />
        </>
      )}
    </Badge>
  );
}

/** Why an account is in its state, since when, and what ends that; nothing for one that serves. */
export function StateReason({ account }: { account: AccountView }) {
  if (account.state === 'active') return null;
  return (
    <p class={css.reason}>
      {account.state !== 'paused' && account.reason && <q class={css.words}>{account.reason}</q>}{' '}
      {words.remedies[account.state]}
      {account.since !== null && (
        <span class={css.quiet}>
          {' '}
          ({words.since} <TimeText at={account.since} />)
        </span>
      )}
    </p>
  );
}
