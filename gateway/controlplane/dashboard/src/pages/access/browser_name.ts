const BROWSERS: readonly [RegExp, string][] = [
  [/\bEdgA?\/(\d+)/, 'Edge'],
  [/\bOPR\/(\d+)/, 'Opera'],
  [/\b(?:Firefox|FxiOS)\/(\d+)/, 'Firefox'],
  [/\b(?:HeadlessChrome|Chrome|CriOS)\/(\d+)/, 'Chrome'],
  [/\bVersion\/(\d+)[\d.]* (?:Mobile\/\S+ )?Safari\//, 'Safari'],
];
const SYSTEMS: readonly [RegExp, string][] = [
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bAndroid\b/, 'Android'],
  [/\bWindows NT\b/, 'Windows'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux'],
];
const LONGEST = 60;

/** What people call the browser that sends this user agent; what is not known is shown as it is, shortened. */
export function browserName(client: string): string {
  const browser = BROWSERS.find(([pattern]) => pattern.test(client));
  const system = SYSTEMS.find(([pattern]) => pattern.test(client))?.[1];
  if (!browser) return client.length > LONGEST ? `${client.slice(0, LONGEST)}…` : client;
  const name = `${browser[1]} ${browser[0].exec(client)?.[1] ?? ''}`.trim();
  return system ? `${name}, ${system}` : name;
}
