import { shell } from '../strings/shell';
import css from './brand.module.css';

/** The product's mark and name. */
export function Brand() {
  return (
    <a href="/" class={css.brand}>
      <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
        <rect width="32" height="32" rx="7" class={css.ground} />
        <path d="M7 10h9M7 16h14M7 22h6" class={css.lines} />
        <circle cx="25" cy="16" r="2.2" class={css.head} />
      </svg>
      <span class={css.long}>{shell.product}</span>
      <span class={css.short}>{shell.productShort}</span>
    </a>
  );
}
