import type { AccountView } from '../../api/schema';
import { isAdmin } from '../../api/session';
import { formatCount } from '../../lib/format';
import { accounts as words } from '../../strings/accounts';
import { Badge, Button, Count, KeysIcon, Menu, MoreIcon, ProviderBadge, TimeText, Usd } from '../../ui';
import css from './accounts.module.css';
import { Limits } from './limits';
import { NameEditor } from './name_editor';
import { StateBadge, StateReason } from './state_badge';
import { type Actions, isReplaceable, type Opened } from './use_actions';

/** One account with what matters of it. */
export function AccountCard(props: {
  account: AccountView;
  actions: Actions;
  onOpen: (what: Opened['what']) => void;
}) {
  const { account, actions, onOpen } = props;
  const work = actions.working.get(account.id);
  return (
    <li class={css.card} aria-busy={work ? 'true' : undefined} data-account={account.id}>
      <header class={css.cardHead}>
        <NameEditor
          name={account.name}
          onOpen={() => onOpen('details')}
          onRename={isAdmin() && !account.is_environment ? (name) => actions.rename(account, name) : null}
        />
        <Menu
          label={words.actions.of(account.name)}
          icon={MoreIcon}
          iconOnly
          items={actions.items(account, onOpen)}
          disabled={work !== undefined}
        />
      </header>
      <div class={css.badges}>
        <ProviderBadge provider={account.provider} />
        <StateBadge account={account} />
        {work && (
          <Badge tone="accent">
            <span role="status">{words.actions.working[work]}</span>
          </Badge>
        )}
        {account.owner && <span class={css.owner}>{account.owner}</span>}
      </div>
      <StateReason account={account} />
      <Remedy account={account} onOpen={onOpen} disabled={work !== undefined} />
      <Limits account={account} />
      <UseLine account={account} />
      <RenewalLine account={account} />
    </li>
  );
}

/** A button for what an account needs that can be had here at once. */
export function Remedy(props: {
  account: AccountView;
  onOpen: (what: Opened['what']) => void;
  disabled: boolean;
}) {
  const { account, onOpen, disabled } = props;
  if (account.state !== 'needs_reauth' || !isAdmin() || !isReplaceable(account)) return null;
  return (
    <div>
      <Button icon={KeysIcon} disabled={disabled} onClick={() => onOpen('replace')}>
        {words.actions.replace}
      </Button>
    </div>
  );
}

function UseLine({ account }: { account: AccountView }) {
  return (
    <dl class={css.use}>
      <UseOf label={words.use.day} use={account.day} />
      <UseOf label={words.use.month} use={account.month} />
      <div>
        <dt>{words.use.inFlight}</dt>
        <dd>
          <Count value={account.in_flight} />
        </dd>
      </div>
      <div>
        <dt>{words.use.lastUsed}</dt>
        <dd>{account.last_used_at === null ? words.use.never : <TimeText at={account.last_used_at} />}</dd>
      </div>
    </dl>
  );
}

function UseOf({ label, use }: { label: string; use: AccountView['day'] }) {
  const unpriced = use.unpriced > 0 ? words.use.unpriced(formatCount(use.unpriced)) : undefined;
  return (
    <div>
      <dt>{label}</dt>
      <dd title={unpriced}>
        {words.use.requests(formatCount(use.requests), use.requests === 1)}, <Usd value={use.cost_usd} />
      </dd>
    </div>
  );
}

/** How the renewal of a credential that expires stands. */
export function RenewalLine({ account }: { account: AccountView }) {
  const { renewal } = account;
  if (!renewal) return null;
  return (
    <p class={css.renewal}>
      {renewal.under_way && <Badge tone="accent">{words.renewal.underWay}</Badge>}
      {renewal.renewed_at !== null && (
        <span>
          {words.renewal.renewed} <TimeText at={renewal.renewed_at} />
        </span>
      )}
      {renewal.expires_at !== null && (
        <span>
          {words.renewal.expires} <TimeText at={renewal.expires_at} />
        </span>
      )}
      {renewal.problem && account.state !== 'needs_reauth' && (
        <span class={css.warning}>
          {words.renewal.problem}: {renewal.problem}
        </span>
      )}
    </p>
  );
}
