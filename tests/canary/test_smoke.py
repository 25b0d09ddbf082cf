"""`gateway smoke`: the evidence that it gives."""

from __future__ import annotations

import asyncio
import json

import pytest
from attrs import evolve

from gateway.replay.openai import OpenAIReplay
from gateway.replay.server import ReplayUpstream
from tests.canary.command import Command, check_markdown, headings
from tests.canary.saboteur import Asked, Reply, sabotaged
from tests.contract.harness import ACCOUNT_KEY, serving

KEY = "key-of-a-client-that-is-let-in"
OPENAI_KEY = "sk-proj-key-of-the-proxy-that-is-there"
V1 = {"/v1: models", "/v1: chat", "/v1: chat stream"}


async def test_a_gateway_passes_and_the_evidence_fits_a_pull_request(command: Command) -> None:
    async with OpenAIReplay(api_keys={OPENAI_KEY}) as openai, serving(openai_base_url=openai.url) as served:
        command.secrets |= {served.key, OPENAI_KEY, ACCOUNT_KEY}
        command.monkeypatch.setenv("GATEWAY_SMOKE_OPENAI_KEY", OPENAI_KEY)
        done = await command.run(
            *("smoke", "--base-url", f"{served.gateway.url}/claude", "--key", served.key),
            *("--openai-base-url", openai.url, "--why", "A canary\nof `ours`."),
        )

    assert done.status == 0, done.out + done.err
    assert headings(done.out) == [
        "# Canary smoke: PASS",
        "## Summary",
        "## Why",
        "## Validation",
        "## Risks",
        "## Rollback",
    ]
    check_markdown(done.out)
    rows = done.rows()
    assert {row[3] for row in rows.values()} == {"pass"}
    assert rows["stream"][2] == "200"
    assert rows["error: unknown model"][2] == "404"
    assert rows["parallel: 16"][2] == "200 x16"
    assert rows["body of 31 MiB"][5].endswith("every byte was carried")
    assert rows["request-id"][3] == "pass"
    assert set(rows) >= V1
    assert "\nA canary of `ours`.\n" in done.out
    assert "tokens used: " in done.out
    assert "x-api-key: (masked)" in done.out
    assert "IN_BLOCK → IN_BLOCK" in done.out, "the stream is not shown event by event"
    assert len(done.out) < 150_000


async def test_json_says_the_same_for_programs(command: Command) -> None:
    async with serving() as served:
        command.secrets |= {served.key, ACCOUNT_KEY}
        done = await command.run(
            *("smoke", "--base-url", f"{served.gateway.url}/claude", "--key-stdin", "--format", "json"),
            *("--parallel", "1", "--no-big-body"),
            stdin=f"{served.key}\n",
        )

    assert done.status == 0, done.err
    found = done.json
    assert (found["verdict"], found["counts"]["fail"], found["counts"]["not_checked"]) == ("pass", 0, len(V1))
    by_name = {check["name"]: check for check in found["checks"]}
    assert by_name["error: no key"]["statuses"] == [401]
    assert by_name["stream"]["traces"][0].startswith(f"POST {served.gateway.url}/claude/v1/messages\n")
    assert found["tokens"]["messages"] == 5


async def test_the_root_of_a_gateway_will_do_and_the_key_may_come_from_the_environment(command: Command) -> None:
    async with serving() as served:
        command.monkeypatch.setenv("GATEWAY_SMOKE_KEY", served.key)
        done = await command.run(
            "smoke", "--base-url", f"{served.gateway.url}/", "--parallel", "1", "--no-big-body", "--bearer"
        )

    assert done.status == 0, done.out
    assert f"target: `{served.gateway.url}/claude`" in done.out
    assert "authorization: (masked)" in done.out


async def test_the_replay_upstream_itself_passes(command: Command) -> None:
    async with ReplayUpstream() as upstream:
        done = await command.run("smoke", "--base-url", upstream.url, "--key", "any", "--parallel", "1")

    assert done.status == 0, done.out
    assert done.rows()["error: wrong key"][3] == "not checked"
    assert done.rows()["/v1: chat"][3] == "not checked"


async def test_a_stand_in_that_speaks_claudes_api_alone_fails_what_is_asked_of_the_existing_proxy_and_no_more(
    command: Command,
) -> None:
    async with ReplayUpstream() as stand_in, serving(openai_base_url=stand_in.url) as served:
        usual = ("smoke", "--base-url", f"{served.gateway.url}/claude", "--key", served.key)
        usual = (*usual, "--parallel", "1", "--no-big-body")
        asked = await command.run(*usual, "--openai-key", OPENAI_KEY, "--openai-base-url", stand_in.url)
        left_out = await command.run(*usual)

    assert (asked.status, left_out.status) == (1, 0)
    assert {name for name, row in asked.rows().items() if row[3] == "**FAIL**"} == V1
    assert {name for name, row in left_out.rows().items() if row[3] == "not checked"} == V1


