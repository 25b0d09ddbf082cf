"""Bytes to frames: the WHATWG event stream, cut without losing a byte.

A *frame* is a run of bytes that can be passed on as a whole: one event with its blank line, or one line of
noise between events (a comment, an empty line). Concatenating the `raw` bytes of all frames gives back the
input, apart from a leading byte order mark and an unfinished last event.

Lines end in LF, CR or CR LF, in any mixture. A line ends *at* the CR: an LF directly behind it still belongs
to that line end and, when it arrives in a later chunk, is passed on alone as noise. So an event is never held
back to see whether an LF follows, and cutting the input elsewhere never changes what is found in it.

Time is linear in the input for any chunking. Memory is one event at most, and that is bounded.

Source: WHATWG HTML, "9.2.6 Interpreting an event stream".
"""

from __future__ import annotations

import re
from typing import Final

from attrs import define

from sse_fsm.runs import DeltaRun
from sse_fsm.violations import EventTooLarge

__all__ = ["DEFAULT_MAX_EVENT_BYTES", "Frame", "FrameDecoder"]

DEFAULT_MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
"""Largest event in bytes. The API's largest request is 32 MB, but one event carries one delta or one complete
server tool result; 8 MiB is far above both and small enough to hold once per stream."""

_BOM: Final = b"\xef\xbb\xbf"
_LF: Final = 0x0A
_CR: Final = 0x0D
_COLON: Final = 0x3A
_LINE_ENDS: Final = (_LF, _CR)

# The atomic group keeps CR LF from being read as two line ends when the pair is not followed by another one.
_BLANK_LINE: Final = re.compile(rb"(?>\r\n|\n|\r)(?:\r\n|\n|\r)")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


@define
class Frame:
    """A piece of the stream that is forwarded, or withheld, as a whole."""

    raw: bytes
    """The bytes as they came, line ends included."""
    offset: int
    """Where the frame begins, in bytes from the start of the stream."""
    event: bytes | None = None
    """Value of the last `event:` field; None where there is none or an empty one."""
    data: bytes | None = None
    """The `data:` values joined by LF; None where there is no `data:` field."""
    completes_line: bool = False
    """Whether this is the LF alone of a CR LF whose CR ended the frame before."""

    @property
    def is_noise(self) -> bool:
        """Whether no client would see an event here: comments, blank lines, lone `id:` or `retry:` fields."""
        return self.event is None and not self.data


