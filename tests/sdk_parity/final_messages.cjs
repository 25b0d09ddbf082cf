// Asks one installed TypeScript SDK for the final message of every stream named on standard input.
//
// Arguments: the directory of a package.json, the package's name in there, the server's base URL.
// Input: a JSON array of {name, beta}. Output: a JSON object, name -> {message} or {error}.
'use strict';

const { createRequire } = require('node:module');
const fs = require('node:fs');
const path = require('node:path');

const [directory, name, baseURL] = process.argv.slice(2);
const { Anthropic } = createRequire(path.join(path.resolve(directory), 'package.json'))(name);
const client = new Anthropic({ apiKey: 'made-up', baseURL, maxRetries: 0, logLevel: 'off' });

// What the SDK sets to undefined it holds for known to be missing: null in JSON, not absent.
const keepUndefined = (_key, value) => (value === undefined ? null : value);

async function finalMessage(stream) {
  const api = stream.beta ? client.beta : client;
  const body = { model: 'claude-sonnet-5-5', max_tokens: 64, messages: [{ role: 'user', content: 'hello' }] };
  try {
    const running = api.messages.stream(body, { headers: { 'x-replay-stream': stream.name } });
    return { message: await running.finalMessage() };
  } catch (error) {
    return { error: `${error.constructor.name}: ${error.message}` };
  }
}

async function main() {
  const results = {};
  for (const stream of JSON.parse(fs.readFileSync(0, 'utf8'))) {
    results[stream.name] = await finalMessage(stream);
  }
  process.stdout.write(JSON.stringify(results, keepUndefined));
}

main();
