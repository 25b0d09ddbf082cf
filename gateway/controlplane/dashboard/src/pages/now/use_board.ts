import { useEffect, useLayoutEffect, useState } from 'preact/hooks';
import type { StreamsState } from '../../api/schema';
import { connection, onLive } from '../../live/live';
import { BoardState } from './board_state';

const TICK = 250;
const SLOW_TICK = 1000;

type Draw = (now: number) => void;

const drawing = new Set<Draw>();
let timer: ReturnType<typeof setInterval> | undefined;
let ahead = 0;
let moment = Date.now() / 1000;

/** Unix seconds of the gateway's clock, with fractions, as of the last tick. */
export function boardNow(): number {
  if (timer === undefined) moment = Date.now() / 1000 + ahead;
  return moment;
}

/**
 * Calls `draw` at once, when `deps` change, and with each tick of the board's clock while the page is visible. What
 * ticks is on screen a hundred times, and comes and goes while one scrolls: it writes to its element by itself.
 */
export function useTick(draw: Draw, deps: readonly unknown[]): void {
  useLayoutEffect(() => {
    draw(boardNow());
    drawing.add(draw);
    timer ??= setInterval(tick, matchMedia('(prefers-reduced-motion: reduce)').matches ? SLOW_TICK : TICK);
    return () => {
      drawing.delete(draw);
      if (drawing.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    };
  }, deps as unknown[]);
}

/** While nothing is told all stands still: a silence that the gateway was not there to hear is none. */
function tick(): void {
  if (!document.hidden && connection.peek() === 'open') drawAll();
}

function drawAll(): void {
  moment = Date.now() / 1000 + ahead;
  for (const draw of drawing) draw(moment);
}

/** What the board shows; a new object whenever the feed has told of something. */
export interface Board {
  state: BoardState;
  /** The feed has told of the requests in flight since the page was opened. */
  isKnown: boolean;
}

/** The requests in flight. However much is told between two frames, the page is drawn once. */
export function useBoard(): Board {
  const [board, setBoard] = useState<Board>(() => ({ state: new BoardState(), isKnown: false }));
  useEffect(() => {
    const { state } = board;
    let frame = 0;
    const stop = onLive('streams', (told: StreamsState) => {
      state.apply(told, Date.now() / 1000);
      ahead = state.ahead;
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        if (!document.hidden) drawAll();
        setBoard({ state, isKnown: true });
      });
    });
    return () => {
      stop();
      cancelAnimationFrame(frame);
    };
  }, []);
  return board;
}
