import type { LaneSegment } from '../../api/schema';
import { type Look, lookOf } from './phases';

/** Which part of a request's way a lane shows: all of it, or the last seconds. */
export type Scale = 'life' | 'minute';

/** A stretch of a lane, in shares of its width. */
export interface Stretch {
  look: Look;
  from: number;
  to: number;
}

/** The seconds that the scale `minute` shows. */
export const MINUTE = 60;
/** Silence below this is what pauses between two deltas look like, and news of many streams that are on their way. */
const QUIET_SECONDS = 3;
/** Narrower stretches would not be seen. */
const LEAST = 0.004;
/** What must be seen, however short it was. */
const LEAST_FAILURE = 0.015;

/** The window of a lane in seconds since the request came in. */
export function windowOf(scale: Scale, age: number): [from: number, to: number] {
  if (scale === 'life') return [0, Math.max(age, 0.001)];
  // Right is now; a request that is younger than the window begins within it.
  return [age - MINUTE, age];
}

/** What there is to draw of a lane: neighbours that look alike are one, and what is too narrow is left out. */
export function stretches(lane: readonly LaneSegment[], from: number, to: number, age: number): Stretch[] {
  const span = to - from;
  const found: Stretch[] = [];
  for (const [phase, began, ended] of lane) {
    const look = lookOf(phase);
    const a = clamp((began - from) / span);
    let b = clamp(((ended ?? age) - from) / span);
    if (look === 'failed' && b - a < LEAST_FAILURE && b > 0) b = Math.min(1, a + LEAST_FAILURE);
    const last = found.at(-1);
    if (last && last.look === look && a - last.to < LEAST) last.to = Math.max(last.to, b);
    else if (b - a >= LEAST) found.push({ look, from: last ? Math.max(a, last.to) : a, to: b });
    else if (last && b > last.to) last.to = b;
  }
  return found;
}

/** The share of a lane's right end in which nothing was heard; 0 for none worth showing. */
export function quietShare(heardAge: number | undefined, from: number, to: number): number {
  if (heardAge === undefined || heardAge < QUIET_SECONDS) return 0;
  return clamp(heardAge / (to - from));
}

/** A lane as a picture of the style sheet's: one gradient with hard edges. */
export function gradient(parts: readonly Stretch[], colour: (look: Look) => string): string {
  const stops: string[] = [];
  let at = 0;
  for (const part of parts) {
    if (part.from > at + 0.0005) stops.push(`transparent ${percent(at)} ${percent(part.from)}`);
    stops.push(`${colour(part.look)} ${percent(part.from)} ${percent(part.to)}`);
    at = part.to;
  }
  if (stops.length === 0) return 'none';
  if (at < 0.9995) stops.push(`transparent ${percent(at)} 100%`);
  return `linear-gradient(to right, ${stops.join(', ')})`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)}%`;
}

function clamp(share: number): number {
  return Number.isFinite(share) ? Math.max(0, Math.min(1, share)) : 0;
}
