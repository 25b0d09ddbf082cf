"""Rules about streams that do not end well: cut, refused half-way, broken, silent, or left by the client."""

from __future__ import annotations

from typing import Final

from gateway.canary.conformance.bench import Bench, RuleBook, require
from gateway.canary.conformance.judging import Seen
from gateway.canary.conformance.stage import Scene
from gateway.replay.answers import ToolUseBlock

__all__ = ["FIXTURES", "book"]

book: Final = RuleBook()

FIXTURES: Final = ("broken-blocks-interleaved", "broken-invalid-json-cut-off")
"""What has to be loaded before these rules are checked."""
_TEXTS: Final = ("alpha ", "beta ", "gamma ", "delta ", "omega →🚀")
_AFTER_CONTENT: Final = 5
"""Events 0 to 4 end with the second delta."""
_REPEATED: Final = 3
_RETRYABLE: Final = (408, 409, 429, 500, 502, 503, 504, 529)


async def _never_complete(bench: Bench, *faults: str, pieces: tuple[bytes, ...] | None = None) -> str:
    """Check that no client can take what comes for a whole answer."""
    said = []
    for fault in faults:
        seen = await bench.ask(Scene(pieces or bench.stage.spoken(*_TEXTS), fault))
        require(seen.ended != "open" and seen.says_broken and not seen.complete, f"{fault}: {seen}")
        said.append(f"{fault}: {seen}")
    return " · ".join(said)


async def _contained(bench: Bench, scene: Scene) -> str:
    """Check that what is invalid is repaired or stopped, so that nobody takes it for a valid stream."""
    seen = await bench.ask(scene)
    require(seen.ended != "open" and (seen.says_broken or seen.complete), seen)
    return str(seen)


@book.rule(
    "truncated.eof-before-content",
    "A body that ends before any content is an error.",
    why="An upstream that restarts ends its responses properly, and early. A retry would succeed at once.",
    behind="eof:event=0, eof:event=1",
    notice="An empty answer that counts as a success.",
    harmful=True,
)
async def eof_before_content(bench: Bench) -> str:
    """End the body before content."""
    return await _never_complete(bench, "eof:event=0", "eof:event=1")


@book.rule(
    "truncated.eof-after-content",
    "A body that ends in the middle of an answer ends in an error event, or a connection that breaks.",
    why="Without it half an answer is taken for the whole.",
    behind="eof:event=5, eof:utf8, eof behind the last block, before a stop reason",
    notice="Answers that stop in the middle of a sentence, without an error anywhere.",
    harmful=True,
)
async def eof_after_content(bench: Bench) -> str:
    """End the body after content."""
    # Between blocks nothing is half, and a gateway may be tempted to make up the rest.
    before_stop_reason = f"eof:event={len(bench.stage.spoken(*_TEXTS)) - 2}"
    return await _never_complete(bench, f"eof:event={_AFTER_CONTENT}", "eof:utf8", before_stop_reason)


@book.rule(
    "truncated.cut-before-content",
    "A connection that breaks before any content is an error.",
    why="A retry would succeed at once, if the client knew.",
    behind="cut:event=1, cut:event=1;reset",
    notice="An empty answer that counts as a success.",
    harmful=True,
)
async def cut_before_content(bench: Bench) -> str:
    """Cut the connection before content."""
    return await _never_complete(bench, "cut:event=1", "cut:event=1;reset")


@book.rule(
    "truncated.cut-after-content",
    "A connection that breaks in the middle of an answer does not look like its end.",
    why="Without it half an answer is taken for the whole.",
    behind="cut:event=5, cut:event=5;reset, cut:utf8",
    notice="Answers that stop in the middle of a sentence, without an error anywhere.",
    harmful=True,
)
async def cut_after_content(bench: Bench) -> str:
    """Cut the connection after content."""
    return await _never_complete(
        bench, f"cut:event={_AFTER_CONTENT}", f"cut:event={_AFTER_CONTENT};reset", "cut:utf8"
    )


