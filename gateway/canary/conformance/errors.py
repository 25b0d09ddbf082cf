"""Rules about errors of the upstream: they come back as they are, and the gateway goes on serving."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from gateway.canary.conformance.bench import Bench, Rule, RuleBook, require
from gateway.canary.conformance.judging import Seen
from gateway.canary.conformance.stage import Scene
from gateway.replay.errors import TYPE_BY_STATUS
from gateway.replay.headers import unified_limits

__all__ = ["all_there", "book", "failing"]

book: Final = RuleBook()
"""To be checked last: a gateway may take its upstream out of use for some of them."""

_TEXTS: Final = ("alpha ", "beta ", "gamma ")
_FIRST_CLIENT_ERROR: Final = 400
_LIMITED: Final = 429
_RETRY_AFTER: Final = 2
_ERROR_SECONDS: Final = 200.0
_REQUEST_ID: Final = "req_011CConformanceTellsYouSo1"


def failing(status: int, *headers: tuple[str, str]) -> Scene:
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
            scene = failing(status, *((("retry-after", str(_RETRY_AFTER)),) if status == _LIMITED else ()))
            seen = await _fails(bench, scene, stream=stream)
            require(seen.status == status, f"instead of {status}: {seen}")
            (expected,) = scene.pieces or (b"",)
            require(seen.body == expected, f"the status is right, the body is not the upstream's: {seen}")
        return f"{status} with the upstream's body, for a stream and for a message"

    return check


def _add_verbatim(status: int, meaning: str, notice: str) -> Rule:
    return book.rule(
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


@book.rule(
    "error.request-id",
    "An error carries the upstream's `request-id`.",
    why="Anthropic's support asks for it.",
    behind="an answer 400 with a request-id",
    notice="Support cannot find the request.",
)
async def error_request_id(bench: Bench) -> str:
    """Look for the id of an error."""
    seen = await _fails(bench, failing(400))
    require(seen.values("request-id") == [_REQUEST_ID], f"request-id: {seen.values('request-id')}; {seen}")
    return "it is the upstream's"


_add_verbatim(500, "Clients retry it.", "Errors that look like the gateway's own.")
_add_verbatim(
    529,
    "It says that the API is overloaded: clients wait and retry, and do not blame the gateway.",
    "Retries that come too soon, or not at all; a gateway that gets the blame.",
)


@book.rule(
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
    seen = await _fails(bench, failing(529, ("x-should-retry", "false")))
    require(seen.values("x-should-retry") == ["false"], f"x-should-retry: {seen.values('x-should-retry')}; {seen}")
    return "it is the upstream's"


@book.rule(
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
        ("500", failing(500)),
        ("529", failing(529)),
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


@book.rule(
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
    seen = await _fails(bench, failing(_LIMITED, ("retry-after", str(_RETRY_AFTER))))
    value = seen.header("retry-after") or ""
    require(value.isdecimal() and 0 < int(value) <= _RETRY_AFTER, f"retry-after: {value or 'none'}; {seen}")
    return f"retry-after: {value}"


@book.rule(
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
    seen = await _fails(bench, failing(_LIMITED, ("retry-after", str(_RETRY_AFTER)), *limits))
    return all_there(seen, limits)


@book.rule(
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
    seen = await _fails(bench, failing(401))
    require(seen.status >= _FIRST_CLIENT_ERROR and seen.envelope is not None, seen)
    return str(seen)


def all_there(seen: Seen, expected: tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> str:
    """Check that an answer carries headers, and say so."""
    missing = [name for name, value in expected if value not in seen.values(name)]
    require(not missing, f"changed or missing: {', '.join(missing[:4])}{' …' * (len(missing) > 4)}; {seen}")  # noqa: PLR2004 - one line
    return f"all {len(expected)} as they were"
