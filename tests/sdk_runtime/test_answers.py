"""What a client of the local SDK transport gets."""

from __future__ import annotations

import json

from tests.contract.harness import ACCOUNT_KEY
from tests.sdk_runtime.asking import MODEL, ask, question, sdk_serving


async def test_a_stream_comes_delta_by_delta_and_ends_once() -> None:
    async with sdk_serving() as served:
        answer = await ask(served, question("Hello there", system="Be brief.", max_tokens=77))

        assert answer.status == 200, answer.body
        names = [name for name, _ in answer.events]
        assert names[0] == "message_start"
        assert names.count("content_block_delta") > 10
        assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
        record = served.ledger.of(answer)
        assert (record.outcome, record.stop_reason, record.status) == ("complete", "end_turn", 200)
        assert record.route == "POST /claude-sdk/v1/messages"
        (sent,) = served.upstream.requests
        assert sent.credential == ("x-api-key", ACCOUNT_KEY)
        body = json.loads(sent.body)
        assert (body["model"], body["max_tokens"]) == (MODEL, 77)
        assert body["system"][-1]["text"] == "Be brief."
