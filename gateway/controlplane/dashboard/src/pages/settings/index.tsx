import { useLocation } from 'preact-iso';
import { useQueryState } from '../../lib/query';
import { settings as words } from '../../strings/settings';
import { Tabs } from '../../ui';
import { MyAccount, Users } from '../access/account';
import { Audit } from './audit';
import { Configuration } from './configuration';
import css from './settings.module.css';

const TABS = [
  { key: 'configuration', label: words.tabs.configuration },
  { key: 'access', label: words.tabs.access },
  { key: 'audit', label: words.tabs.audit },
] as const;

/** What the gateway is set to, who may use this dashboard, and what they have changed. */
export default function Page() {
  const { route } = useLocation();
  const [query] = useQueryState<{ tab?: string }>(['tab']);
  const active = TABS.some((tab) => tab.key === query.tab) ? String(query.tab) : 'configuration';
  return (
    <Tabs
      label={words.tabs.label}
      tabs={TABS}
      active={active}
      onActive={(tab) => route(tab === 'configuration' ? '/settings' : `/settings?tab=${tab}`)}
    >
      {active === 'configuration' && <Configuration />}
      {active === 'access' && (
        <div class={css.stack}>
          <Users />
          <MyAccount />
        </div>
      )}
      {active === 'audit' && <Audit />}
    </Tabs>
  );
}
