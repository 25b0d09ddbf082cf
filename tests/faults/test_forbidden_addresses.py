"""Names that lead to addresses by which a machine talks to its cloud: nothing is sent there, whatever the name."""

from __future__ import annotations

import json
from typing import Final

from tests.contract.harness import serving
from tests.replay.raw_client import message

LEADS_THERE: Final = "0xa9.0xfe.0xa9.0xfe"
"""No address to whoever reads URLs, and 169.254.169.254 to the system that resolves it."""


async def test_a_request_is_not_sent_to_a_name_that_leads_there() -> None:
    async with serving(anthropic_base_url=f"http://{LEADS_THERE}:9") as served:
        answer = await served.ask(message())
        assert answer.status == 502, answer.body
        assert b"leads to an address that no provider has" in answer.body


async def test_a_connection_below_v1_is_not_joined_with_one_there() -> None:
    async with serving(openai_base_url=f"http://{LEADS_THERE}:9") as served:
        answer = await served.ask(target="/v1/models", method="GET", usual=[])
        assert answer.status == 502
        assert "leads where no server is" in json.loads(answer.body)["error"]["message"]
