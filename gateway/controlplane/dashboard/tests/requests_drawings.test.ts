import { describe, expect, test } from 'vitest';
import { colourOf, layout, MOST_LANES, nearest, usualScale } from '../src/pages/requests/timeline_geometry';
import { ticks, waterfall } from '../src/pages/requests/waterfall';
import { aDetail, anAttempt, anEntry, aRequest, aTimeline } from './requests_samples';

describe('where the time went', () => {
  test('is waiting, tries, pauses and the answer, one behind the other', () => {
    const detail = aDetail({
      attempts: [
        anAttempt({ account: 'Spare', fault: 'overload', status: 529, began_ms: 20, ms: 100 }),
        anAttempt({ began_ms: 400, ms: 400 }),
      ],
    });
    expect(waterfall(detail)).toEqual({
      total: 2_000,
      isExact: true,
      bars: [
        { kind: 'waiting', from: 0, to: 20 },
        { kind: 'attempt', from: 20, to: 120, attempt: 0 },
        { kind: 'pause', from: 120, to: 400 },
        { kind: 'served', from: 400, to: 800, attempt: 1 },
        { kind: 'answer', from: 800, to: 2_000 },
      ],
    });
  });

  test('is guessed where it was not recorded', () => {
    const detail = aDetail({ attempts: [anAttempt({ began_ms: null }), anAttempt({ began_ms: null })] });
    const { bars, isExact } = waterfall(detail);
    expect(isExact).toBe(false);
    expect(bars.map((bar) => [bar.from, bar.to])).toEqual([
      [0, 780],
      [780, 1_560],
      [1_560, 2_000],
    ]);
  });

  test('is all waiting for a request that no account was asked for', () => {
    const request = aRequest({ account: null, tried: [], ms: 3, ms_to_content: null });
    expect(waterfall(aDetail({ request, attempts: [] })).bars).toEqual([{ kind: 'waiting', from: 0, to: 3 }]);
    const nothing = aRequest({ account: null, ms: null, ms_to_content: null });
    expect(waterfall(aDetail({ request: nothing, attempts: [] }))).toEqual({
      total: 1,
      bars: [],
      isExact: true,
    });
  });

  test('stays within the whole', () => {
    const detail = aDetail({ request: aRequest({ ms: 10, ms_to_content: 4 }) });
    const { total, bars } = waterfall(detail);
    for (const bar of bars) {
      expect(bar.from).toBeGreaterThanOrEqual(0);
      expect(bar.to).toBeLessThanOrEqual(total);
    }
  });

  test('has round marks', () => {
    expect(ticks(2_000)).toEqual([0, 500, 1_000, 1_500, 2_000]);
    expect(ticks(0.31)).toEqual([0, 0.1, 0.2, 0.3]);
    expect(ticks(4, 4)).toEqual([0, 1, 2, 3, 4]);
    expect(ticks(0)).toEqual([0]);
  });
});

const STREAM = aTimeline(
  [
    anEntry(0.5, 'message_start'),
    anEntry(0.5, 'content_block_start', { index: 0, detail: 'thinking' }),
    anEntry(0.6, 'content_block_delta', { index: 0, detail: 'thinking_delta', count: 9, until: 2 }),
    anEntry(0.61, 'committed', { count: 0, size: 0 }),
    anEntry(2, 'content_block_stop', { index: 0 }),
    anEntry(2, 'content_block_start', { index: 1, detail: 'text' }),
    anEntry(6, 'content_block_delta', { index: 1, detail: 'text_delta' }),
    anEntry(6.5, 'ping'),
  ],
  { ended_at: 10 },
);

describe('a timeline', () => {
  test('is laid out by time, with lanes for its blocks and its silences', () => {
    const laid = layout(STREAM, 'time', (most) => [0, most]);
    expect(laid.blocks).toEqual([
      { index: 0, kind: 'thinking', lane: 0, from: 0.05, to: 0.2, closed: true, deltas: 9 },
      // It was open when the stream ended.
      { index: 1, kind: 'text', lane: 1, from: 0.2, to: 1, closed: false, deltas: 1 },
    ]);
    expect(laid.lanes).toBe(2);
    expect(laid.committed).toBeCloseTo(0.061);
    expect(laid.gaps).toEqual([
      { from: 0.2, to: 0.6, seconds: 4 },
      { from: 0.65, to: 1, seconds: 3.5 },
    ]);
    expect(laid.marks).toEqual([
      { at: 0, seconds: 0 },
      { at: 1, seconds: 10 },
    ]);
  });

  test('is laid out by order, where all came at once', () => {
    const fast = aTimeline(STREAM.entries.map((entry) => ({ ...entry, at: 0.004, until: 0.004 })));
    expect(usualScale(fast)).toBe('order');
    expect(usualScale(STREAM)).toBe('time');
    // So that the one event of a stream that broke at once is told from its end.
    expect(usualScale(aTimeline([anEntry(0.8, 'message_start')], { ended_at: 0.801 }))).toBe('order');
    expect(usualScale(aTimeline(fast.entries, { ended_at: 0.06 }))).toBe('order');
    expect(usualScale(aTimeline(fast.entries, { ended_at: 60 }))).toBe('time');
    // However long nothing came before.
    const late = fast.entries.map((entry) => ({ ...entry, at: 2 + entry.at, until: 2 + entry.until }));
    expect(usualScale(aTimeline(late, { ended_at: 2.01 }))).toBe('order');
    const laid = layout(fast, 'order', () => [0]);
    const starts = laid.places.map((place) => place.from);
    expect(starts).toEqual([...starts].sort((one, other) => one - other));
    expect(new Set(starts).size).toBe(starts.length);
    expect(laid.marks).toEqual([]);
    expect(laid.end).toBe(1);
  });

  test('with many blocks keeps its height', () => {
    const entries = Array.from({ length: 40 }, (_, index) => [
      anEntry(index, 'content_block_start', { index, detail: 'text' }),
      anEntry(index + 0.5, 'content_block_stop', { index }),
    ]).flat();
    const laid = layout(aTimeline(entries), 'time', () => [0]);
    expect(laid.lanes).toBe(MOST_LANES);
    expect(laid.blocks).toHaveLength(40);
  });

  test('of a stream whose blocks make no sense is drawn all the same', () => {
    const entries = [
      anEntry(1, 'content_block_delta', { index: 3, detail: 'text_delta' }),
      anEntry(1, 'content_block_start', { index: 3, detail: 'text' }),
      anEntry(2, 'content_block_stop', { index: 9 }),
      anEntry(2, 'content_block_start'),
    ];
    const laid = layout(aTimeline(entries), 'time', () => [0]);
    expect(laid.blocks.map((block) => [block.index, block.kind])).toEqual([
      [3, ''],
      [3, 'text'],
      [9, ''],
    ]);
    expect(layout(aTimeline([]), 'order', () => [0]).lanes).toBe(0);
  });

  test('finds what is under the pointer', () => {
    const places = [
      { from: 0, to: 0.1 },
      { from: 0.4, to: 0.5 },
      { from: 0.5, to: 0.5 },
    ];
    expect([-1, 0.05, 0.24, 0.26, 0.45, 0.8].map((at) => nearest(places, at))).toEqual([0, 0, 0, 1, 1, 2]);
    expect(colourOf('text')).not.toBe(colourOf('thinking'));
    expect(colourOf('something new')).toBe(8);
  });
});
