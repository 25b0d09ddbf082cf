import { useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import { useResource } from '../../api/use_resource';
import { useQueryState } from '../../lib/query';
import { now as words } from '../../strings/now';
import { Choice, PageActions, Panel, Resource } from '../../ui';
import { BoardPanel } from './board';
import { ofProvider } from './board_state';
import { Endings } from './endings';
import { HealthStrip, useHealth } from './health_strip';
import { Hour, HourToCome } from './hour';
import type { Scale } from './lane_geometry';
import css from './now.module.css';
import { Outages } from './outage';
import { useBoard } from './use_board';

const EVERY = 5_000;
const ALL = '';

/** What the gateway does now, and did in the last hour. */
export default function Page() {
  const [query, setQuery] = useQueryState<{ provider?: string; lanes?: string }>(['provider', 'lanes']);
  const { provider } = query;
  const scale: Scale = query.lanes === 'minute' ? 'minute' : 'life';
  const overview = useResource(
    (signal) => take(api.GET('/api/v1/overview', { params: { query: { provider } }, signal })),
    [provider],
    { everyMs: EVERY, refreshOn: ['accounts', 'settings'] },
  );
  const health = useHealth(overview.data?.health);
  const board = useBoard();
  const [isStill, setStill] = useState(false);
  const providers = health?.providers.map((one) => one.provider) ?? [];
  const inFlight = board.isKnown
    ? ofProvider(board.state.rows.values(), undefined).length + board.state.notShown
    : undefined;
  return (
    <div class={css.stack}>
      {providers.length > 1 && (
        <PageActions>
          <Choice
            label={words.provider.label}
            options={[
              { value: ALL, label: words.provider.all },
              ...providers.map((name) => ({ value: name, label: words.provider.names[name] ?? name })),
            ]}
            value={provider ?? ALL}
            onValue={(value) => setQuery({ provider: value || undefined })}
          />
        </PageActions>
      )}
      {health && <Outages health={health} />}
      <div class={css.strip}>{health && <HealthStrip health={health} inFlight={inFlight} />}</div>
      <Panel title={words.hour.title} hint={words.hour.hint}>
        <Resource of={overview} what={words.hour.what} place={<HourToCome />}>
          {(data) => <Hour of={data} />}
        </Resource>
      </Panel>
      <BoardPanel
        board={board}
        health={health}
        provider={provider}
        scale={scale}
        isStill={isStill}
        onScale={(value) => setQuery({ lanes: value === 'life' ? undefined : value })}
      />
      <Endings provider={provider} onStill={setStill} />
    </div>
  );
}
