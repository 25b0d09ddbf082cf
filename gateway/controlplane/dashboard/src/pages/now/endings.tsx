import { useEffect, useMemo, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { api, take } from '../../api/client';
import type { RequestView } from '../../api/schema';
import { useResource } from '../../api/use_resource';
import { onLive } from '../../live/live';
import { now as words } from '../../strings/now';
import { DataTable, Empty, Link, Panel, Resource } from '../../ui';
import { makeColumns } from '../requests/columns';
import { mergeEndings, SHOWN } from './endings_list';

const { endings: labels } = words;
const COLUMNS = ['at', 'outcome', 'model', 'account', 'actor', 'output', 'cost', 'content', 'total', 'why'];

/** What became of the last requests, as they end. */
export function Endings({ provider }: { provider: string | undefined }) {
  const { route } = useLocation();
  const [told, setTold] = useState<readonly RequestView[]>([]);
  const loaded = useResource(
    (signal) => take(api.GET('/api/v1/requests', { params: { query: { limit: SHOWN, provider } }, signal })),
    [provider],
  );
  useEffect(() => {
    let frame = 0;
    let waiting: RequestView[] = [];
    const stop = onLive('request', (row: RequestView) => {
      waiting = [row, ...waiting].slice(0, SHOWN);
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        const found = waiting;
        waiting = [];
        setTold((old) => [...found, ...old].slice(0, 5 * SHOWN));
      });
    });
    const stopReset = onLive('reset', () => loaded.reload());
    return () => {
      stop();
      stopReset();
      cancelAnimationFrame(frame);
    };
  }, []);
  const columns = useMemo(() => makeColumns((id) => `/requests/${encodeURIComponent(id)}`), []);
  return (
    <Panel
      title={labels.title}
      hint={labels.hint}
      flush
      actions={<Link href={provider ? `/requests?provider=${provider}` : '/requests'}>{labels.all}</Link>}
    >
      <Resource of={loaded} what={labels.what} height={240}>
        {(list) => (
          <DataTable
            rows={mergeEndings(told, list.requests, provider)}
            columns={columns}
            shown={COLUMNS}
            rowKey={(row) => row.id}
            onRow={(row) => route(`/requests/${encodeURIComponent(row.id)}`)}
            caption={labels.caption}
            height={420}
            empty={<Empty title={labels.empty}>{labels.emptyNext}</Empty>}
          />
        )}
      </Resource>
    </Panel>
  );
}
