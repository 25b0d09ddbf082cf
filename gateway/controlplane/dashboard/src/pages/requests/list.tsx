import { useEffect, useMemo, useState } from 'preact/hooks';
import type { RequestView } from '../../api/schema';
import { requests as words } from '../../strings/requests';
import {
  Button,
  ColumnMenu,
  DataTable,
  DownloadIcon,
  Empty,
  ErrorNote,
  Link,
  Loading,
  PageActions,
  Panel,
  UpIcon,
  useShownColumns,
} from '../../ui';
import { makeColumns, USUAL } from './columns';
import { toSearch } from './filters';
import { Finder } from './finder';
import type { RequestList } from './request_list';
import { MOST } from './request_list';
import css from './requests.module.css';

/** Pixels before the end of what is loaded at which more is asked for. */
const AHEAD = 1_200;

function scrolledIn(box: HTMLElement | null): HTMLElement | null | undefined {
  return box?.querySelector('table')?.parentElement;
}

/** Whether new rows on top disturb nobody: the reader is at the top, and neither points into the table nor works in it. */
export function isAtRest(box: HTMLElement | null): boolean {
  if (!box) return true;
  const isUsed = box.matches(':hover') || box.contains(document.activeElement);
  return !isUsed && (scrolledIn(box)?.scrollTop ?? 0) < 4;
}

/** The table of requests. */
export function List(props: {
  list: RequestList;
  exportQuery: Parameters<typeof toSearch>[0];
  /** Whether anything is filtered out. */
  filtered: boolean;
  onClear: () => void;
  href: (id: string) => string;
  onOpen: (id: string) => void;
  selected: string | undefined;
  /** Holds the table. */
  box: { current: HTMLDivElement | null };
  hidden: boolean;
}) {
  const { list, href, box } = props;
  const roomy = useMedia('(min-width: 95rem)');
  const columns = useMemo(() => makeColumns(href, roomy), [href, roomy]);
  const [shown, setShown] = useShownColumns('requests', USUAL);
  const rows = list.rows.value;
  const loading = list.loading.value;
  const count = list.count.value;

  useEffect(() => {
    // What is loaded may not fill the box.
    const scrolled = scrolledIn(box.current);
    if (scrolled && scrolled.scrollHeight - scrolled.clientHeight < AHEAD / 2 && !list.gaveUp.value)
      void list.more();
  }, [rows, loading]);

  function onScroll(event: Event): void {
    const scrolled = event.target as HTMLElement;
    if (scrolled.querySelector(':scope > table') === null) return;
    if (scrolled.scrollHeight - scrolled.scrollTop - scrolled.clientHeight < AHEAD && !list.error.peek())
      void list.more();
  }

  function toTop(): void {
    const scrolled = scrolledIn(box.current);
    if (scrolled) scrolled.scrollTop = 0;
    void list.showHeld();
    scrolled?.querySelector<HTMLElement>('tbody tr[aria-rowindex="2"]')?.focus({ preventScroll: true });
  }

  const held = list.held.value.length;
  return (
    <div hidden={props.hidden}>
      {!props.hidden && (
        <PageActions>
          <Finder onFind={props.onOpen} />
          <Link
            href={`/api/v1/requests.csv${toSearch(props.exportQuery)}`}
            download
            button="plain"
            icon={DownloadIcon}
            title={words.list.exportHint}
          >
            {words.list.export}
          </Link>
        </PageActions>
      )}
      <Panel
        title={count ? words.list.count(count.number, count.is_exact) : words.title}
        busy={loading === 'first' && rows.length > 0}
        flush
        actions={
          <>
            {(held > 0 || list.missed.value) && (
              <Button kind="primary" icon={UpIcon} onClick={toTop}>
                {list.missed.value ? words.list.missed : words.list.fresh(held)}
              </Button>
            )}
            <ColumnMenu columns={columns} shown={shown} onShown={setShown} />
          </>
        }
      >
        {list.error.value && rows.length === 0 ? (
          <div class={css.note}>
            <ErrorNote error={list.error.value} onRetry={() => void list.open(props.exportQuery)} />
          </div>
        ) : (
          <div ref={box} class={css.list} onScrollCapture={onScroll}>
            <DataTable<RequestView>
              rows={rows}
              columns={columns}
              shown={shown}
              rowKey={(row) => row.id}
              onRow={(row) => props.onOpen(row.id)}
              selected={props.selected}
              caption={words.caption}
              empty={<Nothing {...props} />}
              footer={<End list={list} />}
            />
          </div>
        )}
      </Panel>
    </div>
  );
}

function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => window.matchMedia(query).matches);
  useEffect(() => {
    const list = window.matchMedia(query);
    const onChange = () => setMatches(list.matches);
    list.addEventListener('change', onChange);
    return () => list.removeEventListener('change', onChange);
  }, [query]);
  return matches;
}

/** Stands where rows would be: they are under way, or there are none. */
function Nothing({ list, filtered, onClear }: { list: RequestList; filtered: boolean; onClear: () => void }) {
  if (list.loading.value !== undefined || !(list.atEnd.value || list.gaveUp.value))
    return (
      <div class={css.nothing}>
        <Loading what={words.what} height={320} />
      </div>
    );
  return (
    <div class={css.nothing}>
      {list.gaveUp.value ? (
        <Empty title={words.list.noneFound}>
          <p>{words.list.gaveUp}</p>
          <Button onClick={() => void list.more()}>{words.list.lookFurther}</Button>
        </Empty>
      ) : filtered ? (
        <Empty title={words.list.noneFound}>
          <p>{words.list.noneFoundNext}</p>
          <Button onClick={onClear}>{words.filters.clear}</Button>
        </Empty>
      ) : (
        <Empty title={words.list.none}>
          <p>{words.list.noneNext}</p>
        </Empty>
      )}
    </div>
  );
}

/** What comes behind the last row. */
function End({ list }: { list: RequestList }) {
  if (list.error.value) return <ErrorNote error={list.error.value} onRetry={() => void list.more()} />;
  if (list.full.value) return <p class="quiet">{words.list.full(MOST)}</p>;
  if (list.atEnd.value) return <p class="quiet">{words.list.end}</p>;
  if (list.gaveUp.value)
    return (
      <div class={css.end}>
        <span class="quiet">{words.list.gaveUp}</span>
        <Button onClick={() => void list.more()}>{words.list.lookFurther}</Button>
      </div>
    );
  return (
    <Button kind="quiet" busy={list.loading.value === 'more'} onClick={() => void list.more()}>
      {list.loading.value === 'more' ? words.list.loadingMore : words.list.more}
    </Button>
  );
}
