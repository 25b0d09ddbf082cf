import { useQueryState } from '../../lib/query';
import { settings as words } from '../../strings/settings';
import { Tabs } from '../../ui';
import { Configuration } from './configuration';

const TABS = [{ key: 'configuration', label: words.tabs.configuration }] as const;

/** What the gateway is set to, who may use this dashboard, and what they have changed. */
export default function Page() {
  const [query, setQuery] = useQueryState<{ tab?: string }>(['tab']);
  const active = TABS.some((tab) => tab.key === query.tab) ? String(query.tab) : 'configuration';
  return (
    <Tabs
      label={words.tabs.label}
      tabs={TABS}
      active={active}
      onActive={(tab) => setQuery({ tab: tab === 'configuration' ? undefined : tab })}
    >
      {active === 'configuration' && <Configuration />}
    </Tabs>
  );
}
