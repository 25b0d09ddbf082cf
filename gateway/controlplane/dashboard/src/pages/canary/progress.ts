import type { CheckLevel, CheckView, Kind, RunDetail, RunView } from '../../api/schema';
import type { Tone } from '../../ui';

/** What the live feed tells of a run, in topic `job`. */
export interface Job extends RunView {
  /** What has just been found, if that is what has happened. */
  check: CheckView | null;
}

/** Jobs as they were told last, by id. */
export type Jobs = Readonly<Record<string, Job>>;

const MOST_JOBS = 40;

/** What was told, with one thing more; the oldest are forgotten. */
export function withJob(jobs: Jobs, job: Job): Jobs {
  const { [job.id]: _, ...others } = jobs;
  return Object.fromEntries([...Object.entries(others), [job.id, job] as const].slice(-MOST_JOBS));
}

/** The tools in the order in which the evidence is gathered. */
export const KINDS: readonly Kind[] = ['doctor', 'smoke', 'compare', 'conformance'];

/** Findings of every level of a run. */
export function found(run: RunView): number {
  const { ok, warning, problem, unseen } = run.counts;
  return ok + warning + problem + unseen;
}

export function isOver(run: RunView): boolean {
  return run.state !== 'running';
}

/** What the list of runs says, brought up to date by what was told since, the newest first. */
export function withJobs(runs: readonly RunView[], jobs: Jobs): RunView[] {
  const listed = new Set(runs.map((run) => run.id));
  const newest = runs[0]?.began_at ?? 0;
  const unlisted = Object.values(jobs)
    .filter((job) => !listed.has(job.id) && job.began_at > newest)
    .sort((a, b) => b.began_at - a.began_at);
  const known = runs.map((run) => {
    const job = jobs[run.id];
    return job && isNewer(job, run) ? job : run;
  });
  return [...unlisted, ...known];
}

function isNewer(job: RunView, run: RunView): boolean {
  if (isOver(run) !== isOver(job)) return isOver(job);
  return found(job) >= found(run) && job.done >= run.done;
}

/**
 * What is known of a run, brought up to date by what was told of it. `stale` says that something in between is
 * missing, or that the run is over and has its report: it has to be loaded again.
 */
export function advance(known: RunDetail, job: Job): { detail: RunDetail; stale: boolean } {
  const { check, ...run } = job;
  if (known.run.id !== job.id || !isNewer(run, known.run)) return { detail: known, stale: false };
  const missing = found(run) - known.checks.length;
  const next = missing === 1 && check !== null;
  const checks = next ? [...known.checks, check] : known.checks;
  return { detail: { ...known, run, checks }, stale: isOver(run) || missing > (next ? 1 : 0) };
}

/** The newest run of each tool. */
export function lastOf(runs: readonly RunView[]): Partial<Record<Kind, RunView>> {
  const last: Partial<Record<Kind, RunView>> = {};
  for (const run of runs) last[run.kind] ??= run;
  return last;
}

/** How far a run is, 0 to 1; undefined where that is not known. */
export function share(run: RunView): number | undefined {
  return run.total ? Math.min(1, run.done / run.total) : undefined;
}

/** Milliseconds that a run took, or has taken so far; `now` in Unix seconds. */
export function elapsed(run: RunView, now: number): number {
  return Math.max(0, (run.ended_at ?? Math.max(now, run.began_at)) - run.began_at) * 1000;
}

export const STATE_TONES: Record<RunView['state'], Tone> = {
  running: 'accent',
  passed: 'ok',
  failed: 'danger',
  stuck: 'warning',
  cancelled: 'idle',
};

export const LEVEL_TONES: Record<CheckLevel, Tone> = {
  ok: 'ok',
  warning: 'warning',
  problem: 'danger',
  unseen: 'idle',
};

/** The findings that somebody has to look at. */
export function notable(checks: readonly CheckView[]): CheckView[] {
  return checks.filter((check) => check.level === 'problem' || check.level === 'warning');
}

/** How the rules of one area came out. */
export interface Area {
  name: string;
  passed: number;
  failed: number;
  total: number;
}

/** What a score card comes to, by what stands before the dot in the names of rules. */
export function areasOf(checks: readonly CheckView[]): Area[] {
  const areas = new Map<string, Area>();
  for (const { name: rule, level } of checks) {
    const name = rule.split('.', 1)[0] ?? rule;
    const area = areas.get(name) ?? { name, passed: 0, failed: 0, total: 0 };
    areas.set(name, area);
    area.total += 1;
    if (level === 'ok') area.passed += 1;
    if (level === 'problem') area.failed += 1;
  }
  return [...areas.values()];
}
