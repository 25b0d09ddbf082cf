import type { EntryView, TimelineView } from '../../api/schema';

/** How the drawing runs from left to right. */
export type Scale = 'time' | 'order';

/** One block of content, from its first event to its last. */
export interface BlockSpan {
  index: number;
  /** Type of the block; empty where its beginning was not seen. */
  kind: string;
  lane: number;
  from: number;
  to: number;
  /** Its end came. */
  closed: boolean;
  deltas: number;
}

/** A silence that is worth showing. */
export interface Gap {
  from: number;
  to: number;
  seconds: number;
}

/** A timeline laid out; places are shares of the width, 0 to 1. */
export interface Layout {
  scale: Scale;
  lanes: number;
  /** Place of each entry: where it begins and where it ends. */
  places: { from: number; to: number }[];
  /** Seconds before each entry in which nothing came. */
  silences: number[];
  blocks: BlockSpan[];
  gaps: Gap[];
  /** Where the client's answer began; undefined if it never did. */
  committed?: number;
  end: number;
  /** Marks below, with what they say in seconds; none where the order counts. */
  marks: { at: number; seconds: number }[];
}

/** Blocks of longer answers share lanes. */
export const MOST_LANES = 8;
/** Silences from here on are shown, in seconds. */
export const SILENCE = 1;
/** Streams that are shorter than this, in seconds, are drawn in their order. */
const SHORT = 0.05;
/** Share of the width on which all marks together would lie on top of each other, and that for each of them. */
const CROWDED = 0.25;
const CROWDED_EACH = 0.012;

/** The scale that tells more about a timeline: by order, where by time the marks would hide each other. */
export function usualScale(timeline: TimelineView): Scale {
  const { entries, ended_at: ended } = timeline;
  if (entries.length === 0) return 'time';
  const first = Math.min(...entries.map((entry) => entry.at));
  const told = Math.max(...entries.map((entry) => entry.until));
  const all = Math.max(ended, told, 0.001);
  // A silence before the end is what the drawing by time is for; a moment is not.
  const last = entries.length === 1 || ended - told >= SILENCE ? all : told;
  const share = (last - first) / all;
  return all < SHORT || share < Math.min(CROWDED, CROWDED_EACH * (entries.length + 1)) ? 'order' : 'time';
}

/** The block that an entry belongs to; undefined for those of the whole message. */
function blockOf(entry: EntryView): number | undefined {
  return entry.event.startsWith('content_block_') && entry.index !== null ? entry.index : undefined;
}

/** Lays a timeline out. */
export function layout(timeline: TimelineView, scale: Scale, marks: (most: number) => number[]): Layout {
  const { entries, ended_at: ended } = timeline;
  const last = Math.max(ended, ...entries.map((entry) => entry.until), 0.001);
  const slots = entries.length + 1;
  const place = (at: number) => Math.min(1, Math.max(0, at / last));
  const places = entries.map((entry, index) =>
    scale === 'time'
      ? { from: place(entry.at), to: place(entry.until) }
      : { from: index / slots, to: (index + (entry.count > 1 ? 0.8 : 0.4)) / slots },
  );
  const end = scale === 'time' ? place(ended) : 1;

  const silences: number[] = [];
  const gaps: Gap[] = [];
  let before = 0;
  let beforePlace = 0;
  entries.forEach((entry, index) => {
    const silence = Math.max(0, entry.at - before);
    silences.push(silence);
    const here = places[index] as { from: number; to: number };
    if (silence >= SILENCE) gaps.push({ from: beforePlace, to: here.from, seconds: silence });
    // Deltas that are told of together may go on behind the next event.
    before = Math.max(before, entry.until);
    beforePlace = Math.max(beforePlace, here.to);
  });
  if (ended - before >= SILENCE) gaps.push({ from: beforePlace, to: end, seconds: ended - before });

  const blocks = blocksOf(timeline, places, end);
  const committedAt = entries.findIndex((entry) => entry.event === 'committed');
  return {
    scale,
    lanes: Math.min(MOST_LANES, Math.max(0, ...blocks.map((block) => block.lane + 1))),
    places,
    silences,
    blocks,
    gaps,
    committed: places[committedAt]?.from,
    end,
    marks: scale === 'time' ? marks(last).map((seconds) => ({ at: place(seconds), seconds })) : [],
  };
}

function blocksOf(
  timeline: TimelineView,
  places: readonly { from: number; to: number }[],
  end: number,
): BlockSpan[] {
  const blocks: BlockSpan[] = [];
  const open = new Map<number, BlockSpan>();
  timeline.entries.forEach((entry, position) => {
    const index = blockOf(entry);
    if (index === undefined) return;
    const here = places[position] as { from: number; to: number };
    let block = open.get(index);
    if (!block || entry.event === 'content_block_start') {
      const kind = entry.event === 'content_block_start' ? (entry.detail ?? '') : '';
      const lane = blocks.length % MOST_LANES;
      block = { index, kind, lane, from: here.from, to: here.to, closed: false, deltas: 0 };
      blocks.push(block);
      open.set(index, block);
    }
    block.to = here.to;
    if (entry.event === 'content_block_delta') block.deltas += entry.count;
    if (entry.event === 'content_block_stop') {
      block.closed = true;
      open.delete(index);
    }
  });
  for (const block of open.values()) block.to = Math.max(block.to, end);
  return blocks;
}

/** The series of colours that a kind of block has; the same everywhere. */
export function colourOf(kind: string): number {
  const known = ['text', 'thinking', 'tool_use', 'server_tool_use', 'redacted_thinking', 'mcp_tool_use'];
  const at = known.indexOf(kind);
  if (at >= 0) return at + 1;
  return kind.endsWith('_result') ? 7 : 8;
}

/** The entry whose place is nearest to a share of the width. */
export function nearest(places: readonly { from: number; to: number }[], at: number): number {
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  places.forEach((place, index) => {
    const distance = at < place.from ? place.from - at : at > place.to ? at - place.to : 0;
    if (distance <= least) {
      least = distance;
      best = index;
    }
  });
  return best;
}
