import type { UsageGroup } from '../../api/schema';
import { formatCount } from '../../lib/format';
import { usage as words } from '../../strings/usage';
import { CodeBlock, WarningIcon } from '../../ui';
import css from './usage.module.css';

/** Says which requests are in no cost, why, and what to do about it. */
export function Unpriced({ models, count }: { models: readonly UsageGroup[]; count: number }) {
  const groups = models.filter((group) => group.sums.unpriced > 0);
  const without = groups.filter((group) => group.has_price !== true && group.model != null);
  return (
    <section class={css.notice} aria-label={words.unpriced.title(formatCount(count), count === 1)}>
      <WarningIcon size={18} />
      <div class={css.noticeBody}>
        <h2>{words.unpriced.title(formatCount(count), count === 1)}</h2>
        {without.length > 0 && (
          <>
            <p>{words.unpriced.without}</p>
            <Models groups={without} />
            <details class={css.how}>
              <summary>{words.unpriced.howTitle}</summary>
              <p>{words.unpriced.how}</p>
              <CodeBlock text={words.unpriced.command} label={words.unpriced.commandLabel} />
            </details>
          </>
        )}
        {groups.length > without.length && <p>{words.unpriced.noUsage(without.length > 0)}</p>}
      </div>
    </section>
  );
}

function Models({ groups }: { groups: readonly UsageGroup[] }) {
  return (
    <ul class={css.models}>
      {groups.map((group) => (
        <li key={group.model}>
          <code>{group.model}</code> <span class="quiet">{words.unpriced.count(group.sums.unpriced)}</span>
        </li>
      ))}
    </ul>
  );
}
