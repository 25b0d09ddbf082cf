"""Without the operator's word there is no local SDK transport."""

from __future__ import annotations

import pytest

from tests.contract.harness import envelope, serving
from tests.replay.raw_client import message


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_the_route_is_not_found_and_says_how_to_switch_it_on(method: str) -> None:
    async with serving() as served:
        body = message() if method == "POST" else b""
        answer = await served.ask(body, "/claude-sdk/v1/messages", method=method)
        error = envelope(answer, 404, "not_found_error")
        assert "GATEWAY_SDK_ENABLED=true" in error["message"]
        assert served.ledger.of(answer).route == f"{method} /claude-sdk/v1/messages"
        assert not len(served.upstream.journal)
