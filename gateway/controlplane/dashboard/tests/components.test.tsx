// @vitest-environment happy-dom
import { act, cleanup, fireEvent, render, screen } from '@testing-library/preact';
import { useState } from 'preact/hooks';
import { afterEach, expect, test, vi } from 'vitest';
import { ApiFailure } from '../src/api/client';
import {
  Bar,
  Button,
  type Column,
  ConfirmDialog,
  copyText,
  DataTable,
  DropZone,
  Empty,
  Menu,
  NumberField,
  ProviderBadge,
  Spark,
  sorted,
  Tabs,
  TextField,
  TimeText,
  Toasts,
  toast,
} from '../src/ui';
import { namesThatFit, stack } from '../src/ui/chart_canvas';

async function doing(what: () => unknown): Promise<void> {
  await act(async () => {
    await what();
  });
}

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

interface Row {
  id: string;
  n: number | null;
}

const COLUMNS: Column<Row>[] = [
  { key: 'id', label: 'Id', render: (row) => row.id, sortValue: (row) => row.id },
  { key: 'n', label: 'Number', render: (row) => row.n, sortValue: (row) => row.n },
];

function rowsOf(count: number): Row[] {
  return Array.from({ length: count }, (_, i) => ({ id: `row ${i}`, n: i }));
}

test('a table of 10,000 rows makes only those in view, and tells how many there are', () => {
  render(
    <DataTable
      rows={rowsOf(10_000)}
      columns={COLUMNS}
      rowKey={(row) => row.id}
      caption="Rows"
      empty={null}
    />,
  );
  expect(screen.getAllByRole('row', { hidden: true }).length).toBeLessThan(60);
  expect(screen.getByRole('table').getAttribute('aria-rowcount')).toBe('10001');
});

test('where cells depend on their row alone, only rows that have changed are drawn again', () => {
  const drawn: string[] = [];
  const columns: Column<Row>[] = [
    {
      key: 'id',
      label: 'Name',
      render: (row) => {
        drawn.push(row.id);
        return `${row.id} is ${row.n}`;
      },
    },
  ];
  const table = (rows: readonly Row[]) => (
    <DataTable rows={rows} columns={columns} rowKey={(row) => row.id} caption="Rows" empty={null} isPure />
  );
  const rows = rowsOf(5);
  const { rerender } = render(table(rows));
  drawn.length = 0;
  rerender(table(rows.map((row) => (row.n === 3 ? { ...row, n: 30 } : row))));
  expect(drawn).toEqual(['row 3']);
  expect(screen.getByText('row 3 is 30')).toBeTruthy();
  drawn.length = 0;
  rerender(table(rows.slice(1)));
  expect(screen.queryByText('row 0 is 0')).toBeNull();
  expect(screen.getAllByRole('row').map((row) => row.getAttribute('aria-rowindex'))).toEqual([
    '1',
    '2',
    '3',
    '4',
    '5',
  ]);
});

test('a table without rows shows why', () => {
  render(
    <DataTable
      rows={[]}
      columns={COLUMNS}
      rowKey={(row) => row.id}
      caption="Rows"
      empty={<Empty title="No rows" />}
    />,
  );
  expect(screen.getByText('No rows')).toBeTruthy();
});

test('arrow keys move through a table and Enter opens a row', async () => {
  const opened = vi.fn();
  render(
    <DataTable
      rows={rowsOf(20)}
      columns={COLUMNS}
      rowKey={(row) => row.id}
      onRow={opened}
      caption="Rows"
      empty={null}
    />,
  );
  const first = screen.getByText('row 0').closest('tr') as HTMLElement;
  first.focus();
  await doing(() => fireEvent.keyDown(first, { key: 'ArrowDown' }));
  const second = screen.getByText('row 1').closest('tr');
  expect(document.activeElement).toBe(second);
  await doing(() => fireEvent.keyDown(document.activeElement as Element, { key: 'Enter' }));
  expect(opened).toHaveBeenCalledWith({ id: 'row 1', n: 1 });
});

test('a press on a button in a row does not open the row', () => {
  const opened = vi.fn();
  const columns: Column<Row>[] = [{ key: 'do', label: 'Do', render: () => <Button>Do it</Button> }];
  render(
    <DataTable
      rows={rowsOf(1)}
      columns={columns}
      rowKey={(row) => row.id}
      onRow={opened}
      caption="Rows"
      empty={null}
    />,
  );
  fireEvent.click(screen.getByText('Do it'));
  expect(opened).not.toHaveBeenCalled();
});

test('a press on a heading sorts, and the heading says how', async () => {
  render(
    <DataTable rows={rowsOf(3)} columns={COLUMNS} rowKey={(row) => row.id} caption="Rows" empty={null} />,
  );
  await doing(() => fireEvent.click(screen.getByText('Number')));
  expect(screen.getByText('Number').closest('th')?.getAttribute('aria-sort')).toBe('descending');
  expect([...document.querySelectorAll('tbody td:first-child')].map((cell) => cell.textContent)).toEqual([
    'row 2',
    'row 1',
    'row 0',
  ]);
});

