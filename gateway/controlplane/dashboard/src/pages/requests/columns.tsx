import type { RequestView } from '../../api/schema';
import { formatDay, formatTime, UNKNOWN } from '../../lib/format';
import { requests as words } from '../../strings/requests';
import { type Column, Count, Duration, ProviderBadge, Usd } from '../../ui';
import { OutcomeBadge } from './outcome';
import css from './requests.module.css';

const { columns: labels } = words;

/** Columns that are shown until the reader chooses. */
export const USUAL = [
  'at',
  'outcome',
  'model',
  'account',
  'actor',
  'prompt',
  'output',
  'cost',
  'content',
  'total',
  'why',
] as const;

const CLOCK = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const;
const TODAY = new Intl.DateTimeFormat('en-GB', { ...CLOCK, second: '2-digit' });
const THIS_YEAR = new Intl.DateTimeFormat('en-GB', { ...CLOCK, day: 'numeric', month: 'short' });

/** Time of day for requests of today; shorter and with the date for others. */
function When({ at }: { at: number }) {
  if (!(Math.abs(at) < 1e11)) return <>{UNKNOWN}</>;
  const date = new Date(at * 1000);
  const exact = formatTime(at, 'full');
  const now = new Date();
  const text =
    date.getFullYear() !== now.getFullYear()
      ? formatDay(at)
      : (date.toDateString() === now.toDateString() ? TODAY : THIS_YEAR).format(date);
  return (
    <time dateTime={date.toISOString()} title={exact}>
      {text}
      <span class="visually-hidden">, {exact}</span>
    </time>
  );
}

function text(
  key: keyof typeof labels,
  width: number,
  of: (row: RequestView) => string | null,
): Column<RequestView> {
  return { key, label: labels[key], width, render: (row) => of(row) ?? <span class="quiet">–</span> };
}

function mono(
  key: keyof typeof labels,
  width: number,
  of: (row: RequestView) => string | null,
): Column<RequestView> {
  return {
    key,
    label: labels[key],
    width,
    render: (row) => <span class="mono">{of(row)}</span>,
  };
}

function number(
  key: keyof typeof labels,
  width: number,
  of: (row: RequestView) => number | null,
): Column<RequestView> {
  return { key, label: labels[key], width, align: 'end', render: (row) => <Count value={of(row)} compact /> };
}

function time(
  key: keyof typeof labels,
  width: number,
  of: (row: RequestView) => number | null,
): Column<RequestView> {
  return { key, label: labels[key], width, align: 'end', render: (row) => <Duration ms={of(row)} /> };
}

/** All columns of the list. `href` is the address of a request; `roomy` gives names all the room that they take. */
export function makeColumns(href: (id: string) => string, roomy = false): readonly Column<RequestView>[] {
  return [
    {
      key: 'at',
      label: labels.at,
      width: 106,
      hideable: false,
      render: (row) => (
        // A way to open it in a tab of its own; the row itself is what the keyboard opens.
        <a class={css.rowLink} href={href(row.id)} tabIndex={-1} title={words.list.open(row.id)}>
          <When at={row.at} />
        </a>
      ),
    },
    {
      key: 'outcome',
      label: labels.outcome,
      width: 138,
      render: (row) => <OutcomeBadge request={row} quiet />,
    },
    number('status', 64, (row) => row.status),
    text('model', roomy ? 220 : 130, (row) => row.model_served ?? row.model),
    {
      key: 'account',
      label: labels.account,
      width: roomy ? 170 : 100,
      render: (row) =>
        row.account ?? (
          <span class="quiet" title={row.tried.length > 0 ? words.tried(row.tried) : undefined}>
            {row.tried.length > 0 ? `(${row.tried.at(-1)})` : '–'}
            {row.tried.length > 0 && <span class="visually-hidden">, {words.tried(row.tried)}</span>}
          </span>
        ),
    },
    text('actor', roomy ? 170 : 96, (row) => row.actor),
    {
      key: 'provider',
      label: labels.provider,
      width: 116,
      render: (row) => row.provider && <ProviderBadge provider={row.provider} />,
    },
    text('route', 190, (row) => row.route),
    number('prompt', 60, (row) => row.prompt_tokens),
    number('cached', 76, (row) => row.cache_read_tokens),
    number('output', 58, (row) => row.output_tokens),
    {
      key: 'cost',
      label: labels.cost,
      width: 88,
      align: 'end',
      render: (row) => <Usd value={row.cost_usd} />,
    },
    time('firstByte', 100, (row) => row.ms_to_first_byte),
    time('content', 84, (row) => row.ms_to_content),
    time('gap', 92, (row) => row.longest_gap_ms),
    time('total', 70, (row) => row.ms),
    number('attempts', 78, (row) => row.tried.length),
    text('stop', 110, (row) => row.stop_reason),
    {
      key: 'why',
      label: labels.why,
      least: 106,
      render: (row) => <span title={words.whyMeans(row.why)}>{words.why(row.why)}</span>,
    },
    mono('session', 130, (row) => row.session),
    text('client', 140, (row) => row.client),
    text('class', 96, (row) => row.request_class),
    mono('id', 230, (row) => row.id),
  ];
}
