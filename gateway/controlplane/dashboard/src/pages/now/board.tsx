import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { HealthView, StreamView } from '../../api/schema';
import { formatRate } from '../../lib/format';
import { connection } from '../../live/live';
import { now as words } from '../../strings/now';
import {
  Bytes,
  Choice,
  type Column,
  ColumnMenu,
  Count,
  DataTable,
  Duration,
  Empty,
  Loading,
  NoticeIcon,
  Panel,
  ProviderBadge,
  type Sort,
  useShownColumns,
  WarningIcon,
} from '../../ui';
import { arrange, ofProvider } from './board_state';
import { Lane } from './lane';
import type { Scale } from './lane_geometry';
import css from './now.module.css';
import { colourOf, LOOKS, lookOf } from './phases';
import { StreamDialog } from './stream_dialog';
import { Since } from './ticking';
import { type Board, boardNow } from './use_board';

const { board: labels } = words;
/** Seconds of silence that a reader should look at; the gateway itself sends a ping after 15. */
const LONG_SILENCE = 15;
/** Milliseconds that rows keep their places for, in orders in which they would always change them. */
const CALM = 2500;
const RESTLESS = new Set(['silence', 'rate', 'tokens', 'bytes', 'events', 'phase', 'gap']);
const WIDE = ['actor', 'model', 'lane', 'phase', 'age', 'silence', 'rate', 'account'];
const NARROW = ['lane', 'phase', 'age', 'silence'];
const HEIGHT = 520;

function columnsOf(scale: Scale): readonly Column<StreamView>[] {
  return [
    {
      key: 'actor',
      label: labels.actor,
      width: 130,
      sortable: true,
      render: (row) => (row.actor === 'unknown' ? <Quiet text={labels.noActor} /> : row.actor),
    },
    { key: 'model', label: labels.model, width: 140, sortable: true, render: (row) => text(row.model) },
    { key: 'lane', label: labels.lane, hideable: false, render: (row) => <Lane row={row} scale={scale} /> },
    {
      key: 'phase',
      label: labels.phase,
      width: 158,
      sortable: true,
      render: (row) => <Phase name={row.phase} />,
    },
    {
      key: 'age',
      label: labels.age,
      width: 76,
      align: 'end',
      sortable: true,
      render: (row) => <Since at={row.began_at} />,
    },
    {
      key: 'silence',
      label: labels.silence,
      width: 76,
      align: 'end',
      sortable: true,
      render: (row) => <Since at={row.heard_at ?? row.began_at} alarm={LONG_SILENCE} />,
    },
    {
      key: 'rate',
      label: labels.rate,
      width: 70,
      align: 'end',
      sortable: true,
      render: (row) => <span title={words.estimate}>{rate(row)}</span>,
    },
    { key: 'account', label: labels.account, width: 130, sortable: true, render: (row) => text(row.account) },
    {
      key: 'provider',
      label: labels.provider,
      width: 120,
      render: (row) => <ProviderBadge provider={row.provider} />,
    },
    {
      key: 'tokens',
      label: labels.tokens,
      width: 80,
      align: 'end',
      sortable: true,
      render: (row) => (
        <span title={row.is_exact ? words.exact : words.estimate}>
          <Count value={row.output_tokens} compact />
        </span>
      ),
    },
    {
      key: 'bytes',
      label: labels.bytes,
      width: 90,
      align: 'end',
      sortable: true,
      render: (row) => <Bytes value={row.bytes} />,
    },
    {
      key: 'events',
      label: labels.events,
      width: 80,
      align: 'end',
      sortable: true,
      render: (row) => <Count value={row.events} />,
    },
    {
      key: 'gap',
      label: labels.gap,
      width: 110,
      align: 'end',
      sortable: true,
      render: (row) => <Duration ms={row.longest_gap * 1000} />,
    },
    {
      key: 'attempts',
      label: labels.attempts,
      width: 90,
      align: 'end',
      sortable: true,
      render: (row) => <Count value={row.attempts} />,
    },
    {
      key: 'session',
      label: labels.session,
      width: 150,
      render: (row) => <span class="mono">{row.session}</span>,
    },
    { key: 'client', label: labels.client, width: 140, render: (row) => text(row.client) },
    {
      key: 'worker',
      label: labels.worker,
      width: 80,
      align: 'end',
      render: (row) => <Count value={row.worker} />,
    },
  ];
}

/** Where there is room for three columns, the times come right behind the lane. */
function inOrder(columns: readonly Column<StreamView>[], narrow: boolean): readonly Column<StreamView>[] {
  return narrow
    ? [...columns].sort(
        (a, b) => Number(b.key === 'lane') - Number(a.key === 'lane') || rankOf(a) - rankOf(b),
      )
    : columns;
}

function rankOf(column: Column<StreamView>): number {
  return ['age', 'silence'].includes(column.key) ? 0 : 1;
}

