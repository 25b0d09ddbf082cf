import { useEffect, useRef, useState } from 'preact/hooks';
import type { KeyList, KeyView, MadeKey } from '../../api/schema';
import { isAdmin } from '../../api/session';
import { type ResourceState, useResource } from '../../api/use_resource';
import { formatCount, formatTime } from '../../lib/format';
import { useQueryState } from '../../lib/query';
import { keys as words } from '../../strings/keys';
import {
  Button,
  ColumnMenu,
  ConfirmDialog,
  DataTable,
  Empty,
  NoticeIcon,
  PageActions,
  Panel,
  PlusIcon,
  Resource,
  SelectField,
  type Sort,
  TextField,
  toast,
  useShownColumns,
} from '../../ui';
import { COLUMNS, INITIAL_COLUMNS } from './columns';
import { type KeyQuery, loadKeys, revokeKey, STATES } from './data';
import { type KeyAction, KeyDetails } from './key_details';
import { CreateDialog, EditDialog, RotateDialog } from './key_form';
import css from './keys.module.css';
import { MadeKeyDialog } from './made_key';

const FIRST = 100;
const STEP = 500;
const EVERY = 30_000;
const USUAL: Sort = { key: 'created', direction: 'desc' };

type Query = { search?: string; state?: string; sort?: string; key?: string };

/** What stands over the list. */
type Open =
  | { what: 'create' }
  | { what: KeyAction; key: KeyView }
  | { what: 'made'; made: MadeKey; isRotated: boolean };

/** The keys of clients. */
export default function Page() {
  const [query, setQuery] = useQueryState<Query>(['search', 'state', 'sort', 'key']);
  const sort = sortOf(query.sort);
  const filter = `${query.search ?? ''}\n${query.state ?? ''}\n${query.sort ?? ''}`;
  const [wanted, setWanted] = useState({ filter, most: FIRST });
  const most = wanted.filter === filter ? wanted.most : FIRST;
  const list = useKeys({ search: query.search ?? '', state: query.state, sort }, filter, most);
  const [open, setOpen] = useState<Open>();
  const [shown, setShown] = useShownColumns('keys', INITIAL_COLUMNS);
  const admin = isAdmin();
  const data = list.data;

  return (
    <div class={css.stack}>
      {admin && (
        <PageActions>
          <Button kind="primary" icon={PlusIcon} onClick={() => setOpen({ what: 'create' })}>
            {words.create}
          </Button>
        </PageActions>
      )}
      {data && <AuthNotice auth={data.client_auth} />}
      <Panel
        title={words.caption}
        flush
        busy={list.loading}
        actions={<ColumnMenu columns={COLUMNS} shown={shown} onShown={setShown} />}
      >
        <Filters query={query} onQuery={setQuery} list={data} />
        <Resource of={list} what={words.what} height={420}>
          {(found) => (
            <DataTable
              rows={found.keys}
              columns={COLUMNS}
              shown={shown}
              rowKey={(key) => key.id}
              onRow={(key) => setQuery({ key: key.id })}
              selected={query.key}
              sort={sort}
              onSort={(next) => setQuery({ sort: sortText(fromTheTop(next, sort)) })}
              caption={words.caption}
              empty={
                <NoKeys
                  list={found}
                  admin={admin}
                  onCreate={() => setOpen({ what: 'create' })}
                  onAll={() => setQuery({ search: undefined, state: 'all' })}
                />
              }
              footer={
                found.after === null ? undefined : (
                  <More
                    busy={list.loading}
                    // Whoever has come so far reads on: each time there is more.
                    onMore={() => setWanted({ filter, most: 2 * found.keys.length + STEP })}
                  />
                )
              }
            />
          )}
        </Resource>
      </Panel>
      {query.key && open === undefined && (
        <KeyDetails
          id={query.key}
          name={data?.keys.find((key) => key.id === query.key)?.name}
          onAction={(what, key) => setOpen({ what, key })}
          onClose={() => setQuery({ key: undefined })}
        />
      )}
      {open && <OpenDialog open={open} list={data} onOpen={setOpen} reload={list.reload} />}
    </div>
  );
}

/** The list: what comes behind it is added to it; when keys have changed all of it is read again. */
function useKeys(query: KeyQuery, filter: string, most: number): ResourceState<KeyList> {
  const latest = useRef<{ filter: string; most: number; list: KeyList } | undefined>(undefined);
  return useResource(
    async (signal) => {
      const known = latest.current;
      const before = known?.filter === filter && known.most < most ? known.list : undefined;
      const list = await loadKeys(query, most, signal, before);
      latest.current = { filter, most, list };
      return list;
    },
    [filter, most],
    // Of a long list not all is asked for again and again; of changes it is told.
    { refreshOn: ['keys'], everyMs: most > FIRST ? undefined : EVERY },
  );
}

function OpenDialog(props: {
  open: Open;
  list: KeyList | undefined;
  onOpen: (open: Open | undefined) => void;
  reload: () => void;
}) {
  const { open, onOpen, reload } = props;
  const close = () => onOpen(undefined);
  const onMade = (isRotated: boolean) => (made: MadeKey) => {
    reload();
    onOpen({ what: 'made', made, isRotated });
  };
  switch (open.what) {
    case 'create':
      return <CreateDialog onMade={onMade(false)} onClose={close} />;
    case 'made':
      return (
        <MadeKeyDialog
          made={open.made}
          isRotated={open.isRotated}
          reach={props.list ?? { base_url: window.location.origin, is_local: true }}
          onClose={close}
        />
      );
    case 'rotate':
      return <RotateDialog of={open.key} onMade={onMade(true)} onClose={close} />;
    case 'edit':
      return (
        <EditDialog
          of={open.key}
          onClose={close}
          onChanged={() => {
            reload();
            close();
          }}
        />
      );
    case 'revoke':
      return <RevokeDialog of={open.key} reload={reload} onClose={close} />;
  }
}

