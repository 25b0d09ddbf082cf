"""`gateway compare`: what it finds between two servers, and what it does not take for a difference."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve

from gateway.canary.client import CannotRunError
from gateway.canary.compare import percentile
from gateway.canary.compare_requests import read_cases
from gateway.replay.openai import OpenAIReplay
from gateway.replay.server import ReplayUpstream
from tests.canary.command import Command, Done, check_markdown, headings
from tests.canary.saboteur import Asked, Reply, Saboteur, Spoil, honest, sabotaged
from tests.contract.harness import ACCOUNT_KEY, serving

OLD_KEY = "old-key-of-a-client-that-is-let-in"
NEW_KEY = "key-of-the-client-for-the-new-one"
KEYS = ("--key-stdin",)
PATIENT = ("--max-first-content-add-ms", "60000", "--max-gap-add-ms", "60000")
"""Where times are not what a test is about."""
BOTH = f"{OLD_KEY}\n{NEW_KEY}\n"
QUESTION = {"model": "claude-haiku-5-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {"path": "/v1/messages", "body": {**QUESTION, "stream": True}, "name": "stream"}
WHOLE = {"path": "/v1/messages", "body": QUESTION, "name": "whole"}
REFUSED = {"path": "/v1/messages", "body": {**QUESTION, "model": "claude-nope"}, "name": "refused"}
LIMITED = {**WHOLE, "name": "limited", "headers": {"x-replay-fault": "status:429;retry-after=3"}}


@define
class Two:
    """An old server and a new one, and the command to compare them."""

    command: Command
    old: Saboteur
    new: Saboteur
    folder: Path

    async def compare(self, *args: str, requests: list[dict[str, Any]] | None = None, stdin: str = BOTH) -> Done:
        if requests is not None:
            path = self.folder / "requests.jsonl"
            path.write_text("\n".join(map(json.dumps, requests)) + "\n\n", "utf-8")
            args = (*args, "--requests", str(path))
        return await self.command.run("compare", self.old.url, self.new.url, *KEYS, *PATIENT, *args, stdin=stdin)


@asynccontextmanager
async def two(
    command: Command, folder: Path, *, old: Spoil = honest, new: Spoil = honest, **options: Any
) -> AsyncGenerator[Two]:
    command.secrets |= {OLD_KEY, NEW_KEY}
    async with ReplayUpstream() as claude, OpenAIReplay() as openai:
        one = Saboteur(claude, openai, old, keys=frozenset({OLD_KEY}))
        other = Saboteur(claude, openai, new, keys=frozenset({NEW_KEY}), **options)
        async with one, other:
            yield Two(command, one, other, folder)


async def test_a_gateway_answers_as_its_upstream_does(command: Command) -> None:
    async with serving() as served:
        command.secrets |= {served.key, ACCOUNT_KEY}
        keys = f"any-key-for-the-replay\n{served.key}\n"
        usual = await command.run(
            "compare", served.upstream.url, served.gateway.url, *KEYS, *PATIENT, "--rounds", "2", stdin=keys
        )
        strict = await command.run(
            "compare", served.upstream.url, served.gateway.url, *KEYS, *PATIENT, "--strict", stdin=keys
        )

    assert (usual.status, strict.status) == (0, 0), usual.out + strict.out
    for done in (usual, strict):
        check_markdown(done.out)
        assert headings(done.out)[:5] == [
            "# Comparison: PASS",
            "## Summary",
            "## Answers",
            "## Times",
            "## Differences",
        ]
    assert f"- new: `{served.gateway.url}/claude`" in usual.out
    # The replay upstream takes any key; that the gateway does not is as it should be.
    assert "0 differences, and 2 improvements in 32 pairs of answers" in usual.out
    assert usual.rows()["stream, tool call"][1:] == ["200", "200", "complete", "complete", "none"]
    assert usual.rows()["first content, p50"][5].startswith("well")
    assert strict.rows()["stream framing-crlf"][5] == "none"
    assert "None." in strict.out


async def test_both_are_asked_the_same_in_turns_each_with_its_own_key(command: Command, tmp_path: Path) -> None:
    order: list[str] = []

    def note(name: str) -> Spoil:
        def spoil(asked: Asked, reply: Reply) -> Reply:
            if asked.method == "POST":
                order.append(name)
            return reply

        return spoil

    async with two(command, tmp_path, old=note("old"), new=note("new")) as servers:
        done = await servers.compare("--rounds", "3", requests=[WHOLE])
        sent = [[asked for asked in one.asked if asked.method == "POST"] for one in (servers.old, servers.new)]

    assert done.status == 0, done.out
    assert order == ["old", "new", "new", "old", "old", "new"]
    assert {asked.key for asked in sent[0]} == {OLD_KEY}
    assert {asked.key for asked in sent[1]} == {NEW_KEY}
    assert {asked.body for asked in sent[0]} == {asked.body for asked in sent[1]} == {json_body(QUESTION)}


def json_body(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def replaced(old: str, new: str) -> Callable[[Reply], Reply]:
    return lambda reply: reply.replaced(old.encode(), new.encode())


def without(*names: str) -> Callable[[Reply], Reply]:
    return lambda reply: reply.without(*names)


def status(number: int) -> Callable[[Reply], Reply]:
    return lambda reply: evolve(reply, status=number)


def shortened(reply: Reply) -> Reply:
    return evolve(reply, body=reply.body[: reply.body.index(b"event: message_stop")])


def paused(mark: str) -> Callable[[Reply], Reply]:
    return lambda reply: evolve(reply, pause_before=mark.encode(), pause=1.0)


SABOTAGE: list[tuple[str, dict[str, Any], Callable[[Reply], Reply], str]] = [
    ("status", WHOLE, status(500), "status"),
    ("529 becomes 500", {**WHOLE, "headers": {"x-replay-fault": "status:529"}}, status(500), "status"),
    ("stop reason", WHOLE, replaced('"end_turn"', '"max_tokens"'), "stop_reason"),
    ("model", WHOLE, replaced("claude-haiku-5-5", "claude-other"), "model"),
    ("hidden prompt", WHOLE, lambda r: r.changed(usage={**r.json()["usage"], "input_tokens": 900}), "tokens of"),
    ("usage", WHOLE, lambda r: r.changed(usage={"input_tokens": 36, "output_tokens": 1}), "members of usage"),
    (
        "no count",
        WHOLE,
        lambda r: r.changed(usage={**r.json()["usage"], "output_tokens": 0}),
        "tokens of the answer",
    ),
    ("members", WHOLE, lambda r: evolve(r, body=r.body.replace(b'"role"', b'"rule"')), "members of the message"),
    ("request id", WHOLE, without("request-id"), "header request-id"),
    ("limits", WHOLE, without("anthropic-ratelimit-requests-limit"), "headers of rate limits"),
    ("content type", WHOLE, lambda r: r.with_header("content-type", "text/json"), "content-type"),
    ("half a body", WHOLE, lambda r: evolve(r, cut=60), "end of the answer"),
    ("retry-after", LIMITED, without("retry-after"), "header retry-after"),
    ("fractions", LIMITED, lambda r: r.with_header("retry-after", "2.5"), "header retry-after"),
    ("error type", REFUSED, replaced("not_found_error", "api_error"), "error.type"),
    (
        "envelope",
        REFUSED,
        lambda r: evolve(r, body=b'{"error":{"message":"m","type":"not_found_error"}}'),
        "envelope",
    ),
    (
        "event order",
        STREAM,
        replaced("event: content_block_stop", "event: surprise\ndata: {}\n\nevent: content_block_stop"),
        "event 4",
    ),
    ("no stop", STREAM, shortened, "outcome of the stream"),
    ("violation", STREAM, replaced("event: message_delta", "event: message_dolta"), "outcome of the stream"),
    ("compressed", STREAM, lambda r: r.with_header("content-encoding", "gzip"), "header content-encoding"),
    ("late", STREAM, lambda r: evolve(r, first_pause=1.0), "first content, p50 is too long"),
    ("gap", STREAM, paused("event: message_delta"), "longest gap of a stream, p50 is too long"),
]


@pytest.mark.parametrize(
    ("request_", "change", "what"), [row[1:] for row in SABOTAGE], ids=[row[0] for row in SABOTAGE]
)
async def test_what_the_new_one_does_worse_is_found(
    command: Command, tmp_path: Path, request_: dict[str, Any], change: Callable[[Reply], Reply], what: str
) -> None:
    def spoil(asked: Asked, reply: Reply) -> Reply:
        return change(reply) if asked.path == request_["path"] else reply

    limits = ("--max-gap-add-ms", "100", "--max-first-content-add-ms", "100")
    async with two(command, tmp_path, new=spoil) as servers:
        done = await servers.compare(
            "--rounds", "1", *limits, requests=[request_, {**WHOLE, "path": "/v1/messages?a=1", "name": "well"}]
        )

    assert done.status == 1, done.out
    assert headings(done.out)[0] == "# Comparison: FAIL"
    check_markdown(done.out)
    assert what in done.out


async def test_a_new_one_that_keeps_two_of_five_streams_waiting_fails_with_the_defaults(
    command: Command, tmp_path: Path
) -> None:
    def stalls(asked: Asked, reply: Reply) -> Reply:
        stalled = asked.is_stream and (b"Count from" in asked.body or b"stop_sequences" in asked.body)
        return evolve(reply, first_pause=0.4) if stalled else reply

    async with two(command, tmp_path, new=stalls) as servers:
        done = await servers.compare("--max-first-content-add-ms", "200", "--format", "json")

    assert done.status == 1
    assert [reason.partition(" is too long")[0] for reason in done.json["reasons"]] == ["first content, p95"]
    assert done.json["rounds"] == 4


async def test_the_first_differing_event_is_shown(command: Command, tmp_path: Path) -> None:
    def swap(asked: Asked, reply: Reply) -> Reply:
        return (
            replaced('"type":"text_delta","text"', '"type":"odd_delta","text"')(reply)
            if asked.is_stream
            else reply
        )

    async with two(command, tmp_path, new=swap) as servers:
        done = await servers.compare("--rounds", "1", requests=[STREAM])
        as_json = await servers.compare("--rounds", "1", "--format", "json", requests=[STREAM])

    assert "### stream: event 3, pings left out" in done.out
    assert "old: content_block_delta[0] text_delta\nnew: content_block_delta[0] odd_delta" in done.out
    (event,) = [found for found in as_json.json["differences"] if found["what"].startswith("event 3")]
    assert (event["old"], event["better"]) == ("content_block_delta[0] text_delta", False)
    assert as_json.json["verdict"] == "fail"


async def test_other_words_are_no_difference_but_other_bytes_are_where_they_have_to_be_the_same(
    command: Command, tmp_path: Path
) -> None:
    def reworded(_asked: Asked, reply: Reply) -> Reply:
        return evolve(reply, body=reply.body.replace(b" gateway", b" doorway").replace(b'"msg_', b'"msg_x'))

    played = {"path": "/v1/messages", "body": {**QUESTION, "model": "replay-text-padded", "stream": True}}
    async with two(command, tmp_path, new=reworded) as servers:
        usual = await servers.compare("--rounds", "1", requests=[STREAM, WHOLE, played])
        strict = await servers.compare("--rounds", "1", "--strict", requests=[played])
        allowed = await servers.compare("--rounds", "1", "--strict", "--max-differences", "1", requests=[played])

    assert (usual.status, strict.status, allowed.status) == (0, 1, 0), usual.out
    assert "event 1, pings left out" in strict.out


async def test_what_the_old_one_also_says_at_times_is_no_difference(command: Command, tmp_path: Path) -> None:
    def moody(asked: Asked, reply: Reply) -> Reply:
        return (
            reply.changed(stop_reason="refusal") if asked.path == "/v1/messages" and asked.number == 1 else reply
        )

    def always(asked: Asked, reply: Reply) -> Reply:
        return reply.changed(stop_reason="refusal") if asked.path == "/v1/messages" else reply

    async with two(command, tmp_path, old=moody, new=always) as servers:
        done = await servers.compare("--rounds", "2", requests=[WHOLE])
    assert done.status == 0, done.out


async def test_a_new_one_that_fails_more_often_than_the_old_one_is_found(command: Command, tmp_path: Path) -> None:
    def once(asked: Asked, reply: Reply) -> Reply:
        return evolve(reply, status=529) if asked.is_stream and asked.number == 1 else reply

    def often(asked: Asked, reply: Reply) -> Reply:
        return evolve(reply, status=529) if asked.is_stream and asked.number <= 2 else reply

    async with two(command, tmp_path, old=once, new=often) as servers:
        worse = await servers.compare("--rounds", "3", requests=[STREAM, WHOLE])
    async with two(command, tmp_path, old=once, new=once) as servers:
        same = await servers.compare("--rounds", "3", requests=[STREAM, WHOLE])
    assert (worse.status, same.status) == (1, 0), worse.out + same.out


async def test_pages_for_people_on_both_sides_are_no_pass(command: Command, tmp_path: Path) -> None:
    def page(_asked: Asked, reply: Reply) -> Reply:
        return evolve(reply.with_header("content-type", "text/html"), status=200, body=b"<html>log in</html>")

    def page_for_streams(asked: Asked, reply: Reply) -> Reply:
        return page(asked, reply) if asked.is_stream else reply

    async with two(command, tmp_path, old=page, new=page) as servers:
        all_pages = await servers.compare("--rounds", "1")
    async with two(command, tmp_path, old=page_for_streams, new=page_for_streams) as servers:
        no_streams = await servers.compare("--rounds", "1")
    assert (all_pages.status, no_streams.status) == (1, 1)
    assert "no request that both have answered well" in all_pages.out
    assert "no stream of the new one was complete" in no_streams.out


@pytest.mark.parametrize(
    "body", [b'{"data":5}', b'{"data":' + b"[" * 900 + b"]" * 900 + b"}"], ids=["number", "deep"]
)
async def test_json_that_is_none_of_the_api_ends_with_a_verdict(
    command: Command, tmp_path: Path, body: bytes
) -> None:
    def nonsense(_asked: Asked, reply: Reply) -> Reply:
        return evolve(reply, status=200, body=body)

    async with two(command, tmp_path, old=nonsense, new=nonsense) as servers:
        done = await servers.compare("--rounds", "1")
    assert done.status == 1
    assert headings(done.out)[0] == "# Comparison: FAIL"


async def test_what_the_new_one_does_better_does_not_count_against_it(command: Command, tmp_path: Path) -> None:
    def spoil(asked: Asked, reply: Reply) -> Reply:
        if asked.path == "/v1/messages/count_tokens":
            return evolve(reply, status=404)
        return shortened(reply) if asked.is_stream and asked.number == 1 else reply

    count = {"path": "/v1/messages/count_tokens", "body": {"model": "m", "messages": QUESTION["messages"]}}
    async with two(command, tmp_path, old=spoil) as servers:
        done = await servers.compare("--rounds", "1", requests=[STREAM, count, WHOLE])
    assert done.status == 0, done.out
    assert "0 differences, and 3 improvements" in done.out


async def test_an_old_proxy_that_breaks_the_contract_does_not_have_to_be_imitated(
    command: Command, tmp_path: Path
) -> None:
    def careless(asked: Asked, reply: Reply) -> Reply:
        if asked.path == "/v1/models?limit=1000":
            model = {"id": "claude-haiku-5-5", "type": "model"}
            return evolve(reply, body=json_body({"data": [model], "has_more": False}))
        if reply.status == 401:
            return evolve(reply, status=500)
        return evolve(reply, body=b'{"error":"no"}') if reply.status == 404 else reply

    async with two(command, tmp_path, old=careless) as servers:
        done = await servers.compare("--rounds", "1")
    assert done.status == 0, done.out
    assert done.rows()["error: unknown model"][5] == "error envelope (better), error.type (better)"
    assert done.rows()["error: wrong key"][5] == "status (better)"
    assert done.rows()["models: list"][5] == "none"


async def test_a_model_that_is_missing_is_found(command: Command, tmp_path: Path) -> None:
    def fewer(asked: Asked, reply: Reply) -> Reply:
        listing = asked.path.startswith("/v1/models?")
        return reply.changed(data=reply.json()["data"][1:]) if listing else reply

    async with two(command, tmp_path, new=fewer) as servers:
        done = await servers.compare("--rounds", "1")
    assert done.status == 1
    assert "old: claude-fable-5-2\nnew: none" in done.out


async def test_nothing_to_compare_is_no_pass(command: Command, tmp_path: Path) -> None:
    async with two(command, tmp_path) as servers:
        refused = await servers.compare("--rounds", "1", requests=[REFUSED])
    assert refused.status == 1
    assert "no request that both have answered well" in refused.out


async def test_a_key_that_is_not_taken_is_said_before_anything_is_spent(command: Command, tmp_path: Path) -> None:
    async with two(command, tmp_path) as servers:
        done = await servers.compare("--rounds", "1", stdin=f"{OLD_KEY}\n{OLD_KEY}\n")
        asked = {asked.path for asked in (*servers.old.asked, *servers.new.asked)}
    assert (done.status, done.out) == (2, "")
    assert "the new one does not take the new key (authentication_error: no)" in done.err
    assert asked == {"/v1/models?limit=1000"}


async def test_a_new_one_that_dies_on_the_way_is_found(command: Command, tmp_path: Path) -> None:
    async with two(command, tmp_path, answers_left=4) as servers:
        done = await servers.compare("--rounds", "1")
    assert done.status == 1
    assert "refuses connections" in done.out


@pytest.mark.parametrize(
    ("args", "stdin", "sentence"),
    [
        (("https://a.example", "https://b.example", *KEYS), BOTH, "add --yes if that is what you want"),
        (("http://127.0.0.1:1", "http://127.0.0.1:1", *KEYS), BOTH, "refuses connections"),
        (("http://127.0.0.1:1", "http://127.0.0.1:1", *KEYS), f"{OLD_KEY}\n", "--key-stdin takes 2 keys"),
        (("http://127.0.0.1:1", "http://127.0.0.1:1", "--old-key", OLD_KEY), "", "as GATEWAY_COMPARE_NEW_KEY"),
        (("http://127.0.0.1:1", "nonsense", *KEYS), BOTH, "a base URL is like http"),
        (
            ("http://127.0.0.1:1", "http://127.0.0.1:1", *KEYS, "--requests", "/nowhere"),
            BOTH,
            "cannot read /nowhere",
        ),
        (("http://127.0.0.1:1", "http://127.0.0.1:1", *KEYS, "--rounds", "0"), BOTH, "not between 1 and 1000"),
    ],
)
async def test_where_nothing_can_be_compared_it_says_why(
    command: Command, args: tuple[str, ...], stdin: str, sentence: str
) -> None:
    command.secrets |= {OLD_KEY, NEW_KEY}
    done = await command.run("compare", *args, stdin=stdin)
    assert (done.status, done.out) == (2, "")
    assert sentence in done.err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it needs 1 to"),
        ('{"path": "/v1/models", "method": "GET"}\n{"path": ', "line 2: "),
        ('{"method": "GET"}', "line 1: Object missing required field `path`"),
        ('{"path": "v1/models"}', "line 1: path has to begin with /"),
        ('{"path": "/a b"}', "line 1: path has to begin with /"),
        ('{"path": "/a", "metod": "GET"}', "line 1: Object contains unknown field `metod`"),
        ('{"path": "/a", "method": "G T"}', "line 1: method is none"),
        ('{"path": "/a", "headers": {"x": "1\\r\\ny: 2"}}', "line 1: a header has characters"),
        ('{"path": "/a", "name": "n"}\n{"path": "/b", "name": "n"}', "two requests with the name 'n'"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(text, "utf-8")
    with pytest.raises(CannotRunError) as caught:
        read_cases(path)
    assert sentence in str(caught.value)


async def test_requests_of_a_file_go_out_as_they_stand(command: Command, tmp_path: Path) -> None:
    requests = [
        {"method": "get", "path": "/v1/models?limit=2", "headers": {"x-mine": "1", "user-agent": None}},
        {"path": "/v1/messages", "body": '{"model": ', "headers": {"x-api-key": None}},
        {"path": "/v1/messages", "body": QUESTION, "headers": {"authorization": "Bearer secret-of-the-file"}},
    ]
    command.secrets.add("secret-of-the-file")
    async with two(command, tmp_path) as servers:
        done = await servers.compare("--rounds", "1", "--header", "x-all: of-each-request", requests=requests)
        models, broken, other = servers.new.asked[-3:]

    assert done.status == 0, done.out
    assert (models.method, models.path, models.headers["x-mine"]) == ("GET", "/v1/models?limit=2", "1")
    assert "user-agent" not in models.headers
    assert (broken.body, broken.key) == (b'{"model": ', None)
    assert other.headers["authorization"] == "Bearer secret-of-the-file"
    assert {asked.headers["x-all"] for asked in (models, broken, other)} == {"of-each-request"}


async def test_the_installed_command_ends_with_0_or_1(command: Command) -> None:
    command.secrets |= {OLD_KEY, NEW_KEY}
    env = {"GATEWAY_COMPARE_OLD_KEY": OLD_KEY, "GATEWAY_COMPARE_NEW_KEY": NEW_KEY}

    def spoil(asked: Asked, reply: Reply) -> Reply:
        return shortened(reply) if asked.is_stream else reply

    async with sabotaged() as old, sabotaged() as good, sabotaged(spoil) as bad:
        passed, failed = await asyncio.gather(
            command.type("compare", old.url, good.url, "--rounds", "1", *PATIENT, env=env),
            command.type("compare", old.url, bad.url, "--rounds", "1", "--format", "json", env=env),
        )

    assert (passed.status, failed.status) == (0, 1), passed.err + failed.err
    assert "no stream of the new one was complete" in failed.json["reasons"]


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 95), percentile([7.0], 95)) == (50.0, 95.0, 7.0)
