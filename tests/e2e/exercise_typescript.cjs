// Uses one installed TypeScript SDK in every way that an application does.
//
// Arguments: the directory of a package.json, the package's name in there, base URL, key.
// Output: a JSON object with what each way gave, by its name.
'use strict';

const { createRequire } = require('node:module');
const path = require('node:path');

const [directory, name, baseURL, apiKey] = process.argv.slice(2);
const { Anthropic } = createRequire(path.join(path.resolve(directory), 'package.json'))(name);
const client = new Anthropic({ apiKey, baseURL, maxRetries: 1, logLevel: 'off' });

const model = 'claude-opus-5-5';
const ask = { model, max_tokens: 256, messages: [{ role: 'user', content: 'hello' }] };
const weather = {
  name: 'get_weather',
  description: 'Look up the weather.',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

const textOf = (message) =>
  message.content.filter((block) => block.type === 'text').map((block) => block.text).join('');

async function errorOf(asking) {
  try {
    await asking();
  } catch (error) {
    return {
      class: error.constructor.name,
      status: error.status ?? null,
      type: error.error?.error?.type ?? null,
      message: error.error?.error?.message ?? null,
      request_id: error.requestID ?? null,
    };
  }
  return null;
}

const ways = {
  async create() {
    const message = await client.messages.create(ask);
    return { text: textOf(message), stop_reason: message.stop_reason, request_id: message._request_id };
  },
  async stream_helper() {
    const pieces = [];
    const stream = client.messages.stream(ask).on('text', (piece) => pieces.push(piece));
    const message = await stream.finalMessage();
    return { pieces, text: textOf(message), output_tokens: message.usage.output_tokens };
  },
  async plain_stream() {
    const kinds = [];
    for await (const event of await client.messages.create({ ...ask, stream: true })) kinds.push(event.type);
    return kinds;
  },
  async raw_response() {
    const { data, response } = await client.messages.create(ask).withResponse();
    return { status: response.status, headers: Object.fromEntries(response.headers), text: textOf(data) };
  },
  async count_tokens() {
    return (await client.messages.countTokens({ model, messages: ask.messages })).input_tokens;
  },
  async count_tokens_burst() {
    const counting = Array.from({ length: 30 }, () => ways.count_tokens());
    return Promise.all(counting);
  },
  async list_models() {
    const found = [];
    for await (const one of client.models.list({ limit: 5 })) found.push(one.id);
    return found;
  },
  async retrieve_model() {
    return (await client.models.retrieve('claude-opus-4-5')).id;
  },
  async tool_loop() {
    const messages = [{ role: 'user', content: 'Use the tool.' }];
    const first = await client.messages.stream({ ...ask, messages, tools: [weather] }).finalMessage();
    const call = first.content.at(-1);
    messages.push({ role: 'assistant', content: first.content });
    const result = { type: 'tool_result', tool_use_id: call.id, content: '21 degrees' };
    messages.push({ role: 'user', content: [result] });
    const second = await client.messages.create({ ...ask, messages, tools: [weather] });
    return { stop_reason: first.stop_reason, input: call.input, text: textOf(second) };
  },
  async beta() {
    const betas = ['files-api-2025-04-14', 'made-up-2026-01-01'];
    return textOf(await client.beta.messages.stream({ ...ask, model: 'claude-beta', betas }).finalMessage());
  },
  async auth_token() {
    const other = new Anthropic({ apiKey: null, authToken: apiKey, baseURL });
    return textOf(await other.messages.create(ask));
  },
  async wrong_key() {
    return errorOf(() => client.withOptions({ apiKey: 'csg_wrong' }).messages.create(ask));
  },
  async refused() {
    const headers = { 'x-replay-fault': 'status:403;message=Not for you' };
    return errorOf(() => client.messages.create(ask, { headers }));
  },
  async retried() {
    const texts = [];
    for (const other of ['claude-limited-once', 'claude-overloaded-once']) {
      texts.push(textOf(await client.messages.create({ ...ask, model: other })));
    }
    return texts;
  },
  async overloaded() {
    return errorOf(() => client.messages.create({ ...ask, model: 'claude-overloaded' }));
  },
  async error_in_stream() {
    const headers = { 'x-replay-fault': 'error-event:overloaded_error;event=8' };
    return errorOf(() => client.messages.stream(ask, { headers }).finalMessage());
  },
  async abort() {
    const headers = { 'x-replay-fault': 'hang:event=8' };
    const stream = client.messages.stream({ ...ask, model: 'claude-aborted' }, { headers });
    stream.once('text', () => stream.abort());
    return (await errorOf(() => stream.finalMessage())).class;
  },
};

async function main() {
  const report = {};
  for (const [way, go] of Object.entries(ways)) report[way] = await go();
  process.stdout.write(JSON.stringify(report));
}

main();
