"""Tokens expire and are revoked, and nobody at a keyboard notices."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.accounts.account import Condition
from gateway.replay.server import ReplayUpstream
from gateway.replay.tokens import TokenAuthority
from tests.account_path.harness import NewAccount, Pooled, pooled
from tests.contract.harness import envelope
from tests.faults.waiting import until

FIXED_KEYS = {"sk-ant-api03-of-second", "sk-ant-api03-of-first"}


async def ask_many(served: Pooled, count: int) -> list[int]:
    """Ask for so many streams at once and return their statuses."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(served.stream()) for _ in range(count)]
    return [task.result().status for task in tasks]


async def test_a_token_that_has_expired_before_the_start_is_renewed_and_the_client_sees_an_answer() -> None:
    async with ReplayUpstream(api_keys=set()) as upstream:
        pair = upstream.tokens.issue()
        upstream.tokens.expire(pair.access_token)
        async with pooled(NewAccount("first", tokens=pair, expires_in=-5), upstream=upstream) as served:
            await served.assert_serves()
            assert served.grants() == {"granted": 1}
            assert len(served.upstream.requests) == 2  # one grant, one message: the dead token was never sent
            stored = await served.store.find("first")
            assert stored is not None
            assert stored.secret_version == 2


async def test_a_token_that_the_upstream_takes_for_expired_is_renewed_once_and_the_request_is_sent_again() -> None:
    async with ReplayUpstream(api_keys=set()) as upstream:
        pair = upstream.tokens.issue()
        upstream.tokens.expire(pair.access_token)
        async with pooled(NewAccount("first", tokens=pair), upstream=upstream) as served:
            answer = await served.stream()
            assert answer.status == 200
            assert answer.body.count(b"event: message_start") == 1
            record = served.ledger.of(answer)
            assert [(a.account, a.status, a.fault) for a in record.attempts] == [
                ("first", 401, "credential"),
                ("first", 200, None),
            ]
            assert served.grants() == {"granted": 1}


async def test_two_hundred_requests_on_a_token_that_expires_under_them_bring_exactly_one_refresh() -> None:
    async with ReplayUpstream(api_keys=set()) as upstream:
        pair = upstream.tokens.issue()
        async with pooled(NewAccount("first", tokens=pair), upstream=upstream) as served:
            await served.assert_serves()
            upstream.tokens.expire(pair.access_token)
            assert set(await ask_many(served, 200)) == {200}
            assert served.grants() == {"granted": 1}


async def test_a_revoked_token_does_not_reach_the_client_while_another_account_serves() -> None:
    async with ReplayUpstream(api_keys=FIXED_KEYS) as upstream:
        pair = upstream.tokens.issue()
        first = NewAccount("first", tokens=pair, more={"priority": 0})
        second = NewAccount("second", more={"priority": 1})
        async with pooled(first, second, upstream=upstream, routing={"strategy": "fill_first"}) as served:
            await served.assert_serves()
            upstream.tokens.revoke(pair.access_token)
            answer = await served.stream()
            assert answer.status == 200
            record = served.ledger.of(answer)
            assert record.account == "second"
            assert [a.status for a in record.attempts] == [403, 200]
            assert served.grants() == {"invalid_grant": 1}
            await served.until_condition(Condition.NEEDS_REAUTH, "first")
            await served.assert_serves()
            assert served.grants() == {"invalid_grant": 1}  # nobody tries again what a person has to mend


async def test_when_every_account_is_revoked_clients_get_a_503_and_never_a_401() -> None:
    async with ReplayUpstream(api_keys=set()) as upstream:
        pairs = [upstream.tokens.issue() for _ in range(3)]
        accounts = [NewAccount(f"a{number}", tokens=pair) for number, pair in enumerate(pairs)]
        async with pooled(*accounts, upstream=upstream) as served:
            for pair in pairs:
                upstream.tokens.revoke(pair.access_token)
            for _ in range(3):
                error = envelope(await served.stream(), 503, "api_error")
                assert "operator" in error["message"]
                assert "invalid_grant" not in error["message"], "why is for the operator to know"
            assert served.grants() == {"invalid_grant": 3}
            await served.until_condition(Condition.NEEDS_REAUTH, "a0", "a1", "a2")


@pytest.mark.parametrize(
    "fault",
    [
        "status:500",
        "status:503",
        "error:overloaded",
        "header:content-type=text/html|truncate:5",
        "refuse",
        "cut:byte=3",
    ],
)
async def test_trouble_at_the_token_endpoint_costs_nothing_while_the_token_is_good(fault: str) -> None:
    async with ReplayUpstream(api_keys=set()) as upstream:
        pair = upstream.tokens.issue()
        upstream.faults.push(fault, path="/v1/oauth/token", times="forever")
        # Due for a refresh, and good for a minute still.
        async with pooled(NewAccount("first", tokens=pair, expires_in=60), upstream=upstream) as served:
            for _ in range(3):
                await served.assert_serves()
            assert set(served.credentials_used()) == {pair.access_token}
            stored = await served.store.find("first")
            assert stored is not None
            assert stored.condition is Condition.OK


