import type { CostLineView, RequestDetail } from '../../api/schema';
import { formatCount, formatUsd } from '../../lib/format';
import { requests as words } from '../../strings/requests';
import { Panel } from '../../ui';
import css from './requests.module.css';
import { Prose } from './violation';

const labels = words.cost;
/** All digits: the lines add up. */
const EXACT = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 9 });
const PLAIN = new Intl.NumberFormat('en', { maximumSignificantDigits: 8 });

function exact(usd: number | null): string {
  return usd === null ? labels.unknown : `$${EXACT.format(usd)}`;
}

/** What a request cost, line by line. */
export function CostPanel({ detail }: { detail: RequestDetail }) {
  const { cost, switch: moved } = detail;
  const notes = cost.note?.split('; ').filter(Boolean) ?? [];
  const models = new Set(cost.lines.map((line) => line.model).filter((model) => model !== null));
  const isCorrected =
    cost.usd !== null &&
    cost.now_usd !== null &&
    Math.abs(cost.usd - cost.now_usd) > 1e-9 &&
    cost.lines.length > 0;
  return (
    <Panel title={labels.title} hint={cost.lines.length > 0 ? labels.hint : undefined}>
      {cost.lines.length > 0 ? (
        <div class={css.scroll}>
          <table class={css.bill}>
            <caption class="visually-hidden">{labels.caption}</caption>
            <thead>
              <tr>
                <th scope="col">{labels.what}</th>
                <th scope="col">{labels.quantity}</th>
                <th scope="col">{labels.price}</th>
                <th scope="col">{labels.usd}</th>
              </tr>
            </thead>
            <tbody>
              {cost.lines.map((line, index) => (
                <Line key={index} line={line} showModel={models.size > 1} />
              ))}
            </tbody>
            <tfoot>
              <tr>
                <th scope="row" colSpan={3}>
                  {isCorrected ? labels.sum : labels.recorded}
                </th>
                <td>{exact(cost.now_usd)}</td>
              </tr>
              {isCorrected && (
                <tr>
                  <th scope="row" colSpan={3}>
                    {labels.recorded}
                  </th>
                  <td>{exact(cost.usd)}</td>
                </tr>
              )}
            </tfoot>
          </table>
        </div>
      ) : (
        <p class={css.bigCost}>{exact(cost.usd)}</p>
      )}
      <ul class={css.notes}>
        {isCorrected && <li>{labels.corrected}</li>}
        {notes.map((note) => (
          <li key={note}>
            <Prose text={labels.note(note)} />
          </li>
        ))}
        {moved && moved.cached_tokens > 0 && (
          <li>
            {labels.switch(moved.cached_tokens, moved.account)}: {formatUsd(moved.usd)}.
          </li>
        )}
      </ul>
    </Panel>
  );
}

function Line({ line, showModel }: { line: CostLineView; showModel: boolean }) {
  return (
    <tr>
      <th scope="row">
        {labels.kinds[line.kind] ?? line.what}
        {showModel && line.model && <span class="quiet"> {line.model}</span>}
      </th>
      <td>{formatCount(line.quantity)}</td>
      <td>
        <span title={`$${PLAIN.format(line.list_usd)}`}>${PLAIN.format(line.list_usd)}</span>{' '}
        <span class="quiet">{line.per === 1 ? labels.each : labels.perMillion}</span>
        {line.factors.map((factor) => (
          <span key={factor.what} class={css.factor}>
            {labels.times(PLAIN.format(factor.value), factor.what)}
          </span>
        ))}
      </td>
      <td>{exact(line.usd)}</td>
    </tr>
  );
}
