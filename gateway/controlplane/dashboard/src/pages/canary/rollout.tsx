import type { ComponentChildren } from 'preact';
import type { Kind, RunView } from '../../api/schema';
import { canary as words } from '../../strings/canary';
import { Badge, Panel, TimeText } from '../../ui';
import css from './canary.module.css';
import { KINDS, STATE_TONES } from './progress';

const WENT_WRONG = '/requests?range=24h&wrong=1';

/** How far the gateway has come, and what is to be done next. */
export function Rollout(props: { state: string; approval: string; last: Partial<Record<Kind, RunView>> }) {
  const { steps } = words.rollout;
  const isPromoted = props.state === 'promoted';
  const lookBack = <a href={WENT_WRONG}>{steps.useLink}</a>;
  return (
    <Panel
      title={words.rollout.title}
      actions={
        <Badge tone={isPromoted ? 'ok' : 'notice'}>
          {isPromoted ? words.rollout.promoted : words.rollout.canary}
        </Badge>
      }
    >
      <p class={css.means}>
        {isPromoted ? words.rollout.promotedMeans(props.approval) : words.rollout.canaryMeans}
      </p>
      <h3 class={css.next}>{isPromoted ? words.rollout.nextPromoted : words.rollout.next}</h3>
      {isPromoted ? (
        <ul class={css.steps}>
          <Step name={steps.watch} hint={steps.watchHint}>
            {lookBack}
          </Step>
          <Step name={steps.again} hint={steps.againHint}>
            <EvidenceList last={props.last} />
          </Step>
        </ul>
      ) : (
        <ol class={css.steps}>
          <Step name={steps.evidence} hint={steps.evidenceHint}>
            <EvidenceList last={props.last} />
          </Step>
          <Step name={steps.use} hint={steps.useHint}>
            {lookBack}
          </Step>
          <Step name={steps.back} hint={steps.backHint} />
          <Step name={steps.promote} hint={steps.promoteHint} />
        </ol>
      )}
      <p class={css.small}>{words.rollout.more}</p>
    </Panel>
  );
}

function Step(props: { name: string; hint: string; children?: ComponentChildren }) {
  return (
    <li class={css.step}>
      <strong>{props.name}</strong>
      <span class={css.small}>{props.hint}</span>
      {props.children}
    </li>
  );
}

function EvidenceList({ last }: { last: Partial<Record<Kind, RunView>> }) {
  return (
    <ul class={css.evidence}>
      {KINDS.map((kind) => {
        const run = last[kind];
        return (
          <li key={kind}>
            <Badge tone={run ? STATE_TONES[run.state] : 'idle'}>{words.kinds[kind]}</Badge>
            <span class={css.small}>
              {words.rollout.evidence[run?.state ?? 'none']}
              {run?.ended_at && (
                <>
                  {' '}
                  <TimeText at={run.ended_at} />
                </>
              )}
            </span>
          </li>
        );
      })}
    </ul>
  );
}
