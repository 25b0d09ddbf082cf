import type { AccountView } from '../../api/schema';
import { formatCompact, formatCount } from '../../lib/format';
import { accounts as words } from '../../strings/accounts';
import { Countdown, Dialog, KeyValue, Link, Menu, ProviderBadge, TimeText, Usd } from '../../ui';
import css from './accounts.module.css';
import { Remedy, RenewalLine } from './card';
import { Limits } from './limits';
import { StateBadge, StateReason } from './state_badge';
import type { Actions, Opened } from './use_actions';

/** All that is known of one account. */
export function AccountDetails(props: {
  account: AccountView;
  actions: Actions;
  onOpen: (what: Opened['what']) => void;
  onClose: () => void;
}) {
  const { account, actions, onOpen, onClose } = props;
  const items = actions.items(account, onOpen).filter((item) => item.label !== words.actions.details);
  const work = actions.working.get(account.id);
  return (
    <Dialog
      open
      wide
      title={account.name}
      onClose={onClose}
      footer={
        items.length > 0 && (
          <>
            <span class={css.footStatus} role="status">
              {work && words.actions.working[work]}
            </span>
            <Menu label={words.columns.actions} items={items} disabled={work !== undefined} />
          </>
        )
      }
    >
      <div class={css.details}>
        <div class={css.badges}>
          <ProviderBadge provider={account.provider} />
          <StateBadge account={account} />
        </div>
        <StateReason account={account} />
        <Remedy account={account} onOpen={onOpen} disabled={work !== undefined} />
        <Rests account={account} />
        <section>
          <h3>{words.limits.title}</h3>
          <Limits account={account} all />
        </section>
        <section>
          <h3>{words.facts.title}</h3>
          <KeyValue items={facts(account)} />
          <RenewalLine account={account} />
        </section>
      </div>
    </Dialog>
  );
}

function Rests({ account }: { account: AccountView }) {
  if (account.rests.length === 0) return null;
  return (
    <section>
      <h3>{words.rests.title}</h3>
      <ul class={css.rests}>
        {account.rests.map((rest) => (
          <li key={rest.family}>
            <strong>{familyName(rest.family)}</strong> {words.rests.until} <Countdown until={rest.until} />
            <span class={css.quiet}>
              {' '}
              ({rest.fault}: {rest.reason})
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function familyName(family: string): string {
  if (family === 'account') return words.rests.account;
  return family || words.rests.requestsWithoutModel;
}

function facts(account: AccountView): [string, preact.ComponentChildren][] {
  return [
    [words.use.inFlight, formatCount(account.in_flight)],
    [
      words.use.lastUsed,
      account.last_used_at === null ? words.use.never : <TimeText at={account.last_used_at} mode="date" />,
    ],
    [words.use.day, <Use key="day" use={account.day} />],
    [words.use.month, <Use key="month" use={account.month} />],
    [
      words.facts.requests,
      <Link key="requests" href={`/requests?account=${encodeURIComponent(account.name)}`}>
        {words.facts.showRequests}
      </Link>,
    ],
    [words.facts.kind, kindOf(account)],
    [words.facts.owner, account.owner || words.facts.nobody],
    [words.facts.address, <code key="address">{account.base_url}</code>],
    [words.facts.bound, boundOf(account)],
    [words.facts.weight, formatCount(account.weight)],
    [words.facts.priority, formatCount(account.priority)],
    [words.facts.created, <TimeText key="created" at={account.created_at} mode="date" />],
    [words.facts.id, <code key="id">{account.id}</code>],
  ];
}

function Use({ use }: { use: AccountView['day'] }) {
  return (
    <>
      {words.use.requests(formatCount(use.requests), use.requests === 1)}, <Usd value={use.cost_usd} />,{' '}
      {words.use.tokens(formatCompact(use.input_tokens), formatCompact(use.output_tokens))}
      {use.unpriced > 0 && <> ({words.use.unpriced(formatCount(use.unpriced))})</>}
    </>
  );
}

function kindOf(account: AccountView): string {
  if (account.is_environment) return words.kinds.environment;
  if (account.kind === 'command') return words.kinds.command(account.command);
  return account.kind === 'oauth' ? words.kinds.oauth : words.kinds.api_key;
}

function boundOf(account: AccountView): string {
  if (account.max_concurrency === null) return words.facts.boundDefault;
  return account.max_concurrency === 0 ? words.facts.boundNone : formatCount(account.max_concurrency);
}
