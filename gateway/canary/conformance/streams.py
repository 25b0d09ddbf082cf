"""Rules about streams that are well: what the upstream sends arrives, unchanged, and when it is sent."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.canary.conformance.bench import Bench, Failed, RuleBook, require
from gateway.canary.conformance.judging import BOM, DONE, Seen, events_of, without_pings
from gateway.canary.conformance.stage import Scene

__all__ = ["FIXTURES", "book"]

book: Final = RuleBook()

_FAITHFUL: Final = (
    "text-documented-order",
    "thinking-interleaved-tools",
    "tool-use-parallel",
    "web-search",
    "citations-between-text",
    "usage-cache-split",
)
_COMMENTED: Final = ("framing-comments", "framing-trailing-comment")
_FRAMED: Final = ("framing-crlf", "framing-cr", "framing-multi-line-data", "framing-bom", *_COMMENTED)
_FUTURE: Final = ("unknown-events", "unknown-block-type", "unknown-delta-type", "unknown-fields")
FIXTURES: Final = (*_FAITHFUL, *_FRAMED, *_FUTURE, "big-single-delta", "text-emoji-sequences")
"""What has to be loaded before these rules are checked."""
_WIDTHS: Final = (1, 8, 64)


async def _plays(bench: Bench, *names: str, faults: str = "") -> list[tuple[Seen, bytes]]:
    """Play fixtures; return what came of each, and what was sent."""
    played = []
    for name in names:
        pieces = bench.stage.recorded(name)
        seen = await bench.ask(Scene(pieces, faults))
        require(seen.is_stream and seen.ended == "whole", f"{name}: {seen}")
        played.append((seen, b"".join(pieces)))
    return played


async def _same_events(bench: Bench, *names: str, faults: str = "") -> str:
    """Check that fixtures arrive event by event as they were sent."""
    number = 0
    for (seen, sent), name in zip(await _plays(bench, *names, faults=faults), names, strict=True):
        expected = events_of(sent)
        number += len(expected)
        if seen.events != expected:
            at = next(
                (at for at, pair in enumerate(zip(seen.events, expected, strict=False)) if pair[0] != pair[1]),
                min(len(seen.events), len(expected)),
            )
            raise Failed(f"{name}: event {at} of {len(expected)} differs or is missing: {seen}")
    return f"{number} events of {', '.join(names)}, all as they were sent"


@book.rule(
    "stream.events",
    "Every event arrives, in order, with the same data.",
    why="SDKs build the message from events; one that is lost or changed changes the answer.",
    behind=f"fixtures {', '.join(_FAITHFUL)}",
    notice="Answers with pieces missing, tool calls with broken input, wrong token counts.",
)
async def events(bench: Bench) -> str:
    """Compare events, however they are spelled."""
    return await _same_events(bench, *_FAITHFUL)


@book.rule(
    "stream.bytes",
    "The bytes of every event are the upstream's; pings may be added.",
    why="What is decoded and written anew loses number spellings, escapes and fields that nobody thought of.",
    behind=f"fixtures {', '.join(_FAITHFUL)}",
    notice="Nothing at first; signatures and hashes over answers stop fitting, new fields disappear.",
)
async def same_bytes(bench: Bench) -> str:
    """Compare bytes."""
    size = 0
    for (seen, sent), name in zip(await _plays(bench, *_FAITHFUL), _FAITHFUL, strict=True):
        size += len(sent)
        ours, theirs = without_pings(sent), without_pings(seen.body)
        at = next((at for at, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
        if ours != theirs:
            at = min(len(ours), len(theirs)) if at is None else at
            raise Failed(f"{name}: {theirs[max(0, at - 20) : at + 40]!r} for {ours[max(0, at - 20) : at + 40]!r}")
    return f"{size} bytes, all as they were sent"


@book.rule(
    "stream.incremental",
    "An event arrives while the upstream is still held back behind it.",
    why="A gateway that collects a stream is no streaming gateway; nothing is shown until all is over.",
    behind="hang:event=4, hang:event=5",
    notice="The answer appears all at once, after a long wait.",
)
async def incremental(bench: Bench) -> str:
    """Hold the upstream after the first delta, and after the second."""
    pieces = bench.stage.spoken("alpha ", "beta ", "gamma ")
    for place, text in ((4, b"alpha "), (5, b"beta ")):
        seen = await bench.ask(Scene(pieces, f"hang:event={place}"), until=lambda body, text=text: text in body)
        require(seen.ended == "left", f"held after event {place}, which did not arrive: {seen}")
    return "both deltas arrived while the upstream was silent behind them"


@book.rule(
    "stream.ends-at-stop",
    "The response ends behind `message_stop`, even if the upstream leaves its own open.",
    why="Some clients wait for the end of the body, not for the event.",
    behind="hang after the last event",
    notice="The client hangs behind a finished answer.",
)
async def ends_at_stop(bench: Bench) -> str:
    """Hold the upstream behind its last event."""
    pieces = bench.stage.spoken("all ", "there")
    seen = await bench.ask(Scene(pieces, f"hang:event={len(pieces)}"))
    require(seen.complete and seen.ended == "whole", seen)
    return str(seen)


@book.rule(
    "stream.no-done-marker",
    "No `data: [DONE]`, which ends the streams of another API, is appended.",
    why="It is no JSON. The official SDKs skip it, as it has no name; not everybody does.",
    behind="a usual stream",
    notice="A JSON error at the end of each answer, in clients that are not the official SDKs.",
)
async def no_done_marker(bench: Bench) -> str:
    """Look behind the end."""
    seen = await bench.ask(Scene(bench.stage.spoken("all ", "there")))
    require(seen.is_stream and seen.events, seen)
    require(not DONE.search(seen.body), f"the last bytes are {seen.body[-40:]!r}")
    return f"the last bytes are {seen.body[-40:]!r}"


@book.rule(
    "stream.big-event",
    "One event of 700 kB passes whole.",
    why="Tool inputs and thinking can be long, and some parsers limit a line to 64 KiB.",
    behind="fixture big-single-delta",
    notice="Long answers end in an error of the gateway's parser.",
)
async def big_event(bench: Bench) -> str:
    """Play one large delta."""
    return await _same_events(bench, "big-single-delta")


@book.rule(
    "future.events",
    "Events of unknown types pass.",
    why="The API says that new event types may come at any time.",
    behind="fixture unknown-events",
    notice="New features of the API do not work behind the gateway.",
)
async def unknown_events(bench: Bench) -> str:
    """Play events that do not exist yet."""
    return await _same_events(bench, "unknown-events")


@book.rule(
    "future.blocks",
    "Content blocks of unknown types pass.",
    why="New block types come with every beta.",
    behind="fixture unknown-block-type",
    notice="New kinds of content are missing from answers.",
)
async def unknown_blocks(bench: Bench) -> str:
    """Play a block that does not exist yet."""
    return await _same_events(bench, "unknown-block-type")


@book.rule(
    "future.deltas",
    "Deltas of unknown types pass.",
    why="New delta types come with new block types.",
    behind="fixture unknown-delta-type",
    notice="New kinds of content stay empty.",
)
async def unknown_deltas(bench: Bench) -> str:
    """Play a delta that does not exist yet."""
    return await _same_events(bench, "unknown-delta-type")


@book.rule(
    "future.fields",
    "Unknown fields inside known events pass.",
    why="Usage, stop details and containers gained fields all the time.",
    behind="fixture unknown-fields",
    notice="New figures and flags never reach the client.",
)
async def unknown_fields(bench: Bench) -> str:
    """Play fields that do not exist yet."""
    return await _same_events(bench, "unknown-fields")


@book.rule(
    "framing.crlf",
    "A stream whose lines end in CR LF is understood.",
    why="The standard of event streams allows it, and proxies on the way do it.",
    behind="fixture framing-crlf",
    notice="An empty answer.",
)
async def crlf(bench: Bench) -> str:
    """Play CR LF."""
    return await _same_events(bench, "framing-crlf")


@book.rule(
    "framing.cr",
    "A stream whose lines end in CR is understood.",
    why="The standard of event streams allows it.",
    behind="fixture framing-cr",
    notice="An empty answer.",
)
async def carriage_return(bench: Bench) -> str:
    """Play CR."""
    return await _same_events(bench, "framing-cr")


@book.rule(
    "framing.multi-line-data",
    "Data on several lines is one event.",
    why="The standard of event streams allows it.",
    behind="fixture framing-multi-line-data",
    notice="A JSON error in the client, or events missing.",
)
async def multi_line_data(bench: Bench) -> str:
    """Play data on several lines."""
    return await _same_events(bench, "framing-multi-line-data")


@book.rule(
    "framing.comments",
    "Comments change nothing.",
    why="Proxies send them to keep connections alive.",
    behind=f"fixtures {', '.join(_COMMENTED)}",
    notice="A stream that breaks after a pause.",
)
async def comments(bench: Bench) -> str:
    """Play comments."""
    return await _same_events(bench, *_COMMENTED)


@book.rule(
    "framing.bom",
    "A leading byte order mark does not reach the client.",
    why="The official Python SDK takes it for a part of the first line and loses `message_start`.",
    behind="fixture framing-bom",
    notice="An assertion error in place of the answer, in Python.",
)
async def byte_order_mark(bench: Bench) -> str:
    """Play a byte order mark."""
    said = await _same_events(bench, "framing-bom")
    ((seen, _),) = await _plays(bench, "framing-bom")
    require(not seen.body.startswith(BOM), "the first bytes that the client got are the byte order mark")
    return f"{said}, without the mark"


@book.rule(
    "framing.split-characters",
    "Characters that are cut into single bytes on the way arrive whole.",
    why="Chunks end anywhere, in the middle of an emoji too.",
    behind="one-byte, fixture text-emoji-sequences",
    notice="Replacement characters in the answer, now and then.",
)
async def split_characters(bench: Bench) -> str:
    """Send each byte in a chunk of its own."""
    return await _same_events(bench, "text-emoji-sequences", faults="one-byte")


@book.rule(
    "parallel.streams",
    f"Streams side by side, up to {_WIDTHS[-1]}, are not mixed up.",
    why="State that is shared between requests shows one user another one's answer.",
    behind=f"{', '.join(map(str, _WIDTHS))} streams at once, each with a text of its own",
    notice="Somebody else's words in the answer, rarely, under load.",
)
async def parallel(bench: Bench) -> str:
    """Ask for many streams at once."""

    async def one(number: int) -> None:
        own = f"stream {number} of its kind"
        pieces = bench.stage.spoken(*(f"{own}, piece {piece}; " for piece in range(20)))
        seen = await bench.ask(Scene(pieces), patience=3 * bench.patience)
        require(seen.events == events_of(b"".join(pieces)), f"{number}: {seen}")

    for width in _WIDTHS:
        findings = await asyncio.gather(*(one(number) for number in range(width)), return_exceptions=True)
        failures = [finding for finding in findings if isinstance(finding, BaseException)]
        for failure in failures:
            if not isinstance(failure, Failed):
                raise failure
        require(not failures, f"{len(failures)} of {width} streams at once were wrong; first: {_first(failures)}")
    return f"{' + '.join(map(str, _WIDTHS))} streams, each with its own words"


def _first(failures: list[BaseException]) -> str:
    return str(failures[0]) if failures else ""
