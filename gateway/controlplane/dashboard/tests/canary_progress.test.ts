import { describe, expect, test } from 'vitest';
import type { CheckView, RunDetail, RunView, ToolView } from '../src/api/schema';
import { lacking, orderOf, planOf, usual } from '../src/pages/canary/order';
import {
  advance,
  areasOf,
  elapsed,
  type Job,
  lastOf,
  notable,
  share,
  withJob,
  withJobs,
} from '../src/pages/canary/progress';

const NONE = { ok: 0, warning: 0, problem: 0, unseen: 0 };

function run(changes: Partial<RunView> = {}): RunView {
  return {
    id: 'run_1',
    kind: 'smoke',
    state: 'running',
    began_at: 100,
    ended_at: null,
    began_by: 'Ana',
    options: {},
    done: 0,
    total: null,
    line: '',
    counts: NONE,
    summary: '',
    key_id: null,
    ...changes,
  };
}

function check(name: string, level: CheckView['level'] = 'ok'): CheckView {
  return { name, level, what: '', fix: '', ms: null, at: 0 };
}

function job(number: number, changes: Partial<Job> = {}): Job {
  const counts = { ...NONE, ok: number };
  return { ...run({ counts, done: number, total: 3 }), check: check(`check ${number}`), ...changes };
}

function detail(of: RunView, checks: CheckView[] = []): RunDetail {
  return { run: of, checks, has_markdown: false, report: null };
}

describe('a run that is told of', () => {
  test('gets each finding once and in order', () => {
    let known = detail(run());
    for (const number of [1, 2, 2, 3]) {
      const next = advance(known, job(number));
      expect(next.stale).toBe(false);
      known = next.detail;
    }
    expect(known.checks.map((one) => one.name)).toEqual(['check 1', 'check 2', 'check 3']);
    expect(known.run.done).toBe(3);
  });

  test('is loaded again if findings were missed', () => {
    const next = advance(detail(run()), job(2));
    expect(next.stale).toBe(true);
    expect(next.detail.checks).toEqual([]);
  });

  test('is loaded again at its end, for the report', () => {
    const known = advance(detail(run()), job(1)).detail;
    const next = advance(known, job(1, { state: 'passed', check: null }));
    expect(next.stale).toBe(true);
    expect(next.detail.run.state).toBe('passed');
  });

  test('does not go back: what was loaded may be newer than what is told', () => {
    const known = detail(run({ counts: { ...NONE, ok: 2 }, done: 2 }), [check('a'), check('b')]);
    expect(advance(known, job(1)).detail).toBe(known);
    const over = detail(run({ state: 'failed', counts: { ...NONE, ok: 2 } }), [check('a'), check('b')]);
    expect(advance(over, job(3)).detail).toBe(over);
  });

  test('is none of another', () => {
    const known = detail(run());
    expect(advance(known, job(1, { id: 'run_2' }))).toEqual({ detail: known, stale: false });
  });
});

describe('the list of runs', () => {
  test('has what was told since it was loaded', () => {
    const listed = [run({ id: 'b', began_at: 200 }), run({ id: 'a', began_at: 100 })];
    const jobs = {
      b: job(2, { id: 'b', began_at: 200, state: 'passed' }),
      c: job(1, { id: 'c', began_at: 300 }),
      // Forgotten by the gateway since.
      z: job(1, { id: 'z', began_at: 50 }),
    };
    const now = withJobs(listed, jobs);
    expect(now.map((one) => [one.id, one.state])).toEqual([
      ['c', 'running'],
      ['b', 'passed'],
      ['a', 'running'],
    ]);
  });

  test('remembers no more of what was told than can be listed', () => {
    let jobs = {};
    for (let i = 0; i < 100; i += 1) jobs = withJob(jobs, job(1, { id: `run_${i}` }));
    jobs = withJob(jobs, job(2, { id: 'run_60' }));
    expect(Object.keys(jobs)).toHaveLength(40);
    expect(jobs).toMatchObject({ run_60: { done: 2 }, run_99: { done: 1 } });
  });

  test('has the last one of each tool first', () => {
    const runs = [run({ id: 'c', kind: 'doctor' }), run({ id: 'b' }), run({ id: 'a' })];
    expect(lastOf(runs)).toMatchObject({ doctor: { id: 'c' }, smoke: { id: 'b' } });
  });
});

test('how far a run is, and for how long it goes on', () => {
  expect(share(run())).toBeUndefined();
  expect(share(run({ done: 3, total: 4 }))).toBe(0.75);
  expect(share(run({ done: 9, total: 4 }))).toBe(1);
  expect(elapsed(run(), 103)).toBe(3000);
  // The reader's clock may be behind the gateway's.
  expect(elapsed(run(), 90)).toBe(0);
  expect(elapsed(run({ ended_at: 101.5 }), 200)).toBe(1500);
});

test('warnings and problems are what somebody has to look at', () => {
  const checks = [check('a'), check('b', 'warning'), check('c', 'unseen'), check('d', 'problem')];
  expect(notable(checks).map((one) => one.name)).toEqual(['b', 'd']);
});

test('a score card says how many rules of each area passed', () => {
  const checks = [check('stream.events'), check('stream.bytes', 'problem'), check('error.400', 'unseen')];
  expect(areasOf(checks)).toEqual([
    { name: 'stream', passed: 1, failed: 1, total: 2 },
    { name: 'error', passed: 0, failed: 0, total: 1 },
  ]);
});

describe('a run that is wished for', () => {
  const plan = { requests: 1, baseline_requests: 0, input_tokens: 1, most_output_tokens: 1, seconds: 1 };
  const tool: ToolView = {
    kind: 'smoke',
    target: '',
    upstream: '',
    spends: false,
    obstacle: '',
    note: '',
    plans: [
      { ...plan, choice: 16 },
      { ...plan, choice: 4 },
    ],
  };

  test('is the usual one until somebody chooses', () => {
    const wishes = usual(tool);
    expect(planOf(tool, wishes)?.choice).toBe(16);
    expect(orderOf('smoke', wishes)).toEqual({ kind: 'smoke', model: '', streams: 16, big_bodies: true });
    expect(orderOf('conformance', { ...wishes, choice: 1 })).toEqual({ kind: 'conformance', quick: true });
    expect(orderOf('doctor', { ...wishes, model: ' claude-haiku-5 ' })).toEqual({
      kind: 'doctor',
      model: 'claude-haiku-5',
    });
  });

  test('lacks what the gateway would refuse', () => {
    const wishes = usual(tool);
    expect(lacking('smoke', wishes)).toBeUndefined();
    expect(lacking('compare', wishes)).toBe('oldKey');
    expect(lacking('compare', { ...wishes, oldKey: 'two words' })).toBe('oldKeyForm');
    expect(lacking('compare', { ...wishes, oldKey: ' sk-1 ' })).toBeUndefined();
    expect(lacking('doctor', { ...wishes, model: '<script>' })).toBe('model');
    expect(lacking('doctor', { ...wishes, model: 'anthropic.claude-v1:0/x@y[1m]' })).toBeUndefined();
  });
});
