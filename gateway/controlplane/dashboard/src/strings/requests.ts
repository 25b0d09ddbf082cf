import { formatCount, formatDuration } from '../lib/format';

const OUTCOMES: Record<string, string> = {
  complete: 'Complete',
  repaired: 'Repaired',
  truncated: 'Truncated',
  violation: 'Violation',
  upstream_error: 'Upstream error',
  cancelled: 'Cancelled',
  refused: 'Refused',
  rejected: 'Rejected',
  failed: 'Failed',
};

const OUTCOME_MEANS: Record<string, string> = {
  complete: 'The answer came to its end.',
  repaired: 'All of the content came; the gateway added the message_stop that was missing.',
  truncated: 'The answer ended too early, and the client was told so.',
  violation: 'The stream broke a rule of the protocol.',
  upstream_error: 'The upstream gave no usable answer, or ended the stream with an error event of its own.',
  cancelled: 'The client went away.',
  refused: 'The upstream refused it before any content.',
  rejected: 'The gateway itself refused it.',
  failed: 'A defect of the gateway ended it.',
};

const RANGES: Record<string, string> = {
  '15m': 'Last 15 minutes',
  '1h': 'Last hour',
  '6h': 'Last 6 hours',
  '24h': 'Last 24 hours',
  '7d': 'Last 7 days',
  '30d': 'Last 30 days',
};

const FILTERS: Record<string, string> = {
  range: 'Time',
  since: 'From',
  until: 'Until',
  wrong: 'Only',
  outcome: 'Outcome',
  model: 'Model',
  account: 'Account',
  tried: 'Tried account',
  actor: 'Key',
  provider: 'Provider',
  stop_reason: 'Stop reason',
  code: 'Violation',
  status: 'Status',
  session: 'Session',
  route: 'Route',
};

const NOTES: Record<string, string> = {
  partial: 'The answer did not come to its end, so its last counters may be missing: it may have cost more.',
  'no usage': 'The answer said no usage, so its cost is not known.',
  'no model': 'Nobody said which model it was, so its cost is not known.',
  'unknown model':
    'There is no price for this model. Add one to the file that prices_file names, then run `gateway costs recompute`.',
  'unknown service tier':
    'There is no price for this service tier. Add one, then run `gateway costs recompute`.',
  'unknown speed': 'There is no price for this speed. Add one, then run `gateway costs recompute`.',
  'unknown inference geo':
    'There is no price for this place of inference. Add one, then run `gateway costs recompute`.',
  'unknown price of web search':
    'There is no price for web searches. Add one, then run `gateway costs recompute`.',
  'too large': 'The counters are nonsense: too large to be priced.',
  free: 'Requests of this kind are free.',
  'no answer': 'There was no answer, and nothing to pay.',
  'refused before output': 'The model refused before it had said anything: not billed.',
  'refused before output but billed':
    'The model refused before it had said anything; in this category that is billed.',
  'refused midway': 'The model refused after it had begun to answer: what it said is billed.',
  fallback: 'Another model took over; each is billed for what it did.',
  'without code execution':
    'Code execution is billed by the hour, not by the request: it is not in this cost.',
  'no price was worked out': 'No price was worked out.',
};

const SWITCHES: Record<string, string> = {
  failed: 'it had failed',
  cooling: 'it was resting',
  full: 'it was full',
  paused: 'it was paused',
  needs_reauth: 'it needed a new credential',
  parked: 'it was parked',
  unreachable: 'it could not be reached',
  unwell: 'it had failed lately',
  removed: 'it had been removed',
};

