import { useLocation } from 'preact-iso';
import { useQueryState } from '../../lib/query';
import { canary as words } from '../../strings/canary';
import { Tabs } from '../../ui';
import { BrokenRules } from './broken_rules';
import css from './canary.module.css';
import { Evidence } from './evidence';
import { Machine } from './machine';

const TABS = [
  { key: 'evidence', label: words.tabs.evidence },
  { key: 'machine', label: words.tabs.machine },
] as const;

/** Whether the gateway is fit for more, and what every stream goes through. */
export default function Page() {
  const { route } = useLocation();
  const [query] = useQueryState<{ tab?: string }>(['tab']);
  const active = query.tab === 'machine' ? 'machine' : 'evidence';
  return (
    <Tabs
      label={words.tabs.label}
      tabs={TABS}
      active={active}
      onActive={(tab) => route(tab === 'evidence' ? '/canary' : `/canary?tab=${tab}`)}
    >
      {active === 'evidence' ? (
        <Evidence />
      ) : (
        <div class={css.stack}>
          <Machine />
          <BrokenRules />
        </div>
      )}
    </Tabs>
  );
}
