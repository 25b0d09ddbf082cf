import { useId, useRef, useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import { failureFrom } from '../../api/failure';
import type { AccountView, ImportEntry, ImportReport } from '../../api/schema';
import type { Submission } from '../../api/use_submission';
import { accounts as words } from '../../strings/accounts';
import { ui } from '../../strings/ui';
import {
  Badge,
  Button,
  CheckField,
  DropZone,
  ErrorNote,
  ProgressBar,
  ProviderBadge,
  TextField,
  toast,
} from '../../ui';
import css from './accounts.module.css';

interface Given {
  content: string;
  companion?: string;
  filename: string;
}

/** Who takes a file: all accounts, to which it adds, or one that is to have another credential. */
interface Door {
  /** The account that there is already, if it is for one. */
  account?: AccountView;
  look(given: Given, wishes: Wishes): Promise<ImportReport>;
  /** Saves the chosen entries. */
  save(given: Given, wishes: Wishes, taken: readonly number[], noticeRead: boolean): Promise<void>;
}

interface Wishes {
  name: string;
  owner: string;
  client: string;
  token: string;
}

const NONE: Wishes = { name: '', owner: '', client: '', token: '' };

/** Imports a file of credentials: looked into first, entry by entry, and saved when the reader says so. */
export function ImportFile(props: {
  submission: Submission;
  onAdded: (accounts: readonly AccountView[]) => void;
  onClose: () => void;
}) {
  const door: Door = {
    look: (given, wishes) =>
      take(api.POST('/api/v1/accounts/import/check', { body: { ...importOf(given, wishes), ask: true } })),
    save: async (given, wishes, taken, noticeRead) => {
      const done = await take(
        api.POST('/api/v1/accounts/import', {
          body: { ...importOf(given, wishes), take: [...taken], notice_read: noticeRead },
        }),
      );
      toast(words.done.imported(done.accounts.length));
      for (const warning of done.warnings.slice(0, 3)) toast(warning, 'warning');
      props.onAdded(done.accounts);
    },
  };
  return <FileForm door={door} submission={props.submission} onClose={props.onClose} />;
}

/** Gives an account another credential from a file, which is looked into first. */
export function ReplaceFromFile(props: {
  account: AccountView;
  submission: Submission;
  onDone: (account: AccountView) => void;
  onClose: () => void;
}) {
  const { account, onDone } = props;
  const params = { path: { id: account.id } };
  const door: Door = {
    account,
    look: (given, wishes) =>
      take(
        api.POST('/api/v1/accounts/{id}/credentials/check', {
          params,
          body: { ...successorOf(given, wishes), ask: true },
        }),
      ),
    save: async (given, wishes, taken, noticeRead) => {
      const done = await take(
        api.PUT('/api/v1/accounts/{id}/credentials', {
          params,
          body: { ...successorOf(given, wishes), take: taken[0] ?? null, notice_read: noticeRead },
        }),
      );
      toast(words.done.replaced(account.name));
      for (const warning of done.warnings.slice(0, 3)) toast(warning, 'warning');
      onDone(done.account);
    },
  };
  return <FileForm door={door} submission={props.submission} onClose={props.onClose} />;
}

function FileForm({
  door,
  submission,
  onClose,
}: {
  door: Door;
  submission: Submission;
  onClose: () => void;
}) {
  const { account } = door;
  const [given, setGiven] = useState<Given>();
  const [wishes, setWishes] = useState(NONE);
  const [report, setReport] = useState<ImportReport>();
  const [problem, setProblem] = useState<Error>();
  const [looking, setLooking] = useState(false);
  const [taken, setTaken] = useState<ReadonlySet<number>>(new Set());
  const [read, setRead] = useState(false);
  const latest = useRef(0);

  async function look(file: Given, wanted: Wishes): Promise<void> {
    latest.current += 1;
    const mine = latest.current;
    setGiven(file);
    setProblem(undefined);
    setLooking(true);
    try {
      const found = await door.look(file, wanted);
      if (mine !== latest.current) return;
      setReport(found);
      // What is there already under another name is left to the reader to choose.
      setTaken(
        account ? chosenFor(account, found.entries) : new Set(found.entries.filter(isGood).map(indexOf)),
      );
    } catch (error) {
      if (mine !== latest.current) return;
      setReport(undefined);
      setProblem(failureFrom(error));
    }
    setLooking(false);
  }

  function startOver(): void {
    latest.current += 1;
    setGiven(undefined);
    setReport(undefined);
    setProblem(undefined);
    setLooking(false);
    setRead(false);
    setWishes(NONE);
  }

  const save = () =>
    submission.submit(async () => {
      if (!given) return;
      await door.save(
        given,
        wishes,
        [...taken].sort((a, b) => a - b),
        read,
      );
      onClose();
    });

  if (!given) {
    return (
      <div class={css.form}>
        <p class={css.quiet}>{account ? words.replace.what(account.name) : words.file.what}</p>
        <DropZone
          label={
            account ? words.replace.label[account.kind === 'oauth' ? 'oauth' : 'api_key'] : words.file.label
          }
          accept=".json,application/json"
          onText={(content, name) => void look({ content, filename: nameOf(name) }, wishes)}
          onError={(message) => setProblem(new Error(message))}
        />
        {problem && <ErrorNote error={problem} />}
      </div>
    );
  }

  const companion = report?.lacks === 'companion';
  return (
    <form
      class={css.form}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (report?.problem) void look(given, wishes);
        else if (taken.size > 0) void save();
      }}
    >
      <div class={css.fileHead}>
        <span>{given.filename ? words.file.from(given.filename) : words.file.pasted}</span>
        <Button onClick={startOver} disabled={submission.busy}>
          {words.file.another}
        </Button>
      </div>
      {looking && (
        <div role="status" class={css.looking}>
          <span>{words.file.reading}</span>
          <ProgressBar label={words.file.reading} />
        </div>
      )}
      {problem && <ErrorNote error={problem} onRetry={() => void look(given, wishes)} />}
      {report?.problem && !looking && <Refused report={report} />}
      {companion && !looking && (
        <DropZone
          label={words.file.companion}
          accept=".json,application/json"
          onText={(text) => void look({ ...given, companion: text }, wishes)}
          onError={(message) => setProblem(new Error(message))}
        />
      )}
      <WishFields report={report} account={account} wishes={wishes} onWishes={setWishes} />
      {report && report.entries.length > 0 && (
        <Entries entries={report.entries} one={account !== undefined} taken={taken} onTaken={setTaken} />
      )}
      {report?.warnings.map((warning) => (
        <p key={warning} class={css.notice}>
          <Badge tone="warning">{warning}</Badge>
        </p>
      ))}
      {report?.notice && <Notice text={report.notice} read={read} onRead={setRead} />}
      {submission.failure && <ErrorNote error={submission.failure} />}
      <Foot
        report={report}
        looking={looking}
        taken={taken.size}
        read={read}
        busy={submission.busy}
        submitLabel={account ? words.replace.submit : words.file.submit(taken.size)}
        nothing={account ? words.replace.nothing : words.file.nothing}
        onClose={onClose}
        onAgain={() => void look(given, wishes)}
      />
    </form>
  );
}

