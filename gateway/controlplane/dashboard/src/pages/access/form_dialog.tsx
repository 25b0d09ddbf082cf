import type { ComponentProps } from 'preact';
import type { Submission } from '../../api/use_submission';
import { FormDialog as Plain } from '../../ui';
import { FormError } from './form_error';

/** A dialog with a form that says at its end what went wrong. */
export function FormDialog({
  submission,
  children,
  ...rest
}: Omit<ComponentProps<typeof Plain>, 'busy'> & { submission: Submission }) {
  return (
    <Plain {...rest} busy={submission.busy}>
      {children}
      <FormError failure={submission.failure} />
    </Plain>
  );
}
