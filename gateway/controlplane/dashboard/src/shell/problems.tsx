import { effect } from '@preact/signals';
import { Component, type ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { reachable } from '../api/reach';
import { loadSession } from '../api/session';
import { shell } from '../strings/shell';
import { Button, CodeBlock, Link, Panel } from '../ui';
import css from './problems.module.css';

function Problem({ title, body, children }: { title: string; body: string; children: ComponentChildren }) {
  return (
    <div class={css.problem}>
      <Panel title={title}>
        <div class={css.content}>
          <p>{body}</p>
          {children}
        </div>
      </Panel>
    </div>
  );
}

function Reload() {
  return (
    <Button kind="primary" onClick={() => window.location.reload()}>
      {shell.broken.reload}
    </Button>
  );
}

const RELOADED = 'gateway-dashboard-reloaded';
const SOON = 60_000;

/** Reloads the page, but for one that was just reloaded in vain. */
function reloadOnce(): void {
  try {
    const now = Date.now();
    if (now - Number(sessionStorage.getItem(RELOADED) ?? 0) < SOON) return;
    sessionStorage.setItem(RELOADED, String(now));
  } catch {
    // Nothing would tell that it was in vain.
    return;
  }
  window.location.reload();
}

/** Calls `handler` when the gateway answers, and whether it was away till then. */
function onAnswer(handler: (wasAway: boolean) => void): () => void {
  let stop: (() => void) | undefined;
  let isOver = false;
  void loadSession()
    .catch(() => {})
    .then(() => {
      const wasAway = !reachable.peek();
      if (isOver) return;
      stop = effect(() => {
        if (reachable.value) handler(wasAway);
      });
    });
  return () => {
    isOver = true;
    stop?.();
  };
}

/**
 * Stands in for a page whose code could not be loaded. Nothing is lost by a reload, which gets the present version:
 * it comes by itself as soon as the gateway answers.
 */
export function Outdated() {
  useEffect(
    () =>
      onAnswer((wasAway) => {
        if (wasAway) window.location.reload();
        else reloadOnce();
      }),
    [],
  );
  return (
    <Problem title={shell.outdated.heading} body={shell.outdated.body}>
      <Reload />
    </Problem>
  );
}

/** Stands at addresses that lead nowhere. */
export function Missing() {
  return (
    <Problem title={shell.missing.heading} body={shell.missing.body}>
      <Link href="/" button="primary">
        {shell.missing.back}
      </Link>
    </Problem>
  );
}

/** Keeps an error in a page from taking the frame with it; goes on when the address changes. */
export class Boundary extends Component<
  { address: string; children: ComponentChildren },
  { broken?: unknown }
> {
  override state: { broken?: unknown } = {};

  static override getDerivedStateFromError(broken: unknown): { broken: unknown } {
    return { broken };
  }

  override componentDidUpdate(before: { address: string }): void {
    if (before.address !== this.props.address && this.state.broken !== undefined)
      this.setState({ broken: undefined });
  }

  override render() {
    const { broken } = this.state;
    if (broken === undefined) return this.props.children;
    const text = broken instanceof Error ? (broken.stack ?? String(broken)) : String(broken);
    return (
      <Problem title={shell.broken.heading} body={shell.broken.body}>
        <Reload />
        <CodeBlock label={shell.broken.heading} text={text} height={160} />
      </Problem>
    );
  }
}
