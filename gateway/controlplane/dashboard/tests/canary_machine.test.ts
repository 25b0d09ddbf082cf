import { describe, expect, test } from 'vitest';
import type { MachineView } from '../src/api/schema';
import { type CountedEdge, countedEdges } from '../src/pages/canary/machine_counts';
import {
  type Box,
  canDraw,
  type Drawing,
  tallDrawing,
  wideDrawing,
} from '../src/pages/canary/machine_layout';

const STATES = ['AWAIT_START', 'BETWEEN_BLOCKS', 'IN_BLOCK', 'ENDING', 'STOPPED', 'FAILED', 'VIOLATED'];

function edge(source: string, target: string, ...events: string[]) {
  return { source, target, events };
}

const MACHINE: MachineView = {
  states: STATES.map((name) => ({ name, meaning: '', is_end: false })),
  edges: [
    edge('AWAIT_START', 'AWAIT_START', 'ping', 'unknown'),
    edge('AWAIT_START', 'BETWEEN_BLOCKS', 'message_start'),
    edge('AWAIT_START', 'FAILED', 'error'),
    edge('BETWEEN_BLOCKS', 'BETWEEN_BLOCKS', 'ping', 'unknown'),
    edge('BETWEEN_BLOCKS', 'IN_BLOCK', 'content_block_start'),
    edge('BETWEEN_BLOCKS', 'ENDING', 'message_delta'),
    edge('BETWEEN_BLOCKS', 'FAILED', 'error'),
    edge('IN_BLOCK', 'IN_BLOCK', 'ping', 'unknown', 'content_block_delta'),
    edge('IN_BLOCK', 'BETWEEN_BLOCKS', 'content_block_stop'),
    edge('IN_BLOCK', 'FAILED', 'error'),
    edge('ENDING', 'ENDING', 'ping', 'unknown', 'message_delta'),
    edge('ENDING', 'STOPPED', 'message_stop'),
    edge('ENDING', 'FAILED', 'error'),
  ],
  refusals: [
    ...STATES.slice(0, 4).map((state) => ({ state, code: 'some_rule', events: ['message_start'] })),
    { state: 'STOPPED', code: 'event_after_stop', events: ['ping'] },
    { state: 'STOPPED', code: 'another_rule', events: ['error'] },
    { state: 'FAILED', code: 'event_after_error', events: ['ping'] },
  ],
  rules: [],
};

describe('counts', () => {
  test('are those of all events of an edge', () => {
    const edges = countedEdges(MACHINE, {
      since: 0,
      edges: [
        ['IN_BLOCK', 'content_block_delta', 40],
        ['IN_BLOCK', 'ping', 2],
        ['IN_BLOCK', 'violation', 1],
        ['AWAIT_START', 'ping', 5],
        ['NO_STATE', 'ping', 7],
      ],
      states: {},
    });
    const counts = Object.fromEntries(edges.map((one) => [one.id, one.count]));
    expect(counts['IN_BLOCK-IN_BLOCK']).toBe(42);
    expect(counts['IN_BLOCK-VIOLATED']).toBe(1);
    expect(counts['AWAIT_START-AWAIT_START']).toBe(5);
    expect(counts['ENDING-STOPPED']).toBe(0);
  });

  test('begin at nothing, and every state that refuses an event has one way to a violation', () => {
    const edges = countedEdges(MACHINE, undefined);
    expect(edges).toHaveLength(13 + 6);
    expect(edges.every((one) => one.count === 0)).toBe(true);
    expect(new Set(edges.map((one) => one.id)).size).toBe(edges.length);
  });
});

describe.each([
  ['wide', wideDrawing],
  ['tall', tallDrawing],
] as const)('the %s drawing', (_, draw: (edges: readonly CountedEdge[]) => Drawing) => {
  const edges = countedEdges(MACHINE, undefined);
  const drawing = draw(edges);

  test('has every state once, inside it, and none on another', () => {
    expect(drawing.boxes.map((box) => box.name).sort()).toEqual([...STATES].sort());
    for (const box of drawing.boxes) {
      expect(box.x).toBeGreaterThanOrEqual(0);
      expect(box.x + box.width).toBeLessThanOrEqual(drawing.width);
      expect(box.y + box.height).toBeLessThanOrEqual(drawing.height);
      expect(drawing.boxes.filter((other) => other !== box && overlap(box, other))).toEqual([]);
    }
  });

  test('has every edge from its state to the next one, and no two of them the same', () => {
    expect(drawing.lines.map((line) => line.id)).toEqual(edges.map((one) => one.id));
    expect(new Set(drawing.lines.map((line) => line.path)).size).toBe(edges.length);
    for (const [i, line] of drawing.lines.entries()) {
      const { from, to } = ends(line.path);
      expect(touches(box(drawing, edges[i]?.source), from), `${line.id} begins at its state`).toBe(true);
      expect(touches(box(drawing, edges[i]?.target), to), `${line.id} ends at its state`).toBe(true);
    }
  });

  test('has the words of no edge on those of another', () => {
    const words = drawing.lines.map((line) => `${line.label.x.toFixed()} ${line.label.y.toFixed()}`);
    expect(new Set(words).size).toBe(words.length);
  });
});

test('a machine with other states is not drawn', () => {
  expect(canDraw(STATES)).toBe(true);
  expect(canDraw([...STATES, 'NEW_STATE'])).toBe(false);
  expect(canDraw(STATES.slice(1))).toBe(false);
});

function box(drawing: Drawing, name: string | undefined): Box {
  const found = drawing.boxes.find((one) => one.name === name);
  if (!found) throw new Error(`there is no ${name}`);
  return found;
}

function overlap(a: Box, b: Box): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

function touches(of: Box, { x, y }: { x: number; y: number }): boolean {
  return x >= of.x && x <= of.x + of.width && y >= of.y && y <= of.y + of.height;
}

/** Where a path of one command begins and ends. */
function ends(path: string) {
  const numbers = (path.match(/-?[\d.]+/g) ?? []).map(Number);
  const from = { x: numbers[0] ?? 0, y: numbers[1] ?? 0 };
  const last = numbers.at(-1) ?? 0;
  if (path.includes('H')) return { from, to: { x: last, y: from.y } };
  if (path.includes('V')) return { from, to: { x: from.x, y: last } };
  return { from, to: { x: numbers.at(-2) ?? 0, y: last } };
}