test('what is not known is sorted to the end in both directions, and names by their numbers', () => {
  const rows: Row[] = [
    { id: 'key 10', n: 2 },
    { id: 'key 9', n: null },
    { id: 'Key 1', n: 1 },
  ];
  const ids = (key: string, direction: 'asc' | 'desc') =>
    sorted(rows, COLUMNS, { key, direction }).map((row) => row.id);
  expect(ids('n', 'asc')).toEqual(['Key 1', 'key 10', 'key 9']);
  expect(ids('n', 'desc')).toEqual(['key 10', 'Key 1', 'key 9']);
  expect(ids('id', 'asc')).toEqual(['Key 1', 'key 9', 'key 10']);
});

test('what comes from outside is text, whatever it looks like', () => {
  const hostile = '<img src=x onerror=alert(1)>';
  const { container } = render(<ProviderBadge provider={hostile} />);
  render(<Empty title={hostile} />);
  expect(document.querySelector('img')).toBeNull();
  expect(container.textContent).toBe('Unknown');
  expect(screen.getByText(hostile)).toBeTruthy();
});

test('a busy button keeps its place and takes no press', () => {
  const pressed = vi.fn();
  render(
    <Button busy onClick={pressed}>
      Save
    </Button>,
  );
  const button = screen.getByRole('button');
  fireEvent.click(button);
  expect(pressed).not.toHaveBeenCalled();
  expect(button.hasAttribute('disabled')).toBe(false);
  expect(button.getAttribute('aria-busy')).toBe('true');
});

test('a field belongs to its label, hint and error', () => {
  render(<TextField label="Name" hint="As in the table" error="It is taken." value="a" onValue={() => {}} />);
  const field = screen.getByLabelText('Name');
  const described = (field.getAttribute('aria-describedby') ?? '').split(' ');
  expect(described.map((id) => document.getElementById(id)?.textContent)).toEqual([
    'As in the table',
    'It is taken.',
  ]);
  expect(field.getAttribute('aria-invalid')).toBe('true');
});

test('a number is kept as it is typed', async () => {
  function Form() {
    const [value, setValue] = useState<number | undefined>(5);
    return <NumberField label="Limit" value={value} onValue={setValue} />;
  }
  render(<Form />);
  const field = screen.getByLabelText('Limit') as HTMLInputElement;
  await doing(() => fireEvent.input(field, { target: { value: '1.0' } }));
  expect(field.value).toBe('1.0');
  await doing(() => fireEvent.input(field, { target: { value: '' } }));
  expect(field.value).toBe('');
});

test('a dialog that asks first says why it could not be done, and stays', async () => {
  const closed = vi.fn();
  const confirm = vi.fn(async () => {
    throw new ApiFailure('It is in use.', 409, 'conflict');
  });
  render(
    <ConfirmDialog
      open
      title="Remove?"
      body="For good."
      confirmLabel="Remove"
      typeToConfirm="work"
      onConfirm={confirm}
      onClose={closed}
    />,
  );
  const button = screen.getByText('Remove');
  expect(button.hasAttribute('disabled')).toBe(true);
  await doing(() => fireEvent.input(screen.getByLabelText(/Type “work”/), { target: { value: 'work' } }));
  await doing(() => fireEvent.click(button));
  expect(confirm).toHaveBeenCalledOnce();
  expect(closed).not.toHaveBeenCalled();
  expect(screen.getByText('It is in use.')).toBeTruthy();
});

test('a menu opens, moves by arrow keys and gives the focus back on Escape', async () => {
  const done = vi.fn();
  render(
    <Menu
      label="More"
      items={[
        { label: 'Rename', onSelect: done },
        { label: 'Remove', onSelect: done },
      ]}
    />,
  );
  const button = screen.getByRole('button', { name: 'More' });
  await doing(() => fireEvent.click(button));
  const items = screen.getAllByRole('menuitem', { hidden: true });
  expect(document.activeElement).toBe(items[0]);
  await doing(() => fireEvent.keyDown(items[0] as Element, { key: 'ArrowUp' }));
  expect(document.activeElement).toBe(items[1]);
  await doing(() => fireEvent.keyDown(items[1] as Element, { key: 'Escape' }));
  expect(document.activeElement).toBe(button);
  expect(screen.queryAllByRole('menuitem', { hidden: true })).toEqual([]);
});

