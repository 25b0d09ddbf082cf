import { describe, expect, test } from 'vitest';
import { summarise } from '../src/pages/requests/summary';
import { aDetail, anAttempt, aRequest } from './requests_samples';

function said(...args: Parameters<typeof aDetail>): string {
  return summarise(aDetail(...args)).join(' ');
}

describe('what happened, in sentences', () => {
  test('of a request that went well', () => {
    expect(said()).toBe(
      'laptop asked claude-opus-5-5 for a stream, with claude-cli/2.1. Team plan served it. ' +
        'It was complete after 2 s; the model stopped with end_turn.',
    );
  });

  test('of one that another account had to serve', () => {
    const attempts = [
      anAttempt({ account: 'Spare', fault: 'overload', status: 529 }),
      anAttempt({ account: 'Third', fault: 'transport', status: null }),
      anAttempt(),
    ];
    expect(said({ attempts })).toContain(
      'Spare was overloaded (HTTP 529) and Third gave no answer. Team plan served it instead.',
    );
  });

  test('of a session that had to move', () => {
    const moved = { account: 'Spare', reason: 'cooling', cached_tokens: 1_200, usd: 0.01 };
    expect(said({ switch: moved })).toContain(
      'The session left Spare, which had its prompt cached: it was resting.',
    );
    // That it failed is said once.
    const attempts = [anAttempt({ account: 'Spare', fault: 'quota', status: 429 }), anAttempt()];
    expect(said({ switch: moved, attempts })).not.toContain('left');
  });

  test.each([
    [{ outcome: 'truncated' }, 'the connection to the upstream broke', 'The stream ended too early'],
    [
      { outcome: 'violation', code: 'invalid_json' },
      'at event 6, byte 9',
      'broke the rule invalid_json after 2 s.',
    ],
    [{ outcome: 'cancelled' }, null, 'The client went away after 2 s'],
    [
      { outcome: 'refused', status: 400, account: null },
      null,
      'the client got its error with the status of such errors, HTTP 400.',
    ],
    [{ outcome: 'upstream_error' }, 'overloaded_error', 'with the error overloaded_error after 2 s'],
    [
      { outcome: 'upstream_error', status: 502, account: null },
      'The upstream refused the connection. Try again in a moment.',
      'the client got the gateway’s own HTTP 502: “The upstream refused the connection. Try again in a moment.”',
    ],
    [{ outcome: 'cancelled', account: null }, null, 'before it was answered'],
    [{ outcome: 'cancelled' }, 'the client took nothing for too long', 'The gateway ended it after 2 s: the'],
    [
      { outcome: 'failed' },
      'internal error (KeyError)',
      'A defect of the gateway ended it after 2 s: internal',
    ],
    [{ outcome: 'repaired' }, null, 'only message_stop was missing'],
    [{ outcome: 'something new', ms: null }, null, 'It ended.'],
    [{ outcome: null }, null, 'It ended after 2 s.'],
  ])('of %o', (changes, reason, expected) => {
    expect(said({ request: aRequest(changes), reason })).toContain(expected);
  });

  test('of one that never came to an account', () => {
    const request = aRequest({
      actor: 'unknown',
      model: null,
      account: null,
      outcome: 'rejected',
      status: 401,
      client: null,
    });
    expect(said({ request, attempts: [] })).toBe(
      'Somebody without a valid key sent POST /v1/messages. No account was asked. ' +
        'The gateway refused it after 2 s; the client got the gateway’s own HTTP 401.',
    );
  });

  const OUTCOMES = [
    'complete',
    'repaired',
    'truncated',
    'violation',
    'upstream_error',
    'cancelled',
    'refused',
    'rejected',
    'failed',
    null,
  ];
  test.each(OUTCOMES)('claims nothing that an outcome of %s can contradict', (outcome) => {
    const reasons = [null, 'cut', 'No account is left. The operator sees more with `gateway accounts list`.'];
    for (const stream of [true, false])
      for (const account of ['Team plan', null])
        for (const status of [200, 499, 502, null])
          for (const reason of reasons)
            for (const attempts of [[], [anAttempt({ fault: 'transport', status: null })], [anAttempt()]]) {
              const ms_to_content = account === null ? null : 800;
              const request = aRequest({ outcome, stream, account, status, ms_to_content });
              const text = said({ request, reason, attempts });
              expect(text).toMatch(/\.”?$/);
              expect(text).not.toMatch(/\.\.|undefined|null|HTTP 499|HTTP 200/);
              if (!stream && outcome !== 'repaired' && outcome !== 'violation')
                expect(text).not.toMatch(/\bstream/);
              if (account === null) expect(text).not.toMatch(/served it|began to answer|whole events/);
              if (status === 502 && account === null) expect(text).not.toMatch(/error event|as it came/);
            }
  });
});