@book.rule(
    "truncated.tool-input",
    "A tool call whose input breaks off is never shown as finished.",
    why="An agent would run the tool with what it has.",
    behind="eof inside the input of a tool_use block",
    notice="A tool that runs with half its arguments.",
    harmful=True,
)
async def tool_input(bench: Bench) -> str:
    """End the body inside the input of a tool."""
    call = ToolUseBlock("Bash", {"command": "rm -rf ./build/cache", "description": "Clean"})
    pieces = tuple(bench.stage.reply(call, stop_reason="tool_use").as_events())
    return await _never_complete(bench, "eof:event=6", pieces=pieces)


@book.rule(
    "truncated.missing-stop",
    "When only `message_stop` is missing, it is added, or the stream ends in an error.",
    why="A stream without it is over for some clients and not for others.",
    behind="eof before the last event",
    notice="An SDK that waits, or drops an answer that was all there.",
    harmful=True,
)
async def missing_stop(bench: Bench) -> str:
    """End the body before `message_stop`."""
    pieces = bench.stage.spoken(*_TEXTS)
    return await _contained(bench, Scene(pieces[:-1]))


@book.rule(
    "truncated.message",
    "A JSON answer that breaks off is an error, or looks cut.",
    why="A proxy that frames it anew makes half a body look whole.",
    behind="truncate, truncate:chunked on an answer that is no stream",
    notice="A JSON error in the client, for which nobody can find the cause.",
    harmful=True,
)
async def message(bench: Bench) -> str:
    """Cut an answer that is no stream."""
    body = bench.stage.reply().as_json()
    said = []
    for fault in ("truncate", "truncate:chunked"):
        seen = await bench.ask(Scene((body,), fault, streamed=False), stream=False)
        require(seen.ended != "open" and seen.says_broken, f"{fault}: {seen}")
        said.append(f"{fault}: {seen}")
    return " · ".join(said)


@book.rule(
    "inband.overload-first",
    "An `overloaded_error` inside a 200, before any content, is a status that clients retry, or an error event.",
    why="It is the commonest failure in production; logged as a success it is never retried.",
    behind="error-event:overloaded_error at events 0 and 1",
    notice="Empty answers at busy hours, while all graphs are green.",
    harmful=True,
)
async def overload_first(bench: Bench) -> str:
    """Send an error event before content."""
    said = []
    for place in (0, 1):
        fault = f"error-event:overloaded_error;event={place}"
        seen = await bench.ask(Scene(bench.stage.spoken(*_TEXTS), fault))
        error = seen.error_event if seen.is_stream else None
        legal = error is not None and error.get("type") == "overloaded_error" and seen.events[-1][0] == "error"
        require(seen.ended != "open" and (seen.status in _RETRYABLE or legal), f"{fault}: {seen}")
        said.append(str(seen))
    return " · ".join(said)


@book.rule(
    "inband.error-after-content",
    "An error event after content reaches the client as it is, and is the last.",
    why="Its type tells the client whether a retry makes sense.",
    behind="error-event:overloaded_error;event=5",
    notice="A stream that just stops, or an error that says nothing.",
    harmful=True,
)
async def error_after_content(bench: Bench) -> str:
    """Send an error event after content."""
    seen = await bench.ask(
        Scene(bench.stage.spoken(*_TEXTS), f"error-event:overloaded_error;event={_AFTER_CONTENT}")
    )
    error = seen.error_event or {}
    require(seen.is_stream and seen.ended != "open", seen)
    require(error == {"type": "overloaded_error", "message": "Overloaded"}, seen)
    require(seen.events[-1][0] == "error" and _says(seen, "alpha ", "beta "), seen)
    return str(seen)