/** The requests in flight: each a lane through the states of its stream. */
export function BoardPanel(props: {
  board: Board;
  health: HealthView | undefined;
  provider: string | undefined;
  scale: Scale;
  onScale: (scale: Scale) => void;
  /** Keeps its height, so that what is below does not move. */
  isStill: boolean;
}) {
  const { board, provider, scale } = props;
  const [sort, setSort] = useState<Sort>({ key: 'age', direction: 'desc' });
  const [open, setOpen] = useState<StreamView>();
  const narrow = useMemo(() => matchMedia('(max-width: 700px)').matches, []);
  const [shown, setShown] = useShownColumns('streams', narrow ? NARROW : WIDE);
  const columns = useMemo(() => inOrder(columnsOf(scale), narrow), [scale, narrow]);
  const rows = useRows(board, provider, sort);
  const isLost = connection.value === 'lost';
  const box = useRef<HTMLDivElement>(null);
  const height = useMemo(
    () => (props.isStill ? box.current?.getBoundingClientRect().height : undefined),
    [props.isStill],
  );
  return (
    <Panel
      title={labels.title}
      hint={board.isKnown ? labels.count(rows.length) : ' '}
      flush
      actions={
        <>
          <Choice
            label={labels.scale}
            options={(['life', 'minute'] as const).map((value) => ({
              value,
              label: labels.scales[value] ?? value,
            }))}
            value={scale}
            onValue={props.onScale}
          />
          <ColumnMenu columns={columns} shown={shown} onShown={setShown} />
        </>
      }
    >
      {isLost && (
        <p class={css.note} role="status">
          <WarningIcon /> {labels.lost}
        </p>
      )}
      <div
        class={css.board}
        ref={box}
        data-stale={isLost ? '' : undefined}
        style={height === undefined ? {} : { height: `${height}px`, overflow: 'hidden' }}
      >
        {board.isKnown ? (
          <DataTable
            rows={rows}
            columns={columns}
            shown={shown}
            rowKey={keyOf}
            onRow={setOpen}
            sort={sort}
            onSort={setSort}
            height={HEIGHT}
            isPure
            caption={labels.caption}
            empty={
              <Empty title={provider ? labels.emptyProvider : labels.empty}>
                {!provider && labels.emptyNext}
              </Empty>
            }
          />
        ) : (
          <Loading what={labels.what} height={102} />
        )}
      </div>
      <Legend />
      {board.state.notShown > 0 && <Remark text={labels.notShown(board.state.notShown)} />}
      {props.health?.database === 'postgresql' && <Remark text={labels.otherHosts} />}
      <StreamDialog
        row={open && (board.state.rows.get(open.id) ?? open)}
        isOver={open !== undefined && !board.state.rows.has(open.id)}
        onClose={() => setOpen(undefined)}
      />
    </Panel>
  );
}

function keyOf(row: StreamView): string {
  return row.id;
}

/** The rows in their order; in one in which they would always change places, they do so only now and then. */
function useRows(board: Board, provider: string | undefined, sort: Sort): StreamView[] {
  const last = useRef<{ key: string; ids: string[] }>(undefined);
  const [turn, setTurn] = useState(0);
  const restless = RESTLESS.has(sort.key);
  useEffect(() => {
    if (!restless) return;
    const timer = setInterval(() => setTurn((old) => old + 1), CALM);
    return () => clearInterval(timer);
  }, [restless]);
  return useMemo(() => {
    const key = `${provider} ${sort.key} ${sort.direction} ${turn}`;
    const before = last.current;
    const keep = restless && before?.key === key ? before.ids : undefined;
    const rows = arrange(ofProvider(board.state.rows.values(), provider), sort, boardNow(), keep);
    last.current = { key, ids: rows.map(keyOf) };
    return rows;
  }, [board, provider, sort, turn]);
}

function rate(row: StreamView): string {
  return row.tokens_per_second === null ? '–' : formatRate(row.tokens_per_second, '').trim();
}

function text(value: string | null) {
  return value ?? <Quiet text="–" />;
}

function Quiet({ text }: { text: string }) {
  return <span class="quiet">{text}</span>;
}

/** What a request is at, with the colour that it has on the lane. */
export function Phase({ name }: { name: string }) {
  return (
    <span class={css.phase}>
      <Swatch look={lookOf(name)} />
      {words.phase(name)}
    </span>
  );
}

function Swatch({ look }: { look: ReturnType<typeof lookOf> }) {
  return <span class={css.swatch} style={{ background: colourOf(look) }} aria-hidden="true" />;
}

function Legend() {
  return (
    <ul class={css.legend} aria-label={labels.legend}>
      {LOOKS.map((look) => (
        <li key={look}>
          <Swatch look={look} />
          {words.look(look)}
        </li>
      ))}
      <li>
        <span class={css.swatch} data-quiet="" aria-hidden="true">
          <span class={css.quiet} />
        </span>
        {labels.quiet}
      </li>
    </ul>
  );
}

function Remark({ text }: { text: string }) {
  return (
    <p class={css.note}>
      <NoticeIcon /> {text}
    </p>
  );
}
