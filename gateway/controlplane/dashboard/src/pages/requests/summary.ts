import type { RequestDetail } from '../../api/schema';
import { requests as words } from '../../strings/requests';

const WELL = new Set(['complete', 'repaired']);

/** What happened to a request, in sentences: who asked for what, who served it, how it ended and why. */
export function summarise(detail: RequestDetail): string[] {
  const { request, attempts, switch: moved } = detail;
  const { say } = words;
  if (request.damage !== null) return [say.damaged(request.damage)];
  const sentences = [say.asked({ ...request, actor: request.actor })];
  const began = request.ms_to_content !== null && request.account !== null;
  // The last one is not said to have failed where its answer began.
  const tries = attempts.filter(
    (attempt, index) => attempt.fault !== null || !(began && index === attempts.length - 1),
  );
  if (moved && tries.every((attempt) => attempt.account !== moved.account))
    sentences.push(say.switched(moved.account, moved.reason));
  if (tries.length > 0) sentences.push(say.tried(tries));
  if (began && request.account !== null) {
    const other = request.model_served !== request.model ? request.model_served : null;
    const what = WELL.has(request.outcome ?? '') ? say.served : say.began;
    sentences.push(what(request.account, tries.length > 0, other));
  } else if (attempts.length === 0 && request.outcome !== 'cancelled' && request.outcome !== 'refused') {
    sentences.push(say.nobody);
  }
  const { outcome, status } = request;
  sentences.push(
    say.ended({
      outcome,
      status,
      stop: request.stop_reason,
      // Where a rule was broken is said with the rule.
      reason: request.code === null ? detail.reason : null,
      code: request.code,
      total: request.ms,
      stream: request.stream,
      began,
      early: !began && status !== null && status < 400,
      observed: detail.is_observed,
      tries: attempts.length,
      passedOn: attempts.some((attempt) => attempt.status === status),
    }),
  );
  return sentences;
}
