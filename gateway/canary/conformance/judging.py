"""What a client saw of an answer, and what our own state machine says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, Final, Literal

from attrs import define, field

from gateway.replay.journal import ReceivedRequest
from sse_fsm import EndReason, Frame, FrameDecoder, Mode, Outcome, ProtocolViolation, StreamGuard, Verdict

__all__ = ["BOM", "DONE", "Ended", "Seen", "events_of", "without_pings"]

BOM: Final = b"\xef\xbb\xbf"
DONE: Final = re.compile(rb"^data: ?\[DONE\]\s*\Z", re.MULTILINE)
"""What ends a stream of another API. One rule looks for it; for the others it is as if it were not there."""
Ended = Literal["whole", "cut", "open", "left"]
Event = tuple[str, Any]

_SHOWN_EVENTS: Final = 12
_SHOWN_TEXT: Final = 160
_FIRST_ERROR: Final = 400
_SPOKEN: Final[dict[Ended, str]] = {
    "whole": "ended properly",
    "cut": "connection broken off",
    "open": "no end in time",
    "left": "left by us",
}


def events_of(body: bytes) -> list[Event]:
    """Return the events of a stream by name and decoded data, pings left out; data that is no JSON stays bytes."""
    return [((frame.event or b"").decode(errors="replace"), _decoded(frame.data)) for frame in _frames(body)]


def without_pings(body: bytes) -> bytes:
    """Return the bytes of a stream's events, without what a gateway may add between them: pings and comments."""
    return b"".join(frame.raw for frame in _frames(body))


def _frames(body: bytes) -> Iterator[Frame]:
    decoder = FrameDecoder()
    decoder.feed(DONE.sub(b"", body))
    with suppress(ProtocolViolation):
        while (frame := decoder.next_frame()) is not None:
            if not frame.is_noise and frame.event != b"ping":
                yield frame


def _decoded(data: bytes | None) -> Any:
    try:
        return json.loads(data) if data is not None else None
    except ValueError:
        return data


@define(slots=False)
class Seen:
    """One answer as a client saw it."""

    status: int
    """0 where no head came."""
    headers: list[tuple[str, str]] = field(factory=list)
    body: bytes = b""
    """With a content encoding that the answer declares taken off, where that is gzip or deflate."""
    ended: Ended = "whole"
    upstream: list[ReceivedRequest] = field(factory=list)
    """What reached the upstream because of it."""
    trouble: str = ""
    """Why no head came."""

    def values(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key.lower() == name]

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        return next(iter(self.values(name)), None)

    @property
    def is_stream(self) -> bool:
        """Whether this calls itself an event stream."""
        return self.status == 200 and (self.header("content-type") or "").startswith("text/event-stream")  # noqa: PLR2004 - OK

    @cached_property
    def events(self) -> list[Event]:
        """The events of a stream, pings left out."""
        return events_of(self.body)

    @cached_property
    def verdict(self) -> Verdict:
        """What the state machine says of the stream, as a client's parser would see it."""
        guard = StreamGuard(mode=Mode.OBSERVE)
        guard.feed(DONE.sub(b"", self.body))
        return guard.finish(EndReason.CUT if self.ended == "cut" else EndReason.EOF)[1]

    @property
    def complete(self) -> bool:
        """Whether a client sees a valid stream from its beginning to `message_stop`."""
        return self.is_stream and self.verdict.outcome is Outcome.COMPLETE

    @property
    def error_event(self) -> dict[str, Any] | None:
        """The `error` object of the first error event."""
        for name, data in self.events:
            if name == "error" and isinstance(data, dict):
                error = data.get("error")
                return error if isinstance(error, dict) else {}
        return None

    @property
    def says_broken(self) -> bool:
        """Whether nobody can take this for a success: a status, an error event, a broken connection say so."""
        return (
            self.status == 0
            or self.status >= _FIRST_ERROR
            or self.ended == "cut"
            or (self.is_stream and self.error_event is not None)
        )

    @property
    def envelope(self) -> dict[str, Any] | None:
        """The `error` object of an error in Anthropic's envelope."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return None
        if not isinstance(value, dict) or value.get("type") != "error":
            return None
        error = value.get("error")
        return error if isinstance(error, dict) and isinstance(error.get("type"), str) else None

    def __str__(self) -> str:
        """Return a line that says what came."""
        if not self.status:
            return f"no answer ({self.trouble or _SPOKEN[self.ended]})"
        head = f"HTTP {self.status}"
        if not self.is_stream:
            text = " ".join(self.body[: 2 * _SHOWN_TEXT].decode(errors="replace").split())
            return f"{head}, {_cut(text) or 'no body'}; {_SPOKEN[self.ended]}"
        return f"{head}, {_listed(self.events) or 'no event'}; {_SPOKEN[self.ended]}{self._judged()}"

    def _judged(self) -> str:
        if self.ended in ("left", "open"):
            return ""
        outcome, code = self.verdict.outcome, self.verdict.code
        said = "message_stop missing" if outcome is Outcome.REPAIRED else outcome.value.replace("_", " ")
        return f"; verdict: {said}" + (f" ({code})" if code else "")


def _listed(events: list[Event]) -> str:
    runs: list[list[Any]] = []
    for name, data in events:
        if name == "error" and isinstance(data, dict):
            error = data.get("error")
            name = f"error({error.get('type') if isinstance(error, dict) else '?'})"  # noqa: PLW2901 - its fuller name
        if runs and runs[-1][0] == name:
            runs[-1][1] += 1
        else:
            runs.append([_cut(name) or "(no name)", 1])
    parts = [name if number == 1 else f"{number} {name}" for name, number in runs]
    if len(parts) > _SHOWN_EVENTS:
        half = _SHOWN_EVENTS // 2
        parts = [*parts[:half], "…", *parts[-half:]]
    return " ".join(parts)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_TEXT else text[:_SHOWN_TEXT] + "…"
