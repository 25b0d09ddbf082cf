"""`gateway smoke`: the evidence it gives, and that every check can fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from attrs import evolve

from gateway.canary.checks import Result
from gateway.canary.client import CanaryClient, Target
from gateway.canary.smoke import SmokeOptions, SmokeReport, run_smoke
from gateway.canary.smoke_openai import OpenAISide
from gateway.replay.openai import OpenAIReplay
from gateway.replay.server import ReplayUpstream
from tests.canary.command import Command, check_markdown, headings
from tests.canary.saboteur import Asked, Reply, Saboteur, Spoil, sabotaged
from tests.contract.harness import ACCOUNT_KEY, serving

KEY = "key-of-a-client-that-is-let-in"
OPENAI_KEY = "sk-proj-key-of-the-proxy-that-is-there"
QUICK = SmokeOptions(parallel=(2,), big_bodies=(1,))
V1 = {"/v1: models", "/v1: chat", "/v1: chat stream"}


async def test_a_gateway_passes_and_the_evidence_fits_a_pull_request(command: Command) -> None:
    async with OpenAIReplay(api_keys={OPENAI_KEY}) as openai, serving(openai_base_url=openai.url) as served:
        command.secrets |= {served.key, OPENAI_KEY, ACCOUNT_KEY}
        done = await command.run(
            *("smoke", "--base-url", f"{served.gateway.url}/claude", "--key", served.key),
            *("--openai-key", OPENAI_KEY, "--openai-base-url", openai.url, "--why", "A canary\nof `ours`."),
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
    assert "body of 31 MiB" in rows
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


async def test_a_server_that_knows_its_keys_is_asked_for_that(command: Command) -> None:
    async with ReplayUpstream(api_keys={KEY}) as upstream:
        done = await command.run("smoke", "--base-url", upstream.url, "--key", KEY, "--parallel", "1")

    assert done.rows()["error: wrong key"][2:4] == ["401", "pass"]


async def test_with_a_wrong_key_everything_fails_and_says_why(command: Command) -> None:
    async with serving() as served:
        command.secrets.add("a-key-that-was-mistyped")
        done = await command.run(
            "smoke", "--base-url", f"{served.gateway.url}/claude", "--key", "a-key-that-was-mistyped"
        )

    assert done.status == 1
    assert headings(done.out)[0] == "# Canary smoke: FAIL"
    check_markdown(done.out)
    assert "authentication_error" in done.rows()["stream"][5]
    assert done.rows()["stream"][3] == "**FAIL**"


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


async def smoke(
    saboteur: Saboteur, options: SmokeOptions, *, openai: bool = True, end_seconds: float = 30
) -> SmokeReport:
    """Run all checks against a saboteur."""
    if openai:
        options = evolve(options, openai=OpenAISide(OPENAI_KEY, saboteur.openai.url))
    async with CanaryClient(end_seconds=end_seconds) as client:
        return await run_smoke(client, Target.of(saboteur.url, KEY), options)


def failed(report: SmokeReport) -> set[str]:
    return {check.name for check in report.checks if check.result is Result.FAIL}


async def test_nothing_fails_where_nothing_is_wrong() -> None:
    async with sabotaged(keys=frozenset({KEY})) as saboteur:
        report = await smoke(saboteur, QUICK)
    assert failed(report) == set()
    assert report.count(Result.NOT_CHECKED) == 0


def of(when: Callable[[Asked], bool], change: Callable[[Reply], Reply]) -> Spoil:
    """Spoil the answers to some requests."""
    return lambda asked, reply: change(reply) if when(asked) else reply


def listing(asked: Asked) -> bool:
    return asked.to_claude and asked.path.startswith("/v1/models?")


def one_model(asked: Asked) -> bool:
    return asked.to_claude and asked.path.startswith("/v1/models/")


def counting(asked: Asked) -> bool:
    return asked.path == "/v1/messages/count_tokens" and len(asked.body) < 1000


def big(asked: Asked) -> bool:
    return asked.path == "/v1/messages/count_tokens" and len(asked.body) >= 2**20


def is_question(asked: Asked) -> bool:
    good = (
        asked.key == KEY
        and asked.json.get("max_tokens")
        and not str(asked.json["model"]).startswith("claude-nope")
    )
    return asked.method == "POST" and asked.path == "/v1/messages" and bool(good)


def whole(asked: Asked) -> bool:
    return is_question(asked) and not asked.is_stream


def plain_stream(asked: Asked) -> bool:
    return is_question(asked) and asked.is_stream and "tools" not in asked.json


def first_stream(asked: Asked) -> bool:
    return plain_stream(asked) and asked.number == 1


def later_stream(asked: Asked) -> bool:
    return plain_stream(asked) and asked.number == 2


def tool_call(asked: Asked) -> bool:
    return is_question(asked) and "tool_choice" in asked.json


def tool_result(asked: Asked) -> bool:
    return is_question(asked) and "tools" in asked.json and "tool_choice" not in asked.json


def to_messages(asked: Asked) -> bool:
    return asked.to_claude and asked.path == "/v1/messages"


def no_key(asked: Asked) -> bool:
    return to_messages(asked) and asked.key is None


def wrong_key(asked: Asked) -> bool:
    return to_messages(asked) and asked.key not in (None, KEY)


def no_json(asked: Asked) -> bool:
    return to_messages(asked) and asked.body == b'{"model": '


def incomplete(asked: Asked) -> bool:
    return to_messages(asked) and "model" in asked.json and "max_tokens" not in asked.json


def unknown_model(asked: Asked) -> bool:
    return str(asked.json.get("model")).startswith("claude-nope")


def unknown_path(asked: Asked) -> bool:
    return asked.path == "/v1/no-such-path"


def wrong_method(asked: Asked) -> bool:
    return asked.method == "DELETE"


def v1(path: str, *, stream: bool = False) -> Callable[[Asked], bool]:
    return lambda asked: not asked.to_claude and asked.path == path and asked.is_stream is stream


def status(number: int) -> Callable[[Reply], Reply]:
    return lambda reply: evolve(reply, status=number)


def html(reply: Reply) -> Reply:
    page = b"<html><script>alert(1)</script>|\n```\n</details></html>"
    return evolve(reply.with_header("content-type", "text/html"), body=page)


def redirect(reply: Reply) -> Reply:
    return evolve(reply.with_header("location", "/claude/v1/models?followed"), status=307)


def other_id(reply: Reply) -> Reply:
    return reply.with_header("request-id", "req_other")


def from_gateway(reply: Reply) -> Reply:
    return reply.with_header("x-gateway-request-id", "req_gw1")


def error_of_openai(reply: Reply) -> Reply:
    return evolve(reply, body=b'{"error":{"message":"no","type":"invalid_request_error"}}')


def never_ends(reply: Reply) -> Reply:
    return evolve(reply, never_ends=True)


def gzip(reply: Reply) -> Reply:
    return reply.with_header("content-encoding", "gzip")


def without_stop(reply: Reply) -> Reply:
    return evolve(reply, body=reply.body[: reply.body.index(b"event: message_stop")])


def twice_started(reply: Reply) -> Reply:
    first, blank, rest = reply.body.partition(b"\n\n")
    return evolve(reply, body=first + blank + first + blank + rest)


SABOTAGE: list[tuple[str, Callable[[Asked], bool], Callable[[Reply], Reply], set[str]]] = [
    ("no models", listing, lambda reply: reply.changed(data=[]), {"models: list"}),
    (
        "half a page of models",
        listing,
        lambda reply: evolve(reply, body=b'{"data":[{"id":"m"}]}'),
        {"models: list", "models: one"},
    ),
    ("another model", one_model, lambda reply: reply.changed(id="other"), {"models: one"}),
    ("no model", one_model, html, {"models: one"}),
    ("count in words", counting, lambda reply: reply.changed(input_tokens="3"), {"count_tokens"}),
    ("no request id", counting, lambda reply: reply.without("request-id"), {"count_tokens"}),
    ("no stop reason", whole, lambda reply: reply.changed(stop_reason=None), {"message"}),
    ("no usage", whole, lambda reply: reply.changed(usage=None), {"message"}),
    ("half a message", whole, lambda reply: evolve(reply, cut=80), {"message"}),
    ("wrong content type", whole, lambda reply: reply.with_header("content-type", "text/plain"), {"message"}),
    ("overloaded", whole, status(529), {"message"}),
    ("a redirect", whole, redirect, {"message"}),
    ("no message_stop", first_stream, without_stop, {"stream"}),
    ("a stream that is cut", first_stream, lambda reply: evolve(reply, cut=900), {"stream"}),
    ("two starts", first_stream, twice_started, {"stream"}),
    ("a stream as JSON", first_stream, lambda r: r.with_header("content-type", "application/json"), {"stream"}),
    ("a stream that does not end", first_stream, never_ends, {"stream"}),
    ("a compressed stream", first_stream, gzip, {"stream"}),
    ("another tool", tool_call, lambda r: r.replaced(b'"name":"note_word"', b'"name":"other"'), {"tool: call"}),
    ("no input", tool_call, lambda r: r.replaced(b"partial_json", b"partial_text"), {"tool: call"}),
    (
        "stop reason",
        tool_call,
        lambda r: r.replaced(b'"stop_reason":"tool_use"', b'"stop_reason":"x"'),
        {"tool: call"},
    ),
    ("no result", tool_result, status(500), {"tool: result"}),
    ("served without a key", no_key, status(200), {"error: no key"}),
    ("forbidden", wrong_key, status(403), {"error: wrong key"}),
    ("internal error", no_json, status(500), {"error: body is no JSON"}),
    ("another envelope", incomplete, error_of_openai, {"error: max_tokens missing"}),
    ("another id in the body", unknown_model, other_id, {"error: unknown model"}),
    (
        "another type",
        unknown_model,
        lambda r: r.replaced(b"not_found_error", b"api_error"),
        {"error: unknown model"},
    ),
    ("a web page", unknown_path, html, {"error: unknown path"}),
    ("a method that is taken", wrong_method, status(200), {"error: wrong method"}),
    ("a body too large", big, status(413), {"body of 1 MiB"}),
    ("one of many is cut", later_stream, without_stop, {"parallel: 2"}),
    ("no list of the proxy", v1("/v1/models"), status(404), {"/v1: models"}),
    ("answered by the gateway", v1("/v1/chat/completions"), from_gateway, {"/v1: chat"}),
    ("a header is lost", v1("/v1/chat/completions"), lambda r: r.without("x-request-id"), {"/v1: chat"}),
    (
        "no end",
        v1("/v1/chat/completions", stream=True),
        lambda r: r.replaced(b"data: [DONE]", b""),
        {"/v1: chat stream"},
    ),
]


@pytest.mark.parametrize(
    ("when", "change", "names"), [row[1:] for row in SABOTAGE], ids=[row[0] for row in SABOTAGE]
)
async def test_what_is_wrong_fails_its_check_and_no_other(
    when: Callable[[Asked], bool], change: Callable[[Reply], Reply], names: set[str]
) -> None:
    async with sabotaged(of(when, change), keys=frozenset({KEY})) as saboteur:
        report = await smoke(saboteur, QUICK, end_seconds=0.2 if change is never_ends else 30)
    assert failed(report) == names
    assert not any("followed" in asked.path for asked in saboteur.asked)
    problems = {check.name: check.problems for check in report.checks}
    assert all(problems[name] for name in names)
    assert not report.passed


async def test_streams_that_carry_the_same_message_fail() -> None:
    kept: list[bytes] = []

    def same(asked: Asked, reply: Reply) -> Reply:
        if plain_stream(asked) and asked.number > 1:
            kept.append(reply.body)
            return evolve(reply, body=kept[0])
        return reply

    async with sabotaged(same, keys=frozenset({KEY})) as saboteur:
        report = await smoke(saboteur, QUICK)
    assert failed(report) == {"parallel: 2"}


async def test_without_a_key_of_the_proxy_its_refusals_are_compared() -> None:
    def other(asked: Asked, reply: Reply) -> Reply:
        return reply if asked.to_claude else evolve(reply, status=403)

    async with OpenAIReplay(api_keys={OPENAI_KEY}) as openai, AsyncExitStack() as stack:
        for spoil, expected in ((None, set()), (other, V1)):
            claude = await stack.enter_async_context(ReplayUpstream())
            saboteur = Saboteur(claude, openai, *([spoil] if spoil else []), keys=frozenset({KEY}))
            await stack.enter_async_context(saboteur)
            options = evolve(QUICK, openai=OpenAISide(base_url=openai.url))
            assert failed(await smoke(saboteur, options, openai=False)) == expected


async def test_a_gateway_that_dies_on_the_way_is_a_finding() -> None:
    async with sabotaged(keys=frozenset({KEY}), answers_left=6) as saboteur:
        report = await smoke(saboteur, QUICK)
    assert {check.result for check in report.checks[:3]} == {Result.PASS}
    assert "refuses connections" in report.checks[-5].problems[0]
    assert "parallel: 2" in failed(report)


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