function listed(parts: readonly string[]): string {
  return parts.length < 2 ? (parts[0] ?? '') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

/** Classes of trouble, where one stands for why a request did not go well. */
const WHY: Record<string, string> = {
  transport: 'no whole answer',
  credential: 'credential refused',
  request: 'request refused',
  quota: 'at a limit',
  billing: 'billing problem',
  overload: 'overloaded',
  upstream: 'upstream error',
};

const WHY_MEANS: Record<string, string> = {
  transport:
    'the account could not be reached, or its answer broke off before any content; the last one that was tried',
  credential: 'the provider did not accept the account’s credential',
  request: 'the provider refused what was asked',
  quota: 'the account was at a limit',
  billing: 'the provider wants something settled with its bill',
  overload: 'the provider was overloaded',
  upstream: 'the provider had an error, or answered what makes no sense',
};

/** nginx's status for a client that has gone; no client ever got it. */
const CLIENT_CLOSED = 499;
/** As the gateway records it. */
const STALLED = 'the client took nothing for too long';

/** How a request ended, as far as it matters for what its client got. */
export interface Ending {
  outcome: string | null;
  /** That the client got; below 400 it may be that of a head that left before the answer. */
  status: number | null;
  stop: string | null;
  reason: string | null;
  code: string | null;
  total: number | null;
  /** The client asked for one. */
  stream: boolean;
  /** An account's answer began to go to the client. */
  began: boolean;
  /** The head and pings went to the client while nobody could serve it yet. */
  early: boolean;
  /** The stream went on as it came, whatever was wrong with it. */
  observed: boolean;
  /** How often an account was asked. */
  tries: number;
  /** An account answered with the client's status. */
  passedOn: boolean;
}

/** How an account was asked, and did not serve. */
interface Try {
  account: string;
  fault: string | null;
  status: number | null;
}

/** Behind a sentence that is still open; it closes it. */
function because(reason: string | null): string {
  if (!reason) return '.';
  return /[.!?…]$/.test(reason) ? `: “${reason}”` : `: ${reason}.`;
}

/** What the client got in the gateway's own name, with its words. */
function ownAnswer({ status, early }: Ending, reason: string | null): string {
  if (status === CLIENT_CLOSED) return 'the client had gone.';
  const what = early
    ? 'the client, which had been kept waiting with pings, got an error event of the gateway’s own'
    : `the client got the gateway’s own ${status === null || status < 400 ? 'error' : `HTTP ${status}`}`;
  return what + because(reason);
}

function http(status: number | null): string {
  return status === null || status < 400 || status === CLIENT_CLOSED ? '' : `, HTTP ${status}`;
}

/** What the client got of a stream that did not end well. */
function gotPart({ outcome, code, reason, observed }: Ending): string {
  if (observed) {
    const isCut = outcome === 'truncated' && reason !== CLOSED;
    return `The client got it as it came${isCut ? ', and then its connection was cut' : ''}.`;
  }
  if (code === 'event_after_stop')
    return 'The client got all up to its end, and nothing of what came behind.';
  if (code === 'event_after_error')
    return 'The client got all up to the upstream’s error event, and nothing of what came behind.';
  return 'The client got whole events, then one error event.';
}

/** As the gateway says that a stream ended in the regular way. */
const CLOSED = 'the upstream closed the stream';

function sayTry({ account, fault, status }: Try): string {
  return `${account} ${sayFault(fault, status)}`;
}

function sayFault(fault: string | null, status: number | null): string {
  if (fault === null) return 'was asked';
  const isRedirect = status !== null && status >= 300 && status < 400;
  if (isRedirect) return `answered with HTTP ${status}, which is not followed`;
  const http = status !== null && status >= 400 ? ` (HTTP ${status})` : '';
  switch (fault) {
    case 'transport':
      return status === null ? 'gave no answer' : `did not finish its answer${http}`;
    case 'credential':
      return status === null ? 'had no credential to send' : `was refused for its credential${http}`;
    case 'upstream':
      return http ? `had an error${http}` : 'gave no usable answer';
    default:
      return `${FAULT_SAYS[fault] ?? `failed (${fault})`}${http}`;
  }
}

/** The same said once, with how often. */
function inTurn(sentences: readonly string[]): string[] {
  const found: { text: string; times: number }[] = [];
  for (const text of sentences) {
    const last = found.at(-1);
    if (last?.text === text) last.times += 1;
    else found.push({ text, times: 1 });
  }
  return found.map(({ text, times }) =>
    times === 1 ? text : `${text}, ${times === 2 ? 'twice' : `${times} times`}`,
  );
}

/** The words of the Requests page. */
export const requests = {
  what: 'the requests',
  title: 'Requests',
  caption: 'Requests, the newest first',
  outcome: (outcome: string | null) => OUTCOMES[outcome ?? ''] ?? outcome ?? 'Unknown',
  outcomeMeans: (outcome: string | null) => OUTCOME_MEANS[outcome ?? ''],
  damaged: 'Damaged',
  why: (why: string) => WHY[why] ?? why,
  whyMeans: (why: string) => (WHY_MEANS[why] ? `${why}: ${WHY_MEANS[why]}` : why || undefined),
  tried: (accounts: readonly string[]) => `Nobody served it. Tried: ${listed([...new Set(accounts)])}`,
  columns: {
    at: 'Came in',
    outcome: 'Outcome',
    status: 'Status',
    model: 'Model',
    account: 'Account',
    actor: 'Key',
    provider: 'Provider',
    route: 'Route',
    prompt: 'Prompt',
    cached: 'Cached',
    output: 'Output',
    cost: 'Cost',
    firstByte: 'To first byte',
    content: 'To content',
    gap: 'Longest gap',
    total: 'Total',
    attempts: 'Attempts',
    stop: 'Stop reason',
    why: 'Why',
    session: 'Session',
    client: 'Client',
    class: 'Class',
    id: 'Request',
  },
  filters: {
    label: 'Which requests',
    names: (name: string) => FILTERS[name] ?? name,
    range: (range: string) => RANGES[range] ?? range,
    anyTime: 'Any time',
    custom: 'From … until …',
    wrong: 'What went wrong',
    wrongHint: 'And was not the client’s doing',
    any: 'Any',
    find: 'Go to a request id',
    findError: 'An id has letters, digits, dots, dashes and underscores.',
    more: 'More filters',
    title: 'Filter requests',
    clear: 'Clear all',
    remove: 'remove this filter',
    apply: 'Show requests',
    model: 'Model, as asked for or as it answered',
    modelHint: '* stands for any text, ? for any character: claude-opus-*',
    account: 'Account that served it',
    tried: 'Account that was tried',
    triedHint: 'Whether it served or not',
    actor: 'Key, by name or id',
    status: 'HTTP status that the client got',
    statusError: 'A status is a number from 100 to 599.',
    sessionHint: 'Of Claude Code',
    order: 'The end is before the beginning.',
    namesFailed: 'Names to choose from could not be loaded; type them instead.',
  },
  list: {
    count: (number: number, isExact: boolean) =>
      isExact
        ? `${formatCount(number)} ${number === 1 ? 'request' : 'requests'}`
        : `at least ${formatCount(number)} requests`,
    none: 'There are no requests yet',
    noneNext: 'Each request shows up here when it has ended. The Now page has those that run.',
    noneFound: 'No request is like that',
    noneFoundNext: 'Take a filter out, or look at a longer time.',
    fresh: (number: number) => `${formatCount(number)} new`,
    missed: 'Show new requests',
    more: 'Load more',
    end: 'That is all.',
    gaveUp: 'None of the requests that were looked at is like that. Older ones have not been looked at yet.',
    lookFurther: 'Look further back',
    full: (number: number) =>
      `${formatCount(number)} requests are shown. For more, narrow the filter or export them.`,
    loadingMore: 'Loading more…',
    export: 'Export CSV',
    exportHint: 'The newest 200,000 of these requests, for a spreadsheet',
    open: (id: string) => `Open ${id}`,
    watching: 'New requests are added as they end',
  },
  detail: {
    what: 'the request',
    title: (id: string) => `Request ${id}`,
    back: 'All requests',
    previous: 'Newer request',
    next: 'Older request',
    unknown: 'This request is not known',
    actions: 'More',
    copyId: 'Copy id',
    copyCurl: 'Copy as curl',
    skeleton: 'Download skeleton .sse',
    session: 'Requests of this session',
    summary: 'What happened',
    accounts: 'How the accounts are now',
    retry: 'Look again',
  },
  say: {
    damaged: (what: string) =>
      `${what.charAt(0).toUpperCase()}${what.slice(1)}. The gateway cannot have written that: something else has changed the database. Below is what is left of it. To be rid of the row, delete it from the table requests, or restore the database from a copy.`,
    asked: (facts: {
      actor: string | null;
      client: string | null;
      model: string | null;
      stream: boolean;
      route: string;
      status: number | null;
    }) => {
      const nobody = facts.status === 401 ? 'Somebody without a valid key' : 'Somebody';
      const who = facts.actor && facts.actor !== 'unknown' ? facts.actor : nobody;
      const wish = facts.route.endsWith('/count_tokens')
        ? 'to count tokens'
        : facts.stream
          ? 'for a stream'
          : 'for an answer';
      const what = facts.model ? `asked ${facts.model} ${wish}` : `sent ${facts.route}`;
      return `${who} ${what}${facts.client ? `, with ${facts.client}` : ''}.`;
    },
    tried: (tries: readonly Try[]) => `${listed(inTurn(tries.map(sayTry)))}.`,
    served: (account: string, after: boolean, model: string | null) =>
      `${account} served it${after ? ' instead' : ''}${model ? `, with ${model}` : ''}.`,
    began: (account: string, after: boolean, model: string | null) =>
      `${account} began to answer${after ? ' instead' : ''}${model ? `, with ${model}` : ''}.`,
    nobody: 'No account was asked.',
    switched: (account: string, reason: string) =>
      `The session left ${account}, which had its prompt cached: ${SWITCHES[reason] ?? reason}.`,
    ended: (end: Ending) => {
      const after = end.total === null ? '' : ` after ${formatDuration(end.total)}`;
      const what = end.stream ? 'stream' : 'answer';
      switch (end.outcome) {
        case 'complete':
          if (end.status === CLIENT_CLOSED)
            return `The answer was complete${after}, but the client had gone.`;
          return `It was complete${after}${end.stop ? `; the model stopped with ${end.stop}` : ''}.`;
        case 'repaired':
          return `All of its content came${after}; only message_stop was missing, ${
            end.observed ? 'and the client got the stream without it' : 'and the gateway added it'
          }.`;
        case 'truncated':
          if (!end.began)
            return `The ${what} ended before any content${after}; ${ownAnswer(end, end.reason)}`;
          if (!end.stream)
            return `The answer broke off${after}${because(end.reason)} The client got what there was, and then its connection was cut.`;
          return `The stream ended too early${after}${because(end.reason)} ${gotPart(end)}`;
        case 'violation':
          if (!end.began)
            return `The ${what} broke the rule ${end.code ?? ''} before any content${after}; ${ownAnswer(end, null)}`;
          return `The ${what} broke the rule ${end.code ?? ''}${after}. ${gotPart(end)}`;
        case 'upstream_error':
          if (end.status === CLIENT_CLOSED) return `The client went away${after}, before it was answered.`;
          if (end.began)
            return `The upstream ended the ${what} with ${end.reason ? `the error ${end.reason}` : 'an error'}${after}, which the client got as it was.`;
          return `It failed${after}; ${ownAnswer(end, end.reason)}`;
        case 'cancelled':
          if (end.reason === STALLED) return `The gateway ended it${after}: ${end.reason}.`;
          if (end.began)
            return `The client went away${after}, in the middle of the answer, and the request upstream was ended with it.`;
          return end.tries > 0
            ? `The client went away${after}, before it was answered; what was under way upstream was ended with it.`
            : `The client went away${after}, before any account was asked.`;
        case 'refused':
          if (end.tries === 0)
            return `Nobody was asked${because(end.reason)} The client got the upstream’s last refusal again${http(end.status)}.`;
          if (end.early)
            return `The upstream refused it${after}; the client, which had been kept waiting with pings, got that as an error event${because(end.reason)}`;
          return `The upstream refused it${after}; the client got ${
            end.passedOn ? 'its answer as it was' : 'its error with the status of such errors'
          }${http(end.status)}${because(end.reason)}`;
        case 'rejected':
          return `The gateway ${end.tries > 0 ? 'ended' : 'refused'} it${after}; ${ownAnswer(end, end.reason)}`;
        case 'failed':
          return `A defect of the gateway ended it${after}${because(end.reason)}`;
        default:
          return `It ended${after}${because(end.reason)}`;
      }
    },
  },
  time: {
    title: 'Where the time went',
    label: (total: string) => `From the request to its end: ${total}`,
    waiting: 'Admission and waiting',
    pause: 'Pause before the next try',
    answer: 'Answer',
    attempt: (account: string) => account,
    served: 'served',
    noAnswer: 'no answer',
    fault: (fault: string, status: number | null) => (status === null ? fault : `${status} ${fault}`),
    bar: (label: string, from: string, length: string) => `${label}: from ${from}, for ${length}`,
    unsure: 'When each try began was not recorded; they are drawn one behind the other.',
    firstByte: 'First byte',
    firstByteHint: 'Until the head of the answer left',
    content: 'First content',
    contentHint: 'Until the upstream sent some',
    gap: 'Longest gap',
    gapHint: 'Silence of the upstream after that',
    total: 'Total',
    none: 'Nothing was measured.',
  },
  usage: {
    title: 'Tokens',
    prompt: 'Prompt',
    input: 'Not cached',
    cacheRead: 'Read from cache',
    cacheWrite: 'Written to cache',
    cacheWrite5m: 'for 5 minutes',
    cacheWrite1h: 'for 1 hour',
    output: 'Output',
    thinking: 'of it thinking',
    searches: 'Web searches',
    fetches: 'Web fetches',
    executions: 'Code executions',
    tier: 'Service tier',
    geo: 'Inference in',
    speed: 'Speed',
    none: 'The answer said nothing about tokens.',
    bar: (parts: readonly string[]) => `Prompt: ${parts.join(', ')}`,
    samplings: 'The answer is made of several samplings',
    sampling: 'Sampling',
  },
  cost: {
    title: 'Cost',
    hint: 'Worked out again, with the prices that are known now for the time of the request',
    caption: 'Cost line by line',
    what: 'What',
    quantity: 'Quantity',
    price: 'Price',
    usd: 'USD',
    perMillion: 'per million',
    each: 'each',
    times: (value: string, what: string) => `× ${value} ${what}`,
    sum: 'Sum',
    recorded: 'Recorded',
    corrected: 'Prices have been corrected since; what was recorded is in the sums.',
    unknown: 'The cost is not known.',
    note: (note: string) => NOTES[note] ?? note,
    kinds: {
      input: 'Prompt, not cached',
      cache_write_5m: 'Written to cache, 5 minutes',
      cache_write_1h: 'Written to cache, 1 hour',
      cache_read: 'Read from cache',
      output: 'Output',
      web_searches: 'Web searches',
    } as Record<string, string>,
    switch: (tokens: number, account: string) =>
      `Of this, about so much because ${formatCount(tokens)} tokens that were cached at ${account} had to be written again`,
  },
  violation: {
    title: (code: string) => `Broken rule: ${code}`,
    rule: 'The rule',
    where: 'Where',
    place: (event: number, byte: number) =>
      `At event ${formatCount(event)}, which began at byte ${formatCount(byte)} of the stream as the upstream sent it. In the skeleton it is the same event, at an earlier byte: without content the events are shorter.`,
    placeUnknown: 'It was not recorded where.',
    stage: 'Question it failed',
    stages: {
      framing: 'Framing: is it a usable event at all?',
      payload: 'Payload: is it, looked at alone, what its name promises?',
      order: 'Order: may it come here?',
    } as Record<string, string>,
    guard: 'What the guard did',
    held: (status: number) =>
      `Nothing had been sent to the client yet: it got HTTP ${status} with an error, as if the request had failed.`,
    ended:
      'The client got all whole events before it, then one error event that names the rule. The broken event and what came after it were kept back.',
    behindEnd:
      'The client got all that came before it, the end of the stream included. The event and what came after it were kept back.',
    early:
      'None of the stream had been sent to the client yet, only pings while it waited: it got an error event of the gateway’s own.',
    watched:
      'The gateway was set to watch only (stream_mode = observe): the client got the stream as it came, and this is what would have ended it.',
    todo: 'What to do',
    advice: {
      framing:
        'Bytes were damaged, or something that is no event stream was sent. Look for a proxy between the gateway and the provider; gateway doctor looks at the way.',
      payload:
        'The provider, or what stands for it at the account’s base URL, sends events that official SDKs cannot read. Check the base URL; give whoever runs it the skeleton, which sse-fsm check judges alike.',
      order:
        'The provider, or what stands for it at the account’s base URL, mixes up its events. A proxy that translates or merges streams does that. Give whoever runs it the skeleton, which sse-fsm check judges alike.',
    } as Record<string, string>,
    unknownRule: 'This version does not know the rule; the request was recorded by another one.',
    broken: 'The event that broke it, without its content',
    others: 'Requests with the same violation',
  },
  timeline: {
    title: 'Timeline',
    what: 'the timeline',
    none: 'No timeline was kept',
    views: 'Timeline as',
    drawing: 'Drawing',
    table: 'Table',
    scale: 'Left to right',
    byTime: 'By time',
    byOrder: 'By order',
    label: 'Events of the stream; arrow keys go from one to the next',
    legend: 'Blocks',
    stream: 'Message',
    client: 'Client',
    lane: (index: number) => `Block ${index}`,
    block: (index: number, kind: string) => (kind ? `${index} ${kind}` : String(index)),
    leftOut: (number: number) =>
      `${formatCount(number)} more events are not in it: the stream was too long for all of them.`,
    committed: 'The client’s answer begins',
    end: (outcome: string, why?: string) => `End: ${outcome}${why ? `, ${why}` : ''}`,
    rule: (code: string) => `broke the rule ${code}`,
    entry: (place: number, of: number) => `${formatCount(place)} of ${formatCount(of)}`,
    at: (time: string) => `at ${time}`,
    until: (time: string) => `until ${time}`,
    silence: (time: string) => `after ${time} of silence`,
    within: (time: string) => `longest gap within ${time}`,
    gap: (time: string) => `${time} of silence`,
    bytes: (size: string) => size,
    times: (count: number) => `× ${formatCount(count)}`,
    caption: 'Events in the order in which they came',
    columns: {
      at: 'After',
      gap: 'Gap',
      event: 'Event',
      block: 'Block',
      detail: 'Detail',
      count: 'Number',
      size: 'Bytes',
    },
  },
  facts: {
    title: 'All that is known',
    id: 'Request id',
    upstreamId: 'Upstream’s id',
    time: 'Came in',
    route: 'Route',
    provider: 'Provider',
    account: 'Account',
    actor: 'Key',
    client: 'Client',
    session: 'Session',
    agent: 'Agent',
    class: 'Request class',
    trace: 'Trace id',
    version: 'API version',
    asked: 'Model asked for',
    served: 'Model that served',
    status: 'HTTP status',
    stop: 'Stop reason',
    stream: 'Stream',
    yes: 'Yes',
    no: 'No',
    size: 'Size',
    events: (number: number) => `${formatCount(number)} ${number === 1 ? 'event' : 'events'}`,
    bytesIn: (size: string) => `${size} from upstream`,
    bytesOut: (size: string) => `${size} to the client`,
    notes: 'Notes',
    reason: 'Reason',
    curl: 'The same kind of request again',
    curlCommand: 'Command',
    curlHint:
      'Of a request’s body nothing is kept; this sends the least that the API takes. The key is taken from GATEWAY_KEY.',
    copy: (what: string) => `Copy ${what}`,
  },
} as const;

const FAULT_SAYS: Record<string, string> = {
  request: 'refused the request',
  quota: 'was at a limit',
  billing: 'had a problem with its billing',
  overload: 'was overloaded',
};
