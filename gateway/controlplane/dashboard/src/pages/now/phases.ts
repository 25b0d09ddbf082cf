/** How a phase is drawn: several of them may look alike. */
export type Look =
  | 'waiting'
  | 'head'
  | 'text'
  | 'thinking'
  | 'tool'
  | 'result'
  | 'body'
  | 'between'
  | 'ended'
  | 'failed'
  | 'other';

/** In the order in which a stream goes through them. */
export const LOOKS: readonly Look[] = [
  'waiting',
  'head',
  'thinking',
  'text',
  'tool',
  'result',
  'body',
  'between',
  'ended',
  'failed',
  'other',
];

const BY_PHASE = new Map<string, Look>(
  Object.entries({
    waiting: 'waiting',
    head: 'head',
    start: 'head',
    earlier: 'other',
    text: 'text',
    thinking: 'thinking',
    redacted_thinking: 'thinking',
    tool_use: 'tool',
    server_tool_use: 'tool',
    mcp_tool_use: 'tool',
    between: 'between',
    ending: 'ended',
    stopped: 'ended',
    failed: 'failed',
    violated: 'failed',
    refused: 'failed',
    body: 'body',
  }),
);

/** The look of a phase; types of blocks that nobody knows yet look like each other. */
export function lookOf(phase: string): Look {
  return BY_PHASE.get(phase) ?? (phase.endsWith('_tool_result') ? 'result' : 'other');
}

/** A look as a colour of the style sheet. */
export function colourOf(look: Look): string {
  return `var(--lane-${look})`;
}
