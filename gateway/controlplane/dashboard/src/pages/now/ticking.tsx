import { useRef } from 'preact/hooks';
import { useTick } from './use_board';

/** Seconds since a moment of the gateway's clock, ticking: `0.4 s`, `12 s`, `3:20`. */
export function Since({ at, alarm }: { at: number; alarm?: number }) {
  const element = useRef<HTMLSpanElement>(null);
  const shown = useRef({ text: '', isLong: false });
  useTick(
    (now) => {
      const text = ticking(now - at);
      const isLong = alarm !== undefined && now - at >= alarm;
      if (!element.current || (shown.current.text === text && shown.current.isLong === isLong)) return;
      shown.current = { text, isLong };
      element.current.textContent = text;
      element.current.toggleAttribute('data-long', isLong);
    },
    [at, alarm],
  );
  return <span ref={element} />;
}

/** A length of time that goes on, in as many characters from one tick to the next. */
export function ticking(seconds: number): string {
  const known = Math.max(0, seconds);
  if (known < 9.95) return `${known.toFixed(1)} s`;
  const whole = Math.round(known);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${String(whole % 60).padStart(2, '0')} min`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')} h`;
}
