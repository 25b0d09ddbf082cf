import type { MachineView } from '../../api/schema';

/** What the live feed tells in topic `machine`. */
export interface MachineState {
  /** Unix seconds: when counting began. */
  since: number;
  /** A state, the event that came in it, and how often. */
  edges: [state: string, event: string, count: number][];
  /** Streams that are in a state now. */
  states: Record<string, number>;
}

/** A way through the machine, with how often it was taken. */
export interface CountedEdge {
  id: string;
  source: string;
  target: string;
  events: string[];
  count: number;
}

export const VIOLATED = 'VIOLATED';
export const VIOLATION = 'violation';

/** The edges of the machine, those that violations take included, with their counts. */
export function countedEdges(machine: MachineView, state: MachineState | undefined): CountedEdge[] {
  const counts = new Map<string, number>();
  for (const [from, event, count] of state?.edges ?? []) counts.set(`${from} ${event}`, count);
  const broken = [...new Set(machine.refusals.map((one) => one.state))];
  const all = [
    ...machine.edges,
    ...broken.map((source) => ({ source, target: VIOLATED, events: [VIOLATION] })),
  ];
  return all.map(({ source, target, events }) => ({
    id: `${source}-${target}`,
    source,
    target,
    events,
    count: events.reduce((sum, event) => sum + (counts.get(`${source} ${event}`) ?? 0), 0),
  }));
}
