import { shell } from '../strings/shell';

/** A call to the admin API that did not work. The message is a sentence for the reader. */
export class ApiFailure extends Error {
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** The error's type in the answer, or `network`, `timeout`, `status`. */
  readonly kind: string;
  /** Names the request in the gateway's log. */
  readonly requestId: string | undefined;

  constructor(message: string, status: number, kind: string, requestId?: string) {
    super(message);
    this.name = 'ApiFailure';
    this.status = status;
    this.kind = kind;
    this.requestId = requestId;
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Tells whether `body` is an error of the gateway itself, not of something in front of it. */
export function isEnvelope(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'error' in body && typeof body.error === 'object';
}

/** The failure that an answer means: the gateway's own sentence where it gave one. */
export function failureOf(status: number, body: unknown): ApiFailure {
  if (isEnvelope(body)) {
    const { error, request_id } = body as { error: Record<string, unknown> | null; request_id?: unknown };
    const message = text(error?.message) ?? shell.failure.status(status);
    return new ApiFailure(message, status, text(error?.type) ?? 'status', text(request_id));
  }
  const say = status >= 500 ? shell.failure.proxy : shell.failure.status;
  return new ApiFailure(say(status), status, 'status');
}

/** The failure that an exception of fetch means. */
export function failureFrom(error: unknown): ApiFailure {
  if (error instanceof ApiFailure) return error;
  const timedOut = error instanceof DOMException && error.name === 'TimeoutError';
  return timedOut
    ? new ApiFailure(shell.failure.timeout, 0, 'timeout')
    : new ApiFailure(shell.failure.network, 0, 'network');
}
