import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { cx } from '../lib/cx';
import { formatCount } from '../lib/format';
import { remember, remembered } from '../lib/storage';
import { ui } from '../strings/ui';
import css from './data_table.module.css';
import { ColumnsIcon, DownIcon, UpIcon } from './icons';
import { Menu } from './menu';

/** A column of a DataTable. */
export interface Column<T> {
  key: string;
  label: string;
  align?: 'start' | 'end' | 'center';
  /** Pixels; columns without a width share what is left. */
  width?: number;
  /** Pixels that a column without a width has at the least. */
  least?: number;
  render: (row: T) => ComponentChildren;
  /** What the table sorts by; makes the column sortable. */
  sortValue?: (row: T) => string | number | null | undefined;
  /** For tables that the gateway sorts, with `onSort`. */
  sortable?: boolean;
  /** False keeps it out of the column chooser. */
  hideable?: boolean;
}

/** The order of a table's rows. */
export interface Sort {
  key: string;
  direction: 'asc' | 'desc';
}

interface DataTableProps<T> {
  rows: readonly T[];
  columns: readonly Column<T>[];
  rowKey: (row: T) => string;
  /** Opens a row: by click, or Enter. */
  onRow?: (row: T) => void;
  /** Shown instead of rows when there are none. */
  empty: ComponentChildren;
  /** Names the table for screen readers. */
  caption: string;
  /** Pixels that it may grow to before it scrolls; without it, most of the window. */
  height?: number;
  /** Key of the row that is open. */
  selected?: string;
  /** With `onSort` the caller sorts; without, the table does and starts with `sort`. */
  sort?: Sort;
  onSort?: (sort: Sort) => void;
  /** Keys of the columns to show; without it, all. */
  shown?: readonly string[];
  /** Stands below the last row, inside the scrolling box. */
  footer?: ComponentChildren;
  /** Cells depend on nothing but their row and column, so that a row that is the same is not drawn again. */
  isPure?: boolean;
}

/** A row as it was drawn, and from what. */
interface Drawn<T> {
  row: T;
  columns: readonly Column<T>[];
  index: number;
  isActive: boolean;
  isSelected: boolean | undefined;
  drawn: VNode;
}

/** Rows beyond the edges of what is in view; each takes as much as one that is. */
const OVERSCAN = 6;
const DEFAULT_WIDTH = 140;
const COMPARE = new Intl.Collator('en', { numeric: true, sensitivity: 'base' }).compare;

/** The rows in an order; unknown values come last in both directions. Sorting is stable. */
export function sorted<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  sort: Sort | undefined,
): readonly T[] {
  const value = columns.find((column) => column.key === sort?.key)?.sortValue;
  if (!sort || !value) return rows;
  const sign = sort.direction === 'asc' ? 1 : -1;
  return rows
    .map((row) => ({ row, by: value(row) }))
    .sort((a, b) => {
      if (a.by == null || b.by == null) return Number(a.by == null) - Number(b.by == null);
      const order =
        typeof a.by === 'number' && typeof b.by === 'number'
          ? a.by - b.by
          : COMPARE(String(a.by), String(b.by));
      return sign * order;
    })
    .map(({ row }) => row);
}

/**
 * A table of any length: only the rows in view exist. Arrow keys, Page up, Page down, Home and End move between
 * rows, Enter opens one. It scrolls in its own box, in both directions.
 */