test('tabs are moved through by arrow keys', async () => {
  const chosen = vi.fn();
  render(
    <Tabs
      label="Views"
      tabs={[
        { key: 'a', label: 'A' },
        { key: 'b', label: 'B' },
      ]}
      active="a"
      onActive={chosen}
    >
      Content
    </Tabs>,
  );
  await doing(() => fireEvent.keyDown(screen.getByRole('tab', { name: 'A' }), { key: 'ArrowLeft' }));
  expect(chosen).toHaveBeenCalledWith('b');
  expect(screen.getByRole('tabpanel').textContent).toBe('Content');
});

test('a bar says its share and its forecast', () => {
  render(<Bar value={0.42} forecast={1.2} label="5 h window" />);
  const bar = screen.getByRole('meter', { name: '5 h window' });
  expect(bar.getAttribute('aria-valuenow')).toBe('42');
  expect(bar.getAttribute('aria-valuetext')).toBe('42%, forecast 120%');
});

test('a curve has a gap where a value is not known, and a dot for one that is alone', () => {
  const { container } = render(<Spark values={[4, 2, null, 3, Number.NaN, 0, 1]} label="Requests" />);
  const lines = [...container.querySelectorAll('polyline')].map((line) => line.getAttribute('points'));
  expect(lines).toEqual(['0.0,1.0 16.0,12.0', '48.0,6.5 48.0,6.5', '80.0,23.0 96.0,17.5']);
});

test('a moment is exact for those who do not see the tip', () => {
  render(<TimeText at={Date.UTC(2026, 10, 3, 12) / 1000} mode="date" />);
  const time = document.querySelector('time');
  expect(time?.getAttribute('datetime')).toBe('2026-11-03T12:00:00.000Z');
  expect(time?.textContent).toContain('2026-11-03 12:00:00 UTC');
  expect(time?.title).toContain('2026-11-03 12:00:00 UTC');
});

test('toasts are said, and what went wrong stays until it is dismissed', async () => {
  vi.useFakeTimers();
  render(<Toasts />);
  await doing(() => {
    toast('Saved.');
    toast('It did not work.', 'danger');
  });
  expect(screen.getByRole('alert').textContent).toBe('It did not work.');
  await doing(() => vi.advanceTimersByTime(7_000));
  expect(screen.queryByText('Saved.')).toBeNull();
  await doing(() => fireEvent.click(screen.getByLabelText('Dismiss')));
  expect(screen.queryByText('It did not work.')).toBeNull();
  vi.useRealTimers();
});

test('without a clipboard to write to, text is copied from a field', async () => {
  vi.stubGlobal('isSecureContext', false);
  let selected = '';
  document.execCommand = vi.fn(() => {
    selected = (document.querySelector('textarea') as HTMLTextAreaElement).value;
    return true;
  });
  expect(await copyText('csg_key')).toBe(true);
  expect(selected).toBe('csg_key');
  expect(document.querySelector('textarea')).toBeNull();
});

test('a credentials file is read where it is chosen; one that is too large is refused unread', async () => {
  const taken = vi.fn();
  const refused = vi.fn();
  render(<DropZone label="Credentials" onText={taken} onError={refused} />);
  const input = screen.getByLabelText('Credentials', { selector: 'input' });
  await doing(() => fireEvent.change(input, { target: { files: [new File(['{}'], 'a.json')] } }));
  await vi.waitFor(() => expect(taken).toHaveBeenCalledWith('{}', 'a.json'));
  const large = new File([new Uint8Array(1024 * 1024 + 1)], 'b.json');
  await doing(() => fireEvent.change(input, { target: { files: [large] } }));
  expect(refused).toHaveBeenCalledWith(expect.stringContaining('larger than 1 MiB'));
});

test('stacked series stand on each other, and gaps count as nothing', () => {
  expect(
    stack([
      [1, null],
      [2, 3],
    ]),
  ).toEqual([
    [1, 0],
    [3, 3],
  ]);
});

test('names on an axis are those that there is room for', () => {
  expect(namesThatFit(['a', 'b', 'c', 'd'], 200)).toEqual(['a', '', 'c', '']);
  expect(namesThatFit(['claude-sonnet-4-5-20250929'], 200)).toEqual(['claude-sonnet-4-5…']);
});

test('the row that takes the place of one that has gone takes the focus from it', async () => {
  const table = (rows: Row[]) => (
    <main id="main" tabIndex={-1}>
      <DataTable rows={rows} columns={COLUMNS} rowKey={(row) => row.id} caption="Rows" empty="None" />
    </main>
  );
  const [first, second, third] = rowsOf(3) as [Row, Row, Row];
  const { rerender } = render(table([first, second, third]));
  const place = () => document.activeElement?.textContent ?? '';
  await doing(() => screen.getByText('row 1').closest('tr')?.focus());
  await doing(() => rerender(table([first, third])));
  expect(place()).toContain('row 2');
  await doing(() => rerender(table([first])));
  expect(place()).toContain('row 0');
  await doing(() => rerender(table([])));
  expect(document.activeElement?.id).toBe('main');
});
