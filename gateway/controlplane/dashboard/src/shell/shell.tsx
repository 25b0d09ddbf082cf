import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { ErrorBoundary, Route, Router, useLocation } from 'preact-iso';
import { session } from '../api/session';
import { connection } from '../live/live';
import { shell } from '../strings/shell';
import { Badge, ConnectedIcon, DisconnectedIcon, LockIcon } from '../ui';
import { PAGE_ACTIONS, pageTitle } from '../ui/page';
import { Brand } from './brand';
import { Navigation, pageOf } from './navigation';
import { Boundary, Missing } from './problems';
import * as pages from './routes';
import css from './shell.module.css';
import { ThemeMenu } from './theme_menu';
import { Unreachable } from './unreachable';
import { UserMenu } from './user_menu';

/** The frame around the pages: who, where, and whether what is shown is live. */
export function Shell() {
  const { path } = useLocation();
  const loading = useSignal(false);
  const main = useRef<HTMLElement>(null);
  const page = pageOf(path);
  const title = pageTitle.value ?? (page ? shell.pages[page] : shell.missing.heading);
  const first = useRef(true);

  useEffect(() => {
    document.title = shell.title(title);
  }, [title]);

  useEffect(() => {
    if (first.current) first.current = false;
    else main.current?.focus({ preventScroll: true });
  }, [page]);

  function toMain(event: MouseEvent): void {
    event.preventDefault();
    main.current?.focus();
  }

  return (
    <div class={css.shell}>
      {/* biome-ignore lint/a11y/useValidAnchor: it leads within the page, and leaves the address as it is */}
      <a href="#main" class={css.skip} onClick={toMain}>
        {shell.skip}
      </a>
      <header class={css.header}>
        <Brand />
        <div class={css.headerEnd}>
          {session.value.user?.role === 'viewer' && (
            <Badge tone="idle" icon={LockIcon} title={shell.user.role.viewer}>
              {shell.user.readOnly}
            </Badge>
          )}
          <Rollout />
          <Live />
          <ThemeMenu />
          <UserMenu />
        </div>
        {loading.value && <span class={css.routeLoading} aria-hidden="true" />}
      </header>
      <Navigation />
      <div class={css.column}>
        <Unreachable />
        <main id="main" class={css.main} tabIndex={-1} ref={main}>
          <div class={css.pageHead}>
            <h1>{title}</h1>
            <div id={PAGE_ACTIONS} class={css.pageActions} />
          </div>
          <Boundary address={path}>
            <ErrorBoundary>
              <Router
                onLoadStart={() => {
                  loading.value = true;
                }}
                onLoadEnd={() => {
                  loading.value = false;
                }}
              >
                <Route path="/" component={pages.Now} />
                <Route path="/requests" component={pages.Requests} />
                <Route path="/requests/:id" component={pages.Requests} />
                <Route path="/accounts" component={pages.Accounts} />
                <Route path="/usage" component={pages.Usage} />
                <Route path="/keys" component={pages.Keys} />
                <Route path="/canary" component={pages.Canary} />
                <Route path="/settings" component={pages.Settings} />
                <Route default component={Missing} />
              </Router>
            </ErrorBoundary>
          </Boundary>
        </main>
      </div>
    </div>
  );
}

function Rollout() {
  const { rollout } = session.value;
  return rollout ? (
    <a href="/settings" class={css.rollout}>
      <Badge tone="accent" icon={null}>
        {shell.rollout(rollout)}
      </Badge>
    </a>
  ) : null;
}

const LIVE = {
  open: { tone: 'ok', icon: ConnectedIcon },
  connecting: { tone: 'idle', icon: ConnectedIcon },
  lost: { tone: 'warning', icon: DisconnectedIcon },
} as const;

function Live() {
  const state = connection.value;
  return (
    <span role="status">
      <Badge tone={LIVE[state].tone} icon={LIVE[state].icon} title={shell.live.hint[state]}>
        {shell.live[state]}
      </Badge>
    </span>
  );
}
