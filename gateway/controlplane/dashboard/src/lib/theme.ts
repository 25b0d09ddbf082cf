import { effect, signal } from '@preact/signals';
import { remember, remembered } from './storage';

/** What the reader chose; `system` follows the operating system. */
export type Theme = 'system' | 'light' | 'dark';

function stored(): Theme {
  const value = remembered('theme');
  return value === 'light' || value === 'dark' ? value : 'system';
}

/** The chosen theme. `public/theme.js` applies the stored one before the first paint. */
export const theme = signal<Theme>(stored());

/** Goes up whenever the colours in force change, by choice or by the system. */
export const themeVersion = signal(0);

/** Chooses a theme and remembers it in this browser. */
export function chooseTheme(next: Theme): void {
  theme.value = next;
  remember('theme', next === 'system' ? undefined : next);
}

effect(() => {
  const chosen = theme.value;
  if (chosen === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  themeVersion.value = themeVersion.peek() + 1;
});

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  themeVersion.value += 1;
});
