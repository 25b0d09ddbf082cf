// Asks many servers at once for a message, with one installed TypeScript SDK.
//
// Arguments: the directory of a package.json, the package's name in there.
// Input: a JSON array of {base_url, key, streamed}. Output: a JSON array of {text} or {error}, in the same order.
'use strict';

const { createRequire } = require('node:module');
const fs = require('node:fs');
const path = require('node:path');

const [directory, name] = process.argv.slice(2);
const { Anthropic } = createRequire(path.join(path.resolve(directory), 'package.json'))(name);

async function ask(place) {
  const client = new Anthropic({ apiKey: place.key, baseURL: place.base_url, maxRetries: 2, logLevel: 'off' });
  const body = { model: 'claude-opus-5-5', max_tokens: 256, messages: [{ role: 'user', content: 'hello' }] };
  try {
    const { messages } = client;
    const message = await (place.streamed ? messages.stream(body).finalMessage() : messages.create(body));
    const text = message.content.filter((block) => block.type === 'text').map((block) => block.text);
    return { text: text.join(''), stop_reason: message.stop_reason };
  } catch (error) {
    return { error: `${error.constructor.name}: ${error.message}` };
  }
}

async function main() {
  const places = JSON.parse(fs.readFileSync(0, 'utf8'));
  process.stdout.write(JSON.stringify(await Promise.all(places.map(ask))));
}

main();
