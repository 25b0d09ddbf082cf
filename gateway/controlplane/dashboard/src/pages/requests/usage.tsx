import type { UsageView } from '../../api/schema';
import { formatCount, formatPercent } from '../../lib/format';
import { requests as words } from '../../strings/requests';
import { Count, Panel } from '../../ui';
import css from './requests.module.css';

const labels = words.usage;

/** What the upstream counted. */
export function UsagePanel({ usage }: { usage: UsageView }) {
  const parts = [
    { key: 'read', label: labels.cacheRead, value: usage.cache_read_tokens },
    { key: 'write', label: labels.cacheWrite, value: usage.cache_write_tokens },
    { key: 'input', label: labels.input, value: usage.input_tokens },
  ];
  const prompt = parts.reduce((sum, part) => sum + (part.value ?? 0), 0);
  const isKnown = parts.some((part) => part.value !== null) || usage.output_tokens !== null;
  const more = [
    [labels.searches, usage.web_searches],
    [labels.fetches, usage.web_fetches],
    [labels.executions, usage.code_executions],
  ] as const;
  const kinds = [
    [labels.tier, usage.service_tier],
    [labels.geo, usage.inference_geo],
    [labels.speed, usage.speed],
  ] as const;
  return (
    <Panel title={labels.title}>
      {!isKnown ? (
        <p class="quiet">{labels.none}</p>
      ) : (
        <>
          {prompt > 0 && (
            <div
              class={css.parts}
              role="img"
              aria-label={labels.bar(parts.map((part) => `${part.label} ${formatCount(part.value)}`))}
            >
              {parts.map(
                (part) =>
                  Boolean(part.value) && (
                    <span
                      key={part.key}
                      class={css[part.key]}
                      style={{ flexGrow: part.value ?? 0 }}
                      title={`${part.label}: ${formatCount(part.value)}`}
                    />
                  ),
              )}
            </div>
          )}
          <dl class={css.sums}>
            <Line label={labels.prompt} value={prompt} strong />
            {parts.map((part) => (
              <Line key={part.key} mark={part.key} label={part.label} value={part.value} of={prompt} />
            ))}
            {Boolean(usage.cache_write_1h_tokens) && (
              <Line label={labels.cacheWrite1h} value={usage.cache_write_1h_tokens} deep />
            )}
            {Boolean(usage.cache_write_5m_tokens) && (
              <Line label={labels.cacheWrite5m} value={usage.cache_write_5m_tokens} deep />
            )}
            <Line label={labels.output} value={usage.output_tokens} strong />
            {usage.thinking_tokens !== null && (
              <Line label={labels.thinking} value={usage.thinking_tokens} of={usage.output_tokens ?? 0} />
            )}
            {more.map(([label, value]) => value !== null && <Line key={label} label={label} value={value} />)}
            {kinds.map(
              ([label, value]) =>
                value !== null && (
                  <div key={label} class={css.sum}>
                    <dt>{label}</dt>
                    <dd>{value}</dd>
                  </div>
                ),
            )}
          </dl>
          {usage.samplings.length > 1 && (
            <>
              <h3 class={css.subhead}>{labels.samplings}</h3>
              <ol class={css.samplings}>
                {usage.samplings.map((one, index) => (
                  <li key={index}>
                    <span class={css.cut}>
                      {one.model ?? one.type ?? labels.sampling}
                      {one.model && one.type && <span class="quiet"> {one.type}</span>}
                    </span>
                    <span class="quiet">
                      {labels.prompt}{' '}
                      {formatCount(
                        (one.input_tokens ?? 0) +
                          (one.cache_read_tokens ?? 0) +
                          (one.cache_write_tokens ?? 0),
                      )}
                      , {labels.output} {formatCount(one.output_tokens)}
                    </span>
                  </li>
                ))}
              </ol>
            </>
          )}
        </>
      )}
    </Panel>
  );
}

function Line(props: {
  label: string;
  value: number | null;
  mark?: string;
  of?: number;
  strong?: boolean;
  deep?: boolean;
}) {
  const { value, of } = props;
  return (
    <div class={css.sum} data-strong={props.strong ? '' : undefined} data-deep={props.deep ? '' : undefined}>
      <dt>
        {props.mark && <span class={`${css.mark} ${css[props.mark]}`} aria-hidden="true" />}
        {props.label}
      </dt>
      <dd>
        {Boolean(of) && value !== null && <span class="quiet">{formatPercent(value / (of as number))} </span>}
        <Count value={value} />
      </dd>
    </div>
  );
}
