import type { ApiFailure } from '../../api/failure';
import { DangerIcon, ErrorNote } from '../../ui';
import css from './access.module.css';

/** Why a form was not taken. What whoever typed can put right is said in a line; the rest with where to look. */
export function FormError({ failure }: { failure: ApiFailure | undefined }) {
  if (!failure) return null;
  if (failure.status === 0 || failure.status >= 500) return <ErrorNote error={failure} />;
  return (
    <p class={css.formError} role="alert">
      <DangerIcon size={15} />
      <span>{failure.message}</span>
    </p>
  );
}
