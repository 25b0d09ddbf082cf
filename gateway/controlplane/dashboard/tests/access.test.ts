// @vitest-environment happy-dom
import { beforeEach, describe, expect, it } from 'vitest';
import { browserName } from '../src/pages/access/browser_name';
import { dropToken, takeToken, tokenIn } from '../src/pages/access/link_token';
import { strengthOf } from '../src/pages/access/password_strength';
import { access as words } from '../src/strings/access';

const TOKEN = 'CQgIvW9jeFUeVYKETvTGBIbq1HSmH-i2AmdAeCrY3L0';

describe('the token of a link', () => {
  beforeEach(() => {
    dropToken();
    window.history.replaceState(null, '', '/');
  });

  it('is found in a whole link, by itself, and in nothing else', () => {
    expect(tokenIn(` http://127.0.0.1:8788/setup#${TOKEN}\n`)).toBe(TOKEN);
    expect(tokenIn(TOKEN)).toBe(TOKEN);
    for (const other of [
      '',
      '#',
      TOKEN.slice(1),
      `${TOKEN}x`,
      `http://127.0.0.1:8788/setup`,
      `#${TOKEN} x`,
    ]) {
      expect(tokenIn(other)).toBeUndefined();
    }
  });

  it('is taken out of the address and kept until it is dropped', () => {
    window.history.replaceState(null, '', `/setup?x=1#${TOKEN}`);
    expect(takeToken('/sign-in')).toBeUndefined();
    expect(takeToken('/setup')).toBe(TOKEN);
    expect(window.location.href).not.toContain(TOKEN);
    expect(window.location.pathname + window.location.search).toBe('/setup?x=1');
    expect(takeToken('/setup')).toBe(TOKEN);
    expect(takeToken('/sign-in')).toBeUndefined();
    dropToken();
    expect(takeToken('/setup')).toBeUndefined();
  });
});

describe('what is said of a new password', () => {
  it('goes by its length in characters', () => {
    expect(strengthOf('')).toBe(words.strength.rule);
    expect(strengthOf('123456789')).toBe('One more character.');
    expect(strengthOf('🙂'.repeat(8))).toBe('2 more characters.');
    expect(strengthOf('1234567890')).toBe(words.strength.enough);
    expect(strengthOf('a longer one than that')).toBe(words.strength.long);
  });
});

describe('the name of a browser', () => {
  it.each([
    [
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
      'Chrome 140, Linux',
    ],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0',
      'Edge 140, Windows',
    ],
    [
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15',
      'Safari 18, macOS',
    ],
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Mobile/15E148 Safari/604.1',
      'Safari 18, iPhone',
    ],
    ['Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0', 'Firefox 142, Linux'],
    ['curl/8.14.1', 'curl/8.14.1'],
    ['', ''],
  ])('is what people call it: %s', (client, name) => {
    expect(browserName(client)).toBe(name);
  });

  it('is bounded for what is not known', () => {
    expect(browserName('x'.repeat(500))).toHaveLength(61);
  });
});
