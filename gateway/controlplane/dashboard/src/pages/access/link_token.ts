import { useEffect, useState } from 'preact/hooks';

const TOKEN = /^[A-Za-z0-9_-]{43}$/;

/** The token in a link, or a token by itself, as somebody pasted it; undefined for anything else. */
export function tokenIn(text: string): string | undefined {
  const trimmed = text.trim();
  const token = trimmed.slice(trimmed.lastIndexOf('#') + 1);
  return TOKEN.test(token) ? token : undefined;
}

let taken: { path: string; token: string } | undefined;

/**
 * The token behind the # of the address with which the page at `path` was opened. It is taken out of the address
 * bar and the history, and kept for as long as the tab is open.
 */
export function takeToken(path: string): string | undefined {
  const { hash, pathname, search } = window.location;
  if (hash.length > 1 && pathname === path) {
    taken = { path, token: hash.slice(1) };
    window.history.replaceState(window.history.state, '', `${pathname}${search}`);
  }
  return taken?.path === path ? taken.token : undefined;
}

/** Forgets it, because it was used or is not good. */
export function dropToken(): void {
  taken = undefined;
}

/** The token that `takeToken` gives, or that of a newer link that is opened where the page is already shown. */
export function useLinkToken(path: string): [string | undefined, (token: string) => void] {
  const [token, setToken] = useState(() => takeToken(path));
  useEffect(() => {
    function look(): void {
      const newer = takeToken(path);
      if (newer !== undefined) setToken(newer);
    }
    // The browser loads no page when only what stands behind the # is another.
    window.addEventListener('hashchange', look);
    return () => window.removeEventListener('hashchange', look);
  }, [path]);
  return [token, setToken];
}
