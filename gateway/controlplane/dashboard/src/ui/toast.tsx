import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { cx } from '../lib/cx';
import { ui } from '../strings/ui';
import { TONE_ICONS, type Tone } from './badge';
import { IconButton } from './button';
import { CloseIcon } from './icons';
import css from './toast.module.css';

interface Toast {
  id: number;
  message: string;
  tone: Tone;
}

const MOST = 4;
const LASTS = 6_000;

const toasts = signal<Toast[]>([]);
let lastId = 0;

/** Says briefly what has happened. What went wrong stays until it is dismissed. */
export function toast(message: string, tone: Tone = 'ok'): void {
  lastId += 1;
  toasts.value = [...toasts.peek(), { id: lastId, message, tone }].slice(-MOST);
}

function dismiss(id: number): void {
  toasts.value = toasts.peek().filter((one) => one.id !== id);
}

/** Where toasts appear; the shell has one. */
export function Toasts() {
  return (
    <div class={css.toasts} role="log" aria-live="polite" aria-relevant="additions">
      {toasts.value.map((one) => (
        <OneToast key={one.id} {...one} />
      ))}
    </div>
  );
}

function OneToast({ id, message, tone }: Toast) {
  const [held, setHeld] = useState(false);
  const lasting = tone === 'danger' || tone === 'warning';
  useEffect(() => {
    if (lasting || held) return;
    const timer = setTimeout(() => dismiss(id), LASTS);
    return () => clearTimeout(timer);
  }, [id, lasting, held]);
  const Shown = TONE_ICONS[tone];
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the pointer or focus on it only keeps it from going away
    <div
      class={cx(css.toast, css[tone])}
      onMouseEnter={() => setHeld(true)}
      onMouseLeave={() => setHeld(false)}
      onFocusIn={() => setHeld(true)}
      onFocusOut={() => setHeld(false)}
    >
      <Shown />
      <p role={tone === 'danger' ? 'alert' : undefined}>{message}</p>
      <IconButton label={ui.dismiss} icon={CloseIcon} onClick={() => dismiss(id)} />
    </div>
  );
}
