import { useState } from 'preact/hooks';
import { ApiFailure } from '../src/api/client';
import {
  Badge,
  Bar,
  Button,
  Bytes,
  Chart,
  CheckField,
  CodeBlock,
  type Column,
  ColumnMenu,
  ConfirmDialog,
  CopyButton,
  Count,
  Countdown,
  DataTable,
  Dialog,
  DropZone,
  Duration,
  Empty,
  ErrorNote,
  IconButton,
  KeyValue,
  Link,
  Loading,
  Menu,
  MoreIcon,
  NumberField,
  PageActions,
  Panel,
  Percent,
  PlusIcon,
  ProgressBar,
  ProviderBadge,
  RefreshIcon,
  SelectField,
  Spark,
  Stat,
  Tabs,
  TextAreaField,
  TextField,
  TimeText,
  type Tone,
  TrashIcon,
  toast,
  Usd,
  useShownColumns,
} from '../src/ui';

const TONES: Tone[] = ['ok', 'notice', 'warning', 'danger', 'idle', 'accent'];
const HOSTILE = '<img src=x onerror=alert(1)>';
const START = 1_795_000_000;

interface Row {
  id: string;
  at: number;
  model: string;
  provider: string;
  ms: number | null;
  usd: number;
  tokens: number;
}

const ROWS: Row[] = Array.from({ length: 10_000 }, (_, i) => ({
  id: `req_${String(i).padStart(5, '0')}`,
  at: START - i * 37,
  model: i % 5 ? 'claude-opus-4-1' : HOSTILE,
  provider: ['anthropic', 'openai', 'other'][i % 3] as string,
  ms: i % 7 ? (i * 7919) % 90_000 : null,
  usd: ((i * 31) % 1000) / 700,
  tokens: (i * 104_729) % 400_000,
}));

const COLUMNS: Column<Row>[] = [
  {
    key: 'at',
    label: 'When',
    width: 130,
    render: (row) => <TimeText at={row.at} />,
    sortValue: (row) => row.at,
  },
  { key: 'id', label: 'Request', width: 110, render: (row) => <code>{row.id}</code>, hideable: false },
  {
    key: 'provider',
    label: 'Provider',
    width: 130,
    render: (row) => <ProviderBadge provider={row.provider} />,
  },
  { key: 'model', label: 'Model', render: (row) => row.model, sortValue: (row) => row.model },
  {
    key: 'ms',
    label: 'Time',
    width: 110,
    align: 'end',
    render: (row) => <Duration ms={row.ms} />,
    sortValue: (row) => row.ms,
  },
  {
    key: 'tokens',
    label: 'Tokens',
    width: 100,
    align: 'end',
    render: (row) => <Count value={row.tokens} />,
    sortValue: (row) => row.tokens,
  },
  {
    key: 'usd',
    label: 'Cost',
    width: 90,
    align: 'end',
    render: (row) => <Usd value={row.usd} />,
    sortValue: (row) => row.usd,
  },
];

const HOURS = Array.from({ length: 48 }, (_, i) => START + i * 3600);

