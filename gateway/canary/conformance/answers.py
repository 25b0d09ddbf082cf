"""Rules about answers that are no streams: headers, compression, the other paths, the connection."""

from __future__ import annotations

import json
from typing import Final

from gateway.canary.conformance.bench import Bench, NotApplicable, RuleBook, require
from gateway.canary.conformance.errors import all_there, failing
from gateway.canary.conformance.judging import Seen, events_of
from gateway.canary.conformance.stage import Scene
from gateway.replay.answers import TextBlock, ToolUseBlock
from gateway.replay.headers import unified_limits

__all__ = ["book"]

book: Final = RuleBook()

_TEXTS: Final = ("alpha ", "beta ", "gamma ")
_REPEATED: Final = 3
_NOT_FOUND: Final = 404
_NOT_ALLOWED: Final = 405
_FIRST_REDIRECT: Final = 300
_FIRST_CLIENT_ERROR: Final = 400
_FIRST_SERVER_ERROR: Final = 500
_OK: Final = 200
_REQUEST_ID: Final = "req_011CConformanceTellsYouSo1"
_ORDINARY: Final = (
    ("anthropic-ratelimit-requests-limit", "4321"),
    ("anthropic-ratelimit-requests-remaining", "4320"),
    ("anthropic-ratelimit-input-tokens-remaining", "1998765"),
    ("anthropic-ratelimit-output-tokens-reset", "2099-01-01T00:00:00Z"),
)


@book.rule(
    "headers.request-id",
    "An answer carries the upstream's `request-id`.",
    why="SDKs show it, and Anthropic's support asks for it.",
    behind="a stream and a message with a request-id",
    notice="Support cannot find the request.",
)
async def request_id(bench: Bench) -> str:
    """Look for the id of an answer."""
    given = (("request-id", _REQUEST_ID),)
    for stream in (True, False):
        seen = await bench.ask(_answer(bench, stream=stream, headers=given), stream=stream)
        require(seen.values("request-id") == [_REQUEST_ID], f"request-id: {seen.values('request-id')}; {seen}")
    return "it is the upstream's, for a stream and for a message"


@book.rule(
    "headers.rate-limits",
    "An answer carries the upstream's `anthropic-ratelimit-*`.",
    why="Clients slow down by them.",
    behind="a stream and a message with the family of headers",
    notice="Programs run into limits that they could have seen.",
)
async def rate_limits(bench: Bench) -> str:
    """Look for limits."""
    for stream in (True, False):
        all_there(await bench.ask(_answer(bench, stream=stream, headers=_ORDINARY), stream=stream), _ORDINARY)
    return f"all {len(_ORDINARY)} as they were"


@book.rule(
    "headers.unified",
    "An answer carries the upstream's `anthropic-ratelimit-unified-*`.",
    why="Claude Code shows from them how much of the plan is used up.",
    behind="a stream and a message with the family of headers",
    notice="No warning before the plan's limit.",
)
async def unified(bench: Bench) -> str:
    """Look for the plan's limits."""
    limits = tuple(unified_limits())
    said = ""
    for stream in (True, False):
        said = all_there(await bench.ask(_answer(bench, stream=stream, headers=limits), stream=stream), limits)
    return said


def _answer(bench: Bench, *, stream: bool, headers: tuple[tuple[str, str], ...] = ()) -> Scene:
    if stream:
        return Scene(bench.stage.spoken(*_TEXTS), headers=headers)
    body = bench.stage.reply(TextBlock(_TEXTS)).as_json()
    return Scene((body,), headers=headers, streamed=False)


@book.rule(
    "compression.readable",
    "An answer that the upstream compresses reaches a client that asked for that in a form it can read.",
    why="SDKs ask for compression; some providers and proxies do as they are asked.",
    behind="gzip, accept-encoding: gzip",
    notice="An empty answer, or a decoding error.",
)
async def compressed(bench: Bench) -> str:
    """Compress, as asked."""
    pieces = bench.stage.spoken(*_TEXTS)
    seen = await bench.ask(Scene(pieces, "gzip"), headers=[("accept-encoding", "gzip")])
    require(seen.events == events_of(b"".join(pieces)), seen)
    return f"content-encoding: {seen.header('content-encoding') or 'identity'}; {seen}"


@book.rule(
    "compression.incremental",
    "Events of a stream that the upstream compresses arrive one by one.",
    why="A decoder that waits for more input holds back what is there.",
    behind="gzip|hang:event=4, accept-encoding: gzip",
    notice="The answer appears in bursts, or all at once.",
)
async def compressed_incremental(bench: Bench) -> str:
    """Compress, and hold the upstream behind the first delta."""
    for _ in range(_REPEATED):
        seen = await bench.ask(
            Scene(bench.stage.spoken(*_TEXTS), "gzip|hang:event=4"),
            headers=[("accept-encoding", "gzip")],
            until=lambda body: b"alpha " in body,
        )
        require(seen.ended == "left", f"the first delta did not arrive: {seen}")
    return f"{_REPEATED} times the first delta arrived while the upstream was silent behind it"


@book.rule(
    "compression.unasked",
    "A client that did not ask for compression gets none.",
    why="curl and small clients cannot read it, and compression holds back events.",
    behind="an upstream that compresses when the gateway asks it to; no accept-encoding, and identity",
    notice="Binary data in the terminal.",
)
async def uncompressed(bench: Bench) -> str:
    """Ask for no compression."""
    pieces = bench.stage.spoken(*_TEXTS)
    for headers in ([], [("accept-encoding", "identity")]):
        seen = await bench.ask(Scene(pieces, gzip_if_asked=True), headers=headers)
        encoding = seen.header("content-encoding") or "identity"
        require(encoding == "identity", f"content-encoding: {encoding} unasked")
        require(seen.events == events_of(b"".join(pieces)), seen)
    return "plain, both without accept-encoding and with identity"


