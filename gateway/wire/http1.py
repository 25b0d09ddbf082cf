"""Where an HTTP/1 message ends: all that has to be known of one that goes on as it is.

Requests are read strictly, so that no reader behind us can see other messages in the same bytes. Answers are read
leniently: one that cannot be framed lasts until its connection closes, and its receiver may make of it what it
can. Source: RFC 9112, sections 2 to 7.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from attrs import define, field

__all__ = [
    "Body",
    "Chunked",
    "FramingError",
    "RequestHead",
    "ResponseHead",
    "Sized",
    "UntilClose",
    "request_head_end",
    "request_start",
    "response_head_end",
]

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE: Final = re.compile(rb"(%b) ([\x21-\x7e\x80-\xff]+) (HTTP/1\.[01])" % _TOKEN)
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\r\n]*)?")
_FIELD: Final = re.compile(rb"%b:[^\x00\r\n]*" % _TOKEN)
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00\r\n]*)?\r\n")
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)*")
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_CRLF: Final = b"\r\n"
_LONGEST_LINE: Final = 64 * 1024
_REQUEST_CODINGS: Final = frozenset({b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"})
_BODILESS: Final = frozenset({204, 304})


class FramingError(Exception):
    """These bytes are no message of HTTP/1, or one whose end is ambiguous. The text quotes nothing of them."""


class Body(Protocol):
    """Finds the end of a body in its bytes as they come."""

    @property
    def done(self) -> bool:
        """Whether all of it has been seen."""
        ...

    def take(self, data: bytes, start: int = 0) -> int:
        """Return where in `data`, from `start` on, the body or what there is of it ends.

        Raises:
            FramingError: this cannot be part of such a body.
        """
        ...


@define
class Sized:
    """A body of so many bytes, none included."""

    left: int = 0

    @property
    def done(self) -> bool:
        """Whether all of it has been seen."""
        return self.left == 0

    def take(self, data: bytes, start: int = 0) -> int:
        """Count."""
        size = min(self.left, len(data) - start)
        self.left -= size
        return start + size


@define
class UntilClose:
    """A body that ends with its connection, which may be by accident."""

    done: bool = field(default=False, init=False)

    def take(self, data: bytes, start: int = 0) -> int:  # noqa: ARG002 - all of it, wherever it starts
        """Take everything."""
        return len(data)


@define
class Chunked:
    """A body in chunks, with its trailers."""

    done: bool = field(default=False, init=False)
    _left: int = field(default=0, init=False)
    """Of the data of a chunk."""
    _line: bytearray = field(factory=bytearray, init=False)
    """The beginning of a line whose end has not come."""
    _after_data: bool = field(default=False, init=False)
    _in_trailers: bool = field(default=False, init=False)
    _trailers: int = field(default=0, init=False)

    def take(self, data: bytes, start: int = 0) -> int:
        """Follow the chunks; see `Body.take`."""
        at = start
        while at < len(data) and not self.done:
            if self._left:
                size = min(self._left, len(data) - at)
                self._left -= size
                at += size
                continue
            end = data.find(b"\n", at) + 1
            self._line += data[at : end or None]
            if len(self._line) > _LONGEST_LINE:
                raise FramingError("a line between chunks is too long")
            if not end:
                return len(data)
            at = end
            line = bytes(self._line)
            self._line.clear()
            self._see(line)
        return at

    def _see(self, line: bytes) -> None:
        if self._after_data:
            if line != _CRLF:
                raise FramingError("a chunk is longer than it says")
            self._after_data = False
        elif self._in_trailers:
            self._trailers += len(line)
            if line == _CRLF:
                self.done = True
            elif self._trailers > _LONGEST_LINE or not _FIELD.fullmatch(line.removesuffix(_CRLF)):
                raise FramingError("the trailers are not valid")
        else:
            match = _CHUNK.fullmatch(line)
            if match is None:
                raise FramingError("the size of a chunk is not valid")
            self._left = int(match[1], 16)
            self._after_data = self._left > 0
            self._in_trailers = self._left == 0


@define(frozen=True)
class RequestHead:
    """The head of a request, in bytes as they came."""

    method: bytes
    target: bytes
    version: bytes
    lines: tuple[bytes, ...]
    """Header lines without their ends."""

    @classmethod
    def parse(cls, head: bytes) -> RequestHead:
        """Read a head up to and with its blank line.

        Raises:
            FramingError: it is not valid.
        """
        first, *lines = head.removesuffix(_CRLF + _CRLF).split(_CRLF)
        match = _REQUEST_LINE.fullmatch(first)
        if match is None:
            raise FramingError("the request line is not valid")
        if not all(map(_FIELD.fullmatch, lines)):
            raise FramingError("a header line is not valid")
        return cls(match[1], match[2], match[3], tuple(lines))

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a header, whose name is given in lower case, in order."""
        return _values(self.lines, name)

    def body(self) -> Body:
        """Return what finds the end of the body.

        Raises:
            FramingError: readers may differ about where it ends.
        """
        codings, lengths = self.values(b"transfer-encoding"), self.values(b"content-length")
        if codings:
            # Some readers look at one of several headers, or pass over codings that they do not know.
            *others, last = (coding.strip(b" \t").lower() for coding in codings[0].split(b","))
            known = len(codings) == 1 and last == b"chunked" and _REQUEST_CODINGS.issuperset(others)
            if lengths or self.version != b"HTTP/1.1" or not known:
                raise FramingError("Transfer-Encoding must be chunked in the end, and without a Content-Length")
            return Chunked()
        if not lengths:
            return Sized()
        if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
            raise FramingError("Content-Length is not one number")
        return Sized(int(lengths[0]))

    @property
    def asks_for_websocket(self) -> bool:
        """Whether the connection is to become a WebSocket (RFC 6455, section 4.1)."""
        return [value.lower() for value in self.values(b"upgrade")] == [b"websocket"]


