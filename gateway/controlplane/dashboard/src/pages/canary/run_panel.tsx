import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import { type ApiFailure, failureFrom } from '../../api/failure';
import type { CheckLevel, CheckView, RunDetail, RunView } from '../../api/schema';
import { isAdmin } from '../../api/session';
import { canary as words } from '../../strings/canary';
import { ui } from '../../strings/ui';
import {
  Badge,
  Button,
  CheckField,
  CloseIcon,
  CodeBlock,
  CopyIcon,
  copyText,
  DownloadIcon,
  Duration,
  Empty,
  ErrorNote,
  IconButton,
  KeyValue,
  Link,
  Panel,
  ProgressBar,
  Resource,
  TimeText,
  TONE_ICONS,
  toast,
} from '../../ui';
import css from './canary.module.css';
import { areasOf, isOver, LEVEL_TONES, notable, STATE_TONES, share } from './progress';
import { Sentence } from './sentence';
import { Cancel, Elapsed } from './tool_card';
import { useRun } from './use_runs';

const LEVELS: readonly CheckLevel[] = ['problem', 'warning', 'ok', 'unseen'];

/** What a run has found so far, and at its end the report. */
export function RunPanel(props: {
  id: string;
  onCancel: (run: RunView) => Promise<void>;
  onClose: () => void;
}) {
  const known = useRun(props.id);
  const run = known.data?.run;
  const place = useRef<HTMLDivElement>(null);
  // What was pressed to get here may be gone; and what is shown is below it.
  useEffect(() => place.current?.focus(), []);
  if (known.error?.status === 404) {
    return (
      <Panel title={words.run.gone} actions={<CloseButton onClose={props.onClose} />}>
        <p>{words.run.goneNext}</p>
      </Panel>
    );
  }
  return (
    <div ref={place} tabIndex={-1} class={css.place}>
      <Panel
        title={run ? words.run.title(run.kind) : words.run.what}
        busy={known.loading && !run}
        actions={
          <>
            {run && <Badge tone={STATE_TONES[run.state]}>{words.states[run.state]}</Badge>}
            {run && !isOver(run) && isAdmin() && <Cancel run={run} onCancel={props.onCancel} />}
            <CloseButton onClose={props.onClose} />
          </>
        }
      >
        <Resource of={known} what={words.run.what} height={360}>
          {(detail) => <Found detail={detail} />}
        </Resource>
        <p role="status" class="visually-hidden">
          {run && isOver(run) ? words.run.ended(run.kind, run.state, run.summary) : ''}
        </p>
      </Panel>
    </div>
  );
}

function CloseButton({ onClose }: { onClose: () => void }) {
  return <IconButton label={words.run.close} icon={CloseIcon} onClick={onClose} />;
}

function Found({ detail }: { detail: RunDetail }) {
  const { run, checks } = detail;
  const [isOnlyNotable, setOnlyNotable] = useState(false);
  const shown = isOnlyNotable ? notable(checks) : checks;
  return (
    <div class={css.stack}>
      {isOver(run) ? (
        run.summary && <p class={css.summary}>{run.summary}</p>
      ) : (
        <ProgressBar value={share(run)} label={words.progress(run.kind, run.done, run.total)} />
      )}
      <KeyValue
        items={[
          [words.run.at, <TimeText key="at" at={run.began_at} mode="date" />],
          [words.run.took, <Elapsed key="took" run={run} />],
          [words.run.by, run.began_by],
          [words.run.options, <Options key="options" run={run} />],
          ...(run.key_id
            ? [
                [
                  words.run.requests,
                  <a key="requests" href={`/requests?range=30d&actor=${encodeURIComponent(run.key_id)}`}>
                    {run.key_id}
                  </a>,
                ] as const,
              ]
            : []),
        ]}
      />
      <div class={css.stack}>
        <div class={css.checksHeader}>
          <ul class={css.counts}>
            {LEVELS.filter((level) => run.counts[level] > 0).map((level) => (
              <li key={level}>
                <Badge tone={LEVEL_TONES[level]}>{words.run.counts(level, run.counts[level])}</Badge>
              </li>
            ))}
          </ul>
          <CheckField label={words.run.onlyNotable} value={isOnlyNotable} onValue={setOnlyNotable} />
        </div>
        {run.kind === 'conformance' && checks.length > 0 && <ScoreCard checks={checks} />}
        {shown.length > 0 ? (
          <CheckList checks={shown} follows={!isOver(run)} />
        ) : (
          <Empty title={checks.length > 0 ? words.run.nothingNotable : words.run.nothing}>
            {!isOver(run) && <p>{run.line || words.run.waiting}</p>}
          </Empty>
        )}
      </div>
      {isOver(run) && <Report run={run} hasMarkdown={detail.has_markdown} />}
    </div>
  );
}

