import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { api, take } from '../../api/client';
import type { RequestView } from '../../api/schema';
import { useResource } from '../../api/use_resource';
import { onLive } from '../../live/live';
import { now as words } from '../../strings/now';
import { DataTable, Empty, Link, Panel, Resource } from '../../ui';
import { makeColumns } from '../requests/columns';
import { countSince, KEPT, mergeEndings, SHOWN } from './endings_list';
import css from './now.module.css';

const { endings: labels } = words;
const COLUMNS = ['at', 'outcome', 'model', 'account', 'actor', 'output', 'cost', 'content', 'total', 'why'];

/** What became of the last requests, as they end. */
export function Endings({
  provider,
  onStill,
}: {
  provider: string | undefined;
  /** Told whether somebody is about to press something here, so that the list should not move either. */
  onStill: (isStill: boolean) => void;
}) {
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
      waiting = [row, ...waiting].slice(0, KEPT);
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        const found = waiting;
        waiting = [];
        setTold((old) => [...found, ...old].slice(0, KEPT));
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
  const panel = useRef<HTMLDivElement>(null);
  const toFirst = useRef(false);
  const { isStill, shown, since, update, ...watched } = useStill(
    useMemo(() => mergeEndings(told, loaded.data?.requests ?? [], provider), [told, loaded.data, provider]),
    told,
    provider,
  );

  useEffect(() => onStill(isStill), [isStill]);

  function onUpdate(event: MouseEvent): void {
    update();
    // By keyboard: the button goes, and what it was pressed for is what one wants to be at.
    toFirst.current = event.detail === 0;
  }
  useLayoutEffect(() => {
    if (!toFirst.current) return;
    toFirst.current = false;
    panel.current?.querySelector<HTMLElement>('tbody tr[aria-rowindex]')?.focus();
  });

  return (
    <div ref={panel} {...watched}>
      <Panel
        title={labels.title}
        hint={
          since > 0 ? (
            <button type="button" class={css.since} title={labels.heldHint} onClick={onUpdate}>
              {labels.held(since, KEPT)}
            </button>
          ) : (
            labels.hint
          )
        }
        flush
        actions={<Link href={provider ? `/requests?provider=${provider}` : '/requests'}>{labels.all}</Link>}
      >
        <Resource of={loaded} what={labels.what} height={240}>
          {() => (
            <DataTable
              rows={shown}
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
    </div>
  );
}

/**
 * Rows that hold still while somebody points at them or is among them by keyboard, so that what is pressed is what was
 * aimed at. `since` is how many would have come; `update` lets them come.
 */
function useStill(rows: readonly RequestView[], told: readonly RequestView[], provider: string | undefined) {
  const [isPointedAt, setPointedAt] = useState(false);
  const [isFocused, setFocused] = useState(false);
  const [, setTurn] = useState(0);
  const still = useRef({ rows, provider });
  const isStill = (isPointedAt || isFocused) && still.current.rows.length > 0;
  if (!isStill || still.current.provider !== provider) still.current = { rows, provider };
  const shown = still.current.rows;
  return {
    isStill,
    shown,
    since: shown === rows ? 0 : countSince(shown, told, provider),
    update: () => {
      still.current = { rows, provider };
      setTurn((old) => old + 1);
    },
    onPointerEnter: () => setPointedAt(true),
    onPointerLeave: () => setPointedAt(false),
    onFocusIn: (event: FocusEvent) => setFocused((event.target as HTMLElement).matches(':focus-visible')),
    onFocusOut: (event: FocusEvent) => {
      const within = event.currentTarget as HTMLElement;
      if (!within.contains(event.relatedTarget as Node | null)) setFocused(false);
    },
  };
}
