import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { ErrorBoundary, useLocation } from 'preact-iso';
import { shell } from '../strings/shell';
import { Brand } from './brand';
import css from './plain.module.css';
import { Boundary } from './problems';
import { ThemeMenu } from './theme_menu';
import { Unreachable } from './unreachable';

/** The frame of the pages that are there before one is signed in. */
export function Plain({ title, children }: { title: string | undefined; children: ComponentChildren }) {
  const { path } = useLocation();
  useEffect(() => {
    document.title = title === undefined ? shell.product : shell.title(title);
  }, [title]);
  return (
    <div class={css.plain}>
      <Unreachable />
      <header class={css.header}>
        <Brand />
        <ThemeMenu />
      </header>
      <main id="main" tabIndex={-1} class={css.main}>
        <Boundary address={path}>
          <ErrorBoundary>{children}</ErrorBoundary>
        </Boundary>
      </main>
    </div>
  );
}
