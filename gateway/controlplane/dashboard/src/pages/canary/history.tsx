import type { RunView } from '../../api/schema';
import type { ResourceState } from '../../api/use_resource';
import { canary as words } from '../../strings/canary';
import { Badge, type Column, DataTable, Empty, Panel, Resource, TimeText } from '../../ui';
import { STATE_TONES } from './progress';
import { Elapsed } from './tool_card';

const COLUMNS: Column<RunView>[] = [
  { key: 'kind', label: words.history.columns.kind, width: 120, render: (run) => words.kinds[run.kind] },
  {
    key: 'state',
    label: words.history.columns.state,
    width: 130,
    render: (run) => <Badge tone={STATE_TONES[run.state]}>{words.states[run.state]}</Badge>,
  },
  { key: 'at', label: words.history.columns.at, width: 130, render: (run) => <TimeText at={run.began_at} /> },
  {
    key: 'took',
    label: words.history.columns.took,
    width: 90,
    align: 'end',
    render: (run) => <Elapsed run={run} />,
  },
  { key: 'by', label: words.history.columns.by, width: 130, render: (run) => run.began_by },
  {
    key: 'summary',
    label: words.history.columns.summary,
    width: 420,
    render: (run) => run.summary || run.line,
  },
];

/** The runs that the gateway remembers. */
export function History(props: {
  runs: ResourceState<RunView[]>;
  selected: string | undefined;
  onShow: (run: RunView) => void;
}) {
  return (
    <Panel title={words.history.title} hint={words.history.hint}>
      <Resource of={props.runs} what={words.history.what} height={160}>
        {(runs) => (
          <DataTable
            rows={runs}
            columns={COLUMNS}
            rowKey={(run) => run.id}
            onRow={props.onShow}
            selected={props.selected}
            caption={words.history.caption}
            empty={
              <Empty title={words.history.none}>
                <p>{words.history.noneNext}</p>
              </Empty>
            }
          />
        )}
      </Resource>
    </Panel>
  );
}
