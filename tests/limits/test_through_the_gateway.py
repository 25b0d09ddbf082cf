"""What users of a key with limits get from the gateway."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import anthropic
import pytest

from gateway.actors.key_limiter import KeyLimiter
from gateway.actors.terms import NANO, KeyTerms
from gateway.config import ClientAuth
from gateway.ledger.record import RequestRecord
from gateway.replay.openai import OpenAIReplay
from gateway.store.key_use import KeyUseStore
from gateway.wire.requests import read_facts
from tests.contract.harness import MESSAGES, Served, envelope, serving
from tests.limits.asking import USAGE, keys_of, make_key, presenting, until_known, until_status, usage
from tests.openai_pool.test_pool_mode import both, key_account
from tests.replay.raw_client import message
from tests.sdk_runtime.asking import SDK, question, sdk_serving


def limiter_of(served: Served) -> KeyLimiter:
    found = served.gateway.data_plane.messages.admission.limiter
    assert isinstance(found, KeyLimiter)
    return found


async def test_a_key_that_has_expired_says_so_and_what_to_do() -> None:
    async with serving() as served:
        now = datetime.now(UTC).timestamp()
        headers = await make_key(served, expires_at=now - 60)
        answer = await served.ask(message(), usual=headers)
        error = envelope(answer, 401, "authentication_error")
        assert error["message"].startswith(
            f"The key ci expired at {datetime.fromtimestamp(now - 60, UTC):%Y-%m-%d}"
        )
        (record,) = (one for one in served.ledger.records if one.route.endswith("/v1/messages"))
        assert (record.actor, record.outcome, record.status) == ("ci", "rejected", 401)
        assert f"gateway keys limits {record.actor_id} --expires 30d" in error["message"]
        assert answer.header("x-should-retry") == "false"
        assert served.upstream.requests == []
        prolonged = await make_key(served, "other", expires_at=now + 3_600)
        assert (await served.ask(message(), usual=prolonged)).status == 200


async def test_a_key_that_is_replaced_is_valid_for_a_while_and_both_are_one() -> None:
    async with serving() as served:
        old = await make_key(served, requests_per_minute=100)
        assert (await served.ask(message(), usual=old)).status == 200
        async with keys_of(served) as (store, pepper):
            stored, key = await store.rotate("ci", pepper, 3_600)
        new = presenting(key)
        await until_known(served, new)
        for headers in (old, new):
            assert (await served.ask(message(), usual=headers)).status == 200
        assert (await usage(served, new))["total"]["requests"] == 3
        assert {record.actor_id for record in served.ledger.records} == {stored.id}
        async with keys_of(served) as (store, pepper):
            _, newest = await store.rotate("ci", pepper, 0)
        await until_known(served, presenting(newest))
        for headers in (old, new):
            error = envelope(await served.ask(message(), usual=headers), 401, "authentication_error")
            assert "was replaced by another one" in error["message"]
            assert (served.ledger.records[-1].actor_id, served.ledger.records[-1].status) == (stored.id, 401)
        assert (await served.ask(message(), usual=presenting(newest))).status == 200


async def test_a_key_that_was_revoked_of_late_is_told_so_and_its_requests_are_recorded_as_its_own() -> None:
    async with serving() as served:
        old = await make_key(served)
        async with keys_of(served) as (store, pepper):
            stored, key = await store.rotate("ci", pepper, 3_600)
            new = presenting(key)
            await until_known(served, new)
            await store.revoke("ci")
        await until_status(served, new, 401)
        for headers in (old, new):
            error = envelope(await served.ask(message(), usual=headers), 401, "authentication_error")
            assert error["message"].startswith("The key ci was revoked.")
            record = served.ledger.records[-1]
            assert (record.actor, record.actor_id, record.outcome) == ("ci", stored.id, "rejected")
        nobody = await served.ask(message(), usual=presenting("csg_made-up"))
        assert "does not know" in envelope(nobody, 401, "authentication_error")["message"]
        assert served.ledger.records[-1].actor_id is None
        # Refused ones are no use of it.
        async with keys_of(served) as (store, _):
            use = await KeyUseStore(store.database).use_of(stored.id)
        assert use.total.requests == 0


async def test_when_a_key_was_last_used_is_known_to_the_minute_without_limits_too() -> None:
    async with serving() as served:
        headers = await make_key(served)
        began = datetime.now(UTC).timestamp()
        assert (await served.ask(message(), usual=headers)).status == 200
        await usage(served, headers)  # which waits until what was used is written
        async with keys_of(served) as (store, _):
            (key,) = (key for key in await store.all() if key.name == "ci")
            use = await KeyUseStore(store.database).use_of(key.id)
        assert began - 1 <= use.last_used_at <= datetime.now(UTC).timestamp() + 1


async def test_a_model_that_a_key_may_not_use_is_refused() -> None:
    haiku = {"model": "claude-haiku-4-5"}
    async with serving() as served:
        headers = await make_key(served, models=("claude-haiku-*", "claude-sonnet-5"))
        for target, more in (
            (MESSAGES, {}),
            (f"{MESSAGES}/count_tokens", {}),
            (MESSAGES, {**haiku, "fallbacks": [{"model": "claude-opus-5-5"}]}),
            (MESSAGES, {**haiku, "fallbacks": "default"}),
            (MESSAGES, {**haiku, "tools": [{"type": "advisor", "model": "claude-opus-5-5"}]}),
            (MESSAGES, {**haiku, "tools": [{"name": "\ud800"}, {"type": "advisor", "model": "claude-opus-5-5"}]}),
            (MESSAGES, {**haiku, "fallbacks": [{"model": "claude-opus-5-5"}, 5]}),
            (MESSAGES, {**haiku, "fallbacks": [{"model": ["claude-opus-5-5"]}]}),
        ):
            answer = await served.ask(message(**more), target, usual=headers)
            error = envelope(answer, 403, "permission_error")
            assert "may not use the model" in error["message"]
            assert "claude-haiku-*, claude-sonnet-5" in error["message"]
            assert answer.header("x-should-retry") == "false"
        assert served.upstream.requests == []
        for target in (MESSAGES, f"{MESSAGES}/count_tokens"):
            plain = message(**haiku, fallbacks=None, tools=[{"name": "look", "input_schema": {"type": "object"}}])
            assert (await served.ask(plain, target, usual=headers)).status == 200


async def test_too_many_requests_per_minute_are_told_how_many_whole_seconds_to_wait() -> None:
    async with serving() as served:
        headers = await make_key(served, requests_per_minute=2)
        answers = [await served.ask(message(), usual=headers) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        error = envelope(answers[2], 429, "rate_limit_error")
        assert "2 requests per minute" in error["message"]
        assert 1 <= int(answers[2].header("retry-after") or 0) <= 30
        assert answers[2].header("x-should-retry") is None
        assert len(served.upstream.requests) == 2
        assert served.ledger.of(answers[2]).outcome == "rejected"
        # Counting tokens is free, and so is asking for models.
        assert (await served.ask(message(), f"{MESSAGES}/count_tokens", usual=headers)).status == 200
        assert (await served.ask(target="/claude/v1/models", usual=headers, method="GET")).status == 200


async def test_a_slot_is_free_again_when_a_stream_has_ended_or_its_client_has_gone() -> None:
    async with serving() as served:
        headers = await make_key(served, concurrent=1)
        for _ in range(5):
            # The next one comes as soon as the last event is there.
            answer = await served.stream(usual=headers)
            assert answer.status == 200
        async with served.connect() as connection:
            hang = [("x-replay-fault", "hang:event=4")]
            await connection.send(MESSAGES, message(stream=True), headers=hang, usual=headers)
            await connection.until(b"content_block_delta")
            answer = await served.ask(message(), usual=headers)
            assert (
                "may have 1 request at the same time, and has 1. Try again when it has ended"
                in envelope(answer, 429, "rate_limit_error")["message"]
            )
            assert (await usage(served, headers))["rates"]["concurrent"] == {"limit": 1, "used": 1}
        await served.upstream.wait_for(lambda: served.upstream.open_streams == 0)
        await until_status(served, headers, 200)


async def test_requests_that_fail_give_their_slots_back_and_count_what_they_used() -> None:
    async with serving() as served:
        headers = await make_key(served, concurrent=1, nanousd_day=NANO)
        for fault in ("status:529", "cut:event=3", "status:400", "cut:event=6", "reset:event=5"):
            await served.stream(usual=headers, fault=fault)
            assert (await served.stream(usual=headers)).status == 200
        told = await usage(served, headers)
        records = served.ledger.records
        assert told["rates"]["concurrent"]["used"] == 0
        assert told["reserved"] == {"tokens": 0, "usd": 0}
        cost = sum(one.cost.nanousd or 0 for one in records if one.cost is not None)
        assert told["total"]["usd"] == cost / NANO
        assert told["total"]["requests"] == len(records) == 10


async def test_a_budget_that_is_used_up_is_not_tried_again_by_the_official_client() -> None:
    async with serving() as served:
        headers = await make_key(served, nanousd_day=1)
        first = await served.ask(message(), usual=headers)
        record = served.ledger.of(first)
        assert record.cost is not None
        assert record.counts is not None
        answer = await served.ask(message(), usual=headers)
        error = envelope(answer, 429, "rate_limit_error")
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        assert f"resets at {tomorrow} 00:00 UTC" in error["message"]
        assert (answer.header("x-should-retry"), answer.header("retry-after")) == ("false", None)
        told = await usage(served, headers)
        assert told["periods"]["day"]["usd"] == (record.cost.nanousd or 0) / NANO > 0
        used = record.counts.total_input_tokens + (record.counts.output_tokens or 0)
        assert told["periods"]["day"]["tokens"] == used > 0
        assert told["periods"]["day"]["budget"] == {"usd": 1e-9, "tokens": None}
        async with anthropic.AsyncAnthropic(
            api_key=dict(headers)["x-api-key"], base_url=f"{served.gateway.url}/claude", max_retries=5
        ) as client:
            with pytest.raises(anthropic.RateLimitError, match=r"has used .* USD for today"):
                await client.messages.create(**message())
        assert sum(one.outcome == "rejected" for one in served.ledger.records) == 2
        assert len(served.upstream.requests) == 1


async def test_the_official_client_waits_as_long_as_it_is_told_for_a_slot() -> None:
    async with serving() as served:
        headers = await make_key(served, concurrent=1)
        refusal = asyncio.Event()

        class Watch:
            def settled(self, record: RequestRecord) -> None:
                if record.status == 429:
                    refusal.set()

        settlement = served.gateway.data_plane.messages.settlement
        settlement.observers = [*settlement.observers, Watch()]
        async with (
            served.connect() as connection,
            anthropic.AsyncAnthropic(
                api_key=dict(headers)["x-api-key"], base_url=f"{served.gateway.url}/claude", max_retries=5
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            hang = [("x-replay-fault", "hang:event=4")]
            await connection.send(MESSAGES, message(stream=True), headers=hang, usual=headers)
            await connection.until(b"content_block_delta")
            asking = group.create_task(client.messages.create(**message()))
            await refusal.wait()
            await connection.close()
            assert (await asking).stop_reason == "end_turn"


@pytest.mark.parametrize(
    "body",
    [
        rb'{"model":"claude-opus-5-5","mod\ud065l":"claude-haiku-4-5","user":"\ud800"}',
        rb'{"model":"claude-opus-5-5","mod\uD065l":"claude-haiku-4-5","user":"\uDFFF"}',
        rb'{"model":"claude-haiku-4-5","mod\u0065l":"claude-opus-5-5"}',
        rb'{"model":"claude-haiku-4-5","tools":[{"model":"claude-opus-5-5","mod\ud065l":"claude-haiku-4-5"}]}',
        rb'{"model":"claude-haiku-4-5","fallb\u0061cks":[{"mod\u0065l":"claude-opus-5-5"}]}',
    ],
)
def test_no_spelling_of_a_body_hides_a_model_from_a_key_that_may_not_use_it(body: bytes) -> None:
    assert KeyTerms(models=("claude-haiku-*",)).forbidden(read_facts(body).models()) == "claude-opus-5-5"


@pytest.mark.parametrize("written", ["8000", "8e3", "8000.0", '"8000"', "7999.5", "8000." + "0" * 40])
def test_what_an_answer_may_have_is_reserved_however_that_is_written(written: str) -> None:
    assert read_facts(f'{{"model":"claude-opus-5-5","max_tokens":{written}}}'.encode()).max_tokens == 8_000


@pytest.mark.parametrize("written", ["null", "true", "-8000", "[8000]", '"many"', '"nan"', '"-inf"', '""'])
def test_what_no_answer_can_have_reserves_nothing_and_is_for_the_upstream_to_refuse(written: str) -> None:
    assert read_facts(f'{{"model":"claude-opus-5-5","max_tokens":{written}}}'.encode()).max_tokens == 0


@pytest.mark.parametrize("written", ["1" + "0" * 30, "8000." + "0" * 10_000, "1e300"])
def test_no_number_is_too_long_to_be_reserved(written: str) -> None:
    assert read_facts(f'{{"model":"claude-opus-5-5","max_tokens":{written}}}'.encode()).max_tokens >= 10**12


async def test_the_secret_key_is_not_shown_where_somebody_prints_a_part_of_the_gateway() -> None:
    async with serving() as served, keys_of(served) as (_, pepper):
        for part in (served.gateway, served.gateway.data_plane.messages.admission):
            assert repr(pepper) not in repr(part)


async def test_a_key_is_told_of_itself_and_of_no_other() -> None:
    async with serving() as served:
        mine = await make_key(
            served, "mine", models=("claude-*",), tokens_month=10_000_000, requests_per_minute=60
        )
        await make_key(served, "theirs", requests_per_minute=1)
        for _ in range(2):
            await served.ask(message(), usual=mine)
        served.upstream.journal.clear()
        served.ledger.records.clear()
        told = await usage(served, mine)
        assert set(told) == {"key", "now", "rates", "periods", "total", "reserved"}
        assert told["key"]["name"] == "mine"
        assert told["key"]["models"] == ["claude-*"]
        assert told["rates"]["requests_per_minute"]["limit"] == 60
        assert 1 <= told["rates"]["requests_per_minute"]["used"] <= 2
        assert told["periods"]["month"]["requests"] == told["total"]["requests"] == 2
        assert told["periods"]["month"]["budget"] == {"usd": None, "tokens": 10_000_000}
        assert "theirs" not in json.dumps(told)
        assert served.upstream.requests == []
        assert served.ledger.records == []


async def test_usage_is_asked_for_with_get_and_a_key() -> None:
    async with serving() as served:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            answer = await served.ask(b"{}", USAGE, method=method)
            envelope(answer, 405, "invalid_request_error")
            assert answer.header("allow") == "GET"
        for headers in ([], [("x-api-key", "csg_unknown")]):
            answer = await served.ask(target=USAGE, usual=headers, method="GET")
            envelope(answer, 401, "authentication_error")


@pytest.mark.parametrize("mode", [ClientAuth.OFF, ClientAuth.PASSTHROUGH])
async def test_a_gateway_without_keys_has_no_usage_to_tell(mode: ClientAuth) -> None:
    async with serving(client_auth=mode) as served:
        headers = [("x-api-key", "sk-ant-of-the-client"), ("host", "localhost")]
        answer = await served.ask(target=USAGE, method="GET", usual=headers)
        assert "no keys" in envelope(answer, 404, "not_found_error")["message"]


async def test_changed_limits_hold_for_a_key_in_use() -> None:
    async with serving() as served:
        headers = await make_key(served)
        assert (await served.ask(message(), usual=headers)).status == 200
        async with keys_of(served) as (store, _):
            await store.change_terms("ci", {"tokens_day": 1})
        await until_status(served, headers, 429)
        # What was used before there was a limit counts.
        assert (await usage(served, headers))["periods"]["day"]["tokens"] > 1
        async with keys_of(served) as (store, _):
            await store.change_terms("ci", {"tokens_day": None})
        await until_status(served, headers, 200)


async def test_a_model_without_a_price_is_not_for_a_key_with_a_budget_in_usd() -> None:
    async with serving() as served:
        headers = await make_key(served, nanousd_week=NANO)
        answer = await served.ask(message(model="claude-of-tomorrow-9"), usual=headers)
        assert "price of the model claude-of-tomorrow-9" in envelope(answer, 403, "permission_error")["message"]


async def test_below_v1_a_key_with_a_budget_is_refused_and_slots_are_kept() -> None:
    red = key_account("red")
    async with OpenAIReplay() as api, both(red, api=api) as running:
        poor = await make_key(running.served, "poor", tokens_day=1_000)
        answer = await running.served.ask(b'{"model":"gpt-5","messages":[]}', "/v1/chat/completions", usual=poor)
        assert answer.status == 403
        assert "what requests below /v1 use is not counted" in json.loads(answer.body)["error"]["message"]
        few = await make_key(running.served, "few", concurrent=1, models=("gpt-*",))
        for _ in range(3):
            body = b'{"model":"gpt-5","messages":[{"role":"user","content":"hi"}]}'
            assert (await running.served.ask(body, "/v1/chat/completions", usual=few)).status == 200
        other = await running.served.ask(b'{"model":"o9","messages":[]}', "/v1/chat/completions", usual=few)
        assert other.status == 403


async def test_a_gateway_that_drains_leaves_nothing_reserved() -> None:
    async with serving() as served:
        headers = await make_key(served, concurrent=3)
        limiter = limiter_of(served)
        async with served.connect() as connection:
            hang = [("x-replay-fault", "hang:event=4")]
            await connection.send(MESSAGES, message(stream=True), headers=hang, usual=headers)
            await connection.until(b"content_block_delta")
            await served.gateway.data_plane.drain()
            await limiter._catch_up()
            assert limiter._grants == {}
        use = await limiter.store.use_of(next(iter(limiter._known)))
        assert (use.running, use.total.requests) == (0, 1)


async def test_the_local_runtime_is_asked_within_limits_too() -> None:
    async with sdk_serving() as served:
        headers = await make_key(served, models=("claude-haiku-*",), concurrent=1, nanousd_day=1)
        other = await served.ask(question(model="claude-opus-5-5"), SDK, usual=headers)
        envelope(other, 403, "permission_error")
        first = await served.ask(question(), SDK, usual=headers)
        assert first.status == 200
        told = await usage(served, headers)
        cost = served.ledger.of(first).cost
        assert cost is not None
        assert told["total"] == {
            "requests": 1,
            "tokens": told["total"]["tokens"],
            "usd": (cost.nanousd or 0) / NANO,
        }
        assert told["rates"]["concurrent"]["used"] == 0
        second = await served.ask(question(), SDK, usual=headers)
        assert "USD for today" in envelope(second, 429, "rate_limit_error")["message"]
