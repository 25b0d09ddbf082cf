import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { type ApiFailure, failureFrom } from '../api/failure';
import { ui } from '../strings/ui';
import { Button, IconButton } from './button';
import css from './dialog.module.css';
import { TextField } from './field';
import { CloseIcon } from './icons';
import { ErrorNote } from './state';

interface DialogProps {
  open: boolean;
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  footer?: ComponentChildren;
  /** Room for a table or code. */
  wide?: boolean;
}

/**
 * A modal dialog. The browser keeps focus inside, closes it on Escape and gives focus back to what had it. Its
 * content exists only while it is open, so that it starts afresh each time.
 */
export function Dialog(props: DialogProps) {
  return props.open ? <OpenDialog {...props} /> : null;
}

function OpenDialog({ title, onClose, children, footer, wide }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const body = useRef<HTMLDivElement>(null);
  const gone = useRef(false);
  const heading = useId();
  // Not an effect after the paint: what opens next must not lose the focus to what had it before.
  useLayoutEffect(() => {
    const shown = element.current;
    const before = document.activeElement;
    if (shown && !shown.open) shown.showModal();
    // What is asked for is the first thing to fill in; else what closes it without harm keeps the focus.
    if (!shown?.querySelector('[autofocus]')) {
      const first = body.current?.querySelector<HTMLElement>('input:not([type=file]), select, textarea');
      (first ?? shown?.querySelector<HTMLElement>('footer button'))?.focus();
    }
    return () => {
      gone.current = true;
      shown?.close();
      if (!(before instanceof HTMLElement) || before === document.body) return;
      // What opened it may be gone: a stream that ended, an account that was removed.
      if (before.isConnected) before.focus();
      else document.getElementById('main')?.focus({ preventScroll: true });
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={css.dialog}
      data-wide={wide ? '' : undefined}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClose={() => {
        // The browser may close it without asking, when Escape is pressed twice: one that is to stay comes back.
        if (gone.current) return;
        onClose();
        setTimeout(() => {
          if (!gone.current && !element.current?.open) element.current?.showModal();
        });
      }}
    >
      <header class={css.header}>
        <h2 id={heading}>{title}</h2>
        <IconButton label={ui.close} icon={CloseIcon} onClick={onClose} />
      </header>
      <div class={css.body} ref={body}>
        {children}
      </div>
      {footer && <footer class={css.footer}>{footer}</footer>}
    </dialog>
  );
}

interface ConfirmProps {
  open: boolean;
  title: string;
  body: ComponentChildren;
  confirmLabel: string;
  tone?: 'danger' | 'primary';
  /** Does it. While it runs the dialog is busy; when it throws, the dialog stays open and says why. */
  onConfirm: () => Promise<void>;
  onClose: () => void;
  /** A text that must be typed first, for what cannot be taken back. */
  typeToConfirm?: string;
}

/** Asks before something is done that matters. Closes by itself once it is done. */
export function ConfirmDialog(props: ConfirmProps) {
  return props.open ? <OpenConfirm {...props} /> : null;
}

function OpenConfirm({
  title,
  body,
  confirmLabel,
  tone = 'danger',
  onConfirm,
  onClose,
  typeToConfirm,
}: ConfirmProps) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<ApiFailure>();
  const [typed, setTyped] = useState('');
  const ready = typeToConfirm === undefined || typed.trim() === typeToConfirm.trim();

  async function confirm(): Promise<void> {
    setBusy(true);
    setFailure(undefined);
    try {
      await onConfirm();
      onClose();
    } catch (error) {
      setFailure(failureFrom(error));
      setBusy(false);
    }
  }

  return (
    <Dialog
      open
      title={title}
      onClose={() => !busy && onClose()}
      footer={
        <>
          <Button onClick={onClose} disabled={busy}>
            {ui.cancel}
          </Button>
          <Button kind={tone} busy={busy} disabled={!ready} onClick={() => void confirm()}>
            {confirmLabel}
          </Button>
        </>
      }
    >
      <form
        class={css.confirm}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (ready && !busy) void confirm();
        }}
      >
        <div>{body}</div>
        {typeToConfirm !== undefined && (
          <TextField
            label={ui.typeToConfirm(typeToConfirm)}
            value={typed}
            onValue={setTyped}
            autocomplete="off"
          />
        )}
        {failure && <ErrorNote error={failure} />}
      </form>
    </Dialog>
  );
}
