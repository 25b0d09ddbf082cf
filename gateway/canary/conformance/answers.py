"""Rules about answers that are no streams: errors, headers, compression, the other paths, the connection."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.canary.conformance.bench import Bench, NotApplicable, Rule, RuleBook, require
from gateway.canary.conformance.judging import Seen, events_of
from gateway.canary.conformance.stage import Scene
from gateway.replay.answers import TextBlock, ToolUseBlock
from gateway.replay.errors import TYPE_BY_STATUS
from gateway.replay.headers import unified_limits

__all__ = ["book", "errors"]

book: Final = RuleBook()
errors: Final = RuleBook()
"""To be checked last: a gateway may take its upstream out of use for some of them."""

_TEXTS: Final = ("alpha ", "beta ", "gamma ")
_REPEATED: Final = 3
_NOT_FOUND: Final = 404
_NOT_ALLOWED: Final = 405
_FIRST_REDIRECT: Final = 300
_FIRST_CLIENT_ERROR: Final = 400
_FIRST_SERVER_ERROR: Final = 500
_LIMITED: Final = 429
_OK: Final = 200
_RETRY_AFTER: Final = 2
_ERROR_SECONDS: Final = 100.0
_REQUEST_ID: Final = "req_011CConformanceTellsYouSo1"
_ORDINARY: Final = (
    ("anthropic-ratelimit-requests-limit", "4321"),
    ("anthropic-ratelimit-requests-remaining", "4320"),
    ("anthropic-ratelimit-input-tokens-remaining", "1998765"),
    ("anthropic-ratelimit-output-tokens-reset", "2099-01-01T00:00:00Z"),
)


def _error(status: int, *headers: tuple[str, str]) -> Scene:
    """Return an error whose body would not survive being decoded and written anew."""
    kind = TYPE_BY_STATUS.get(status, "api_error")
    body = (
        f'{{"type" : "error","error":{{"type":"{kind}","message":"Conformance \\u00e9 é {status}",'
        f'"details":{{"future":1.0}}}},"request_id":"{_REQUEST_ID}"}}'
    )
    headers = (("request-id", _REQUEST_ID), *headers)
    return Scene((body.encode(),), status=status, headers=headers, streamed=False)


async def _fails(bench: Bench, scene: Scene, *, stream: bool = True) -> Seen:
    """Ask for what fails; a gateway may try it several times before it says so."""
    return await bench.ask(scene, stream=stream, patience=3 * bench.patience)


def _verbatim(status: int) -> Callable[[Bench], Awaitable[str]]:
    async def check(bench: Bench) -> str:
        for stream in (True, False):
            scene = _error(status, *((("retry-after", str(_RETRY_AFTER)),) if status == _LIMITED else ()))
            seen = await _fails(bench, scene, stream=stream)
            require(seen.status == status, f"instead of {status}: {seen}")
            (expected,) = scene.pieces or (b"",)
            require(seen.body == expected, f"the status is right, the body is not the upstream's: {seen}")
        return f"{status} with the upstream's body, for a stream and for a message"

    return check


def _add_verbatim(status: int, meaning: str, notice: str) -> Rule:
    return errors.rule(
        f"error.{status}",
        f"The upstream's {status} comes back with its status and the bytes of its body.",
        why=meaning,
        behind=f"an answer {status} in unusual spelling",
        notice=notice,
        harmful=True,
        seconds=_ERROR_SECONDS,
    )(_verbatim(status))


_add_verbatim(
    400,
    "Claude Code reads the wording to find out what it may not use, and tries again without it.",
    "A conversation that is stuck on an error it could have got around.",
)
_add_verbatim(403, "It says what the account may not do.", "An error that does not say what is forbidden.")
_add_verbatim(404, "It says that the model does not exist.", "An error that does not name the model.")
_add_verbatim(413, "Claude Code shortens the conversation when it sees it.", "A conversation that is stuck.")


@errors.rule(
    "error.request-id",
    "An error carries the upstream's `request-id`.",
    why="Anthropic's support asks for it.",
    behind="an answer 400 with a request-id",
    notice="Support cannot find the request.",
)
async def error_request_id(bench: Bench) -> str:
    """Look for the id of an error."""
    seen = await _fails(bench, _error(400))
    require(seen.values("request-id") == [_REQUEST_ID], f"request-id: {seen.values('request-id')}; {seen}")
    return "it is the upstream's"


_add_verbatim(500, "Clients retry it.", "Errors that look like the gateway's own.")
_add_verbatim(
    529,
    "It says that the API is overloaded: clients wait and retry, and do not blame the gateway.",
    "Retries that come too soon, or not at all; a gateway that gets the blame.",
)


@errors.rule(
    "error.should-retry",
    "`x-should-retry` comes back unchanged.",
    why="It overrides what SDKs make of the status.",
    behind="an answer 529 with x-should-retry: false",
    notice="Ten retries of what cannot succeed.",
    harmful=True,
    seconds=_ERROR_SECONDS,
)
async def should_retry(bench: Bench) -> str:
    """Forbid a retry."""
    seen = await _fails(bench, _error(529, ("x-should-retry", "false")))
    require(seen.values("x-should-retry") == ["false"], f"x-should-retry: {seen.values('x-should-retry')}; {seen}")
    return "it is the upstream's"


@errors.rule(
    "error.recovers",
    "After a 500, a 529 and a broken stream the next request is sent to the upstream at once.",
    why="A gateway that shuts out its only upstream for a while turns one failure into many.",
    behind="each failure once, then a good stream",
    notice="A minute of errors for each error.",
    harmful=True,
    seconds=_ERROR_SECONDS,
)
async def recovers(bench: Bench) -> str:
    """Ask again right after a failure."""
    for what, scene in (
        ("500", _error(500)),
        ("529", _error(529)),
        ("a broken stream", Scene(bench.stage.spoken(*_TEXTS), "cut:event=1")),
    ):
        await _fails(bench, scene)
        seen = await bench.ask(Scene(bench.stage.spoken(*_TEXTS)), reach=False)
        require(seen.complete, f"after {what}: {seen}")
    return "three failures, and an answer right after each"


_add_verbatim(
    _LIMITED,
    "Claude Code shows its words, which say which limit was reached.",
    "An error that does not say which limit was reached and until when.",
)


@errors.rule(
    "error.retry-after",
    "A 429 carries `retry-after` in whole seconds, no more than the upstream's.",
    why="Clients wait that long. Without it they guess; above 60 Claude Code gives up.",
    behind=f"an answer 429 with retry-after: {_RETRY_AFTER}",
    notice="Retries that come too soon and make it worse, or no retry at all.",
    harmful=True,
    seconds=_ERROR_SECONDS,
)
async def retry_after(bench: Bench) -> str:
    """Limit the rate."""
    seen = await _fails(bench, _error(_LIMITED, ("retry-after", str(_RETRY_AFTER))))
    value = seen.header("retry-after") or ""
    require(value.isdecimal() and 0 < int(value) <= _RETRY_AFTER, f"retry-after: {value or 'none'}; {seen}")
    return f"retry-after: {value}"


@errors.rule(
    "error.unified",
    "A 429 carries the upstream's `anthropic-ratelimit-unified-*`.",
    why="Claude Code shows from them which limit of the plan is used up, and until when.",
    behind="an answer 429 with the family of headers",
    notice='No "limit reached, resets at 3pm".',
    harmful=True,
    seconds=_ERROR_SECONDS,
)
async def error_unified(bench: Bench) -> str:
    """Limit the plan."""
    limits = unified_limits(rejected=True)
    seen = await _fails(bench, _error(_LIMITED, ("retry-after", str(_RETRY_AFTER)), *limits))
    return _all_there(seen, limits)


@errors.rule(
    "error.401",
    "The upstream's 401 becomes an error in Anthropic's envelope.",
    why="It speaks of the gateway's credential; any error will do, as long as clients can read it.",
    behind="an answer 401",
    notice="A login prompt, or an error that says nothing.",
    harmful=True,
    seconds=_ERROR_SECONDS,
)
async def unauthorized(bench: Bench) -> str:
    """Refuse the gateway's credential."""
    seen = await _fails(bench, _error(401))
    require(seen.status >= _FIRST_CLIENT_ERROR and seen.envelope is not None, seen)
    return str(seen)


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
        _all_there(await bench.ask(_answer(bench, stream=stream, headers=_ORDINARY), stream=stream), _ORDINARY)
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
        said = _all_there(await bench.ask(_answer(bench, stream=stream, headers=limits), stream=stream), limits)
    return said


def _all_there(seen: Seen, expected: tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> str:
    missing = [name for name, value in expected if value not in seen.values(name)]
    require(not missing, f"changed or missing: {', '.join(missing[:4])}{' …' * (len(missing) > 4)}; {seen}")  # noqa: PLR2004 - one line
    return f"all {len(expected)} as they were"


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
async def after_error(bench: Bench) -> str:
    """Fail, and ask again on the same connection."""
    async with bench.session(connections=1) as session:
        for what in ("400", "cut", "404"):
            if what == "404":
                await bench.send("", None, path="/v1/conformance/nothing-here", method="GET", session=session)
            else:
                scene = _error(400) if what == "400" else Scene(bench.stage.spoken(*_TEXTS), "cut:event=5")
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
