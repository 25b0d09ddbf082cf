import type { RequestDetail } from '../../api/schema';
import { requests as words } from '../../strings/requests';

/** What happened to a request, in sentences: who asked for what, who served it, how it ended and why. */
export function summarise(detail: RequestDetail): string[] {
  const { request, attempts, switch: moved } = detail;
  const { say } = words;
  if (request.damage !== null) return [say.damaged(request.damage)];
  const sentences = [say.asked({ ...request, actor: request.actor })];
  const faults = attempts.filter((attempt) => attempt.fault !== null);
  if (moved && faults.every((attempt) => attempt.account !== moved.account))
    sentences.push(say.switched(moved.account, moved.reason));
  if (faults.length > 0) sentences.push(say.tried(faults));
  if (request.account !== null) {
    const other = request.model_served !== request.model ? request.model_served : null;
    sentences.push(say.served(request.account, faults.length > 0, other));
  } else if (attempts.length === 0) {
    sentences.push(say.nobody);
  }
  sentences.push(
    say.ended({
      outcome: request.outcome,
      status: request.status,
      stop: request.stop_reason,
      // Where a rule was broken is said with the rule.
      reason: request.code === null ? detail.reason : null,
      code: request.code,
      total: request.ms,
      stream: request.stream,
    }),
  );
  return sentences;
}