function Options({ run }: { run: RunView }) {
  const given = Object.entries(run.options as Record<string, unknown>).filter(([, value]) => value !== '');
  return <>{given.length ? given.map(([name, value]) => words.run.option(name, value)).join(', ') : '–'}</>;
}

/** How many rules of each area passed. */
function ScoreCard({ checks }: { checks: readonly CheckView[] }) {
  return (
    <ul class={css.areas} aria-label={words.run.score}>
      {areasOf(checks).map((area) => (
        <li key={area.name} class={css.area}>
          <code>{area.name}</code>
          <Badge tone={area.failed > 0 ? 'danger' : area.passed < area.total ? 'idle' : 'ok'}>
            {words.run.passed(area.passed, area.total)}
          </Badge>
        </li>
      ))}
    </ul>
  );
}

/** Findings, the newest in view for as long as more come and the reader has not scrolled away from them. */
function CheckList({ checks, follows }: { checks: readonly CheckView[]; follows: boolean }) {
  const box = useRef<HTMLElement>(null);
  const isAtEnd = useRef(true);
  useLayoutEffect(() => {
    const element = box.current;
    if (element && follows && isAtEnd.current) element.scrollTop = element.scrollHeight;
  }, [checks.length, follows]);
  return (
    <section
      class={css.checks}
      ref={box}
      aria-label={words.run.checks}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be within reach of the keyboard
      tabIndex={0}
      onScroll={(event) => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        isAtEnd.current = scrollTop + clientHeight >= scrollHeight - 8;
      }}
    >
      <ul>
        {checks.map((check, i) => (
          <Check key={`${check.name} ${i}`} check={check} />
        ))}
      </ul>
    </section>
  );
}

function Check({ check }: { check: CheckView }) {
  const tone = LEVEL_TONES[check.level];
  const Shown = TONE_ICONS[tone];
  return (
    <li class={css.check} data-level={check.level}>
      <span class={css.mark} data-tone={tone}>
        <Shown size={15} />
        <span class="visually-hidden">{words.levels[check.level]}: </span>
      </span>
      <span class={css.checkName}>{check.name}</span>
      <span class={css.checkWhat}>
        <Sentence text={check.what} />
        {check.fix && (
          <span class={css.fix}>
            <strong>{words.run.fix}</strong> <Sentence text={check.fix} />
          </span>
        )}
      </span>
      <span class={css.checkTime}>{check.ms !== null && <Duration ms={check.ms} />}</span>
    </li>
  );
}

function Report({ run, hasMarkdown }: { run: RunView; hasMarkdown: boolean }) {
  const [text, setText] = useState<string>();
  const [isOpen, setOpen] = useState(false);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<ApiFailure>();
  if (!hasMarkdown) return run.state === 'stuck' ? null : <p class={css.small}>{words.run.noReport}</p>;

  async function load(): Promise<string | undefined> {
    if (text !== undefined) return text;
    setBusy(true);
    setFailure(undefined);
    try {
      const path = { id: run.id };
      const loaded = await take(
        api.GET('/api/v1/canary/runs/{id}/report.md', { params: { path }, parseAs: 'text' }),
      );
      setText(loaded);
      return loaded;
    } catch (error) {
      setFailure(failureFrom(error));
      return undefined;
    } finally {
      setBusy(false);
    }
  }

  async function copy(): Promise<void> {
    const loaded = await load();
    if (loaded === undefined) return;
    const isCopied = await copyText(loaded);
    toast(isCopied ? ui.copied : ui.copyFailed, isCopied ? 'ok' : 'warning');
  }

  return (
    <section class={css.report} aria-label={words.run.report}>
      <div class={css.buttons}>
        <Button icon={CopyIcon} busy={busy} onClick={() => void copy()}>
          {words.run.copy}
        </Button>
        <Link
          button="plain"
          icon={DownloadIcon}
          href={`/api/v1/canary/runs/${encodeURIComponent(run.id)}/report.md`}
          download={`${run.kind}-${run.id}.md`}
        >
          {words.run.download}
        </Link>
        <span class={css.small}>{words.run.reportHint}</span>
      </div>
      {failure && <ErrorNote error={failure} />}
      <details
        class={css.options}
        open={isOpen}
        onToggle={(event) => {
          setOpen(event.currentTarget.open);
          if (event.currentTarget.open) void load();
        }}
      >
        <summary>{words.run.report}</summary>
        {text !== undefined && <CodeBlock text={text} label={words.run.markdown(run.kind)} height={480} />}
      </details>
    </section>
  );
}
