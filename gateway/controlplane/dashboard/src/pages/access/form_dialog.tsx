import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import { ui } from '../../strings/ui';
import { Button, Dialog } from '../../ui';
import css from './access.module.css';
import { FormError } from './form_error';
import type { Submission } from './use_submission';

/** A dialog with a form: Enter in a field submits it. */
export function FormDialog(props: {
  title: string;
  submission: Submission;
  submitLabel: string;
  danger?: boolean;
  onSubmit: () => void;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const id = useId();
  const { busy, failure } = props.submission;
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
          <Button kind={props.danger ? 'danger' : 'primary'} type="submit" form={id} busy={busy}>
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
          if (!busy) props.onSubmit();
        }}
      >
        {props.children}
        <FormError failure={failure} />
      </form>
    </Dialog>
  );
}