@book.rule(
    "inband.no-splice",
    "After content nothing of another attempt is appended.",
    why="Two answers glued together are one that nobody gave; its tool calls are run.",
    behind="eof, cut and error-event after content, then a good stream for any retry",
    notice="Answers that begin anew in the middle, or contradict themselves.",
    harmful=True,
)
async def no_splice(bench: Bench) -> str:
    """Fail after content, and have a good answer ready for a second attempt."""
    fresh = bench.stage.spoken("second ", "attempt")
    # Whether a client of the upstream tries again by itself can depend on how it got its connection.
    for fault in _REPEATED * ("eof", "cut", "error-event:overloaded_error"):
        joiner = ";" if ":" in fault else ":"
        seen = await bench.ask(
            Scene(bench.stage.spoken(*_TEXTS), f"{fault}{joiner}event={_AFTER_CONTENT}"), Scene(fresh)
        )
        text = seen.body.decode(errors="replace")
        require(not ("alpha " in text and ("second " in text or "attempt" in text)), f"{fault}: {seen}")
    return f"{3 * _REPEATED} failures after content, and nothing of a second attempt behind any"


@book.rule(
    "broken.duplicate-start",
    "A second `message_start` does not reach the client in a stream that looks valid.",
    why="The official TypeScript SDK throws; others begin anew and lose what was said.",
    behind="duplicate-start;event=5",
    notice="An answer without its beginning, or an exception in the SDK.",
    harmful=True,
)
async def duplicate_start(bench: Bench) -> str:
    """Send `message_start` twice."""
    return await _contained(bench, Scene(bench.stage.spoken(*_TEXTS), f"duplicate-start;event={_AFTER_CONTENT}"))


@book.rule(
    "broken.block-order",
    "Blocks out of order do not reach the client in a stream that looks valid.",
    why="SDKs address blocks by index and write into the wrong one, or throw.",
    behind="fixture broken-blocks-interleaved",
    notice="Text inside a tool's input, or an exception in the SDK.",
    harmful=True,
)
async def block_order(bench: Bench) -> str:
    """Interleave two blocks."""
    return await _contained(bench, Scene(bench.stage.recorded("broken-blocks-interleaved")))


@book.rule(
    "broken.after-stop",
    "Nothing reaches the client behind `message_stop`.",
    why="The official Python SDK would append it to the message that is over.",
    behind="after-stop",
    notice="Words behind the end of an answer.",
    harmful=True,
)
async def after_stop(bench: Bench) -> str:
    """Send a delta behind the end."""
    return await _contained(bench, Scene(bench.stage.spoken(*_TEXTS), "after-stop"))


@book.rule(
    "broken.event-name",
    "An event whose name and type differ does not reach the client in a stream that looks valid.",
    why="One SDK goes by the name, another by the type.",
    behind="wrong-name:ping;event=4",
    notice="A piece missing from the answer in one language, and not in another.",
    harmful=True,
)
async def event_name(bench: Bench) -> str:
    """Name an event wrongly."""
    return await _contained(bench, Scene(bench.stage.spoken(*_TEXTS), "wrong-name:ping;event=4"))


@book.rule(
    "broken.json",
    "An event whose data is no JSON does not reach the client in a stream that looks valid.",
    why="SDKs throw in the middle of an answer.",
    behind="fixture broken-invalid-json-cut-off",
    notice="A JSON error in the client, for which nobody can find the cause.",
    harmful=True,
)
async def broken_json(bench: Bench) -> str:
    """Send JSON that breaks off."""
    return await _contained(bench, Scene(bench.stage.recorded("broken-invalid-json-cut-off")))


@book.rule(
    "broken.utf8",
    "Bytes that are no UTF-8 do not reach the client in a stream that looks valid.",
    why="The official Python SDK throws on them; others show replacement characters.",
    behind="garbage;event=5",
    notice="A decoding error in the client.",
    harmful=True,
)
async def broken_utf8(bench: Bench) -> str:
    """Send bytes that are no text."""
    return await _contained(bench, Scene(bench.stage.spoken(*_TEXTS), f"garbage;event={_AFTER_CONTENT}"))


