import type { RequestDetail, ViolationView } from '../../api/schema';
import { requests as words } from '../../strings/requests';
import { CodeBlock, KeyValue, Link, Panel } from '../../ui';
import css from './requests.module.css';

const labels = words.violation;

/** Text in which backticks stand around code. */
export function Prose({ text }: { text: string }) {
  return (
    <>{text.split('`').map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part))}</>
  );
}

function guardDid({ request }: RequestDetail, { code, is_enforced: enforced }: ViolationView): string {
  if (request.status !== null && request.status >= 400) return labels.held(request.status);
  if (request.ms_to_content === null) return labels.early;
  if (!enforced) return labels.watched;
  return code.startsWith('event_after_') ? labels.behindEnd : labels.ended;
}

/** Which rule a stream broke, where, and what to do about it. */
export function ViolationPanel({
  detail,
  violation,
  broken,
}: {
  detail: RequestDetail;
  violation: ViolationView;
  broken: string | null | undefined;
}) {
  const { rule, code, event_number: event, byte } = violation;
  return (
    <Panel
      title={labels.title(code)}
      actions={
        <Link href={`/requests?${new URLSearchParams({ code })}`} button="quiet">
          {labels.others}
        </Link>
      }
    >
      <div class={css.violation}>
        <KeyValue
          items={[
            [labels.rule, rule ? <Prose text={rule.meaning} /> : labels.unknownRule],
            ...(rule ? ([[labels.stage, labels.stages[rule.found_in]]] as const) : []),
            [labels.where, event === null || byte === null ? labels.placeUnknown : labels.place(event, byte)],
            [labels.guard, guardDid(detail, violation)],
            ...(rule ? ([[labels.todo, labels.advice[rule.found_in]]] as const) : []),
          ]}
        />
        {broken && <CodeBlock text={broken.trim()} label={labels.broken} height={200} />}
      </div>
    </Panel>
  );
}
