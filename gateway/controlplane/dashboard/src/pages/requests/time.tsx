import type { RequestDetail } from '../../api/schema';
import { cx } from '../../lib/cx';
import { formatDuration } from '../../lib/format';
import { requests as words } from '../../strings/requests';
import { Duration, Panel, Stat } from '../../ui';
import css from './requests.module.css';
import { type TimeBar, ticks, waterfall } from './waterfall';

const labels = words.time;

/** Where the time of a request went: waiting, each try at an account, the answer. */
export function TimePanel({ detail }: { detail: RequestDetail }) {
  const { request } = detail;
  const { bars, total, isExact } = waterfall(detail);
  return (
    <Panel title={labels.title} hint={isExact ? undefined : labels.unsure}>
      <div class={css.stats}>
        <Stat
          label={labels.firstByte}
          hint={labels.firstByteHint}
          value={<Duration ms={request.ms_to_first_byte} />}
        />
        <Stat
          label={labels.content}
          hint={labels.contentHint}
          value={<Duration ms={request.ms_to_content} />}
        />
        {request.stream && (
          <Stat label={labels.gap} hint={labels.gapHint} value={<Duration ms={request.longest_gap_ms} />} />
        )}
        <Stat label={labels.total} value={<Duration ms={request.ms} />} />
      </div>
      {bars.length === 0 ? (
        <p class="quiet">{labels.none}</p>
      ) : (
        <>
          <ol class={css.waterfall} aria-label={labels.label(formatDuration(total))}>
            {bars.map((bar, index) => (
              <Row key={index} bar={bar} detail={detail} total={total} />
            ))}
          </ol>
          <div class={css.axis} aria-hidden="true">
            <span class={css.axisMarks}>
              {ticks(total, 4).map((ms) => (
                <span key={ms} style={{ insetInlineStart: `${(ms / total) * 100}%` }}>
                  {formatDuration(ms)}
                </span>
              ))}
            </span>
          </div>
        </>
      )}
    </Panel>
  );
}

function Row({ bar, detail, total }: { bar: TimeBar; detail: RequestDetail; total: number }) {
  const attempt = bar.attempt === undefined ? undefined : detail.attempts[bar.attempt];
  const label = attempt
    ? labels.attempt(attempt.account)
    : labels[bar.kind as 'waiting' | 'pause' | 'answer'];
  const note = !attempt
    ? undefined
    : attempt.fault !== null
      ? labels.fault(attempt.fault, attempt.status)
      : bar.kind === 'served'
        ? labels.served
        : attempt.status === null
          ? labels.noAnswer
          : String(attempt.status);
  const length = formatDuration(bar.to - bar.from);
  return (
    <li class={css.fall} title={labels.bar(label, formatDuration(bar.from), length)}>
      <span class={css.fallName}>
        <span class={css.cut}>{label}</span>
        {note && (
          <span
            class={cx(css.fallNote, attempt?.fault && css.fault)}
            title={attempt?.fault_means ?? undefined}
          >
            {note}
          </span>
        )}
      </span>
      <span class={css.fallTrack}>
        <span
          class={cx(css.fallBar, css[bar.kind])}
          style={{
            insetInlineStart: `${(bar.from / total) * 100}%`,
            width: `${((bar.to - bar.from) / total) * 100}%`,
          }}
        />
      </span>
      <span class={css.fallLength}>{length}</span>
      <span class="visually-hidden">{labels.bar(label, formatDuration(bar.from), length)}</span>
    </li>
  );
}