@define(frozen=True)
class ResponseHead:
    """What has to be known of the head of an answer."""

    status: int
    lines: tuple[bytes, ...]

    @classmethod
    def parse(cls, head: bytes) -> ResponseHead:
        """Read a head up to and with its blank line.

        Raises:
            FramingError: it does not begin with a status line.
        """
        first, *lines = (line.removesuffix(b"\r") for line in head.rstrip(_CRLF).split(b"\n"))
        match = _STATUS_LINE.fullmatch(first)
        if match is None:
            raise FramingError("the status line is not valid")
        return cls(int(match[1]), tuple(lines))

    @property
    def is_interim(self) -> bool:
        """Whether another head follows."""
        return self.status < 200 and self.status != 101  # noqa: PLR2004 - 1xx; Switching Protocols is the last of its kind

    def body(self, method: bytes) -> Body:
        """Return what finds the end of the body that answers such a request."""
        if method == b"HEAD" or self.status in _BODILESS:
            return Sized()
        codings, lengths = _values(self.lines, b"transfer-encoding"), _values(self.lines, b"content-length")
        if codings:
            return Chunked() if _is_chunked(codings) else UntilClose()
        if len(set(lengths)) == 1 and _LENGTH.fullmatch(lengths[0]):
            return Sized(int(lengths[0]))
        return UntilClose()


def request_start(data: bytes | bytearray, start: int = 0) -> int:
    """Return where a request begins, from `start` on: behind empty lines (RFC 9112, section 2.2)."""
    match = _EMPTY_LINES.match(data, start)
    return match.end() if match else start


def request_head_end(data: bytes | bytearray, start: int = 0) -> int:
    """Return where the head at the beginning ends, or 0 if its end, looked for from `start` on, is not there."""
    end = data.find(_CRLF + _CRLF, max(0, start))
    return end + 4 if end >= 0 else 0


def response_head_end(data: bytes | bytearray, start: int = 0) -> int:
    """Return where the head at the beginning ends, or 0 if its end, looked for from `start` on, is not there."""
    match = _HEAD_END.search(data, max(0, start))
    return match.end() if match else 0


def _values(lines: tuple[bytes, ...], name: bytes) -> list[bytes]:
    found = []
    for line in lines:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            found.append(value.strip(b" \t"))
    return found


def _is_chunked(values: list[bytes]) -> bool:
    codings = [coding.strip(b" \t").lower() for coding in b",".join(values).split(b",")]
    return codings[-1] == b"chunked" and codings.count(b"chunked") == 1
