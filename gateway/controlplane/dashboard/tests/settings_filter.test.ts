import { describe, expect, it } from 'vitest';
import type { SettingGroup, SettingView } from '../src/api/schema';
import { differs, wantedGroups } from '../src/pages/settings/filter';

function setting(name: string, more: Partial<SettingView> = {}): SettingView {
  return {
    name,
    variable: `GATEWAY_${name.toUpperCase()}`,
    value: '1',
    default: '1',
    is_secret: false,
    is_set: true,
    origin: 'default',
    meaning: 'Seconds until something ends.',
    ...more,
  };
}

const GROUPS: SettingGroup[] = [
  { name: '', settings: [setting('listen', { origin: 'file' }), setting('workers')] },
  { name: 'timeouts', settings: [setting('timeouts.drain_seconds', { meaning: 'After SIGTERM.' })] },
];

const names = (groups: SettingGroup[]) => groups.flatMap((group) => group.settings.map((one) => one.name));

describe('what is shown of the settings', () => {
  it('is everything as long as nothing is asked for', () => {
    expect(names(wantedGroups(GROUPS, { text: ' ', onlySet: false }))).toHaveLength(3);
  });

  it('has every word that is searched for, in whatever part of a setting', () => {
    expect(names(wantedGroups(GROUPS, { text: 'sigterm DRAIN', onlySet: false }))).toEqual([
      'timeouts.drain_seconds',
    ]);
  });

  it('leaves out groups without any that is asked for', () => {
    expect(wantedGroups(GROUPS, { text: '', onlySet: true })).toHaveLength(1);
    expect(wantedGroups(GROUPS, { text: 'nowhere', onlySet: false })).toEqual([]);
  });

  it('takes a secret that is set for one that somebody has set', () => {
    expect(differs(setting('control_token', { is_secret: true, value: null, default: null }))).toBe(true);
    expect(differs(setting('secret_key', { is_secret: true, is_set: false }))).toBe(false);
  });
});
