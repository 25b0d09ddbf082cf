import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import { ui } from '../strings/ui';
import { Button } from './button';
import { Dialog } from './dialog';
import css from './form_dialog.module.css';

/** A dialog with a form: Enter in a field submits it, and it stays until what it began has ended. */
export function FormDialog(props: {
  title: string;
  submitLabel: string;
  /** What was submitted is under way. */
  busy: boolean;
  /** It takes away what cannot be had back. */
  danger?: boolean;
  disabled?: boolean;
  onSubmit: () => void;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const id = useId();
  const { busy } = props;
  return (
    <Dialog
      open
      title={props.title}
      onClose={() => !busy && props.onClose()}
      footer={
        <>
          <Button onClick={props.onClose} disabled={busy}>
            {ui.cancel}
          </Button>
          <Button
            kind={props.danger ? 'danger' : 'primary'}
            type="submit"
            form={id}
            busy={busy}
            disabled={props.disabled}
          >
            {props.submitLabel}
          </Button>
        </>
      }
    >
      <form
        id={id}
        class={css.form}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (!busy && !props.disabled) props.onSubmit();
        }}
      >
        {props.children}
      </form>
    </Dialog>
  );
}
