import { useEffect, useState } from 'preact/hooks';
import { ui } from '../strings/ui';
import { Button, IconButton } from './button';
import css from './copy.module.css';
import { CheckIcon, CopyIcon } from './icons';
import { toast } from './toast';

/**
 * Puts `text` on the clipboard and tells whether it worked. Off localhost and without TLS browsers have no
 * `navigator.clipboard`; then the text is selected in a field and copied from there.
 */
export async function copyText(text: string): Promise<boolean> {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed: the way below still may be.
    }
  }
  const before = document.activeElement;
  const field = document.createElement('textarea');
  field.value = text;
  field.readOnly = true;
  field.className = 'visually-hidden';
  // Inside an open dialog nothing outside of it can take the selection.
  (document.querySelector('dialog[open]') ?? document.body).append(field);
  field.select();
  let copied = false;
  try {
    copied = document.execCommand('copy');
  } catch {
    copied = false;
  }
  field.remove();
  if (before instanceof HTMLElement) before.focus();
  return copied;
}

/** Copies a text; says that it did, to the eye and the ear. */
export function CopyButton({ text, label, small }: { text: string; label: string; small?: boolean }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2_000);
    return () => clearTimeout(timer);
  }, [copied]);

  async function copy(): Promise<void> {
    if (await copyText(text)) setCopied(true);
    else toast(ui.copyFailed, 'warning');
  }

  const shown = copied ? CheckIcon : CopyIcon;
  return (
    <>
      {small ? (
        <IconButton label={label} icon={shown} onClick={() => void copy()} />
      ) : (
        <Button icon={shown} onClick={() => void copy()}>
          {label}
        </Button>
      )}
      <span role="status" class="visually-hidden">
        {copied ? ui.copied : ''}
      </span>
    </>
  );
}

/** Text to read or take along, as it is. */
export function CodeBlock({ text, label, height }: { text: string; label: string; height?: number }) {
  return (
    <section class={css.code} aria-label={label}>
      <header class={css.header}>
        <span>{label}</span>
        <CopyButton text={text} label={ui.copy} small />
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be within reach of the keyboard */}
      <pre tabIndex={0} style={{ maxHeight: `${height ?? 320}px` }}>
        <code>{text}</code>
      </pre>
    </section>
  );
}
