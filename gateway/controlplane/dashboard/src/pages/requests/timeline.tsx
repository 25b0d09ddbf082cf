import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { EntryView, TimelineAnswer, TimelineView } from '../../api/schema';
import type { ResourceState } from '../../api/use_resource';
import { cx } from '../../lib/cx';
import { formatBytes, formatCount, formatDuration } from '../../lib/format';
import { requests as words } from '../../strings/requests';
import { Bytes, type Column, DataTable, Duration, Empty, Panel, Resource, SelectField, Tabs } from '../../ui';
import css from './timeline.module.css';
import { colourOf, type Layout, layout, nearest, type Scale, SILENCE, usualScale } from './timeline_geometry';
import { ticks } from './waterfall';

const labels = words.timeline;
const TOP = 16;
const LANE = 22;
const AXIS = 18;
const LEFT = 64;
const RIGHT = 10;

/** They have marks of their own. */
const UNMARKED = new Set(['committed', 'ping']);

/** When which events came on a stream. */
export function TimelinePanel({ of }: { of: ResourceState<TimelineAnswer> }) {
  const timeline = of.data?.timeline;
  const [view, setView] = useState('drawing');
  const [scale, setScale] = useState<Scale>();
  const shown = scale ?? (timeline ? usualScale(timeline) : 'time');
  return (
    <Panel
      title={labels.title}
      actions={
        timeline &&
        view === 'drawing' && (
          <SelectField
            label={labels.scale}
            labelHidden
            value={shown}
            onValue={(value) => setScale(value as Scale)}
            options={[
              { value: 'time', label: labels.byTime },
              { value: 'order', label: labels.byOrder },
            ]}
          />
        )
      }
    >
      <Resource of={of} what={labels.what} height={220}>
        {(answer) =>
          answer.timeline ? (
            <Tabs
              label={labels.views}
              tabs={[
                { key: 'drawing', label: labels.drawing },
                { key: 'table', label: labels.table },
              ]}
              active={view}
              onActive={setView}
            >
              {answer.timeline.left_out > 0 && (
                <p class="quiet">{labels.leftOut(answer.timeline.left_out)}</p>
              )}
              {view === 'drawing' ? (
                <Drawing key={of.data} timeline={answer.timeline} scale={shown} />
              ) : (
                <Table timeline={answer.timeline} />
              )}
            </Tabs>
          ) : (
            <p class="quiet">{answer.why_not}</p>
          )
        }
      </Resource>
    </Panel>
  );
}

/** An event in words, for the line below the drawing and for those who do not see it. */
function inWords(entry: EntryView, index: number, silence: number, total: number): string {
  const parts = [labels.entry(index + 1, total), nameOf(entry)];
  if (entry.count > 1) parts.push(labels.times(entry.count));
  parts.push(labels.at(formatDuration(entry.at * 1000)));
  if (entry.until > entry.at) parts.push(labels.until(formatDuration(entry.until * 1000)));
  if (silence >= SILENCE) parts.push(labels.silence(formatDuration(silence * 1000)));
  if (entry.longest_gap >= SILENCE) parts.push(labels.within(formatDuration(entry.longest_gap * 1000)));
  if (entry.size > 0) parts.push(formatBytes(entry.size));
  return parts.join(' · ');
}

function nameOf(entry: EntryView): string {
  if (entry.event === 'committed') return labels.committed;
  return [entry.event, entry.index, entry.detail].filter((part) => part !== null && part !== '').join(' ');
}

/** Type of the error that the upstream ended a stream with; undefined for none. */
function errorOf({ entries, outcome }: TimelineView): string | undefined {
  if (outcome !== 'upstream_error') return undefined;
  return entries.findLast((entry) => entry.event === 'error')?.detail ?? undefined;
}

/** The end of a stream in words. */
function endInWords(timeline: TimelineView): string {
  const last = timeline.entries.reduce((latest, entry) => Math.max(latest, entry.until), 0);
  const silence = timeline.ended_at - last;
  const parts = [labels.end(words.outcome(timeline.outcome))];
  if (timeline.violation) parts.push(labels.rule(timeline.violation));
  parts.push(labels.at(formatDuration(timeline.ended_at * 1000)));
  if (timeline.reason) parts.push(timeline.reason);
  if (silence >= SILENCE) parts.push(labels.silence(formatDuration(silence * 1000)));
  return parts.join(' · ');
}

