import { useLocation } from 'preact-iso';
import { shell } from '../strings/shell';
import {
  AccountsIcon,
  CanaryIcon,
  type Icon,
  KeysIcon,
  Menu,
  MoreIcon,
  NowIcon,
  RequestsIcon,
  SettingsIcon,
  UsageIcon,
} from '../ui';
import css from './shell.module.css';

/** Addresses of the pages that the navigation names. */
export type PagePath = keyof typeof shell.navigationLabels;

const PAGES: readonly (readonly [PagePath, Icon])[] = [
  ['/', NowIcon],
  ['/requests', RequestsIcon],
  ['/accounts', AccountsIcon],
  ['/usage', UsageIcon],
  ['/keys', KeysIcon],
  ['/canary', CanaryIcon],
  ['/settings', SettingsIcon],
];
const IN_BAR = 4;

/** The page that an address belongs to. */
export function pageOf(path: string): PagePath | undefined {
  return PAGES.map(([page]) => page).find((page) =>
    page === '/' ? path === '/' : `${path}/`.startsWith(`${page}/`),
  );
}

/** The pages: at the side of a wide window, at the bottom of a narrow one, where the rest is in a menu. */
export function Navigation() {
  const { path, route } = useLocation();
  const present = pageOf(path);
  const rest = PAGES.slice(IN_BAR);
  return (
    <nav class={css.nav} aria-label={shell.navigation}>
      <ul>
        {PAGES.map(([page, Shown], place) => (
          <li key={page} data-rest={place >= IN_BAR ? '' : undefined}>
            <a href={page} class={css.navLink} aria-current={page === present ? 'page' : undefined}>
              <Shown />
              <span>{shell.navigationLabels[page]}</span>
            </a>
          </li>
        ))}
        <li class={css.more} data-on={rest.some(([page]) => page === present) ? '' : undefined}>
          <Menu
            label={shell.more}
            icon={MoreIcon}
            kind="quiet"
            choice="one"
            items={rest.map(([page, icon]) => ({
              label: shell.navigationLabels[page],
              icon,
              checked: page === present,
              onSelect: () => route(page),
            }))}
          />
        </li>
      </ul>
    </nav>
  );
}