export function DataTable<T>(props: DataTableProps<T>) {
  const { rowKey, onRow, onSort } = props;
  const box = useRef<HTMLDivElement>(null);
  const [ownSort, setOwnSort] = useState(props.sort);
  const sort = onSort ? props.sort : ownSort;
  const rows = useMemo(
    () => (onSort ? props.rows : sorted(props.rows, props.columns, sort)),
    [props.rows, props.columns, sort, onSort],
  );
  const shown = props.shown;
  const columns = useMemo(
    () =>
      shown
        ? props.columns.filter((column) => column.hideable === false || shown.includes(column.key))
        : props.columns,
    [props.columns, shown],
  );
  const { rowHeight, first, last, onScroll } = useWindow(box, rows.length);
  const [activeKey, setActiveKey] = useState<string>();
  const wantsFocus = useRef(false);
  const at = useMemo(
    () => (activeKey === undefined ? -1 : rows.findIndex((row) => rowKey(row) === activeKey)),
    [rows, activeKey, rowKey],
  );
  const active = at < 0 ? Math.min(first.visible, rows.length - 1) : at;

  useLayoutEffect(() => {
    if (!wantsFocus.current) return;
    const row = box.current?.querySelector<HTMLElement>(`[aria-rowindex="${active + 2}"]`);
    if (!row) return;
    wantsFocus.current = false;
    row.focus({ preventScroll: true });
  });

  function go(to: number): void {
    const element = box.current;
    const row = rows[Math.max(0, Math.min(rows.length - 1, to))];
    if (!element || !row) return;
    const index = Math.max(0, Math.min(rows.length - 1, to));
    const head = element.querySelector('thead')?.offsetHeight ?? 0;
    const top = index * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + rowHeight + head > element.scrollTop + element.clientHeight) {
      element.scrollTop = top + rowHeight + head - element.clientHeight;
    }
    wantsFocus.current = true;
    setActiveKey(rowKey(row));
    onScroll();
  }

  function onKeyDown(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (target !== box.current && target.getAttribute('aria-rowindex') === null) return;
    const page = Math.max(1, Math.floor((box.current?.clientHeight ?? 0) / rowHeight) - 2);
    const to: Record<string, number> = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + page,
      PageUp: active - page,
      Home: 0,
      End: rows.length - 1,
    };
    const row = rows[active];
    if (to[event.key] !== undefined) {
      event.preventDefault();
      go(to[event.key] as number);
    } else if ((event.key === 'Enter' || event.key === ' ') && onRow && row) {
      event.preventDefault();
      onRow(row);
    }
  }

  // A row that goes takes the focus with it; the row that comes into its place has it then.
  const focused = useRef(-1);
  focused.current = focusedRow(box.current);
  useLayoutEffect(() => {
    if (focused.current < 0 || (document.activeElement ?? document.body) !== document.body) return;
    const next = Math.min(focused.current, rows.length - 1);
    const row = box.current?.querySelector<HTMLElement>(`[aria-rowindex="${next + 2}"]`);
    (row ?? box.current ?? document.getElementById('main'))?.focus({ preventScroll: true });
  });

  const latestOnRow = useRef(onRow);
  latestOnRow.current = onRow;
  const before = useRef(new Map<string, Drawn<T>>());
  const now = new Map<string, Drawn<T>>();

  function draw(row: T, index: number): VNode {
    const key = rowKey(row);
    const isActive = index === active;
    const isSelected = props.selected === undefined ? undefined : key === props.selected;
    let found = props.isPure ? before.current.get(key) : undefined;
    if (
      found?.row !== row ||
      found.columns !== columns ||
      found.index !== index ||
      found.isActive !== isActive ||
      found.isSelected !== isSelected
    ) {
      const drawn = (
        <tr
          key={key}
          class={cx(css.row, onRow && css.opens)}
          aria-rowindex={index + 2}
          aria-selected={onRow && isSelected}
          data-selected={isSelected ? '' : undefined}
          tabIndex={isActive ? 0 : -1}
          onFocus={() => setActiveKey(key)}
          onClick={onRow && ((event) => !isControl(event) && latestOnRow.current?.(row))}
        >
          {columns.map((column) => (
            <td key={column.key} class={css[column.align ?? 'start']}>
              {column.render(row)}
            </td>
          ))}
        </tr>
      );
      found = { row, columns, index, isActive, isSelected, drawn };
    }
    now.set(key, found);
    return found.drawn;
  }

  if (rows.length === 0) return <>{props.empty}</>;

  const width = columns.reduce((sum, column) => sum + (column.width ?? column.least ?? DEFAULT_WIDTH), 0);
  const drawn = rows.slice(first.rendered, last).map((row, offset) => draw(row, first.rendered + offset));
  before.current = now;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: keys come from the rows inside, which take focus
    <div
      class={css.box}
      ref={box}
      tabIndex={-1}
      style={{ maxHeight: props.height === undefined ? undefined : `${props.height}px` }}
      onScroll={onScroll}
      onKeyDown={onKeyDown}
      onPointerOver={tellCutOff}
    >
      <table
        class={css.table}
        style={{ minWidth: `${width}px` }}
        role={onRow ? 'grid' : undefined}
        aria-rowcount={rows.length + 1}
        aria-colcount={columns.length}
      >
        <caption class="visually-hidden">{`${props.caption}, ${ui.tableRows(formatCount(rows.length))}`}</caption>
        <colgroup>
          {columns.map((column) => (
            <col
              key={column.key}
              style={{ width: column.width === undefined ? undefined : `${column.width}px` }}
            />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <Head
                key={column.key}
                column={column}
                sort={sort}
                onSort={(next) => (onSort ? onSort(next) : setOwnSort(next))}
              />
            ))}
          </tr>
        </thead>
        <tbody>
          <Spacer height={first.rendered * rowHeight} span={columns.length} />
          {drawn}
          <Spacer height={(rows.length - last) * rowHeight} span={columns.length} />
        </tbody>
      </table>
      {props.footer && <div class={css.footer}>{props.footer}</div>}
    </div>
  );
}

/** Place of the row that the focus is in, or -1. */
function focusedRow(box: HTMLElement | null): number {
  const row = box && document.activeElement?.closest('[aria-rowindex]');
  return row && box.contains(row) ? Number(row.getAttribute('aria-rowindex')) - 2 : -1;
}

/** Gives a cell whose text is cut off all of it as a tip. */
function tellCutOff(event: MouseEvent): void {
  const cell = (event.target as HTMLElement).closest?.('td');
  if (!cell) return;
  const cut = [cell, ...cell.children].some(
    (part) => part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 1,
  );
  if (cut) cell.title = cell.textContent ?? '';
  else cell.removeAttribute('title');
}

