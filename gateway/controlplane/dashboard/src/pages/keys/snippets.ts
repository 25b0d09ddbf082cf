const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;
const EXAMPLES = ['claude-haiku-5-5', 'claude-sonnet-5-5', 'claude-opus-5-5'];

/**
 * The address under which clients most likely reach the gateway.
 *
 * @param known base URL for programs of the gateway's machine.
 * @param isLocal whether only these can reach it.
 * @param host where this page is from: the name under which the reader's machine knows the gateway's.
 */
export function likelyAddress(known: string, isLocal: boolean, host: string): string {
  if (isLocal || LOOPBACK.test(host)) return known;
  try {
    const url = new URL(known);
    url.hostname = host;
    return url.href.replace(/\/$/, '');
  } catch {
    return known;
  }
}

/** An address as clients take it: without white space around it and without slashes at its end. */
export function cleanAddress(text: string): string {
  return text.trim().replace(/\/+$/, '');
}

function shellQuoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A model that a key may use. */
export function exampleModel(patterns: readonly string[]): string {
  const allowed = patterns.map(
    (pattern) =>
      new RegExp(
        `^${pattern
          .replace(/[.+^${}()|\\[\]]/g, '\\$&')
          .replace(/\*+/g, '.*')
          .replaceAll('?', '.')}$`,
        'i',
      ),
  );
  const fitting = EXAMPLES.find((model) => allowed.length === 0 || allowed.some((one) => one.test(model)));
  const plain = patterns.find((pattern) => !/[*?[\]]/.test(pattern));
  return fitting ?? plain ?? (EXAMPLES[0] as string);
}

export const CLIENTS = ['claude', 'curl', 'python', 'typescript'] as const;
export type Client = (typeof CLIENTS)[number];

/** Lines that make a client use the gateway with a key, ready to paste. */
export function snippet(client: Client, address: string, key: string, models: readonly string[]): string {
  const base = cleanAddress(address);
  switch (client) {
    case 'claude':
      return `ANTHROPIC_BASE_URL=${shellQuoted(base)} ANTHROPIC_AUTH_TOKEN=${shellQuoted(key)} claude`;
    case 'curl': {
      const body = {
        model: exampleModel(models),
        max_tokens: 256,
        stream: true,
        messages: [{ role: 'user', content: 'Say hello.' }],
      };
      return [
        `curl -N ${shellQuoted(`${base}/v1/messages`)} \\`,
        `  -H ${shellQuoted(`x-api-key: ${key}`)} \\`,
        `  -H 'anthropic-version: 2023-06-01' \\`,
        `  -H 'content-type: application/json' \\`,
        `  -d ${shellQuoted(JSON.stringify(body))}`,
      ].join('\n');
    }
    case 'python':
      return [
        'import anthropic',
        '',
        'client = anthropic.Anthropic(',
        `    base_url=${JSON.stringify(base)},`,
        `    api_key=${JSON.stringify(key)},`,
        ')',
      ].join('\n');
    case 'typescript':
      return [
        "import Anthropic from '@anthropic-ai/sdk';",
        '',
        'const client = new Anthropic({',
        `  baseURL: ${JSON.stringify(base)},`,
        `  apiKey: ${JSON.stringify(key)},`,
        '});',
      ].join('\n');
  }
}
