import type { CheckLevel, Kind, RunState } from '../api/schema';

const EXACT = new Intl.NumberFormat('en');

function counted(number: number, one: string, many = `${one}s`): string {
  return `${EXACT.format(number)} ${number === 1 ? one : many}`;
}

const NAMES: Record<Kind, string> = {
  smoke: 'Smoke',
  doctor: 'Doctor',
  compare: 'Compare',
  conformance: 'Conformance',
};

/** The words of the Canary page. */
export const canary = {
  tabs: { label: 'Parts of the page', evidence: 'Evidence', machine: 'State machine' },
  what: 'what can be checked',
  kinds: NAMES,
  tools: {
    doctor: 'Is anything wrong with this machine or this gateway? Each finding says what to do.',
    smoke:
      'Does this gateway serve everything that clients rely on? Each part of the contract once, with what came.',
    compare: 'Does the gateway do as well as what serves now? The same requests to both, in turns.',
    conformance: 'What does this build make of an upstream that fails? Rule after rule, as a score card.',
  } satisfies Record<Kind, string>,
  rollout: {
    title: 'Rollout',
    canary: 'Canary',
    promoted: 'Promoted',
    canaryMeans:
      'The gateway serves beside what is there. Promoting it is a decision of a person, in writing.',
    promotedMeans: (approval: string) =>
      `The gateway serves in place of what was there. Approved: ${approval}.`,
    next: 'What comes next',
    nextPromoted: 'What to watch',
    more: 'All steps, with the commands, are in docs/anthropic-rollout.md of the gateway.',
    steps: {
      evidence: 'Gather evidence',
      evidenceHint: 'All four, without a problem; each warning has an answer.',
      use: 'Let people use it for a while',
      useHint:
        'A week, or what your team needs. Look at least once a day at what went wrong; what checks from this page provoke on purpose has the key “dashboard check”.',
      useLink: 'What went wrong in the last 24 hours',
      back: 'Go back once, on purpose',
      backHint: 'One line of the proxy, and one reload: nobody loses an answer.',
      promote: 'Promote',
      promoteHint:
        'Somebody else approves in writing. Then set GATEWAY_ROLLOUT=promoted and GATEWAY_ROLLOUT_APPROVAL, and start the gateway again.',
      watch: 'Look at what goes wrong',
      watchHint: 'Roll back first and ask afterwards when clients see errors that the upstream did not send.',
      again: 'Check again before and after an upgrade',
      againHint: 'The next version starts as a canary beside this one, with an approval of its own.',
    },
    evidence: {
      none: 'not run yet',
      running: 'running',
      passed: 'passed',
      failed: 'not passed',
      stuck: 'came to no result',
      cancelled: 'cancelled',
    } satisfies Record<RunState | 'none', string>,
  },
  card: {
    run: (kind: Kind) => `Run ${NAMES[kind].toLowerCase()}`,
    cancel: 'Cancel',
    show: 'Show what it found',
    shown: 'Shown below',
    cannot: 'Cannot be run here',
    viewer: 'Only admins can run this.',
    busy: 'Two others are running; wait for an end.',
    options: 'Options',
    last: 'Last',
    model: 'Model',
    modelHint: 'Empty: a cheap one of the list.',
    modelError: 'That is no name of a model.',
    bigBodies: 'Bodies of 1 and 31 MiB',
    bigBodiesHint: 'Only their tokens are counted, which is free.',
    oldKey: 'Key to what serves now',
    oldKeyHint: 'For this run alone: it is neither stored nor shown again.',
    oldKeyMissing: 'Enter a key to what serves now.',
    oldKeyForm: 'A key has no spaces and only plain characters.',
    choice: {
      smoke: 'Streams side by side',
      compare: 'Rounds',
      conformance: 'Rules',
      doctor: '',
    } satisfies Record<Kind, string>,
    choices: {
      smoke: (number: number) => (number === 1 ? 'one at a time' : `up to ${number}`),
      compare: (number: number) => counted(number, 'round'),
      conformance: (number: number) => (number === 1 ? 'without those that wait' : 'all'),
      doctor: (_: number) => '',
    } satisfies Record<Kind, (number: number) => string>,
    sends: (kind: Kind, plan: { requests: number; baseline_requests: number }) => {
      if (kind === 'conformance')
        return 'Sends nothing to any provider: gateway, upstream and client are made for the run.';
      const own = `Sends ${counted(plan.requests, 'request')} that a model answers`;
      return plan.baseline_requests
        ? `${own}, and ${EXACT.format(plan.baseline_requests)} to what serves now.`
        : `${own}.`;
    },
    tokens: (input: number, output: number) =>
      `About ${counted(input, 'token')} in, and ${EXACT.format(output)} out at the most.`,
    who: (target: string, upstream: string) =>
      `Asks ${target}. The upstream behind this gateway is ${upstream}.`,
    whoAlone: (target: string) => `Asks ${target}.`,
    spends: 'This costs money at the provider.',
    takes: (seconds: number) =>
      seconds <= 50
        ? 'Usually takes less than a minute.'
        : `Usually takes about ${counted(Math.round(seconds / 60), 'minute')}.`,
  },
  progress: (kind: Kind, done: number, total: number | null) =>
    total === null ? `${NAMES[kind]}: beginning` : `${NAMES[kind]}: ${done} of ${total}`,
  steps: (done: number, total: number | null) => (total === null ? 'beginning' : `${done} of ${total}`),
  states: {
    running: 'Running',
    passed: 'Passed',
    failed: 'Not passed',
    stuck: 'No result',
    cancelled: 'Cancelled',
  } satisfies Record<RunState, string>,
  levels: {
    ok: 'ok',
    warning: 'warning',
    problem: 'problem',
    unseen: 'not seen',
  } satisfies Record<CheckLevel, string>,
  run: {
    title: (kind: Kind) => `${NAMES[kind]}: what it found`,
    what: 'the run',
    by: 'Started by',
    at: 'Started',
    took: 'Took',
    options: 'With',
    optionNames: {
      model: 'model',
      streams: 'streams side by side',
      big_bodies: 'bodies of 1 and 31 MiB',
      rounds: 'rounds',
      quick: 'without rules that wait',
    } as Record<string, string | undefined>,
    option: (name: string, value: unknown) => {
      const said = value === true ? 'yes' : value === false ? 'no' : String(value);
      return `${canary.run.optionNames[name] ?? name}: ${said}`;
    },
    requests: 'Requests of this run',
    counts: (level: CheckLevel, number: number) => `${EXACT.format(number)} ${canary.levels[level]}`,
    onlyNotable: 'Only warnings and problems',
    checks: 'Checks',
    score: 'Score card: rules that passed, by area',
    passed: (number: number, of: number) => `${EXACT.format(number)} of ${EXACT.format(of)}`,
    nothing: 'Nothing found yet',
    nothingNotable: 'No warning and no problem',
    waiting: 'The first findings come in a moment.',
    fix: 'What to do:',
    report: 'Report',
    markdown: (kind: Kind) => `${NAMES[kind]}, as Markdown`,
    reportHint: 'As the command prints it, for a pull request or a request for promotion.',
    copy: 'Copy Markdown',
    download: 'Download',
    noReport: 'This run came to no result, so there is no report.',
    gone: 'This run is not known any more',
    goneNext: 'The last 20 are remembered, until the gateway is started again.',
    close: 'Close',
    ended: (kind: Kind, state: RunState, summary: string) =>
      `${NAMES[kind]}: ${canary.states[state]}. ${summary}`,
  },
  history: {
    title: 'Runs',
    hint: 'The last 20. They are in memory: a restart of the gateway forgets them.',
    caption: 'Runs, the newest first',
    what: 'the runs',
    none: 'Nothing has been run since the gateway started',
    noneNext: 'Begin with the doctor: it looks at this machine and at the gateway.',
    columns: { kind: 'Tool', state: 'Result', at: 'Started', took: 'Took', by: 'By', summary: 'In short' },
  },
  machine: {
    title: 'What every stream goes through',
    hint: 'Events move a stream from state to state. What may not come is a violation: it ends the stream before a client sees it.',
    what: 'the state machine',
    label: 'The state machine: states and the events between them',
    since: 'Counted since',
    notCounting: 'Counts begin when the live feed is connected.',
    here: (number: number) => (number ? `${EXACT.format(number)} here now` : 'none here'),
    choose: 'Choose a state to see what may come in it.',
    next: 'What may come',
    leads: (target: string) => `to ${target}`,
    stays: 'stays',
    refused: 'What may not come',
    end: 'The stream is over here: nothing may come.',
    anything: 'any event',
    violation: 'violation',
    asTable: 'The same as a table',
    tableCaption: 'Edges of the state machine',
    columns: { from: 'From', events: 'Events', to: 'To', count: 'Count' },
    unknownStates: 'This page does not know all states of this gateway; the table has them.',
    count: (number: number) => EXACT.format(number),
  },
  broken: {
    title: 'Violations',
    hint: 'By rule, those first that were broken most.',
    what: 'the violations',
    range: 'Since',
    ranges: { '24h': 'the last 24 hours', '7d': 'the last 7 days', '30d': 'the last 30 days' },
    none: 'No rule was broken',
    noneNext: 'No stream of this time broke the protocol.',
    inexact: 'There were more: the newest 5,000 are counted.',
    times: (number: number) => counted(number, 'time'),
    foundIn: {
      framing: 'framing',
      payload: 'payload',
      order: 'order',
    },
    unknownRule: 'This version does not know the rule.',
    examples: 'Examples',
    all: (code: string) => `All requests with ${code}`,
    unknownModel: 'unknown model',
  },
} as const;
