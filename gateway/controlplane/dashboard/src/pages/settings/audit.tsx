import { useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import type { AuditPage, AuditView } from '../../api/schema';
import { useResource } from '../../api/use_resource';
import { cx } from '../../lib/cx';
import { useQueryState } from '../../lib/query';
import { settings as words } from '../../strings/settings';
import {
  Button,
  CodeBlock,
  type Column,
  DataTable,
  Dialog,
  Empty,
  ErrorNote,
  KeyValue,
  Panel,
  Resource,
  SelectField,
  TextField,
  TimeText,
} from '../../ui';
import { changedFields, timesOf } from './changes';
import css from './settings.module.css';

const GROUPS = ['account', 'key', 'costs', 'canary', 'session', 'user'] as const;

const COLUMNS: Column<AuditView>[] = [
  { key: 'at', label: words.audit.columns.at, width: 130, render: (one) => <TimeText at={one.at} /> },
  { key: 'who', label: words.audit.columns.who, width: 150, render: (one) => one.who || words.audit.nobody },
  {
    key: 'action',
    label: words.audit.columns.action,
    width: 200,
    render: (one) => {
      const times = timesOf(one.after);
      return (
        <>
          <span title={one.action}>{wordsOf(one.action)}</span>
          {times > 1 && <span class="quiet"> {words.audit.times(times)}</span>}
        </>
      );
    },
  },
  { key: 'target', label: words.audit.columns.target, width: 220, render: (one) => one.target },
  { key: 'how', label: words.audit.columns.how, width: 120, render: (one) => one.how },
  { key: 'address', label: words.audit.columns.address, width: 150, render: (one) => one.address },
];

function wordsOf(action: string): string {
  return words.audit.actions[action] ?? action;
}

type Filters = { who?: string; action?: string; target?: string };

/** Who changed what, the newest first. */
export function Audit() {
  const [query, setQuery] = useQueryState<Filters>(['who', 'action', 'target']);
  const [older, setOlder] = useState<{ of: AuditPage; pages: AuditPage[] } | null>(null);
  const [open, setOpen] = useState<AuditView | null>(null);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error | null>(null);
  const known = useResource(
    (signal) => load(query, undefined, signal),
    [query.who, query.action, query.target],
    {
      refreshOn: ['accounts', 'keys', 'settings', 'users', 'canary'],
    },
  );

  async function loadMore(first: AuditPage, pages: AuditPage[]): Promise<void> {
    setBusy(true);
    setFailure(null);
    try {
      const next = await load(query, (pages.at(-1) ?? first).next ?? undefined);
      setOlder({ of: first, pages: [...pages, next] });
    } catch (error) {
      setFailure(error as Error);
    } finally {
      setBusy(false);
    }
  }

  const filtered = Boolean(query.who || query.action || query.target);
  return (
    <Panel title={words.audit.title} hint={words.audit.hint} busy={known.loading}>
      <div class={cx(css.filters, css.even)}>
        <TextField
          label={words.audit.who}
          value={query.who ?? ''}
          onValue={(who) => setQuery({ who }, { replace: true })}
        />
        <SelectField
          label={words.audit.action}
          value={query.action ?? ''}
          onValue={(action) => setQuery({ action })}
          options={[
            { value: '', label: words.audit.any },
            ...GROUPS.map((group) => ({ value: group, label: words.audit.group[group] })),
          ]}
        />
        <TextField
          label={words.audit.target}
          value={query.target ?? ''}
          onValue={(target) => setQuery({ target }, { replace: true })}
        />
      </div>
      <Resource of={known} what={words.audit.what} height={420}>
        {(first) => {
          // Pages that were loaded behind another first page may miss what came since.
          const pages = older?.of === first ? older.pages : [];
          const rows = [first, ...pages].flatMap((page) => page.entries);
          const more = (pages.at(-1) ?? first).next !== null;
          return (
            <DataTable
              rows={rows}
              columns={COLUMNS}
              rowKey={(one) => one.id}
              onRow={setOpen}
              caption={words.audit.caption}
              empty={<Empty title={filtered ? words.audit.noneFiltered : words.audit.none} />}
              footer={
                <>
                  {failure && <ErrorNote error={failure} />}
                  {more && (
                    <Button busy={busy} onClick={() => void loadMore(first, pages)}>
                      {words.audit.more}
                    </Button>
                  )}
                </>
              }
            />
          );
        }}
      </Resource>
      {open && <Change of={open} onClose={() => setOpen(null)} />}
    </Panel>
  );
}

function load(query: Filters, after?: string, signal?: AbortSignal): Promise<AuditPage> {
  const { who, action, target } = query;
  return take(api.GET('/api/v1/audit', { params: { query: { who, action, target, after } }, signal }));
}

function Change({ of, onClose }: { of: AuditView; onClose: () => void }) {
  const fields = changedFields(of.before, of.after);
  return (
    <Dialog
      open
      title={words.audit.open(wordsOf(of.action), of.target)}
      onClose={onClose}
      footer={<Button onClick={onClose}>{words.audit.close}</Button>}
    >
      <div class={css.change}>
        <KeyValue
          items={[
            [words.audit.columns.at, <TimeText key="at" at={of.at} mode="date" />],
            [words.audit.columns.who, of.who || words.audit.nobody],
            [words.audit.columns.how, of.how],
            [words.audit.columns.address, of.address || '–'],
          ]}
        />
        {fields.length > 0 && (
          <table class={css.fields}>
            <caption class="visually-hidden">{words.audit.changes}</caption>
            <thead>
              <tr>
                <th scope="col">{words.audit.field}</th>
                <th scope="col">{words.audit.before}</th>
                <th scope="col">{words.audit.after}</th>
              </tr>
            </thead>
            <tbody>
              {fields.map((field) => (
                <tr key={field.name}>
                  <th scope="row">{field.name}</th>
                  <td>{field.before ?? words.audit.nothing}</td>
                  <td>{field.after ?? words.audit.nothing}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        <CodeBlock label={words.audit.asJson} text={JSON.stringify(of, null, 2)} />
      </div>
    </Dialog>
  );
}
