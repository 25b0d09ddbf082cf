// @vitest-environment happy-dom
import { describe, expect, it } from 'vitest';
import type { RequestView, StreamView } from '../src/api/schema';
import { arrange, BoardState, ofProvider, silenceOf } from '../src/pages/now/board_state';
import { countSince, mergeEndings, SHOWN } from '../src/pages/now/endings_list';
import { gradient, MINUTE, quietShare, stretches, windowOf } from '../src/pages/now/lane_geometry';
import { LOOKS, lookOf } from '../src/pages/now/phases';
import { ticking } from '../src/pages/now/ticking';
import { now as words } from '../src/strings/now';

function row(id: string, more: Partial<StreamView> = {}): StreamView {
  return {
    id,
    began_at: 100,
    route: 'POST /v1/messages',
    is_stream: true,
    worker: 0,
    provider: 'anthropic',
    actor: 'ana',
    account: 'team',
    model: 'claude',
    session: null,
    client: null,
    phase: 'text',
    lane: [
      ['head', 0, 1],
      ['text', 1, null],
    ],
    attempts: 1,
    heard_at: 101,
    longest_gap: 0,
    bytes: 10,
    events: 3,
    output_tokens: 2,
    is_exact: false,
    tokens_per_second: null,
    ...more,
  };
}

function told(more: object) {
  return { whole: false, at: 110, came: [], changed: [], gone: [], not_shown: 0, ...more };
}

describe('the board', () => {
  it('takes in what came, changed and went, and leaves alone what did not', () => {
    const board = new BoardState();
    board.apply(told({ whole: true, came: [row('a'), row('b')] }), 108);
    expect(board.ahead).toBe(2);
    const before = board.rows.get('b');
    board.apply(
      told({
        came: [row('c')],
        changed: [
          {
            id: 'a',
            bytes: 20,
            lane_from: 1,
            lane: [
              ['text', 1, 4],
              ['tool_use', 4, null],
            ],
          },
        ],
      }),
      108,
    );
    expect(board.rows.get('a')?.bytes).toBe(20);
    expect(board.rows.get('a')?.lane.map(([phase]) => phase)).toEqual(['head', 'text', 'tool_use']);
    expect(board.rows.get('b')).toBe(before);
    board.apply(told({ gone: ['a'], changed: [{ id: 'gone', bytes: 1 }], not_shown: 3 }), 108);
    expect([...board.rows.keys()]).toEqual(['b', 'c']);
    expect(board.notShown).toBe(3);
    board.apply(told({ whole: true, came: [row('d')] }), 108);
    expect([...board.rows.keys()]).toEqual(['d']);
  });

  it('keeps rows in their places while they are read, and puts new ones behind them', () => {
    const rows = [row('a', { heard_at: 101 }), row('b', { heard_at: 90 }), row('c', { heard_at: null })];
    const by = { key: 'silence', direction: 'desc' as const };
    const order = (found: StreamView[]) => found.map((one) => one.id).join('');
    expect(order(arrange(rows, by, 200, undefined))).toBe('bca');
    expect(order(arrange(rows, by, 200, ['a', 'gone', 'b']))).toBe('abc');
    const unknown = [row('a', { tokens_per_second: null }), row('b', { tokens_per_second: 5 })];
    for (const direction of ['asc', 'desc'] as const) {
      expect(order(arrange(unknown, { key: 'rate', direction }, 200, undefined))).toBe('ba');
    }
    expect(ofProvider([row('a'), row('b', { provider: 'openai' })], 'openai').map((one) => one.id)).toEqual([
      'b',
    ]);
    expect(silenceOf(row('a', { heard_at: null }), 105)).toBe(5);
    expect(silenceOf(row('a'), 99)).toBe(0);
  });
});

