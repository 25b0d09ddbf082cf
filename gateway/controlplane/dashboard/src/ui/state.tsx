import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ApiFailure } from '../api/failure';
import type { ResourceState } from '../api/use_resource';
import { ui } from '../strings/ui';
import { Button } from './button';
import { DangerIcon, RefreshIcon } from './icons';
import css from './state.module.css';

/** Says what went wrong, in the gateway's own words, and offers another try. */
export function ErrorNote({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  const requestId = error instanceof ApiFailure ? error.requestId : undefined;
  return (
    <div class={css.error} role="alert">
      <DangerIcon />
      <div class={css.errorText}>
        <p>{error.message}</p>
        {requestId && <p class={css.small}>{ui.error.request(requestId)}</p>}
      </div>
      {onRetry && (
        <Button icon={RefreshIcon} onClick={onRetry}>
          {ui.error.retry}
        </Button>
      )}
    </div>
  );
}

/** Nothing is there: says so, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class={css.empty}>
      <p class={css.emptyTitle}>{title}</p>
      {children && <div class={css.emptyBody}>{children}</div>}
    </div>
  );
}

/** Keeps the place of what is being loaded; shows itself after half a second. */
export function Loading({ what, height }: { what: string; height?: number }) {
  const [shown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(true), 500);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class={css.loading} style={{ minHeight: `${height ?? 96}px` }} data-shown={shown ? '' : undefined}>
      <span class={css.bars} aria-hidden="true">
        <span />
        <span />
        <span />
      </span>
      <span role="status" class={css.small}>
        {shown ? ui.loading(what) : ''}
      </span>
    </div>
  );
}

/**
 * Shows what `useResource` has: its data once there is some, until then that it loads or why it failed. When a
 * later call fails, the note stands above the last data.
 */
export function Resource<T>(props: {
  of: ResourceState<T>;
  children: (data: T) => ComponentChildren;
  /** Named while it loads: `the accounts`. */
  what?: string;
  /** Pixels to keep free while loading, so that nothing jumps. */
  height?: number;
  /** Takes the room instead, where it depends on the window. */
  place?: ComponentChildren;
}) {
  const { data, error, reload } = props.of;
  return (
    <>
      {error && <ErrorNote error={error} onRetry={reload} />}
      {data !== undefined
        ? props.children(data)
        : !error && (props.place ?? <Loading what={props.what ?? ''} height={props.height} />)}
    </>
  );
}
