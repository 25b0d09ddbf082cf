import type { ButtonHTMLAttributes, HTMLAttributes } from 'preact';
import { cx } from '../lib/cx';
import { ui } from '../strings/ui';
import css from './button.module.css';
import type { Icon } from './icons';

/** How much weight a button has. */
export type ButtonKind = 'plain' | 'primary' | 'danger' | 'quiet';

type ButtonProps = Omit<ButtonHTMLAttributes<HTMLButtonElement>, 'icon'> & {
  kind?: ButtonKind;
  /** The action is under way: the button keeps its size and focus, and takes no further press. */
  busy?: boolean;
  icon?: Icon;
};

/** A button. A busy one stays focusable, so that focus is not lost while it works. */
export function Button({
  kind = 'plain',
  busy,
  icon: Shown,
  children,
  class: className,
  onClick,
  ...rest
}: ButtonProps) {
  return (
    <button
      type="button"
      {...rest}
      class={cx(css.button, css[kind], busy && css.busy, className as string | undefined)}
      aria-disabled={busy ? 'true' : rest['aria-disabled']}
      aria-busy={busy ? 'true' : undefined}
      onClick={(event) => {
        if (busy) event.preventDefault();
        else onClick?.call(undefined as never, event);
      }}
    >
      {Shown && <Shown size={15} />}
      {children}
      {busy && (
        <>
          <span class={css.spinner} aria-hidden="true" />
          <span class="visually-hidden">{ui.working}</span>
        </>
      )}
    </button>
  );
}

/** A button that shows only an icon; its label is its name and its tip. */
export function IconButton({
  label,
  icon: Shown,
  ...rest
}: Omit<ButtonProps, 'children' | 'icon'> & { label: string; icon: Icon }) {
  return (
    <Button
      kind="quiet"
      {...rest}
      class={cx(css.iconOnly, rest.class as string | undefined)}
      aria-label={label}
      title={label}
    >
      <Shown />
    </Button>
  );
}

type LinkProps = Omit<HTMLAttributes<HTMLAnchorElement>, 'icon' | 'role'> & {
  href: string;
  target?: string;
  rel?: string;
  download?: string | boolean;
  /** Gives it a button's look. */
  button?: ButtonKind;
  icon?: Icon;
};

/** A link within the dashboard or, with `href` to elsewhere, out of it. */
export function Link({ button, icon: Shown, children, class: className, ...rest }: LinkProps) {
  return (
    <a {...rest} class={cx(button ? cx(css.button, css[button]) : css.link, className as string | undefined)}>
      {Shown && <Shown size={15} />}
      {children}
    </a>
  );
}