@book.rule(
    "cancel.before-answer",
    "A client that leaves before the answer begins takes the upstream request with it.",
    why="The upstream would go on, and be paid for.",
    behind="hang:head, and the client leaves",
    notice="A bill for answers that nobody read; limits that are used up early.",
)
async def cancel_before_answer(bench: Bench) -> str:
    """Leave while the upstream thinks."""
    seen = await bench.leave(Scene(bench.stage.spoken(*_TEXTS), "hang:head"))
    require(await bench.upstream_was_left(seen), "the upstream request was still open after the client had gone")
    return "the upstream request ended with the client's"


@book.rule(
    "cancel.silent-stream",
    "A client that leaves while the upstream is silent takes the upstream request with it.",
    why="A gateway that finds out only with the next byte lets a long thought run on.",
    behind="hang:event=5, and the client leaves",
    notice="A bill for answers that nobody read; limits that are used up early.",
)
async def cancel_silent_stream(bench: Bench) -> str:
    """Leave while the stream is held."""
    seen = await bench.ask(
        Scene(bench.stage.spoken(*_TEXTS), f"hang:event={_AFTER_CONTENT}"),
        until=lambda body: b"message_start" in body,
    )
    require(await bench.upstream_was_left(seen), "the upstream request was still open after the client had gone")
    return "the upstream request ended with the client's"


@book.rule(
    "cancel.busy-stream",
    "A client that leaves while the upstream sends takes the upstream request with it.",
    why="A gateway that reads on for its own books makes the user pay for the rest.",
    behind="pings:0.05 for ever, and the client leaves",
    notice="A bill for answers that nobody read; limits that are used up early.",
)
async def cancel_busy_stream(bench: Bench) -> str:
    """Leave while events come."""
    seen = await bench.ask(
        Scene(bench.stage.spoken(*_TEXTS), "pings:0.05"), until=lambda body: b"message_start" in body
    )
    require(await bench.upstream_was_left(seen), "the upstream request was still open after the client had gone")
    return "the upstream request ended with the client's"


@book.rule(
    "silence.before-content",
    "A ping or a comment comes within 20 s when the upstream is silent behind its head.",
    why="After 20 s without a byte Claude Code says that it is waiting; proxies end such connections.",
    behind="hang:byte=0",
    notice='"Waiting for API response", and streams that break off.',
    slow=True,
)
async def silence_before_content(bench: Bench) -> str:
    """Send a head and nothing more."""
    seen = await bench.ask(Scene(bench.stage.spoken(*_TEXTS), "hang:byte=0"), until=bool, patience=bench.silence)
    require(seen.is_stream and seen.ended == "left", seen)
    return f"{seen.body[:60]!r} came while the upstream was silent"


@book.rule(
    "silence.mid-stream",
    "A ping or a comment comes within 20 s when the upstream falls silent in the middle.",
    why="After 20 s without a byte Claude Code says that it is waiting; proxies end such connections.",
    behind="hang:event=5",
    notice='"Waiting for API response", and streams that break off.',
    slow=True,
)
async def silence_mid_stream(bench: Bench) -> str:
    """Fall silent after content."""
    pieces = bench.stage.spoken(*_TEXTS)
    sent = len(b"".join(pieces[:_AFTER_CONTENT]))
    seen = await bench.ask(
        Scene(pieces, f"hang:event={_AFTER_CONTENT}"),
        until=lambda body: b"beta " in body and len(body) > sent,
        patience=bench.silence,
    )
    require(seen.is_stream and seen.ended == "left", seen)
    return f"{seen.body[sent:][:60]!r} came while the upstream was silent"


def _says(seen: Seen, *texts: str) -> bool:
    said = seen.body.decode(errors="replace")
    return all(text in said for text in texts)