async def test_a_slow_token_endpoint_holds_up_no_other_account() -> None:
    async with ReplayUpstream(api_keys=FIXED_KEYS) as upstream:
        pair = upstream.tokens.issue()
        upstream.faults.push("hang:head", path="/v1/oauth/token", times="forever")
        first = NewAccount("first", tokens=pair, expires_in=60, more={"priority": 0})
        second = NewAccount("second", more={"priority": 1})
        async with pooled(first, second, upstream=upstream, routing={"strategy": "fill_first"}) as served:
            assert set(await ask_many(served, 20)) == {200}


@pytest.mark.parametrize("text", ["oauth_beta_missing", "oauth_scope", "permission", "model_access"])
async def test_a_403_about_something_else_comes_as_it_is_and_leaves_the_account_alone(text: str) -> None:
    messages = {
        "oauth_beta_missing": (401, "OAuth authentication is currently not supported."),
        "oauth_scope": (403, "OAuth token does not meet scope requirement user:profile"),
        "permission": (403, "Your API key does not have permission to use the specified resource."),
        "model_access": (403, "Model access denied: OAuth token has been revoked is what a person wrote"),
    }
    status, message = messages[text]
    kind = "authentication_error" if status == 401 else "permission_error"
    async with ReplayUpstream(api_keys=set()) as upstream:
        pair = upstream.tokens.issue()
        async with pooled(NewAccount("first", tokens=pair), upstream=upstream) as served:
            upstream.faults.push({"kind": "status", "status": status, "type": kind, "message": message})
            answer = await served.stream()
            # A 401 is never the client's own, so that one comes in other words.
            assert answer.status == (503 if status == 401 else status)
            assert message in json.loads(answer.body)["error"]["message"]
            assert not served.grants()
            stored = await served.store.find("first")
            assert stored is not None
            assert stored.condition is Condition.OK
            await served.assert_serves()


async def test_a_storm_of_401s_on_one_account_ends_after_one_refresh() -> None:
    async with ReplayUpstream(api_keys=set()) as upstream:
        pair = upstream.tokens.issue()
        async with pooled(NewAccount("first", tokens=pair), upstream=upstream) as served:
            upstream.tokens.expire(pair.access_token)
            assert set(await ask_many(served, 100)) == {200}
            assert served.grants() == {"granted": 1}
            assert upstream.tokens.records[0].client_id == "the-operators-own-client"


async def test_short_lived_tokens_are_renewed_ahead_and_requests_never_meet_an_expired_one() -> None:
    async with ReplayUpstream(api_keys=set(), tokens=TokenAuthority(expires_in=2)) as upstream:
        pair = upstream.tokens.issue()
        async with pooled(NewAccount("first", tokens=pair), upstream=upstream) as served:
            end = asyncio.get_running_loop().time() + 5
            while asyncio.get_running_loop().time() < end:
                answer = await served.stream()
                assert answer.status == 200
                assert len(served.ledger.of(answer).attempts) == 1
                await asyncio.sleep(0.05)
            assert set(served.grants()) == {"granted"}
            assert 2 <= served.grants()["granted"] <= 12


async def test_a_client_that_leaves_during_a_refresh_does_not_stop_it() -> None:
    async with ReplayUpstream(api_keys=set()) as upstream:
        pair = upstream.tokens.issue()
        upstream.tokens.expire(pair.access_token)
        upstream.faults.push("hang:head;seconds=0.5", path="/v1/oauth/token")
        async with pooled(NewAccount("first", tokens=pair, expires_in=-1), upstream=upstream) as served:
            async with served.connect() as connection:
                await connection.send("/claude/v1/messages", {"model": "m", "stream": True}, usual=served.usual)
                await upstream.wait_for(lambda: len(upstream.requests) == 1)
            await until(served.grants)
            await served.assert_serves()
            assert served.grants() == {"granted": 1}


async def test_an_account_whose_new_token_is_refused_too_needs_a_person_unless_it_turns_out_to_be_sound() -> None:
    async with ReplayUpstream(api_keys=set()) as upstream:
        pair = upstream.tokens.issue()
        async with pooled(NewAccount("first", tokens=pair), upstream=upstream) as served:
            for _ in range(2):
                upstream.faults.push("error:oauth_expired")
            answer = await served.stream()
            assert "first" not in envelope(answer, 503, "api_error")["message"]
            await served.until_condition(Condition.NEEDS_REAUTH, "first")
            await served.assert_serves()
            await served.until_condition(Condition.OK, "first")
            assert served.grants() == {"granted": 1}


async def test_a_token_that_is_refused_soon_after_its_renewal_is_said_to_come_back_by_itself() -> None:
    async with ReplayUpstream(api_keys=set()) as upstream:
        pair = upstream.tokens.issue()
        async with pooled(NewAccount("first", tokens=pair), upstream=upstream) as served:
            upstream.faults.push("error:oauth_expired")
            await served.assert_serves()
            upstream.faults.push("error:oauth_expired")
            answer = await served.stream()
            assert "by itself" in envelope(answer, 503, "api_error")["message"]
            assert answer.header("retry-after") is not None
            stored = await served.store.find("first")
            assert stored is not None
            assert stored.condition is Condition.OK
            assert served.grants() == {"granted": 1}
