import { useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import { type ApiFailure, failureFrom } from '../../api/failure';
import type { Kind, RunView } from '../../api/schema';
import { useResource } from '../../api/use_resource';
import { useQueryState } from '../../lib/query';
import { canary as words } from '../../strings/canary';
import { Resource } from '../../ui';
import css from './canary.module.css';
import { History } from './history';
import { isOver, KINDS, lastOf } from './progress';
import { Rollout } from './rollout';
import { RunPanel } from './run_panel';
import { ToolCard } from './tool_card';
import { useRuns } from './use_runs';

/** The tools, what they found, and how far the gateway has come by that. */
export function Evidence() {
  const known = useResource((signal) => take(api.GET('/api/v1/canary', { signal })), [], {
    refreshOn: ['settings'],
  });
  const runs = useRuns();
  const [query, setQuery] = useQueryState<{ run?: string }>(['run']);
  const [failures, setFailures] = useState<Partial<Record<Kind, ApiFailure>>>({});
  const listed = runs.data ?? [];
  const last = lastOf(listed);
  const running = listed.filter((run) => !isOver(run));

  async function cancel(run: RunView): Promise<void> {
    try {
      await take(api.DELETE('/api/v1/canary/runs/{id}', { params: { path: { id: run.id } } }));
    } catch (error) {
      setFailures((old) => ({ ...old, [run.kind]: failureFrom(error) }));
    }
    runs.reload();
  }

  return (
    <div class={css.stack}>
      <Resource of={known} what={words.what} height={760}>
        {(data) => (
          <>
            <Rollout state={data.rollout} approval={data.rollout_approval} last={last} />
            <div class={css.cards}>
              {KINDS.map((kind) => {
                const tool = data.tools.find((one) => one.kind === kind);
                if (!tool) return null;
                return (
                  <ToolCard
                    key={kind}
                    tool={tool}
                    last={last[kind]}
                    isFull={running.length >= 2 && !running.some((run) => run.kind === kind)}
                    shown={query.run !== undefined && query.run === last[kind]?.id}
                    failure={failures[kind]}
                    onStarted={(run) => {
                      setFailures((old) => ({ ...old, [kind]: undefined }));
                      setQuery({ run: run.id });
                      runs.reload();
                    }}
                    onFailure={(failure) => setFailures((old) => ({ ...old, [kind]: failure }))}
                    onCancel={cancel}
                    onShow={(run) => setQuery({ run: run.id })}
                  />
                );
              })}
            </div>
          </>
        )}
      </Resource>
      {query.run && (
        <RunPanel
          key={query.run}
          id={query.run}
          onCancel={cancel}
          onClose={() => setQuery({ run: undefined })}
        />
      )}
      <History runs={runs} selected={query.run} onShow={(run) => setQuery({ run: run.id })} />
    </div>
  );
}
