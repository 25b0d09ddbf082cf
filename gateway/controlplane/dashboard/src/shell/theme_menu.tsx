import { chooseTheme, type Theme, theme } from '../lib/theme';
import { shell } from '../strings/shell';
import { Menu, MoonIcon, SunIcon, SystemIcon } from '../ui';

const CHOICES: readonly Theme[] = ['system', 'light', 'dark'];
const ICONS = { system: SystemIcon, light: SunIcon, dark: MoonIcon };

/** Chooses light, dark, or what the system has. */
export function ThemeMenu() {
  const chosen = theme.value;
  return (
    <Menu
      label={`${shell.theme.label}: ${shell.theme[chosen]}`}
      icon={ICONS[chosen]}
      iconOnly
      choice="one"
      items={CHOICES.map((one) => ({
        label: shell.theme[one],
        icon: ICONS[one],
        checked: one === chosen,
        onSelect: () => chooseTheme(one),
      }))}
    />
  );
}