/** A click on a link, button or field in a row is meant for that, and so is one that ends a text selection. */
function isControl(event: MouseEvent): boolean {
  const target = event.target as HTMLElement;
  if (target.closest('a, button, input, select, textarea, label')) return true;
  return (window.getSelection()?.toString() ?? '') !== '';
}

function Spacer({ height, span }: { height: number; span: number }) {
  return height > 0 ? (
    // biome-ignore lint/a11y/noAriaHiddenOnFocusable: nothing in it takes focus
    <tr aria-hidden="true" class={css.spacer}>
      <td colSpan={span} style={{ height: `${height}px` }} />
    </tr>
  ) : null;
}

function Head<T>({
  column,
  sort,
  onSort,
}: {
  column: Column<T>;
  sort: Sort | undefined;
  onSort: (sort: Sort) => void;
}) {
  const on = sort?.key === column.key ? sort.direction : undefined;
  const can = column.sortable ?? column.sortValue !== undefined;
  const Arrow = on === 'asc' ? UpIcon : DownIcon;
  return (
    <th
      scope="col"
      class={css[column.align ?? 'start']}
      aria-sort={on === undefined ? undefined : on === 'asc' ? 'ascending' : 'descending'}
    >
      {can ? (
        <button
          type="button"
          class={css.sort}
          title={ui.sortedBy(column.label)}
          onClick={() => onSort({ key: column.key, direction: on === 'desc' ? 'asc' : 'desc' })}
        >
          <span>{column.label}</span>
          <span class={css.arrow} data-on={on ? '' : undefined}>
            <Arrow size={12} />
          </span>
        </button>
      ) : (
        column.label
      )}
    </th>
  );
}

/** The part of a long list that is in view. */
function useWindow(box: { current: HTMLDivElement | null }, count: number) {
  const [state, setState] = useState({ visible: 0, height: 800, rowHeight: 34 });
  const latest = useRef(state);

  function show(next: typeof state): void {
    const old = latest.current;
    if (old.visible === next.visible && old.height === next.height && old.rowHeight === next.rowHeight)
      return;
    latest.current = next;
    setState(next);
  }

  /** A scroll of less than a row shows no other rows. What is measured here is known, so that nothing waits for it. */
  function onScroll(): void {
    const element = box.current;
    if (!element) return;
    const { height, rowHeight } = latest.current;
    const visible = Math.floor(element.scrollTop / rowHeight);
    keepFocus(element, visible);
    show({ visible, height, rowHeight });
  }

  function measure(): void {
    const element = box.current;
    if (!element) return;
    const row = element.querySelector<HTMLElement>('tbody tr[aria-rowindex]');
    const rowHeight = row?.offsetHeight || 34;
    const visible = Math.floor(element.scrollTop / rowHeight);
    show({ visible, height: element.clientHeight || 800, rowHeight });
  }

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [count === 0]);

  /** Before the row that has the focus goes out of the document, the box takes it; keys go on from that row. */
  function keepFocus(element: HTMLElement, top: number): void {
    const index = Number(document.activeElement?.getAttribute('aria-rowindex')) - 2;
    if (!(index >= 0) || !element.contains(document.activeElement)) return;
    const rows = Math.ceil(latest.current.height / latest.current.rowHeight);
    if (index < top - OVERSCAN || index >= top + rows + OVERSCAN) element.focus({ preventScroll: true });
  }

  const { height, rowHeight } = state;
  const visible = Math.min(state.visible, Math.max(0, count - 1));
  const rendered = Math.max(0, visible - OVERSCAN);
  const last = Math.min(count, visible + Math.ceil(height / rowHeight) + 1 + OVERSCAN);
  return { rowHeight, first: { visible, rendered }, last, onScroll };
}

/** Chooses the columns of a table. */
export function ColumnMenu<T>(props: {
  columns: readonly Column<T>[];
  shown: readonly string[];
  onShown: (keys: string[]) => void;
}) {
  const { columns, shown, onShown } = props;
  const choosable = columns.filter((column) => column.hideable !== false);
  return (
    <Menu
      label={ui.columns}
      icon={ColumnsIcon}
      choice="many"
      items={choosable.map((column) => ({
        label: column.label,
        checked: shown.includes(column.key),
        onSelect: () => {
          const on = !shown.includes(column.key);
          onShown(
            columns.map(({ key }) => key).filter((key) => (key === column.key ? on : shown.includes(key))),
          );
        },
      }))}
    />
  );
}

/** The columns a reader has chosen for a table, kept in this browser under `name`; at first `initial`. */
export function useShownColumns(
  name: string,
  initial: readonly string[],
): [readonly string[], (keys: string[]) => void] {
  const key = `columns.${name}`;
  const [shown, setShown] = useState<readonly string[]>(() => remembered(key)?.split(',') ?? initial);
  return [
    shown,
    (keys) => {
      setShown(keys);
      remember(key, keys.join(','));
    },
  ];
}
