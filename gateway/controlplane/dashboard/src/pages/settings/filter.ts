import type { SettingGroup, SettingView } from '../../api/schema';

/** What of the settings is asked for. */
export interface Wanted {
  text: string;
  onlySet: boolean;
}

/** Whether somebody has set it to something else than its default. */
export function differs(setting: SettingView): boolean {
  return setting.origin !== 'default' || (setting.is_secret && setting.is_set);
}

/** The groups with the settings that are asked for; groups without any are left out. */
export function wantedGroups(groups: readonly SettingGroup[], wanted: Wanted): SettingGroup[] {
  const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
  const found: SettingGroup[] = [];
  for (const group of groups) {
    const settings = group.settings.filter((one) => {
      const text = [one.name, one.variable, one.value, one.meaning, one.origin].join(' ').toLowerCase();
      return (!wanted.onlySet || differs(one)) && words.every((word) => text.includes(word));
    });
    if (settings.length > 0) found.push({ name: group.name, settings });
  }
  return found;
}
