import { useEffect } from 'preact/hooks';
import { api, take } from '../../api/client';
import type { BrokenRule } from '../../api/schema';
import { useResource } from '../../api/use_resource';
import { useQueryState } from '../../lib/query';
import { onLive } from '../../live/live';
import { canary as words } from '../../strings/canary';
import { Badge, Empty, Panel, Resource, SelectField, TimeText } from '../../ui';
import css from './machine.module.css';
import { Sentence } from './sentence';

const RANGES = { '24h': 86_400, '7d': 7 * 86_400, '30d': 30 * 86_400 } as const;
type Range = keyof typeof RANGES;
const MINUTE = 60_000;
/** Milliseconds in which several new ones are loaded at once; by then they can be read. */
const PAUSE = 2_500;

/** Which rules were broken, how often, and by which requests of late. */
export function BrokenRules() {
  const [query, setQuery] = useQueryState<{ range?: string }>(['range']);
  const range: Range = query.range && query.range in RANGES ? (query.range as Range) : '7d';
  const known = useResource(
    (signal) => {
      const since = Math.floor(Date.now() / 1000) - RANGES[range];
      return take(api.GET('/api/v1/machine/violations', { params: { query: { since } }, signal }));
    },
    [range],
    { everyMs: MINUTE },
  );
  const { reload } = known;
  useEffect(() => {
    let due: ReturnType<typeof setTimeout> | undefined;
    const stop = onLive('request', (request: { outcome?: string }) => {
      if (request.outcome === 'violation') due ??= setTimeout(look, PAUSE);
    });
    function look(): void {
      due = undefined;
      reload();
    }
    return () => {
      stop();
      clearTimeout(due);
    };
  }, [reload]);
  return (
    <Panel
      title={words.broken.title}
      hint={words.broken.hint}
      busy={known.loading}
      actions={
        <SelectField
          label={words.broken.range}
          labelHidden
          value={range}
          onValue={(value) => setQuery({ range: value === '7d' ? undefined : value })}
          options={(Object.keys(RANGES) as Range[]).map((value) => ({
            value,
            label: words.broken.ranges[value],
          }))}
        />
      }
    >
      <Resource of={known} what={words.broken.what} height={160}>
        {(broken) =>
          broken.rules.length === 0 ? (
            <Empty title={words.broken.none}>
              <p>{words.broken.noneNext}</p>
            </Empty>
          ) : (
            <>
              <ul class={css.rules}>
                {broken.rules.map((rule) => (
                  <Rule key={rule.code} rule={rule} range={range} />
                ))}
              </ul>
              {!broken.is_exact && <p class={css.choose}>{words.broken.inexact}</p>}
            </>
          )
        }
      </Resource>
    </Panel>
  );
}

function Rule({ rule, range }: { rule: BrokenRule; range: Range }) {
  return (
    <li class={css.rule}>
      <div class={css.ruleHead}>
        <h3>
          <code>{rule.code}</code>
        </h3>
        {rule.rule && (
          <Badge tone="idle" icon={null}>
            {words.broken.foundIn[rule.rule.found_in]}
          </Badge>
        )}
        <a href={`/requests?range=${range}&code=${encodeURIComponent(rule.code)}`}>
          {words.broken.times(rule.count)}
          <span class="visually-hidden">: {words.broken.all(rule.code)}</span>
        </a>
      </div>
      <p>
        <Sentence text={rule.rule?.meaning ?? words.broken.unknownRule} />
      </p>
      <ul class={css.examples} aria-label={words.broken.examples}>
        {rule.examples.map((one) => (
          <li key={one.id}>
            <a href={`/requests/${encodeURIComponent(one.id)}`}>
              <code>{one.id}</code>
            </a>{' '}
            <span class={css.since}>
              <TimeText at={one.at} />, {one.model ?? words.broken.unknownModel}
              {one.account && `, ${one.account}`}
            </span>
          </li>
        ))}
      </ul>
    </li>
  );
}
