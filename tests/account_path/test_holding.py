"""Requests that are held until an account comes back."""

from __future__ import annotations

import random
import time

from attrs import evolve
from multidict import CIMultiDict

from gateway.accounts.account import Account, AccountKind, Cooldown
from gateway.accounts.backend import Backend
from gateway.accounts.need import Need
from gateway.accounts.pool import AccountPool
from gateway.config import Limits, Routing, StreamMode, Timeouts
from gateway.dataplane.answers import Refusal
from gateway.dataplane.attempts import Attempts, Outgoing
from gateway.dataplane.refusals import LastRefusals
from gateway.dataplane.upstream import Upstream
from gateway.providers.anthropic import AnthropicProvider


async def test_a_stream_that_gets_no_pings_is_held_without_looking_at_the_clock_all_the_time() -> None:
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return time.monotonic()

    timeouts, limits = evolve(Timeouts(), commit_deadline_seconds=0.05), Limits()
    routing = evolve(Routing(), hold_for_capacity_seconds=0.6)
    pool = AccountPool(routing, clock=clock, random=random.Random(1))
    accounts = [Account(name, name, "anthropic", AccountKind.API_KEY) for name in ("red", "green")]
    now = clock()
    pool.replace(accounts, [Cooldown(one.id, "opus", now + 3000, now, "quota", "spent") for one in accounts])
    async with Upstream(timeouts, limits) as upstream:
        started = time.monotonic()
        outgoing = Outgoing(
            "POST", "/v1/messages", CIMultiDict(), b"", stream=True, started=started, need=Need("opus")
        )
        backend = Backend(AnthropicProvider("http://127.0.0.1:9"), pool, None, clock)
        attempts = Attempts(
            outgoing, backend, upstream, timeouts, limits, routing, StreamMode.ENFORCE, LastRefusals()
        )
        result = await attempts.run()
    assert isinstance(result, Refusal)
    assert result.status == 529
    assert looks < 30