function successorOf(file: Given, wishes: Wishes) {
  return {
    content: file.content,
    companion: file.companion ?? null,
    owner: wishes.owner,
    client_id: wishes.client.trim() || null,
    token_url: wishes.token.trim() || null,
  };
}

function importOf(file: Given, wishes: Wishes) {
  return {
    ...successorOf(file, wishes),
    filename: file.filename.slice(0, 200),
    name: wishes.name.trim() || null,
  };
}

/** What is pasted has no name of a file. */
function nameOf(name: string): string {
  return name === ui.dropZone.pastedName ? '' : name;
}

function isGood(entry: ImportEntry): boolean {
  return entry.problem === '' && entry.known_as === null && (entry.check?.good ?? true);
}

function indexOf(entry: ImportEntry): number {
  return entry.index;
}

/** The entry that is meant for an account: the one of its name, or the only one that there is. */
function chosenFor(account: AccountView, entries: readonly ImportEntry[]): ReadonlySet<number> {
  const fit = entries.filter((entry) => entry.problem === '');
  const meant = fit.filter((entry) => entry.name === account.name);
  const [one, ...others] = meant.length > 0 ? meant : fit;
  return new Set(one && others.length === 0 && isGood(one) ? [one.index] : []);
}

function Refused({ report }: { report: ImportReport }) {
  return (
    <div class={css.refused} role="alert">
      <Badge tone="danger">{words.file.refused}</Badge>
      <p>{report.problem}</p>
    </div>
  );
}

/** What can be said about the accounts in the file; what it takes is asked for where it is missing. */
function WishFields(props: {
  report: ImportReport | undefined;
  account: AccountView | undefined;
  wishes: Wishes;
  onWishes: (wishes: Wishes) => void;
}) {
  const { report, account, wishes, onWishes } = props;
  if (!report || report.lacks === 'subscription') return null;
  const lacks = report.lacks;
  const oauth = report.entries.some((entry) => entry.kind === 'oauth');
  const asksForLogin = oauth || lacks === 'owner' || lacks === 'client_id' || lacks === 'token_url';
  if (report.problem && !lacks) return null;
  // What an account has already is not asked for again.
  const asksForName = asksForLogin && !account;
  const asksForOwner = !account || lacks === 'owner' || wishes.owner !== '';
  if (!asksForName && !asksForOwner && !asksForLogin) return null;
  const set = (change: Partial<Wishes>) => onWishes({ ...wishes, ...change });
  return (
    <div class={css.wishes}>
      {asksForName && (
        <TextField
          label={words.file.name}
          hint={words.file.nameHint}
          value={wishes.name}
          onValue={(name) => set({ name })}
          maxlength={100}
          autocomplete="off"
        />
      )}
      {asksForOwner && (
        <TextField
          label={words.file.owner}
          hint={words.file.ownerHint}
          value={wishes.owner}
          onValue={(owner) => set({ owner })}
          maxlength={200}
          autocomplete="off"
          required={lacks === 'owner'}
        />
      )}
      {asksForLogin && (
        <>
          <TextField
            label={words.file.client}
            hint={account ? words.replace.asBefore : words.file.clientHint}
            value={wishes.client}
            onValue={(client) => set({ client })}
            autocomplete="off"
            required={lacks === 'client_id'}
            mono
          />
          <TextField
            label={words.file.token}
            hint={account ? words.replace.asBefore : words.file.tokenHint}
            type="url"
            value={wishes.token}
            onValue={(token) => set({ token })}
            autocomplete="off"
            required={lacks === 'token_url'}
            mono
          />
        </>
      )}
    </div>
  );
}