async def test_a_server_that_knows_its_keys_is_asked_for_that(command: Command) -> None:
    async with ReplayUpstream(api_keys={KEY}) as upstream:
        done = await command.run("smoke", "--base-url", upstream.url, "--key", KEY, "--parallel", "1")

    assert done.rows()["error: wrong key"][2:4] == ["401", "pass"]


async def test_with_a_wrong_key_nothing_else_is_sent_and_it_says_so(command: Command) -> None:
    async with serving() as served:
        command.secrets.add("a-key-that-was-mistyped")
        done = await command.run(
            "smoke", "--base-url", f"{served.gateway.url}/claude", "--key", "a-key-that-was-mistyped"
        )

        sent = [record.route for record in served.ledger.records]

    assert (done.status, done.out) == (2, "")
    assert "does not take the key (authentication_error: " in done.err
    assert "nothing else was sent" in done.err
    assert sent == ["GET /v1/models"]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (
            ("--base-url", "http://127.0.0.1:1/claude", "--key", KEY),
            "refuses connections; see that the gateway runs",
        ),
        (("--base-url", "http://127.0.0.1:1", "--key", KEY), "refuses connections"),
        (("--base-url", "127.0.0.1:1", "--key", KEY), "a base URL is like http"),
        (("--base-url", "http://me:pass-word-of-mine@127.0.0.1:1", "--key", KEY), "a base URL is like http"),
        (
            ("--base-url", "http://127.0.0.1:1"),
            "give a key: with --key, with --key-stdin, or as GATEWAY_SMOKE_KEY",
        ),
        (("--base-url", "http://127.0.0.1:1", "--key-stdin"), "--key-stdin takes one key"),
        (("--base-url", "http://127.0.0.1:1", "--key", "kéy-of-mine"), "the key "),
        (("--base-url", "http://127.0.0.1:1", "--key", KEY, "--header", "nonsense"), "--header takes NAME: VALUE"),
        (("--base-url", "http://127.0.0.1:1", "--key", KEY, "--parallel", "0"), "not between 1 and 256"),
        (("--base-url", "http://127.0.0.1:1", "--key", KEY, "--openai-base-url", "x"), "a base URL is like http"),
    ],
)
async def test_where_nothing_can_be_checked_it_says_why(
    command: Command, args: tuple[str, ...], sentence: str
) -> None:
    command.secrets |= {KEY, "pass-word-of-mine"}
    done = await command.run("smoke", *args)
    assert (done.status, done.out) == (2, "")
    assert sentence in done.err


async def test_the_installed_command_ends_with_0_1_or_2(command: Command) -> None:
    command.secrets.add(KEY)
    quick = ("--parallel", "1", "--no-big-body")
    env = {"GATEWAY_SMOKE_KEY": KEY}
    async with ReplayUpstream() as good, ReplayUpstream(faults="cut:event=4;times=forever") as bad:
        passed, failed, nowhere = await asyncio.gather(
            command.type("smoke", "--base-url", good.url, "--key-stdin", *quick, stdin=KEY),
            command.type("smoke", "--base-url", bad.url, *quick, "--format", "json", env=env),
            command.type("smoke", "--base-url", "http://127.0.0.1:1", "--key", KEY, *quick),
        )

    assert (passed.status, failed.status, nowhere.status) == (0, 1, 2), passed.err + failed.err + nowhere.err
    bad = {check["name"]: check["problems"] for check in failed.json["checks"] if check["result"] == "fail"}
    assert bad["stream"] == ["ended before the message was complete"]
    assert nowhere.out == ""


async def test_what_a_server_says_is_no_markup_and_shows_no_key(command: Command) -> None:
    nasty = f"</details> | <b>```\n# {KEY} {KEY[:14]} sk-ant-api03-somebody-elses Bearer {OPENAI_KEY}"

    def echo(asked: Asked, reply: Reply) -> Reply:
        if reply.status < 400:
            return reply
        body = {"type": "error", "error": {"type": "nasty", "message": nasty}, "x": nasty}
        return evolve(reply, body=json.dumps(body).encode()).with_header("x-echo", f"{KEY} and {asked.key}")

    command.secrets |= {KEY, OPENAI_KEY}
    async with sabotaged(echo, keys=frozenset({KEY})) as saboteur:
        args = ("smoke", "--base-url", saboteur.url, "--key", KEY, "--openai-key", OPENAI_KEY, "--parallel", "1")
        done = await command.run(*args)
        as_json = await command.run(*args, "--format", "json")

    assert (done.status, as_json.status) == (1, 1)
    check_markdown(done.out)
    assert headings(done.out)[1:] == ["## Summary", "## Why", "## Validation", "## Risks", "## Rollback"]
    assert "(masked)" in as_json.out
