import { type ReadonlySignal, signal } from '@preact/signals';

const SECOND = 1000;

let timer: ReturnType<typeof setInterval> | undefined;

const seconds = signal(Math.floor(Date.now() / SECOND), {
  watched() {
    tick();
    timer = setInterval(tick, SECOND);
  },
  unwatched() {
    clearInterval(timer);
    timer = undefined;
  },
});

function tick(): void {
  if (!document.hidden) seconds.value = Math.floor(Date.now() / SECOND);
}

document.addEventListener('visibilitychange', () => {
  if (timer !== undefined) tick();
});

/** Unix seconds, whole; ticks once a second while something shows it and the page is visible. */
export const now: ReadonlySignal<number> = seconds;