function Entries(props: {
  entries: readonly ImportEntry[];
  /** Whether one can be chosen rather than any number. */
  one: boolean;
  taken: ReadonlySet<number>;
  onTaken: (taken: ReadonlySet<number>) => void;
}) {
  const { entries, one, taken, onTaken } = props;
  const heading = useId();
  return (
    <section aria-labelledby={heading}>
      <h3 id={heading}>{one ? words.replace.entries : words.file.entries}</h3>
      <ul class={css.entries}>
        {entries.map((entry) => (
          <Entry
            key={entry.index}
            entry={entry}
            group={one ? heading : undefined}
            taken={taken.has(entry.index)}
            onTaken={(on) => {
              const next = new Set(one ? [] : taken);
              if (on) next.add(entry.index);
              else next.delete(entry.index);
              onTaken(next);
            }}
          />
        ))}
      </ul>
    </section>
  );
}

function Entry(props: {
  entry: ImportEntry;
  /** Name of the group that one is chosen of. */
  group: string | undefined;
  taken: boolean;
  onTaken: (taken: boolean) => void;
}) {
  const { entry, group, taken, onTaken } = props;
  const about = useId();
  const name = entry.name || words.file.unnamed;
  const bad = entry.problem !== '';
  return (
    <li class={css.entry} data-problem={bad ? '' : undefined}>
      <input
        type={group === undefined ? 'checkbox' : 'radio'}
        name={group}
        aria-label={(group === undefined ? words.file.take : words.replace.take)(
          `${entry.index + 1}: ${name}`,
        )}
        aria-describedby={about}
        checked={taken}
        disabled={bad}
        onChange={(event) => onTaken(event.currentTarget.checked)}
      />
      <div class={css.entryBody}>
        <div class={css.badges}>
          <span class={css.quiet}>{entry.index + 1}</span>
          <strong>{name}</strong>
          {entry.provider && <ProviderBadge provider={entry.provider} />}
          {entry.owner && <span class={css.owner}>{entry.owner}</span>}
        </div>
        <div id={about} class={css.entryNotes}>
          <EntryVerdict entry={entry} />
          {entry.warnings.map((warning) => (
            <Badge key={warning} tone="warning">
              {warning}
            </Badge>
          ))}
        </div>
      </div>
    </li>
  );
}

function EntryVerdict({ entry }: { entry: ImportEntry }) {
  if (entry.problem) return <Badge tone="danger">{entry.problem}</Badge>;
  if (entry.check) return <Badge tone={entry.check.good ? 'ok' : 'danger'}>{entry.check.message}</Badge>;
  return (
    <Badge tone="idle">
      {words.file.fine} {entry.kind === 'oauth' ? words.file.notAsked : words.file.unasked}
    </Badge>
  );
}

function Notice(props: { text: string; read: boolean; onRead: (read: boolean) => void }) {
  const heading = useId();
  return (
    <section class={css.noticeBox} aria-labelledby={heading}>
      <h3 id={heading}>{words.file.notice}</h3>
      <p>{props.text}</p>
      <CheckField label={words.file.noticeRead} value={props.read} onValue={props.onRead} />
    </section>
  );
}

function Foot(props: {
  report: ImportReport | undefined;
  looking: boolean;
  taken: number;
  read: boolean;
  busy: boolean;
  submitLabel: string;
  /** What is said while nothing is chosen. */
  nothing: string;
  onClose: () => void;
  onAgain: () => void;
}) {
  const { report, taken, busy } = props;
  const unread = Boolean(report?.notice) && !props.read;
  const none = report?.entries.every((entry) => entry.problem !== '');
  const hint = none ? words.file.noneFits : unread ? words.file.unread : props.nothing;
  const ready = taken > 0 && !unread && !props.looking;
  const again = report && (report.problem === '' || report.lacks !== null) && report.lacks !== 'subscription';
  return (
    <div class={css.formFoot}>
      {report && !report.problem && !ready && !props.looking && <span class={css.quiet}>{hint}</span>}
      <Button onClick={props.onClose} disabled={busy}>
        {ui.cancel}
      </Button>
      {again && (
        <Button
          kind={report.problem ? 'primary' : 'plain'}
          busy={props.looking}
          disabled={busy}
          onClick={props.onAgain}
        >
          {words.file.again}
        </Button>
      )}
      {report && !report.problem && (
        <Button kind="primary" type="submit" busy={busy} disabled={!ready}>
          {props.submitLabel}
        </Button>
      )}
    </div>
  );
}
