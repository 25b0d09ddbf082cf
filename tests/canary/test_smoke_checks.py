"""Every check of `gateway smoke` can fail, and fails alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from attrs import evolve

from gateway.canary.checks import Result
from gateway.canary.client import CanaryClient, Target
from gateway.canary.smoke import SmokeOptions, SmokeReport, run_smoke
from gateway.canary.smoke_openai import OpenAISide, check_openai
from gateway.replay.openai import OpenAIReplay
from gateway.replay.server import ReplayUpstream
from tests.canary.saboteur import Asked, Reply, Saboteur, Spoil, sabotaged

KEY = "key-of-a-client-that-is-let-in"
OPENAI_KEY = "sk-proj-key-of-the-proxy-that-is-there"
QUICK = SmokeOptions(parallel=(2,), big_bodies=(1,))
V1 = {"/v1: models", "/v1: chat", "/v1: chat stream"}


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
    return plain_stream(asked) and b"Count" in asked.body


def later_stream(asked: Asked) -> bool:
    return plain_stream(asked) and not first_stream(asked) and asked.number == 2


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
    (
        "no stop, and said not to be compressed",
        first_stream,
        lambda r: without_stop(r).with_header("content-encoding", "identity"),
        {"stream"},
    ),
    (
        "no tokens counted",
        whole,
        lambda r: r.changed(usage={**r.json()["usage"], "output_tokens": 0}),
        {"message"},
    ),
    ("models that are no list", listing, lambda r: r.changed(data=5), {"models: list"}),
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
        if plain_stream(asked) and not first_stream(asked):
            kept.append(reply.body)
            return evolve(reply, body=kept[0])
        return reply

    async with sabotaged(same, keys=frozenset({KEY})) as saboteur:
        report = await smoke(saboteur, QUICK)
    assert failed(report) == {"parallel: 2"}


async def test_a_stream_that_is_kept_back_fails_where_the_upstream_can_be_told_to_take_its_time() -> None:
    # A saboteur reads the whole answer before it passes any of it on.
    async with sabotaged(keys=frozenset({KEY}), obeys=True) as saboteur:
        report = await smoke(saboteur, QUICK)
    assert failed(report) == {"stream"}
    (problem,) = next(check.problems for check in report.checks if check.name == "stream")
    assert "came all at once" in problem
    assert "something on the way buffers" in problem


async def test_a_stream_that_comes_all_at_once_is_only_noted_where_nobody_knows_how_it_was_sent() -> None:
    def slow(asked: Asked, reply: Reply) -> Reply:
        return evolve(reply, first_pause=0.4) if first_stream(asked) else reply

    async with sabotaged(slow, keys=frozenset({KEY})) as saboteur:
        report = await smoke(saboteur, QUICK)
    assert failed(report) == set()
    notes = {check.name: check.note for check in report.checks}
    assert "came all at once" in notes["stream"]
    assert "every byte" not in notes["body of 1 MiB"]


async def test_one_id_for_all_answers_fails() -> None:
    def same(asked: Asked, reply: Reply) -> Reply:
        if not asked.to_claude:
            return reply
        if b'"request_id":"' in reply.body:
            reply = reply.changed(request_id="req_ever")
        return reply.with_header("request-id", "req_ever")

    async with sabotaged(same, keys=frozenset({KEY})) as saboteur:
        report = await smoke(saboteur, QUICK)
    assert failed(report) == {"request-id"}
    (problem,) = next(check.problems for check in report.checks if check.name == "request-id")
    assert problem.endswith("answers have the request-id req_ever")


async def test_a_server_that_hangs_is_given_up_on_after_two_answers() -> None:
    async with sabotaged(never_answers=to_messages) as saboteur:
        async with CanaryClient(answer_seconds=0.3) as client:
            report = await run_smoke(client, Target.of(saboteur.url, KEY), QUICK)
        asked = [one for one in saboteur.asked if to_messages(one)]
    assert len(asked) == 2
    assert not report.passed
    assert failed(report) == {"message", "stream"}
    last = report.checks[-1]
    assert (last.name, last.result) == ("all else", Result.NOT_CHECKED)
    assert last.note == "2 answers in a row did not come in time; nothing more was sent"


async def test_one_of_many_streams_that_hangs_does_not_end_the_run() -> None:
    def hangs(asked: Asked) -> bool:
        return plain_stream(asked) and not first_stream(asked) and asked.number > 2

    async with sabotaged(never_answers=hangs) as saboteur, CanaryClient(answer_seconds=0.5) as client:
        report = await run_smoke(client, Target.of(saboteur.url, KEY), evolve(QUICK, parallel=(4,)))
    assert "parallel: 4" in failed(report)
    assert "request-id" in {check.name for check in report.checks}
    assert "all else" not in {check.name for check in report.checks}


async def test_an_existing_proxy_that_hangs_is_given_up_on_after_two_answers() -> None:
    async with sabotaged(never_answers=lambda asked: not asked.to_claude) as saboteur:
        side = OpenAISide(OPENAI_KEY)
        async with CanaryClient(answer_seconds=0.3) as client:
            found = await check_openai(client, Target.of(saboteur.url, KEY), side, 10)
    assert [check.result for check in found] == [Result.FAIL, Result.FAIL, Result.NOT_CHECKED]
    assert len(saboteur.asked) == 2


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
