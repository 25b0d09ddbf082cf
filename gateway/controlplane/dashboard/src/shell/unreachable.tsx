import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { reachable } from '../api/reach';
import { loadSession } from '../api/session';
import { now } from '../lib/clock';
import { formatDuration } from '../lib/format';
import { shell } from '../strings/shell';
import { Button, WarningIcon } from '../ui';
import css from './unreachable.module.css';

const LONGEST = 15;

/** Says that the gateway cannot be reached, and asks until it can: after 1, 2, 4, 8 and then each 15 seconds. */
export function Unreachable() {
  return reachable.value ? null : <Asking />;
}

function Asking() {
  const next = useSignal(now.peek() + 1);
  const trying = useSignal(false);
  const pause = useRef(1);

  async function ask(): Promise<void> {
    if (trying.peek()) return;
    trying.value = true;
    try {
      await loadSession();
    } catch {
      pause.current = Math.min(LONGEST, pause.current * 2);
      next.value = Math.floor(Date.now() / 1000) + pause.current;
    }
    trying.value = false;
  }

  const due = now.value >= next.value && !trying.value;
  useEffect(() => {
    if (due) void ask();
  }, [due]);

  // Toasts make room.
  useEffect(() => {
    document.documentElement.dataset.unreachable = '';
    return () => {
      delete document.documentElement.dataset.unreachable;
    };
  }, []);

  return (
    <div class={css.banner} role="alert">
      <WarningIcon />
      <p>
        <strong>{shell.unreachable.heading}</strong> {shell.unreachable.body}
      </p>
      <span class={css.next} aria-hidden="true">
        {trying.value
          ? shell.unreachable.trying
          : shell.unreachable.next(formatDuration(Math.max(1, next.value - now.value) * 1000))}
      </span>
      <Button busy={trying.value} onClick={() => void ask()}>
        {shell.unreachable.retry}
      </Button>
    </div>
  );
}
