import { formatCount, formatDuration } from '../lib/format';

const PHASES = new Map(
  Object.entries({
    waiting: 'Awaits an account',
    head: 'Awaits the answer',
    start: 'Answer has begun',
    text: 'Text',
    thinking: 'Thinking',
    redacted_thinking: 'Thinking (redacted)',
    tool_use: 'Tool use',
    server_tool_use: 'Server tool use',
    mcp_tool_use: 'MCP tool use',
    between: 'Between blocks',
    ending: 'Ending',
    stopped: 'Ended',
    failed: 'Error event',
    violated: 'Broke a rule',
    refused: 'Refused attempt',
    body: 'Body, passed on',
    earlier: 'Earlier',
    other: 'Other block',
  }),
);

const LOOKS: Record<string, string> = {
  waiting: 'awaits an account',
  head: 'awaits the answer',
  thinking: 'thinking',
  text: 'text',
  tool: 'tool use',
  result: 'tool result',
  body: 'body, passed on',
  between: 'between blocks',
  ended: 'ending',
  failed: 'error, or a refused attempt',
  other: 'other blocks',
};

/** A phase for people; a block of a type that has no name here is called by its type. */
function phase(name: string): string {
  return PHASES.get(name) ?? capital(name.replaceAll('_', ' '));
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The words of the Now page. */
export const now = {
  provider: {
    label: 'Provider',
    all: 'All providers',
    names: { anthropic: 'Anthropic', openai: 'OpenAI' } as Record<string, string>,
  },
  health: {
    title: 'Health',
    what: 'how the gateway is',
    rollout: { canary: 'Canary', promoted: 'Promoted' } as Record<string, string>,
    rolloutMeans: {
      canary: 'This gateway is on trial: it has not been promoted yet',
      promoted: 'Somebody has approved this gateway for everyday use',
    } as Record<string, string>,
    approval: (reference: string) => `approved with ${reference}`,
    loopValue: (typical: string, longest: string) => `${typical}, at most ${longest}`,
    loop: 'Event loop lag',
    loopHint: 'How late the event loop has been in the last minute: half of the looks, and the worst of them',
    ledger: 'Ledger',
    ledgerOk: 'up to date',
    ledgerWaiting: (count: number) => `${formatCount(count)} waiting`,
    ledgerAway: (bytes: string) => `database takes no records; ${bytes} in the spool`,
    ledgerSpool: (bytes: string) => `${bytes} still in the spool`,
    ledgerHint: 'Requests whose record is not durable yet',
    database: 'Database',
    databaseOk: { sqlite: 'SQLite answers', postgresql: 'PostgreSQL answers' } as Record<string, string>,
    databaseAway: 'does not answer',
    readiness: 'Ready',
    notReady: 'no: /readyz fails',
    readinessHint: 'Balancers send requests elsewhere, because no account can serve',
    flight: 'In flight',
    inFlight: (count: number) => (count === 1 ? '1 request' : `${formatCount(count)} requests`),
    forwarded: (count: number) => `${formatCount(count)} to the existing proxy`,
    workers: 'Workers',
    workersOf: (running: number | undefined, wanted: number) => `${running ?? '…'} of ${wanted}`,
    workersAsked: 'The other workers are being asked how they are.',
    draining: 'draining: no new requests',
    uptime: 'Up for',
    version: 'Version',
    noAccounts: 'no account',
    states: {
      active: 'active',
      cooling: 'cooling',
      paused: 'paused',
      needs_reauth: 'need a credential',
      parked: 'parked',
    } as Record<string, string>,
    stateCount: (count: number, state: string) =>
      count === 1 ? `1 ${state.replace(/^need /, 'needs ')}` : `${formatCount(count)} ${state}`,
    waiting: (count: number) => `${formatCount(count)} waiting for a place`,
  },
  outage: {
    title: (provider: string) => `No account of ${provider} can serve now.`,
    noAccount: 'There is none yet.',
    accounts: {
      paused: (count: number) =>
        count === 1 ? '1 account is paused' : `${formatCount(count)} accounts are paused`,
      needs_reauth: (count: number) =>
        count === 1
          ? '1 account needs a new credential'
          : `${formatCount(count)} accounts need new credentials`,
      parked: (count: number) =>
        count === 1 ? '1 account is parked' : `${formatCount(count)} accounts are parked`,
      cooling: (count: number) =>
        count === 1 ? '1 account has a rest' : `${formatCount(count)} accounts have a rest`,
    } as Record<string, (count: number) => string>,
    why: (parts: string[]) => `${new Intl.ListFormat('en').format(parts)}.`,
    later: 'By itself it goes on in',
    notReady: 'Requests are refused, and /readyz answers 503, so that balancers send them elsewhere.',
    refused: 'Requests for it wait or are refused.',
    link: 'Go to Accounts',
  },
  hour: {
    title: 'Last hour',
    hint: 'In steps of five minutes; seconds behind',
    what: 'the last hour',
    requests: 'Requests',
    firstContent: 'First content',
    p95: (value: string) => `95% within ${value}`,
    median: 'Half of the requests had content by then',
    errors: 'Errors',
    errorsMean:
      'What went wrong and was not the client’s doing, deliberate faults of checks included. Usage counts all that the upstream refused, too.',
    errorShare: (share: string) => `${share} of requests`,
    noErrors: 'Nothing went wrong',
    cost: 'Cost',
    unpriced: (count: number) => `${formatCount(count)} without a known price`,
    tokens: 'Output tokens',
    prompt: (tokens: string) => `${tokens} in prompts`,
    cached: 'Read from cache',
    cachedHint: 'Of all tokens of prompts',
    spark: (what: string, values: string) => `${what} per five minutes, oldest first: ${values}`,
  },
  board: {
    title: 'In flight',
    count: (count: number) => (count === 1 ? '1 request' : `${formatCount(count)} requests`),
    caption: 'Requests in flight',
    empty: 'No request is in flight',
    emptyNext: 'Requests show up here while the gateway serves them, with what each is at.',
    emptyProvider: 'No request to this provider is in flight',
    lost: 'The live feed is not connected: this is how it was. It connects by itself as soon as it can.',
    notShown: (count: number) => `${formatCount(count)} more are in flight and not shown.`,
    otherHosts:
      'Requests that other hosts with this database have in flight are not shown here; once over, they are.',
    what: 'what is in flight',
    scale: 'A lane shows',
    scales: { life: 'All of it', minute: 'The last minute' } as Record<string, string>,
    legend: 'What the colours mean',
    quiet: 'nothing heard',
    lane: 'Way so far',
    phase: 'At',
    age: 'Age',
    silence: 'Silence',
    rate: 'Tok/s',
    tokens: 'Tokens',
    actor: 'Key',
    account: 'Account',
    model: 'Model',
    provider: 'Provider',
    session: 'Session',
    client: 'Client',
    worker: 'Worker',
    bytes: 'Bytes',
    events: 'Events',
    attempts: 'Attempts',
    gap: 'Longest gap',
    noActor: 'not known yet',
  },
  phase,
  look: (look: string) => LOOKS[look] ?? look,
  /** A lane for those who do not see it. */
  laneText: (parts: readonly (readonly [phase: string, seconds: number])[]) =>
    parts.map(([name, seconds]) => `${phase(name)} ${formatDuration(seconds * 1000)}`).join(', '),
  laneEarlier: (count: number) => `${formatCount(count)} parts before, then`,
  estimate: 'Estimated from the bytes that came',
  exact: 'As the upstream counts',
  detail: {
    title: 'Request in flight',
    goesOnStill: 'What became of it is on a page of its own once it is over.',
    ended: 'This request is over.',
    open: 'Show what became of it',
    way: 'Its way so far',
    part: 'At',
    from: 'From',
    lasted: 'For',
    id: 'Request',
    route: 'Route',
    began: 'Came in',
    copyId: 'Copy id',
    tokens: 'Output tokens',
    estimated: (tokens: string) => `${tokens}, estimated`,
    rate: (rate: string) => `${rate} tokens a second, estimated`,
  },
  endings: {
    title: 'Just ended',
    hint: 'The last 20 requests',
    caption: 'Requests that ended lately',
    what: 'the last requests',
    all: 'All requests',
    held: (count: number, most: number) =>
      `${count < most ? formatCount(count) : `${formatCount(most)} or more`} ended since`,
    heldHint: 'The list holds still while you are at it. Press to bring it up to date.',
    empty: 'No request has ended yet',
    emptyNext: 'Send one through the gateway, and what became of it is here a moment later.',
  },
};