describe('a lane', () => {
  it('shows all of the way, or its last minute', () => {
    expect(windowOf('life', 30)).toEqual([0, 30]);
    expect(windowOf('minute', 90)).toEqual([90 - MINUTE, 90]);
    const lane = row('a').lane;
    expect(stretches(lane, 0, 10, 10)).toEqual([
      { look: 'head', from: 0, to: 0.1 },
      { look: 'text', from: 0.1, to: 1 },
    ]);
    // Younger than a minute: it begins within the window.
    const [first] = stretches(lane, ...windowOf('minute', 30), 30);
    expect(first?.from).toBe(0.5);
  });

  it('leaves out what nobody could see, but no failure', () => {
    const found = stretches(
      [
        ['head', 0, 100],
        ['between', 100, 100.01],
        ['text', 100.01, 200],
        ['refused', 200, 200.001],
        ['waiting', 200.001, null],
      ],
      0,
      400,
      400,
    );
    expect(found.map((one) => one.look)).toEqual(['head', 'text', 'failed', 'waiting']);
    for (const [i, one] of found.entries()) {
      expect(one.to).toBeGreaterThan(one.from);
      expect(one.from).toBeGreaterThanOrEqual(found[i - 1]?.to ?? 0);
    }
  });

  it('is a gradient with hard edges', () => {
    const picture = gradient(
      [
        { look: 'head', from: 0.5, to: 0.75 },
        { look: 'text', from: 0.75, to: 1 },
      ],
      (look) => look,
    );
    expect(picture).toBe(
      'linear-gradient(to right, transparent 0.00% 50.00%, head 50.00% 75.00%, text 75.00% 100.00%)',
    );
    expect(gradient([], (look) => look)).toBe('none');
  });

  it('is hatched where nothing was heard for longer than streams pause', () => {
    expect(quietShare(undefined, 0, 10)).toBe(0);
    expect(quietShare(1, 0, 10)).toBe(0);
    expect(quietShare(5, 0, 10)).toBe(0.5);
    expect(quietShare(500, 0, 10)).toBe(1);
  });

  it('has a look and a name for every phase, known or not', () => {
    expect(lookOf('web_search_tool_result')).toBe('result');
    expect(lookOf('constructor')).toBe('other');
    expect(words.phase('some_new_block')).toBe('Some new block');
    for (const look of LOOKS) expect(words.look(look)).not.toBe('');
    expect(
      words.laneText([
        ['head', 1.2],
        ['text', 3],
      ]),
    ).toBe('Awaits the answer 1.2 s, Text 3 s');
  });
});

describe('times that tick', () => {
  it('keep their length from one tick to the next', () => {
    expect([0, 0.44, 9.9, 9.96, 59.4, 59.6, 61, 3599, 3600, 7265].map(ticking)).toEqual([
      '0.0 s',
      '0.4 s',
      '9.9 s',
      '10 s',
      '59 s',
      '1:00 min',
      '1:01 min',
      '59:59 min',
      '1:00 h',
      '2:01 h',
    ]);
    expect(ticking(-3)).toBe('0.0 s');
  });
});

describe('requests that have just ended', () => {
  it('are the newest ones, each once, of the provider that is asked for', () => {
    const of = (id: string, provider = 'anthropic') => ({ id, provider }) as RequestView;
    expect(mergeEndings([of('c'), of('b')], [of('b'), of('a')], undefined).map((one) => one.id)).toEqual([
      'c',
      'b',
      'a',
    ]);
    expect(mergeEndings([of('c', 'openai')], [of('a')], 'openai').map((one) => one.id)).toEqual(['c']);
    const many = Array.from({ length: 50 }, (_, i) => of(String(i)));
    expect(mergeEndings(many, [], undefined)).toHaveLength(SHOWN);
  });

  it('are counted, each once, while the list holds still', () => {
    const of = (id: string, provider = 'anthropic') => ({ id, provider }) as RequestView;
    const told = [of('e', 'openai'), of('d'), of('d'), of('c'), of('b')];
    expect(countSince([of('b'), of('a')], told, undefined)).toBe(3);
    expect(countSince([of('b'), of('a')], told, 'anthropic')).toBe(2);
  });
});
