import { signal } from '@preact/signals';
import { type ComponentChildren, createPortal } from 'preact';
import { useEffect, useLayoutEffect, useState } from 'preact/hooks';

/** What a page calls itself, where the name in the navigation does not say enough. */
export const pageTitle = signal<string | undefined>(undefined);

/** Names what the page shows, in its heading and in the window's title, until it is gone. */
export function usePageTitle(title: string | undefined): void {
  useLayoutEffect(() => {
    pageTitle.value = title;
  }, [title]);
  useEffect(
    () => () => {
      pageTitle.value = undefined;
    },
    [],
  );
}

/** Where the shell shows what a page offers as a whole. */
export const PAGE_ACTIONS = 'page-actions';

/** Puts what can be done with the whole page next to its heading. */
export function PageActions({ children }: { children: ComponentChildren }) {
  const [place, setPlace] = useState<Element | null>(null);
  useLayoutEffect(() => setPlace(document.getElementById(PAGE_ACTIONS)), []);
  return place && createPortal(children as never, place);
}
