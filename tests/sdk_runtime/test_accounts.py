"""A local runtime's requests are served by the same accounts, by the same rules, as everybody's."""

from __future__ import annotations

from typing import Any

from gateway.replay.server import ReplayUpstream
from tests.account_path.harness import NewAccount, pooled
from tests.sdk_runtime.asking import ask, question

RED, GREEN = (NewAccount(name, more={"priority": number}) for number, name in enumerate(("red", "green")))


async def test_what_one_account_refuses_another_one_serves() -> None:
    async with ReplayUpstream(api_keys={RED.key, GREEN.key}) as upstream:
        upstream.faults.push("status:429;retry-after=300", credential=RED.key, times="forever")
        settings: dict[str, Any] = {"routing": {"strategy": "fill_first"}, "sdk_enabled": True}
        async with pooled(RED, GREEN, upstream=upstream, **settings) as served:
            answer = await ask(served, question())
            assert answer.status == 200
            record = served.ledger.of(answer)
            assert [(attempt.account, attempt.status) for attempt in record.attempts] == [
                ("red", 429),
                ("green", 200),
            ]
            assert record.account == "green"


async def test_an_expired_token_is_renewed_before_a_runtime_notices() -> None:
    async with ReplayUpstream(api_keys=set()) as upstream:
        pair = upstream.tokens.issue()
        upstream.tokens.expire(pair.access_token)
        async with pooled(NewAccount("red", tokens=pair), upstream=upstream, sdk_enabled=True) as served:
            assert (await ask(served, question())).status == 200
            assert served.grants() == {"granted": 1}
