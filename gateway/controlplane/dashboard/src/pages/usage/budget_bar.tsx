import type { BudgetView } from '../../api/schema';
import { formatCompact, formatUsd } from '../../lib/format';
import { usage as words } from '../../strings/usage';
import { Bar, TimeText, type Tone } from '../../ui';
import css from './usage.module.css';

const NEAR = 0.8;

/** How full a budget is, as a colour. */
export function budgetTone(budget: BudgetView): Tone {
  if (budget.used >= budget.limit) return 'danger';
  if ((budget.forecast ?? 0) > budget.limit || budget.used >= NEAR * budget.limit) return 'warning';
  return 'ok';
}

/** An amount in the unit of a budget. */
export function amountText(amount: number, unit: string): string {
  return unit === 'usd' ? formatUsd(amount) : formatCompact(amount);
}

/** A budget: what is used of it, where it is heading, when it begins anew. */
export function BudgetBar({ budget, withName }: { budget: BudgetView; withName?: boolean }) {
  const period = words.budgets.period[budget.period] ?? budget.period;
  const used = amountText(budget.used, budget.unit);
  const limit = amountText(budget.limit, budget.unit);
  return (
    <div class={css.budget}>
      <span class={css.budgetName} title={withName ? budget.key_name : undefined}>
        {withName && <strong>{budget.key_name}</strong>} <span class="quiet">{period}</span>
      </span>
      <span>
        {budget.unit === 'usd' ? words.budgets.of(used, limit) : words.budgets.ofTokens(used, limit)}
      </span>
      <Bar
        value={budget.used / budget.limit}
        forecast={budget.forecast === null ? undefined : budget.forecast / budget.limit}
        tone={budgetTone(budget)}
        label={words.budgets.bar(budget.key_name, period)}
      />
      <div class={css.budgetFoot}>
        <Heading budget={budget} />
        <span>
          {words.budgets.resets} <TimeText at={budget.resets_at} />
        </span>
      </div>
    </div>
  );
}

function Heading({ budget }: { budget: BudgetView }) {
  if (budget.used >= budget.limit) return <strong class={css.over}>{words.budgets.usedUp}</strong>;
  if (budget.forecast === null) return <span>{words.budgets.tooYoung}</span>;
  const amount = amountText(budget.forecast, budget.unit);
  if (budget.used_up_at === null) return <span>{words.budgets.heading(amount)}</span>;
  return (
    <span class={css.over}>
      {words.budgets.headingOver(amount)}: {words.budgets.over} <TimeText at={budget.used_up_at} />
    </span>
  );
}
