"""What `gateway accounts check` finds, by what really answers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.accounts.account import Account, AccountKind, Condition, Cooldown
from gateway.accounts.checking import Checker, Finding
from gateway.accounts.credentials import CredentialManager
from gateway.providers.anthropic import AnthropicProvider
from gateway.replay.openai import OpenAIReplay
from gateway.replay.server import ReplayUpstream
from gateway.store.accounts import ENVIRONMENT, AccountStore
from gateway.store.leases import LeaseStore
from tests.cli_accounts.command import KEY, OTHER_KEY, Command

FINDINGS = {
    "error:401-x-api-key-invalid": (Finding.CREDENTIAL_REFUSED, "See that it was not revoked"),
    "error:403-permission": (Finding.REFUSED, "See what the credential may be used for"),
    "error:402-billing": (Finding.REFUSED, "Your organization's payment method was declined"),
    "error:400-organization-on-hold": (Finding.REFUSED, "This organization is on hold"),
    "error:429-retry-after-60": (Finding.LIMITED, "its limit is used up for now"),
    "error:500-api-error": (Finding.PROVIDER_TROUBLE, "trouble of its own"),
    "error:502-html": (Finding.PROVIDER_TROUBLE, "trouble of its own"),
    "error:529-overloaded": (Finding.PROVIDER_TROUBLE, "no capacity now"),
    "error:200-html": (Finding.WRONG_URL, "A web page answers"),
    "error:200-json-not-a-message": (Finding.WRONG_URL, "no list of models"),
    "status:404": (Finding.WRONG_URL, "There is no list of models (status 404). See the base URL"),
    "status:301": (Finding.WRONG_URL, "leads to another address"),
    "refuse": (Finding.UNREACHABLE, "closed without an answer"),
    "truncate": (Finding.UNREACHABLE, "closed without an answer"),
}


async def test_an_account_that_works_is_said_to_with_the_providers_request_id(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    added = await accounts.add("work", KEY, "--check")

    done = await accounts.go("check", "--json")

    assert added.status == 0
    assert "work: ok: It works." in added.out
    assert done.status == 0
    (verdict,) = done.json
    assert verdict.pop("milliseconds") >= 0
    assert verdict == {
        "name": "work",
        "good": True,
        "finding": "ok",
        "message": "It works.",
        "status": 200,
        "request_id": upstream.requests[1].request_id,
    }
    assert [(request.method, request.path, request.credential) for request in upstream.requests] == [
        ("GET", "/v1/models", ("x-api-key", KEY))
    ] * 2


@pytest.mark.parametrize(("fault", "finding", "words"), [(fault, *found) for fault, found in FINDINGS.items()])
async def test_what_answers_is_told_in_words_that_help(
    accounts: Command, upstream: ReplayUpstream, fault: str, finding: Finding, words: str
) -> None:
    await accounts.add("work")
    upstream.faults.push(fault, times="forever", path="*")

    done = await accounts.go("check", "work", "--json")

    (verdict,) = done.json
    assert verdict["finding"] == finding.value, verdict
    assert words in verdict["message"]
    assert done.status == (0 if finding is Finding.LIMITED else 1)
    assert await accounts.state("work") == "active", "a check that goes badly changes nothing"


@asynccontextmanager
async def answering(data: bytes) -> AsyncGenerator[str]:
    """Say these bytes to whoever connects."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(data)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("http://{}", "does not speak HTTP"),
        ("https://{}", "no TLS to be had there"),
        ("http://127.0.0.1:{closed}", "The connection is refused"),
        ("http://no-such-host.invalid", "cannot be resolved"),
    ],
)
async def test_why_nothing_answers_is_told(accounts: Command, base_url: str, words: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = unused.getsockname()[1]
        async with answering(b"SSH-2.0-OpenSSH_9.9\r\n\r\n") as address:
            await accounts.add("work", KEY, "--base-url", base_url.format(address, closed=closed))
            done = await accounts.go("check", "work", "--json")

    assert done.status == 1
    assert done.json[0]["finding"] == "unreachable"
    assert words in done.json[0]["message"]


async def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_is_said() -> None:
    account = Account(ENVIRONMENT, ENVIRONMENT, "anthropic", AccountKind.API_KEY)
    nothing: Any = None
    credentials = CredentialManager(
        *(nothing, nothing, nothing),
        clock=lambda: 0.0,
        owner="test",
        on_condition=lambda *_, **__: None,
        environment={ENVIRONMENT: KEY},
    )
    async with ReplayUpstream() as upstream:
        upstream.faults.push("hang:head", path="*", times="forever")
        providers = {"anthropic": AnthropicProvider(upstream.url)}
        async with credentials, Checker(providers, credentials, answer_seconds=0.05) as checker:
            verdict = await checker.check(account)

    assert verdict.finding is Finding.UNREACHABLE
    assert "No answer came in time" in verdict.message


async def test_many_accounts_are_checked_a_few_at_a_time(accounts: Command, upstream: ReplayUpstream) -> None:
    entries = [{"name": f"account {i}", "provider": "anthropic", "api_key": KEY} for i in range(30)]
    await accounts.go("import", accounts.file("keys.json", entries))

    done = await accounts.go("check")

    assert done.status == 0
    assert len(done.out.splitlines()) == 30
    assert len(upstream.requests) == 30
    assert len({request.connection_id for request in upstream.requests}) <= 8


async def test_what_a_provider_says_of_a_key_is_told_without_the_key(accounts: Command) -> None:
    said = b'{"error":{"message":"Incorrect API key provided: sk-proj-abc***wxyz. See https://example.com/keys.",'
    said += b'"type":"invalid_request_error","code":"invalid_api_key"}}'
    head = f"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {len(said)}\r\n\r\n"
    accounts.secrets |= {"sk-proj-abc", "wxyz"}
    async with answering(head.encode() + said) as address:
        await accounts.go(
            *(
                "add",
                "--name",
                "work",
                "--provider",
                "openai",
                "--secret-stdin",
                "--base-url",
                f"http://{address}",
            ),
            stdin="sk-proj-abcdefghijklmnop-wxyz",
        )
        done = await accounts.go("check")

    assert done.status == 1
    assert 'status 401): "Incorrect API key provided: (key) See https://example.com/keys"' in done.out


async def test_accounts_of_both_providers_are_checked_where_they_belong(
    accounts: Command, upstream: ReplayUpstream, openai: OpenAIReplay
) -> None:
    key = "sk-proj-of-the-openai-account"
    accounts.secrets.add(key)
    await accounts.add("claude")
    await accounts.add("revoked", "sk-ant-api03-that-nobody-knows")
    await accounts.go("add", "--name", "gpt", "--provider", "openai", "--secret-stdin", stdin=key)

    done = await accounts.go("check")

    assert done.status == 1
    lines = dict(line.split(": ", 1) for line in done.out.splitlines())
    assert lines["claude"].startswith("ok")
    assert lines["gpt"].startswith("ok")
    assert lines["revoked"].startswith("credential_refused")
    assert [request.credential for request in upstream.requests if request.credential != ("x-api-key", KEY)] == [
        ("x-api-key", "sk-ant-api03-that-nobody-knows")
    ]
    assert [arrival.credential for arrival in openai.arrivals] == [f"Bearer {key}"]


@pytest.mark.parametrize(
    ("condition", "paused", "expected"),
    [
        (Condition.NEEDS_REAUTH, False, "active"),
        (Condition.NEEDS_REAUTH, True, "paused"),
        (Condition.PARKED, False, "parked"),
    ],
)
async def test_a_good_answer_ends_a_refused_credential_but_no_pause_and_no_parking(
    accounts: Command, upstream: ReplayUpstream, condition: Condition, *, paused: bool, expected: str
) -> None:
    await accounts.add("work")
    async with accounts.database() as database:
        store = AccountStore(database)
        (account,) = await store.all()
        await store.set_condition(account.id, condition, "as traffic saw it", secret_version=1)
    if paused:
        await accounts.go("pause", "work")

    done = await accounts.go("check")

    assert done.status == 0
    assert await accounts.state("work") == expected
    assert ("was taken back into use" in done.out) == (expected == "active")
    assert "taken back" not in (await accounts.go("check")).out
    assert len(upstream.requests) == 2


async def test_a_token_is_renewed_once_before_it_is_checked_and_stored(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    pair = upstream.tokens.issue()
    assert pair.refresh_token is not None
    accounts.secrets.add(pair.refresh_token)
    args = ("--name", "profile", "--provider", "anthropic", "--kind", "oauth", "--client-id", "mine")

    done = await accounts.go("add", *args, "--secret-stdin", "--check", stdin=pair.refresh_token)
    again = await accounts.go("check", "profile")

    assert done.status == 0, done
    assert "profile: ok" in done.out
    assert again.status == 0
    (record,) = upstream.tokens.records
    assert (record.outcome, record.client_id) == ("granted", "mine")
    sent = {request.credential for request in upstream.requests if request.path == "/v1/models"}
    (used,) = sent
    assert used is not None
    name, bearer = used
    assert name == "authorization"
    accounts.secrets.add(bearer.removeprefix("Bearer "))
    row = (await accounts.go("list", "--json")).json[0]
    assert row["expires_at"] is not None


async def test_a_refused_refresh_token_is_told_and_not_sent_again(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    refresh = "sk-ant-ort01-that-was-revoked"
    accounts.secrets.add(refresh)
    args = ("--name", "profile", "--provider", "anthropic", "--kind", "oauth", "--client-id", "mine")
    await accounts.go("add", *args, "--secret-stdin", stdin=refresh)

    first = await accounts.go("check")
    second = await accounts.go("check")

    assert (first.status, second.status) == (1, 1)
    assert "no_credential" in first.out
    assert "invalid_grant" in second.out
    assert await accounts.state("profile") == "needs_reauth"
    assert len(upstream.tokens.records) == 1


async def test_a_workload_is_checked_with_the_assertion_of_its_file(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    path = accounts.file("assertion.jwt", "signed.assertion.of-the-workload\n")
    args = ("--name", "workload", "--provider", "anthropic", "--kind", "oauth", "--assertion-file", path)
    rule = ("--federation-rule-id", "fdrl_1", "--organization-id", "org_1", "--service-account-id", "svac_1")

    done = await accounts.go("add", *args, *rule, "--check")

    assert done.status == 0, done
    sent = json.loads(upstream.requests[0].body)
    assert sent["assertion"] == "signed.assertion.of-the-workload"
    assert (sent["federation_rule_id"], sent["organization_id"]) == ("fdrl_1", "org_1")
    assert sent["service_account_id"] == "svac_1"


async def test_an_account_whose_key_a_command_prints(accounts: Command, upstream: ReplayUpstream) -> None:
    program = Path(accounts.file("print-key", f"#!/bin/sh\necho {KEY}\n", mode=0o700))
    config = accounts.settings(f'[credential_commands]\nwork = ["{program}"]\nbroken = ["false"]\n')
    args = ("--provider", "anthropic", "--kind", "command", "--config", config, "--check")

    good = await accounts.go("add", "--name", "good", "--command", "work", *args)
    bad = await accounts.go("add", "--name", "bad", "--command", "broken", *args)

    assert good.status == 0, good
    assert bad.status == 1
    assert "bad: no_credential" in bad.out
    assert [request.credential for request in upstream.requests] == [("x-api-key", KEY)]


async def test_the_account_of_the_environment_is_listed_and_checked(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    accounts.setenv("GATEWAY_ANTHROPIC_API_KEY", OTHER_KEY)

    done = await accounts.go("check", "environment")

    assert done.status == 0, done
    assert upstream.requests[0].credential == ("x-api-key", OTHER_KEY)
    (row,) = (await accounts.go("list", "--json")).json
    assert (row["name"], row["state"], row["base_url"]) == ("environment", "active", upstream.url)


async def test_of_an_account_that_works_and_does_not_serve_both_is_said(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    for name in ("paused", "parked", "cooling", "spent"):
        await accounts.add(name)
    async with accounts.database() as database:
        store = AccountStore(database)
        now = await database.now()
        ids = {account.name: account.id for account in await store.all()}
        await store.pause(ids["paused"])
        await store.set_condition(ids["parked"], Condition.PARKED, "no money", secret_version=1)
        for name in ("cooling", "spent"):
            await store.set_cooldown(Cooldown(ids[name], "account", now + 600, now, "quota", "the limit"))

    works = await accounts.go("check", "paused", "parked", "cooling")
    upstream.faults.push("error:429-retry-after-60", times="forever", path="*")
    spent = await accounts.go("check", "spent")

    resume = "`gateway accounts resume {}` puts it into use"
    assert works.status == 0
    paused, parked, cooling = works.out.splitlines()
    assert f"paused: ok: It works. It is paused; {resume.format('paused')}." in paused
    assert f'It works. It is parked, "no money"; {resume.format("parked")} once that is settled.' in parked
    assert "It works. It is cooling until " in cooling
    assert f"{resume.format('cooling')} now." in cooling
    assert "resume" not in spent.out, "its limit would be used up all the same"


async def test_another_secret_key_is_refused_before_anything_is_sent(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    await accounts.add("work")
    accounts.setenv("GATEWAY_SECRET_KEY", "quite-another-key")
    accounts.secrets.add("quite-another-key")

    for args in (("check",), ("rekey",), ("add", "--name", "x", "--provider", "anthropic", "--secret-stdin")):
        done = await accounts.go(*args, stdin=KEY)
        assert done.status == 1
        assert "was encrypted with another secret key" in done.err
    assert not upstream.requests


async def test_a_check_of_nothing_says_so(accounts: Command) -> None:
    done = await accounts.go("check")

    assert done.status == 1
    assert "gateway accounts add" in done.err


async def test_resuming_says_what_it_cleared(accounts: Command, upstream: ReplayUpstream) -> None:
    del upstream
    await accounts.add("work")
    async with accounts.database() as database:
        store, leases = AccountStore(database), LeaseStore(database)
        (account,) = await store.all()
        await store.set_condition(account.id, Condition.PARKED, "no money", secret_version=1)
        await leases.acquire(account.id, "somebody", 1, 30)
        await leases.mark_sent(account.id, "somebody", 1, 30)
        await leases.abandon(account.id, "somebody")
    await accounts.go("pause", "work")

    done = await accounts.go("resume", "work")
    again = await accounts.go("resume", "work")

    assert "Cleared: a pause; parked (no money); the mark of a refresh token that was sent before" in done.out
    assert "Nothing was in its way." in again.out


async def test_resuming_says_from_when_on_a_token_that_is_on_its_way_may_be_sent_again(accounts: Command) -> None:
    await accounts.add("work")
    async with accounts.database() as database:
        store, leases = AccountStore(database), LeaseStore(database)
        (account,) = await store.all()
        await leases.acquire(account.id, "somebody", 1, 30)
        await leases.mark_sent(account.id, "somebody", 1, 300)
        until = await leases.sent_until(account.id)
    assert until is not None

    done = await accounts.go("resume", "work")
    told = await accounts.go("resume", "work", "--json")

    local = datetime.fromtimestamp(until, UTC).astimezone().isoformat(sep=" ", timespec="seconds")
    assert f"the answer may come until {local}. If work says needs_reauth after that" in done.out
    assert "may be sent once more" not in done.out
    assert datetime.fromisoformat(told.json["refresh_under_way_until"]).timestamp() == pytest.approx(
        until, abs=0.01
    )
    assert told.json["cleared"] == []
