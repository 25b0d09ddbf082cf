import type { BudgetList } from '../../api/schema';
import type { ResourceState } from '../../api/use_resource';
import { usage as words } from '../../strings/usage';
import { Empty, Link, Panel, Resource } from '../../ui';
import { BudgetBar } from './budget_bar';
import css from './usage.module.css';

/** How the budgets of keys stand, the fullest first. */
export function BudgetsPanel({ of: budgets }: { of: ResourceState<BudgetList> }) {
  return (
    <Panel title={words.budgets.title} hint={words.budgets.hint} busy={budgets.loading}>
      <Resource of={budgets} what={words.budgets.what} height={120}>
        {(list) =>
          list.budgets.length === 0 ? (
            <Empty title={words.budgets.none}>
              <p>{words.budgets.noneNext}</p>
              <Link href="/keys">{words.budgets.noneLink}</Link>
            </Empty>
          ) : (
            <ul class={css.budgets}>
              {list.budgets.map((budget) => (
                <li key={`${budget.key_id}/${budget.period}/${budget.unit}`}>
                  <BudgetBar budget={budget} withName />
                </li>
              ))}
              {list.has_more && <li class={css.note}>{words.budgets.more}</li>}
            </ul>
          )
        }
      </Resource>
    </Panel>
  );
}