function Drawing({ timeline, scale }: { timeline: TimelineView; scale: Scale }) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const { entries } = timeline;
  // The last stop is the end: that is what a timeline is kept for.
  const last = entries.length;
  const [at, setAt] = useState(last);
  const laid = useMemo(() => layout(timeline, scale, (most) => ticks(most, 6)), [timeline, scale]);
  const stops = useMemo(() => [...laid.places, { from: laid.end, to: laid.end }], [laid]);
  const entry = entries[at];
  const said = entry ? inWords(entry, at, laid.silences[at] ?? 0, entries.length) : endInWords(timeline);
  const inner = Math.max(40, width - LEFT - RIGHT);

  function onKeyDown(event: KeyboardEvent): void {
    const page = Math.max(5, Math.round(entries.length / 10));
    const to: Record<string, number> = {
      ArrowRight: at + 1,
      ArrowLeft: at - 1,
      ArrowUp: at - 1,
      ArrowDown: at + 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: last,
    };
    const next = to[event.key];
    if (next === undefined) return;
    event.preventDefault();
    setAt(Math.max(0, Math.min(last, next)));
  }

  function onPointer(event: PointerEvent): void {
    const left = box.current?.getBoundingClientRect().left ?? 0;
    setAt(nearest(stops, (event.clientX - left - LEFT) / inner));
  }

  const kinds = [...new Set(laid.blocks.map((block) => block.kind))].filter(Boolean);
  return (
    <div class={css.drawing}>
      <div
        ref={box}
        class={css.canvas}
        role="slider"
        tabIndex={0}
        aria-label={labels.label}
        aria-valuemin={1}
        aria-valuemax={last + 1}
        aria-valuenow={at + 1}
        aria-valuetext={said}
        onKeyDown={onKeyDown}
        onPointerMove={onPointer}
        onPointerDown={onPointer}
      >
        {width > 0 && <Picture timeline={timeline} laid={laid} inner={inner} at={stops[at]} />}
      </div>
      <p class={css.readout}>{said}</p>
      {kinds.length > 0 && (
        <ul class={css.legend} aria-label={labels.legend}>
          {kinds.map((kind) => (
            <li key={kind}>
              <span class={cx(css.key, css[`fill${colourOf(kind)}`])} aria-hidden="true" />
              {kind}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Picture(props: {
  timeline: TimelineView;
  laid: Layout;
  inner: number;
  at: { from: number; to: number } | undefined;
}) {
  const { timeline, laid, inner, at: place } = props;
  const { entries, outcome } = timeline;
  const x = (share: number) => LEFT + share * inner;
  const laneTop = (lane: number) => TOP + LANE * (lane + 1);
  const clientTop = laneTop(laid.lanes);
  const bottom = clientTop + LANE;
  const went = outcome === 'complete' || outcome === 'repaired';
  return (
    <svg width={inner + LEFT + RIGHT} height={bottom + AXIS} aria-hidden="true" focusable="false">
      <g class={css.names}>
        <text x={0} y={TOP + LANE - 6}>
          {labels.stream}
        </text>
        {laid.lanes > 0 && (
          <text x={0} y={laneTop(0) + LANE - 6}>
            {labels.legend}
          </text>
        )}
        <text x={0} y={clientTop + LANE - 6}>
          {labels.client}
        </text>
      </g>
      {laid.gaps.map((gap, index) => (
        <g key={index}>
          <rect
            class={css.gap}
            x={x(gap.from)}
            y={TOP}
            width={Math.max(1, x(gap.to) - x(gap.from))}
            height={bottom - TOP}
          />
          {x(gap.to) - x(gap.from) > 40 && (
            <text class={css.gapText} x={(x(gap.from) + x(gap.to)) / 2} y={TOP - 5} text-anchor="middle">
              {formatDuration(gap.seconds * 1000)}
            </text>
          )}
        </g>
      ))}
      <line class={css.rail} x1={LEFT} x2={LEFT + inner} y1={TOP + LANE / 2} y2={TOP + LANE / 2} />
      {laid.blocks.map((block, index) => {
        const left = x(block.from);
        const size = Math.max(2, x(block.to) - left);
        return (
          <g key={index}>
            <rect
              class={cx(css.block, css[`fill${colourOf(block.kind)}`], !block.closed && css.open)}
              x={left}
              y={laneTop(block.lane) + 3}
              width={size}
              height={LANE - 6}
              rx={2}
            />
            {size > 70 && (
              <text class={css.blockText} x={left + 5} y={laneTop(block.lane) + LANE - 9}>
                {labels.block(block.index, block.kind)}
              </text>
            )}
          </g>
        );
      })}
      <path class={css.deltas} d={deltas(entries, laid, x, laneTop)} />
      {laid.committed !== undefined && (
        <>
          <rect
            class={css.client}
            x={x(laid.committed)}
            y={clientTop + 5}
            width={Math.max(2, x(laid.end) - x(laid.committed))}
            height={LANE - 10}
            rx={2}
          />
          <line class={css.commit} x1={x(laid.committed)} x2={x(laid.committed)} y1={TOP} y2={bottom} />
        </>
      )}
      {entries.map(
        (entry, index) =>
          entry.event === 'ping' && (
            <circle
              key={index}
              class={css.ping}
              cx={x(laid.places[index]?.from ?? 0)}
              cy={TOP + LANE / 2}
              r={2.5}
            />
          ),
      )}
      {entries.map((entry, index) => {
        const here = laid.places[index];
        if (!here || entry.event.startsWith('content_block_') || UNMARKED.has(entry.event)) return null;
        return (
          <circle
            key={index}
            class={entry.event === 'error' ? css.broken : css.event}
            cx={x(here.from)}
            cy={TOP + LANE / 2}
            r={4}
          />
        );
      })}
      <line
        class={went ? css.end : css.brokenEnd}
        x1={x(laid.end)}
        x2={x(laid.end)}
        y1={TOP - 4}
        y2={bottom}
      />
      <text class={cx(css.endText, !went && css.brokenText)} x={x(laid.end)} y={TOP - 5} text-anchor="end">
        {labels.end(words.outcome(outcome), timeline.violation ?? errorOf(timeline))}
      </text>
      {place && (
        <rect
          class={css.cursor}
          x={x(place.from) - 2}
          y={TOP - 2}
          width={Math.max(4, x(place.to) - x(place.from) + 4)}
          height={bottom - TOP + 2}
          rx={2}
        />
      )}
      <g class={css.axis}>
        <line x1={LEFT} x2={LEFT + inner} y1={bottom} y2={bottom} />
        {laid.marks.map((mark) => (
          <g key={mark.seconds}>
            <line x1={x(mark.at)} x2={x(mark.at)} y1={bottom} y2={bottom + 4} />
            <text x={x(mark.at)} y={bottom + 15} text-anchor={mark.at > 0.95 ? 'end' : 'middle'}>
              {formatDuration(mark.seconds * 1000)}
            </text>
          </g>
        ))}
      </g>
    </svg>
  );
}

/** All deltas as one path: thousands of them cost one node. */
function deltas(
  entries: readonly EntryView[],
  laid: Layout,
  x: (share: number) => number,
  laneTop: (lane: number) => number,
): string {
  let path = '';
  let block = 0;
  const open = new Map<number, number>();
  entries.forEach((entry, position) => {
    if (entry.index === null || !entry.event.startsWith('content_block_')) return;
    if (entry.event === 'content_block_start' || !open.has(entry.index)) {
      open.set(entry.index, block);
      block += 1;
    }
    const lane = laid.blocks[open.get(entry.index) ?? 0]?.lane ?? 0;
    if (entry.event === 'content_block_stop') open.delete(entry.index);
    const place = laid.places[position];
    if (!place || entry.event !== 'content_block_delta') return;
    const left = x(place.from).toFixed(1);
    const right = Math.max(x(place.from) + 1, x(place.to)).toFixed(1);
    path += `M${left} ${laneTop(lane) + LANE - 4.5}H${right}`;
  });
  return path;
}

function useWidth(box: { current: HTMLElement | null }): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => setWidth(box.current?.clientWidth ?? 0), []);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return width;
}

interface Line {
  entry: EntryView;
  index: number;
  gap: number;
}

const COLUMNS: readonly Column<Line>[] = [
  {
    key: 'at',
    label: labels.columns.at,
    width: 90,
    align: 'end',
    render: (line) => <Duration ms={line.entry.at * 1000} />,
  },
  {
    key: 'gap',
    label: labels.columns.gap,
    width: 90,
    align: 'end',
    render: (line) => <Duration ms={line.gap * 1000} />,
  },
  {
    key: 'event',
    label: labels.columns.event,
    width: 190,
    render: ({ entry }) =>
      entry.event === 'committed' ? labels.committed : <span class="mono">{entry.event}</span>,
  },
  { key: 'block', label: labels.columns.block, width: 64, align: 'end', render: (line) => line.entry.index },
  {
    key: 'detail',
    label: labels.columns.detail,
    render: (line) => <span class="mono">{line.entry.detail}</span>,
  },
  {
    key: 'count',
    label: labels.columns.count,
    width: 80,
    align: 'end',
    render: (line) => line.entry.count > 0 && formatCount(line.entry.count),
  },
  {
    key: 'size',
    label: labels.columns.size,
    width: 90,
    align: 'end',
    render: (line) => line.entry.count > 0 && <Bytes value={line.entry.size} />,
  },
];

function Table({ timeline }: { timeline: TimelineView }) {
  const lines = useMemo(() => {
    let before = 0;
    return timeline.entries.map((entry, index) => {
      const gap = Math.max(0, entry.at - before, entry.longest_gap);
      before = Math.max(before, entry.until);
      return { entry, index, gap };
    });
  }, [timeline]);
  return (
    <DataTable<Line>
      rows={lines}
      columns={COLUMNS}
      rowKey={(line) => String(line.index)}
      caption={labels.caption}
      height={420}
      empty={<Empty title={labels.none} />}
    />
  );
}
