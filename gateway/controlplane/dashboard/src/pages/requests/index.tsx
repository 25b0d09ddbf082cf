import { useCallback, useEffect, useMemo, useRef } from 'preact/hooks';
import { useLocation, useRoute } from 'preact-iso';
import { api, take } from '../../api/client';
import { useResource } from '../../api/use_resource';
import { useQueryState } from '../../lib/query';
import { onLive } from '../../live/live';
import { Detail } from './detail';
import { FilterBar } from './filter_bar';
import { chipsOf, FILTER_NAMES, type Filter, NO_FILTER, toQuery } from './filters';
import { isAtRest, List } from './list';
import { RequestList } from './request_list';
import css from './requests.module.css';
import { gatewayRequests } from './source';

/** What became of requests: a list, and one of them in full. The list stays as it is while one is open. */
export default function Page() {
  const { route, url } = useLocation();
  const { id } = useRoute().params as { id?: string };
  const [filter, setFilter] = useQueryState<Filter>(FILTER_NAMES);
  const box = useRef<HTMLDivElement>(null);
  const isOpen = useRef(false);
  isOpen.current = id !== undefined;
  const list = useMemo(
    () => new RequestList(gatewayRequests, () => !isOpen.current && isAtRest(box.current)),
    [],
  );
  const facets = useResource((signal) => take(api.GET('/api/v1/facets', { signal })), [], {
    refreshOn: ['accounts', 'keys'],
    everyMs: 300_000,
  });
  const key = JSON.stringify(FILTER_NAMES.map((name) => filter[name]));
  const query = useMemo(() => toQuery(filter, Date.now() / 1000), [key]);

  useEffect(() => {
    void list.open(query);
  }, [query]);
  useEffect(() => {
    const stops = [onLive('request', (row) => list.hear(row)), onLive('reset', () => list.reset())];
    return () => {
      for (const stop of stops) stop();
      list.close();
    };
  }, []);

  const search = new URL(url, window.location.origin).search;
  const href = useCallback((to: string) => `/requests/${encodeURIComponent(to)}${search}`, [search]);
  const back = `/requests${search}`;
  const last = useRef<string | undefined>(undefined);
  if (id !== undefined) last.current = id;
  useEffect(() => {
    if (id !== undefined || last.current === undefined) return;
    // Back from one: the reader goes on where it stands in the list.
    const row = box.current?.querySelector<HTMLElement>('tr[data-selected]');
    (row ?? document.getElementById('main'))?.focus({ preventScroll: true });
  }, [id]);

  return (
    <div class={css.page}>
      <div hidden={id !== undefined}>
        <FilterBar
          filter={filter}
          onFilter={setFilter}
          facets={facets.data}
          facetsFailed={facets.error !== undefined}
        />
      </div>
      <List
        list={list}
        exportQuery={query}
        filtered={chipsOf(filter).length > 0}
        onClear={() => setFilter(NO_FILTER)}
        href={href}
        onOpen={(to) => route(href(to))}
        selected={last.current}
        box={box}
        hidden={id !== undefined}
      />
      {id !== undefined && (
        <Detail
          id={id}
          list={list}
          back={back}
          href={href}
          onGo={(to) => route(href(to), true)}
          onBack={() => route(back)}
        />
      )}
    </div>
  );
}