@book.rule(
    "endpoint.message",
    "A message that is no stream comes back byte for byte.",
    why="What is decoded and written anew loses number spellings and unknown fields.",
    behind="a message with escapes, 1.0, an integer of 30 digits and an unknown field",
    notice="Tool inputs with other numbers than the model chose.",
)
async def whole_message(bench: Bench) -> str:
    """Ask for a message."""
    call = ToolUseBlock("Bash", {"command": "MARK"})
    usual = bench.stage.reply(TextBlock(_TEXTS), call, stop_reason="tool_use").as_json()
    spelled = rb'"a\u0041\/\u00e9","ratio":1.0,"big":123456789012345678901234567890,"future":{"x":null}'
    body = usual.replace(b'"MARK"', spelled)
    seen = await bench.ask(Scene((body,), streamed=False), stream=False)
    require(seen.status == _OK and seen.body == body, f"other bytes arrived: {seen}")
    return f"{len(body)} bytes, all as they were sent"


@book.rule(
    "endpoint.count-tokens",
    "`POST /v1/messages/count_tokens` is answered.",
    why="Claude Code asks before it shortens a conversation; after a 404 it estimates by itself.",
    behind="the replay upstream's own answer",
    notice="Conversations that are shortened too early or too late.",
)
async def count_tokens(bench: Bench) -> str:
    """Count tokens."""
    tag = bench.stage.begin()
    body = {"model": bench.target.model, "messages": [{"role": "user", "content": f"Conformance {tag}"}]}
    seen = await bench.send(tag, json.dumps(body).encode(), path="/v1/messages/count_tokens")
    if seen.status == _NOT_FOUND:
        raise NotApplicable(f"not offered ({seen}); clients estimate by themselves")
    require(seen.status == _OK and isinstance(_json(seen).get("input_tokens"), int), seen)
    return str(seen)


@book.rule(
    "endpoint.models",
    "`GET /v1/models` lists models, without a redirect.",
    why="Claude Code takes any redirect for a failure and waits for 3 s at the most.",
    behind="the replay upstream's own answer, or the gateway's",
    notice="Models are missing from the list to choose from.",
)
async def models(bench: Bench) -> str:
    """List models."""
    seen = await bench.send("", None, path="/v1/models?limit=1000", method="GET")
    if seen.status == _NOT_FOUND:
        raise NotApplicable(f"not offered ({seen})")
    listed = _json(seen).get("data")
    number = len(listed) if isinstance(listed, list) else 0
    require(seen.status == _OK and number, seen)
    return f"{number} models"


@book.rule(
    "endpoint.hello",
    "`HEAD` and `GET /api/hello` are answered, without a redirect.",
    why="Claude Code looks with it whether the gateway is there.",
    behind="the replay upstream's own answer, or the gateway's; 404 is allowed",
    notice="A slow start, or a warning about the connection.",
)
async def hello(bench: Bench) -> str:
    """Say hello."""
    said = []
    for method in ("HEAD", "GET"):
        seen = await bench.send("", None, path="/api/hello", method=method)
        redirected = _FIRST_REDIRECT <= seen.status < _FIRST_CLIENT_ERROR
        well = _OK <= seen.status < _FIRST_SERVER_ERROR and not redirected and seen.ended == "whole"
        require(well, f"{method}: {seen}")
        said.append(f"{method} {seen.status}")
    return ", ".join(said)


@book.rule(
    "endpoint.unknown-path",
    "A path that does not exist is a 404 in Anthropic's envelope.",
    why="SDKs show the message in it; HTML and other shapes become an unreadable exception.",
    behind="GET /v1/conformance/nothing-here",
    notice="An error without a message.",
)
async def unknown_path(bench: Bench) -> str:
    """Ask for what is not there."""
    seen = await bench.send("", None, path="/v1/conformance/nothing-here", method="GET")
    require(seen.status == _NOT_FOUND and seen.envelope is not None, seen)
    return str(seen)


@book.rule(
    "endpoint.wrong-method",
    "A method that is not possible is a 405 or 404 in Anthropic's envelope.",
    why="SDKs show the message in it; HTML and other shapes become an unreadable exception.",
    behind="GET /v1/messages",
    notice="An error without a message.",
)
async def wrong_method(bench: Bench) -> str:
    """Use the wrong method."""
    seen = await bench.send("", None, method="GET")
    require(seen.status in (_NOT_FOUND, _NOT_ALLOWED) and seen.envelope is not None, seen)
    return str(seen)


@book.rule(
    "connection.after-error",
    "A connection goes on to serve after an error, or is closed; the next answer is the right one.",
    why="SDKs keep connections. What is left over of one request must not become part of the next answer.",
    behind="an answer 400, a cut stream, an unknown path; behind each a good stream on the same connection",
    notice="Errors that belong to another request; a reset now and then.",
    harmful=True,
)
async def afterfailing(bench: Bench) -> str:
    """Fail, and ask again on the same connection."""
    async with bench.session(connections=1) as session:
        for what in ("400", "cut", "404"):
            if what == "404":
                await bench.send("", None, path="/v1/conformance/nothing-here", method="GET", session=session)
            else:
                scene = failing(400) if what == "400" else Scene(bench.stage.spoken(*_TEXTS), "cut:event=5")
                await bench.ask(scene, session=session)
            pieces = bench.stage.spoken("after ", what)
            seen = await bench.ask(Scene(pieces), session=session)
            require(seen.events == events_of(b"".join(pieces)), f"after {what}: {seen}")
    return "three failures, and the right answer behind each"


def _json(seen: Seen) -> dict[str, object]:
    try:
        value = json.loads(seen.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