function RevokeDialog(props: { of: KeyView; reload: () => void; onClose: () => void }) {
  const { of } = props;
  return (
    <ConfirmDialog
      open
      title={words.revoke.title(of.name)}
      confirmLabel={words.revoke.submit}
      body={
        <>
          <p>{words.revoke.body}</p>
          <p>
            <strong>
              {of.last_used_at === null
                ? words.revoke.unused
                : words.revoke.used(formatTime(of.last_used_at, 'date'))}
            </strong>
          </p>
        </>
      }
      onConfirm={async () => {
        await revokeKey(of.id);
        toast(words.revoke.done(of.name));
        props.reload();
      }}
      onClose={props.onClose}
    />
  );
}

function AuthNotice({ auth }: { auth: string }) {
  const said = words.auth[auth];
  if (!said) return null;
  return (
    <div class={css.notice} role="note">
      <NoticeIcon size={18} />
      <div>
        <h2>{said.title}</h2>
        <p>{said.body}</p>
      </div>
    </div>
  );
}

function Filters(props: {
  query: Query;
  onQuery: (changes: Query, how?: { replace?: boolean }) => void;
  list: KeyList | undefined;
}) {
  const { query, onQuery, list } = props;
  const [typed, setTyped] = useState(query.search ?? '');
  const latest = useRef(query.search ?? '');
  // Back and forward change the address without typing.
  useEffect(() => {
    if ((query.search ?? '') !== latest.current) {
      latest.current = query.search ?? '';
      setTyped(latest.current);
    }
  }, [query.search]);
  useEffect(() => {
    if (typed === latest.current) return;
    const timer = setTimeout(() => {
      latest.current = typed;
      onQuery({ search: typed || undefined }, { replace: true });
    }, 250);
    return () => clearTimeout(timer);
  }, [typed, onQuery]);
  const counts = list?.counts;
  const label = (state: (typeof STATES)[number]) =>
    counts
      ? words.filter.withCount(words.state[state] ?? state, formatCount(counts[state]))
      : (words.state[state] ?? state);
  return (
    <div class={css.filters}>
      <div class={css.search}>
        <TextField
          type="search"
          label={words.filter.search}
          labelHidden
          placeholder={words.filter.placeholder}
          value={typed}
          maxlength={100}
          autocomplete="off"
          onValue={setTyped}
        />
      </div>
      <SelectField
        label={words.filter.state}
        labelHidden
        value={query.state ?? ''}
        onValue={(state) => onQuery({ state: state || undefined })}
        options={[
          { value: '', label: words.filter.current },
          ...STATES.map((state) => ({ value: state, label: label(state) })),
          { value: 'all', label: words.filter.all },
        ]}
      />
      <span class={css.count} role="status">
        {list
          ? words.filter.shown(formatCount(list.keys.length), list.keys.length === 1, list.after !== null)
          : ''}
      </span>
    </div>
  );
}

function NoKeys(props: { list: KeyList; admin: boolean; onCreate: () => void; onAll: () => void }) {
  const { counts } = props.list;
  const total = counts.active + counts.expiring + counts.expired + counts.revoked;
  if (total > 0) {
    return (
      <Empty title={words.none}>
        <p>{words.noneNext}</p>
        <Button onClick={props.onAll}>{words.showAll}</Button>
      </Empty>
    );
  }
  return (
    <Empty title={words.empty.title}>
      <p>{words.empty.body}</p>
      {props.admin ? (
        <Button kind="primary" icon={PlusIcon} onClick={props.onCreate}>
          {words.create}
        </Button>
      ) : (
        <p>{words.empty.viewer}</p>
      )}
    </Empty>
  );
}

/** Asks for more when it comes into view, or is pressed. */
function More({ busy, onMore }: { busy: boolean; onMore: () => void }) {
  const box = useRef<HTMLDivElement>(null);
  const latest = useRef({ busy, onMore });
  latest.current = { busy, onMore };
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting) && !latest.current.busy) latest.current.onMore();
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [busy]);
  return (
    <div ref={box}>
      <Button busy={busy} onClick={onMore}>
        {words.more}
      </Button>
    </div>
  );
}

function sortOf(text: string | undefined): Sort {
  const [key = '', direction] = (text ?? '').split('.');
  const column = COLUMNS.find((one) => one.key === key && one.sortable);
  return column ? { key, direction: direction === 'asc' ? 'asc' : 'desc' } : USUAL;
}

/** Names are read from A on when somebody first sorts by them. */
function fromTheTop(next: Sort, before: Sort): Sort {
  return next.key === 'name' && before.key !== 'name' ? { ...next, direction: 'asc' } : next;
}

function sortText(sort: Sort): string | undefined {
  const text = `${sort.key}.${sort.direction}`;
  return text === `${USUAL.key}.${USUAL.direction}` ? undefined : text;
}