class FrameDecoder:
    """Incremental decoder: `feed` bytes in, take frames out with `next_frame`."""

    def __init__(self, *, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        """Start at the beginning of a stream.

        Args:
            max_event_bytes: longest frame to accept, in bytes, its blank line included.
        """
        self._max = max_event_bytes
        self._buffer: bytes | bytearray = b""
        self._position = 0  # where the next frame begins in the buffer
        self._searched = 0  # up to here the buffer holds no end of that frame
        self._no_run_before = 0  # up to here the buffer was looked at in vain for a run of deltas
        self._consumed = 0  # stream offset of the buffer's first byte
        self._has_cr = False
        self._after_cr = False
        self._at_start = True

    @property
    def pending(self) -> int:
        """Bytes received that are not part of a finished frame yet."""
        return len(self._buffer) - self._position

    @property
    def offset(self) -> int:
        """Stream offset in bytes of the next frame."""
        return self._consumed + self._position

    @property
    def is_fresh(self) -> bool:
        """Whether the next frame begins right here and no part of it was looked at before."""
        return self._searched <= self._position and not self._after_cr and not self._at_start

    def feed(self, chunk: bytes) -> None:
        """Take in more of the stream; `chunk` may be empty and may end anywhere."""
        rest = len(self._buffer) - self._position
        self._no_run_before = 0
        if not rest:
            self._consumed += self._position
            self._buffer = chunk
            self._has_cr = b"\r" in chunk
            self._position = self._searched = 0
        else:
            if self._position or not isinstance(self._buffer, bytearray):
                self._consumed += self._position
                self._searched -= self._position
                self._buffer = bytearray(memoryview(self._buffer)[self._position :])
                self._position = 0
            self._buffer += chunk
            self._has_cr = self._has_cr or b"\r" in chunk
        if self._at_start:
            self._strip_bom()

    def next_frame(self) -> Frame | None:
        """Return the next finished frame, or None until more bytes are fed.

        Raises:
            EventTooLarge: the frame is, or is bound to become, longer than the bound. The exception carries
                event number 0: this decoder does not count events, its caller does.
        """
        buffer, start = self._buffer, self._position
        if start >= len(buffer) or self._at_start:
            return None
        first = buffer[start]
        if self._after_cr:
            self._after_cr = False
            if first == _LF:
                return self._noise(start + 1, completes_line=True)
        if first in _LINE_ENDS:
            return self._noise(self._whole_line_end(start + 1))
        end = self._find_end(start, comment=first == _COLON)
        # The LF of a last CR LF does not count, as it may come later and then is a frame of its own.
        needed = len(buffer) if end < 0 else end - (buffer[end - 2 : end] == b"\r\n")
        if needed - start > self._max:
            raise EventTooLarge(f"this event is longer than {self._max} bytes", event_number=0, offset=self.offset)
        if end < 0:
            return None
        if first == _COLON:
            return self._noise(end)
        raw = self._take(end)
        event, data = _fields(raw)
        return Frame(raw, self.offset - len(raw), event, data)

    def take_run(self, run: DeltaRun) -> tuple[bytes, int]:
        """Take the frames from here on that make up a run, if they are UTF-8 and not too long.

        Returns their bytes and their number, which is 0 where nothing was taken. This is the door for the fast
        path; it changes nothing about what later calls of `next_frame` return. To be called only while
        `is_fresh`. No byte is looked at here twice, so the time is linear.
        """
        start = self._position
        if start < self._no_run_before:
            return b"", 0
        end, number = run.measure(self._buffer, start)
        if number:
            raw = self._slice(start, end)
            if len(raw) <= self._max and (raw.isascii() or _is_utf8(raw)):
                self._position = self._searched = end
                return raw, number
        self._no_run_before = end
        return b"", 0

    def pass_run(self, chunk: bytes, run: DeltaRun) -> int:
        """Feed and take `chunk` in one go, if nothing is pending and all of it is a run as for `take_run`.

        Returns the number of its frames; 0 where it is no such run, and then nothing was done.
        """
        buffered = len(self._buffer)
        if self._position != buffered or self._after_cr or self._at_start or not chunk.endswith(b"}\n\n"):
            return 0
        end, number = run.measure(chunk, 0)
        if not number or end != len(chunk) or end > self._max or not (chunk.isascii() or _is_utf8(chunk)):
            return 0
        self._consumed += buffered + end
        self._buffer = b""
        self._position = self._searched = 0
        return number

    def _strip_bom(self) -> None:
        buffer = self._buffer
        if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
            return
        self._at_start = False
        if buffer.startswith(_BOM):
            self._position = self._searched = len(_BOM)

    def _find_end(self, start: int, *, comment: bool) -> int:
        """Return where the frame that begins at `start` ends, or -1."""
        buffer = self._buffer
        # Two line ends are at most four bytes; three of them may have been there before.
        search_from = max(start, self._searched - 3)
        if comment or self._has_cr:
            match = (_LINE_END if comment else _BLANK_LINE).search(buffer, search_from)
            end = match.end() if match else -1
        else:
            found = buffer.find(b"\n\n", search_from)
            end = found + 2 if found >= 0 else -1
        if end < 0:
            self._searched = len(buffer)
        return end

    def _whole_line_end(self, end: int) -> int:
        """Extend `end`, just behind a line end, over the LF of a CR LF that is already here."""
        buffer = self._buffer
        if buffer[end - 1] == _CR and end < len(buffer) and buffer[end] == _LF:
            return end + 1
        return end

    def _noise(self, end: int, *, completes_line: bool = False) -> Frame:
        raw = self._take(end)
        return Frame(raw, self.offset - len(raw), completes_line=completes_line)

    def _take(self, end: int) -> bytes:
        raw = self._slice(self._position, end)
        self._position = self._searched = end
        self._after_cr = raw[-1] == _CR
        return raw

    def _slice(self, start: int, end: int) -> bytes:
        buffer = self._buffer
        if start == 0 and end == len(buffer) and isinstance(buffer, bytes):
            return buffer
        return bytes(memoryview(buffer)[start:end])


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _fields(raw: bytes) -> tuple[bytes | None, bytes | None]:
    """Return the event name and the data of one frame."""
    # What the API sends: one event line, one data line, LF, one space after each colon.
    if raw.startswith(b"event: "):
        first_end = raw.find(b"\n")
        if raw.startswith(b"data: ", first_end + 1) and raw.find(b"\n", first_end + 1) == len(raw) - 2:
            name, data = raw[7:first_end], raw[first_end + 7 : -2]
            if b"\r" not in raw:
                return name or None, data
    event: bytes | None = None
    values: list[bytes] = []
    for line in raw.splitlines():
        field, _, value = line.partition(b":")
        if field == b"data":
            values.append(value.removeprefix(b" "))
        elif field == b"event":
            event = value.removeprefix(b" ") or None
    return event, b"\n".join(values) if values else None
