import type { StreamView } from '../../api/schema';
import { formatCount, formatRate } from '../../lib/format';
import { now as words } from '../../strings/now';
import {
  Bytes,
  CopyButton,
  Count,
  Dialog,
  Duration,
  KeyValue,
  Link,
  ProviderBadge,
  TimeText,
} from '../../ui';
import { Phase } from './board';
import { Lane } from './lane';
import css from './now.module.css';
import { Since, ticking } from './ticking';

const { detail, board: labels } = words;
const MOST_PARTS = 100;

/** One request in flight, in full; goes on while it is open. */
export function StreamDialog(props: { row: StreamView | undefined; isOver: boolean; onClose: () => void }) {
  const { row } = props;
  return (
    <Dialog
      open={row !== undefined}
      title={detail.title}
      onClose={props.onClose}
      wide
      footer={row && <Over id={row.id} isOver={props.isOver} />}
    >
      {row && <Detail row={row} isOver={props.isOver} />}
    </Dialog>
  );
}

function Detail({ row, isOver }: { row: StreamView; isOver: boolean }) {
  return (
    <div class={css.detail}>
      <Lane row={row} scale="life" tall />
      <div class={css.columns}>
        <KeyValue
          items={[
            [
              detail.id,
              <span key="id" class={css.id}>
                <code>{row.id}</code> <CopyButton text={row.id} label={detail.copyId} />
              </span>,
            ],
            [labels.provider, <ProviderBadge key="provider" provider={row.provider} />],
            [detail.route, <code key="route">{row.route}</code>],
            [labels.model, row.model ?? '–'],
            [labels.actor, row.actor === 'unknown' ? labels.noActor : row.actor],
            [labels.account, row.account ?? '–'],
            [labels.client, row.client ?? '–'],
            [labels.session, row.session ? <code key="session">{row.session}</code> : '–'],
          ]}
        />
        <KeyValue
          items={[
            [labels.phase, <Phase key="phase" name={row.phase} />],
            [detail.began, <TimeText key="began" at={row.began_at} mode="clock" />],
            [labels.age, isOver ? '–' : <Since key="age" at={row.began_at} />],
            [labels.silence, isOver ? '–' : <Since key="silence" at={row.heard_at ?? row.began_at} />],
            [labels.gap, <Duration key="gap" ms={row.longest_gap * 1000} />],
            [detail.tokens, <Tokens key="tokens" row={row} />],
            [labels.events, <Count key="events" value={row.events} />],
            [labels.bytes, <Bytes key="bytes" value={row.bytes} />],
            [labels.attempts, <Count key="attempts" value={row.attempts} />],
            [labels.worker, <Count key="worker" value={row.worker} />],
          ]}
        />
      </div>
      <Parts row={row} isOver={isOver} />
    </div>
  );
}

function Over({ id, isOver }: { id: string; isOver: boolean }) {
  return (
    <p role="status" class={css.over}>
      {isOver ? (
        <>
          {detail.ended} <Link href={`/requests/${encodeURIComponent(id)}`}>{detail.open}</Link>
        </>
      ) : (
        detail.goesOnStill
      )}
    </p>
  );
}

function Tokens({ row }: { row: StreamView }) {
  if (row.output_tokens === null) return <>–</>;
  const count = formatCount(row.output_tokens);
  return (
    <>
      {row.is_exact ? count : detail.estimated(count)}{' '}
      {row.tokens_per_second !== null && (
        <span class={css.more}>{detail.rate(formatRate(row.tokens_per_second, '').trim())}</span>
      )}
    </>
  );
}

/** The lane as a table: the newest part first. */
function Parts({ row, isOver }: { row: StreamView; isOver: boolean }) {
  const parts = row.lane.slice(-MOST_PARTS).reverse();
  return (
    <div class={css.parts}>
      <table>
        <caption>{detail.way}</caption>
        <thead>
          <tr>
            <th scope="col">{detail.part}</th>
            <th scope="col">{detail.from}</th>
            <th scope="col">{detail.lasted}</th>
          </tr>
        </thead>
        <tbody>
          {parts.map(([phase, began, ended]) => (
            <tr key={`${phase} ${began}`}>
              <td>
                <Phase name={phase} />
              </td>
              <td>{ticking(began)}</td>
              <td>
                {ended !== null ? (
                  <Duration ms={(ended - began) * 1000} />
                ) : isOver ? (
                  '–'
                ) : (
                  <Since at={row.began_at + began} />
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
