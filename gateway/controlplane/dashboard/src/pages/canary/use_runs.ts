import { useCallback, useEffect, useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import type { RunDetail, RunView } from '../../api/schema';
import { type ResourceState, useResource } from '../../api/use_resource';
import { onLive } from '../../live/live';
import { advance, type Job, type Jobs, withJob, withJobs } from './progress';

/** The runs that the gateway remembers, the newest first, as they are now. */
export function useRuns(): ResourceState<RunView[]> {
  const [jobs, setJobs] = useState<Jobs>({});
  const listed = useResource((signal) => take(api.GET('/api/v1/canary/runs', { signal })), [], {
    refreshOn: ['canary'],
  });
  useEffect(() => {
    const stops = [
      onLive('job', (job: Job) => setJobs((old) => withJob(old, job))),
      // What was told before means nothing any more: the gateway may be another one.
      onLive('reset', () => setJobs({})),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }, []);
  return { ...listed, data: listed.data && withJobs(listed.data.runs, jobs) };
}

/** One run with what it has found, as it is now. */
export function useRun(id: string): ResourceState<RunDetail> {
  const [detail, setDetail] = useState<RunDetail>();
  const loaded = useResource(
    (signal) => take(api.GET('/api/v1/canary/runs/{id}', { params: { path: { id } }, signal })),
    [id],
  );
  const { reload } = loaded;
  useEffect(() => setDetail(loaded.data), [loaded.data]);
  const tell = useCallback(
    (job: Job) => {
      if (job.id !== id) return;
      setDetail((old) => {
        if (!old) return old;
        const next = advance(old, job);
        if (next.stale) queueMicrotask(reload);
        return next.detail;
      });
    },
    [id, reload],
  );
  useEffect(() => {
    const stops = [onLive('job', tell), onLive('reset', reload)];
    return () => {
      for (const stop of stops) stop();
    };
  }, [tell, reload]);
  return { ...loaded, data: detail?.run.id === id ? detail : undefined };
}
