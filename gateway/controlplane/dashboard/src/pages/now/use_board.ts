import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import type { StreamsState } from '../../api/schema';
import { onLive } from '../../live/live';
import { BoardState } from './board_state';

const TICK = 250;
const SLOW_TICK = 1000;

/** Unix seconds of the gateway's clock, with fractions; goes on while something shows it and the page is visible. */
export const boardNow = signal(Date.now() / 1000, {
  watched() {
    timer = setInterval(tick, matchMedia('(prefers-reduced-motion: reduce)').matches ? SLOW_TICK : TICK);
  },
  unwatched() {
    clearInterval(timer);
  },
});

let timer: ReturnType<typeof setInterval> | undefined;
let ahead = 0;

function tick(): void {
  if (!document.hidden) boardNow.value = Date.now() / 1000 + ahead;
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
        tick();
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
