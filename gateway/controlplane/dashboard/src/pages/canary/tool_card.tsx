import { useComputed, useSignal } from '@preact/signals';
import { useId, useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import { type ApiFailure, failureFrom } from '../../api/failure';
import type { RunView, ToolView } from '../../api/schema';
import { isAdmin } from '../../api/session';
import { now } from '../../lib/clock';
import { formatDuration } from '../../lib/format';
import { canary as words } from '../../strings/canary';
import {
  Badge,
  Button,
  CheckField,
  Duration,
  ErrorNote,
  PlayIcon,
  ProgressBar,
  SelectField,
  StopIcon,
  TextField,
  TimeText,
  WarningIcon,
} from '../../ui';
import css from './canary.module.css';
import { lacking, orderOf, planOf, usual, type Wishes } from './order';
import { elapsed, isOver, STATE_TONES, share } from './progress';
import { Sentence } from './sentence';

/** One tool: what it is for, what it would send, how far it is, what it came to. */
export function ToolCard(props: {
  tool: ToolView;
  last: RunView | undefined;
  /** As many others run as may. */
  isFull: boolean;
  /** What the last run found is shown below. */
  shown: boolean;
  failure: ApiFailure | undefined;
  onStarted: (run: RunView) => void;
  onFailure: (failure: ApiFailure) => void;
  onCancel: (run: RunView) => Promise<void>;
  onShow: (run: RunView) => void;
}) {
  const { tool, last } = props;
  const { kind } = tool;
  const heading = useId();
  const [wishes, setWishes] = useState<Wishes>(() => usual(tool));
  const [busy, setBusy] = useState(false);
  const [isTried, setTried] = useState(false);
  const isRunning = last !== undefined && !isOver(last);
  const lack = lacking(kind, wishes);

  async function start(): Promise<void> {
    setTried(true);
    if (lack) return;
    setBusy(true);
    try {
      const run = await take(api.POST('/api/v1/canary/runs', { body: orderOf(kind, wishes) }));
      setWishes((old) => ({ ...old, oldKey: '' }));
      setTried(false);
      props.onStarted(run);
    } catch (error) {
      props.onFailure(failureFrom(error));
    } finally {
      setBusy(false);
    }
  }

  return (
    <section class={css.card} aria-labelledby={heading}>
      <header class={css.cardHeader}>
        <h2 id={heading}>{words.kinds[kind]}</h2>
        {last && <Badge tone={STATE_TONES[last.state]}>{words.states[last.state]}</Badge>}
      </header>
      <p>{words.tools[kind]}</p>
      {tool.obstacle ? (
        <p class={css.obstacle}>
          <WarningIcon />
          <span>
            <strong>{words.card.cannot}.</strong> <Sentence text={tool.obstacle} />
          </span>
        </p>
      ) : (
        <>
          <Plan tool={tool} wishes={wishes} />
          {!isRunning && (
            <Options tool={tool} wishes={wishes} lack={isTried ? lack : undefined} onWishes={setWishes} />
          )}
        </>
      )}
      {props.failure && <ErrorNote error={props.failure} />}
      <footer class={css.cardFooter}>
        {isRunning ? (
          <Running run={last} />
        ) : (
          last && (
            <p class={css.lastRun}>
              <span class={css.small}>
                {words.card.last}: <TimeText at={last.ended_at} />
              </span>
              {last.summary}
            </p>
          )
        )}
        <div class={css.buttons}>
          {isRunning && isAdmin() && <Cancel run={last} onCancel={props.onCancel} />}
          {!isRunning && !tool.obstacle && isAdmin() && (
            <Button
              kind={last ? 'plain' : 'primary'}
              icon={PlayIcon}
              busy={busy}
              disabled={props.isFull}
              title={props.isFull ? words.card.busy : undefined}
              onClick={() => void start()}
            >
              {words.card.run(kind)}
            </Button>
          )}
          {!tool.obstacle && !isAdmin() && !isRunning && <span class={css.small}>{words.card.viewer}</span>}
          {last && (
            <Button kind="quiet" disabled={props.shown} onClick={() => props.onShow(last)}>
              {props.shown ? words.card.shown : words.card.show}
              <span class="visually-hidden">: {words.kinds[kind]}</span>
            </Button>
          )}
          {props.isFull && !isRunning && <span class={css.small}>{words.card.busy}</span>}
        </div>
      </footer>
    </section>
  );
}

function Plan({ tool, wishes }: { tool: ToolView; wishes: Wishes }) {
  const plan = planOf(tool, wishes);
  if (!plan) return null;
  return (
    <div class={css.plan}>
      <p>
        {words.card.sends(tool.kind, plan)}{' '}
        {plan.requests > 0 && words.card.tokens(plan.input_tokens, plan.most_output_tokens)}{' '}
        {words.card.takes(plan.seconds)}
      </p>
      {tool.upstream && (
        <p class={css.small}>
          {words.card.who(tool.target, tool.upstream)} {tool.spends && <strong>{words.card.spends}</strong>}
        </p>
      )}
      {tool.note && (
        <p class={css.small}>
          <Sentence text={tool.note} />
        </p>
      )}
    </div>
  );
}

function Options(props: {
  tool: ToolView;
  wishes: Wishes;
  lack: ReturnType<typeof lacking>;
  onWishes: (change: (old: Wishes) => Wishes) => void;
}) {
  const { tool, wishes } = props;
  const { kind } = tool;
  if (!isAdmin()) return null;
  const change = (changes: Partial<Wishes>) => props.onWishes((old) => ({ ...old, ...changes }));
  return (
    <>
      {kind === 'compare' && (
        <TextField
          label={words.card.oldKey}
          hint={words.card.oldKeyHint}
          type="password"
          autocomplete="off"
          required
          mono
          maxlength={1000}
          value={wishes.oldKey}
          onValue={(oldKey) => change({ oldKey })}
          error={
            props.lack === 'oldKey'
              ? words.card.oldKeyMissing
              : props.lack === 'oldKeyForm'
                ? words.card.oldKeyForm
                : undefined
          }
        />
      )}
      <details class={css.options}>
        <summary>{words.card.options}</summary>
        <div class={css.fields}>
          {tool.plans.length > 1 && (
            <SelectField
              label={words.card.choice[kind]}
              value={String(wishes.choice)}
              onValue={(choice) => change({ choice: Number(choice) })}
              options={tool.plans.map((plan) => ({
                value: String(plan.choice),
                label: words.card.choices[kind](plan.choice),
              }))}
            />
          )}
          {kind !== 'conformance' && (
            <TextField
              label={words.card.model}
              hint={words.card.modelHint}
              mono
              maxlength={200}
              value={wishes.model}
              onValue={(model) => change({ model })}
              error={props.lack === 'model' ? words.card.modelError : undefined}
            />
          )}
          {kind === 'smoke' && (
            <CheckField
              label={words.card.bigBodies}
              hint={words.card.bigBodiesHint}
              value={wishes.bigBodies}
              onValue={(bigBodies) => change({ bigBodies })}
            />
          )}
        </div>
      </details>
    </>
  );
}

function Running({ run }: { run: RunView }) {
  return (
    <div class={css.running}>
      <ProgressBar value={share(run)} label={words.progress(run.kind, run.done, run.total)} />
      <p class={css.progressLine}>
        <span>{words.steps(run.done, run.total)}</span>
        <Elapsed run={run} />
      </p>
      <p class={css.line} title={run.line}>
        {run.line}
      </p>
    </div>
  );
}

/** How long a run took, or has taken so far. */
export function Elapsed({ run }: { run: RunView }) {
  return isOver(run) ? <Duration ms={elapsed(run, 0)} /> : <Ticking run={run} />;
}

function Ticking({ run }: { run: RunView }) {
  const latest = useSignal(run);
  if (latest.peek() !== run) latest.value = run;
  const text = useComputed(() => formatDuration(elapsed(latest.value, now.value)));
  return <span role="timer">{text}</span>;
}

/** Ends a run; busy until it has ended. */
export function Cancel({ run, onCancel }: { run: RunView; onCancel: (run: RunView) => Promise<void> }) {
  const [busy, setBusy] = useState(false);
  return (
    <Button
      icon={StopIcon}
      busy={busy}
      onClick={() => {
        setBusy(true);
        void onCancel(run).finally(() => setBusy(false));
      }}
    >
      {words.card.cancel}
      <span class="visually-hidden">: {words.kinds[run.kind]}</span>
    </Button>
  );
}