/** Every component of the kit once, for looking at it and for checks by machine. */
export default function KitchenSink() {
  const [dialog, setDialog] = useState(false);
  const [confirm, setConfirm] = useState(false);
  const [tab, setTab] = useState('one');
  const [text, setText] = useState('laptop');
  const [number, setNumber] = useState<number | undefined>(60);
  const [choice, setChoice] = useState('b');
  const [check, setCheck] = useState(true);
  const [area, setArea] = useState('');
  const [dropped, setDropped] = useState('');
  const [busy, setBusy] = useState(false);
  const [selected, setSelected] = useState<string>();
  const [shown, setShown] = useShownColumns(
    'sink',
    COLUMNS.map(({ key }) => key),
  );
  return (
    <div style={{ display: 'grid', gap: '16px', gridTemplateColumns: 'minmax(0, 1fr)' }}>
      <PageActions>
        <Button icon={RefreshIcon}>Refresh</Button>
        <Button kind="primary" icon={PlusIcon} onClick={() => setDialog(true)}>
          Add account
        </Button>
      </PageActions>
      <Panel
        title="Badges and buttons"
        hint="Each state by colour, icon and text"
        busy={busy}
        actions={
          <Menu
            label="More"
            icon={MoreIcon}
            iconOnly
            items={[
              { label: 'Rename', href: '#x' },
              { label: 'Remove', icon: TrashIcon, tone: 'danger' },
            ]}
          />
        }
      >
        <div style={{ display: 'flex', gap: '8px', flexWrap: 'wrap', alignItems: 'center' }}>
          {TONES.map((tone) => (
            <Badge key={tone} tone={tone}>
              {tone}
            </Badge>
          ))}
          {['anthropic', 'openai', HOSTILE].map((provider) => (
            <ProviderBadge key={provider} provider={provider} />
          ))}
          <Button onClick={() => toast('Saved.')}>Plain</Button>
          <Button kind="primary" busy={busy} onClick={() => setBusy(true)}>
            Primary
          </Button>
          <Button kind="danger" onClick={() => setConfirm(true)}>
            Remove…
          </Button>
          <Button kind="quiet" onClick={() => toast(`That did not work: ${HOSTILE}`, 'danger')}>
            Quiet
          </Button>
          <Button disabled>Disabled</Button>
          <IconButton label="Reload" icon={RefreshIcon} />
          <CopyButton text="text" label="Copy key" />
          <Link href="/requests">Requests</Link>
          <Menu
            label="Menu"
            choice="many"
            items={[
              { label: 'Alpha', checked: true },
              { label: 'Beta', checked: false },
            ]}
          />
        </div>
      </Panel>
      <Panel title="Numbers">
        <div style={{ display: 'flex', gap: '32px', flexWrap: 'wrap' }}>
          <Stat label="Requests, last hour" value={<Count value={12_345} />} hint="3 in flight" />
          <Stat label="Errors" value={<Percent value={0.0123} />} tone="warning" />
          <Stat label="Cost" value={<Usd value={12.3456} />} hint={<TimeText at={START} />} />
          <Stat label="First content, p95" value={<Duration ms={1834} />} tone="ok" />
          <Stat label="Unknown" value={<Count value={null} />} />
        </div>
        <KeyValue
          items={[
            ['Until', <Countdown key="1" until={Date.now() / 1000 + 400} />],
            ['Clock', <TimeText key="2" at={START} mode="clock" />],
            ['Date', <TimeText key="3" at={START} mode="date" />],
            ['Size', <Bytes key="4" value={123_456} />],
            ['Hostile', HOSTILE],
          ]}
        />
        <div style={{ display: 'grid', gap: '8px', marginTop: '12px' }}>
          <Bar value={0.42} forecast={0.8} label="5 h window" />
          <Bar value={0.93} tone="danger" forecast={1} label="7 d window" />
          <Bar value={0.1} tone="ok" label="Per minute" />
          <ProgressBar value={0.3} label="Smoke" />
          <ProgressBar label="Doctor" />
          <Spark values={[1, 4, 2, 8, null, 5, null, 3, 9, 9, 2]} label="Requests a minute" />
        </div>
      </Panel>
      <Panel title="Table" flush actions={<ColumnMenu columns={COLUMNS} shown={shown} onShown={setShown} />}>
        <DataTable
          rows={ROWS}
          columns={COLUMNS}
          shown={shown}
          rowKey={(row) => row.id}
          onRow={(row) => setSelected(row.id)}
          selected={selected}
          sort={{ key: 'at', direction: 'desc' }}
          caption="Requests"
          height={360}
          empty={<Empty title="None" />}
        />
      </Panel>
      <Panel title="Charts">
        <Tabs
          label="Kinds"
          active={tab}
          onActive={setTab}
          tabs={[
            { key: 'one', label: 'Line' },
            { key: 'two', label: 'Stacked' },
            { key: 'three', label: 'Bars by name' },
          ]}
        >
          {tab === 'three' ? (
            <Chart
              kind="bars"
              unit="usd"
              label="Cost by model"
              x={['claude-opus-4-1', 'claude-sonnet-4-5', 'claude-haiku-4-5', HOSTILE]}
              series={[{ label: 'Cost', values: [12, 8, 0.4, 1] }]}
            />
          ) : (
            <Chart
              kind={tab === 'one' ? 'line' : 'stacked'}
              unit="tokens"
              label="Tokens by hour"
              x={HOURS}
              series={['input', 'output', 'cache'].map((label, s) => ({
                label,
                values: HOURS.map((_, i) =>
                  i === 9 ? null : 20_000 * (1 + s) * (1 + Math.sin(i / (4 + s))),
                ),
              }))}
            />
          )}
        </Tabs>
      </Panel>
      <Panel title="Form">
        <div style={{ display: 'grid', gap: '12px', maxWidth: '480px' }}>
          <TextField label="Name" value={text} onValue={setText} required hint="Shown in the table" />
          <TextField label="Key" value="sk-" onValue={() => {}} mono error="This is not a key." />
          <NumberField label="Limit" value={number} onValue={setNumber} unit="requests a minute" min={0} />
          <SelectField
            label="Role"
            value={choice}
            onValue={setChoice}
            options={[
              { value: 'a', label: 'Admin' },
              { value: 'b', label: 'Viewer' },
            ]}
          />
          <CheckField label="I have read it" value={check} onValue={setCheck} hint="And agree." />
          <TextAreaField label="Note" value={area} onValue={setArea} />
          <DropZone
            label="Credentials file"
            accept=".json"
            onText={(got, name) => setDropped(`${name}: ${got}`)}
            onError={(why) => toast(why, 'danger')}
          />
          <CodeBlock label="Command" text={dropped || `curl -N https://example.test -H 'x: ${HOSTILE}'`} />
        </div>
      </Panel>
      <Panel title="States">
        <ErrorNote
          error={new ApiFailure('The account was not found.', 404, 'not_found_error', 'req_123')}
          onRetry={() => {}}
        />
        <Empty title="No accounts yet">
          Add one by API key, or import a credentials file. <Button kind="primary">Add account</Button>
        </Empty>
        <Loading what="the accounts" />
      </Panel>
      <Dialog
        open={dialog}
        title="Add an account"
        onClose={() => setDialog(false)}
        footer={<Button kind="primary">Add</Button>}
      >
        <TextField label="API key" value="" onValue={() => {}} />
      </Dialog>
      <ConfirmDialog
        open={confirm}
        title="Remove the account?"
        body="Its requests stay in the ledger."
        confirmLabel="Remove"
        typeToConfirm="work"
        onConfirm={async () => {
          throw new ApiFailure('It is in use.', 409, 'conflict');
        }}
        onClose={() => setConfirm(false)}
      />
    </div>
  );
}
