import type { AttemptView, EntryView, RequestDetail, RequestView, TimelineView } from '../src/api/schema';

/** A request that went well. */
export function aRequest(changes: Partial<RequestView> = {}): RequestView {
  return {
    id: 'req_1',
    at: 1_795_000_000,
    route: 'POST /v1/messages',
    provider: 'anthropic',
    account: 'Team plan',
    tried: ['Team plan'],
    actor: 'laptop',
    actor_id: 'key_1',
    model: 'claude-opus-5-5',
    model_served: 'claude-opus-5-5',
    stream: true,
    outcome: 'complete',
    status: 200,
    went_wrong: false,
    stop_reason: 'end_turn',
    code: null,
    why: '',
    session: null,
    client: 'claude-cli/2.1',
    request_class: null,
    prompt_tokens: 28,
    cache_read_tokens: 0,
    cache_write_tokens: 0,
    output_tokens: 33,
    cost_usd: 0.0008,
    ms_to_first_byte: 820,
    ms_to_content: 800,
    longest_gap_ms: 40,
    ms: 2_000,
    switched: false,
    damage: null,
    ...changes,
  };
}

export function anAttempt(changes: Partial<AttemptView> = {}): AttemptView {
  return {
    account: 'Team plan',
    fault: null,
    fault_means: null,
    status: 200,
    ms: 780,
    began_ms: 20,
    ...changes,
  };
}

export function aDetail(changes: Partial<RequestDetail> = {}): RequestDetail {
  return {
    request: aRequest(),
    reason: null,
    attempts: [anAttempt()],
    switch: null,
    usage: {
      input_tokens: 28,
      cache_read_tokens: 0,
      cache_write_tokens: 0,
      cache_write_5m_tokens: null,
      cache_write_1h_tokens: null,
      output_tokens: 33,
      thinking_tokens: null,
      web_searches: null,
      web_fetches: null,
      code_executions: null,
      service_tier: null,
      inference_geo: null,
      speed: null,
      samplings: [],
    },
    cost: { usd: 0.0008, note: null, lines: [], now_usd: 0.0008, is_partial: false },
    violation: null,
    is_observed: false,
    notes: [],
    agent: null,
    api_version: '2023-06-01',
    trace_id: null,
    upstream_request_id: null,
    events: 39,
    bytes_in: 5_000,
    bytes_out: 5_000,
    curl: null,
    ...changes,
  };
}

export function anEntry(at: number, event: string, changes: Partial<EntryView> = {}): EntryView {
  return { at, event, index: null, detail: null, count: 1, size: 100, until: at, longest_gap: 0, ...changes };
}

export function aTimeline(entries: EntryView[], changes: Partial<TimelineView> = {}): TimelineView {
  return {
    entries,
    left_out: 0,
    ended_at: entries.at(-1)?.until ?? 0,
    outcome: 'violation',
    reason: null,
    violation: null,
    broken: null,
    ...changes,
  };
}
