"""Requests and their answers, followed in their bytes to where they end."""

from __future__ import annotations

from attrs import define, field

from gateway.wire.http1 import (
    Body,
    FramingError,
    RequestHead,
    ResponseHead,
    UntilClose,
    request_head_end,
    response_head_end,
)

__all__ = ["Exchange", "FollowedRequest"]

_SWITCHING_PROTOCOLS = 101


@define(eq=False)
class Exchange:
    """What is known of a request whose head has come, and of its answer."""

    method: bytes
    request: Body
    """Of the request."""
    upgrade: bool
    """Whether it asks for a WebSocket."""
    longest_head: int
    """In bytes; of the answer."""
    response: Body | None = field(default=None, init=False)
    """Of the answer; None until its head is whole."""
    switched: bool = field(default=False, init=False)
    """Whether everything from here on belongs to another protocol."""
    excess: bool = field(default=False, init=False)
    """Whether there was something behind the answer."""
    _head: bytearray = field(factory=bytearray, init=False)

    @classmethod
    def begin(cls, head: RequestHead, longest_head: int) -> Exchange:
        """Begin with a request.

        Raises:
            FramingError: where it ends is ambiguous.
        """
        return cls(head.method, head.body(), head.asks_for_websocket, longest_head)

    @property
    def done(self) -> bool:
        """Whether both have ended."""
        return self.request.done and self.response is not None and self.response.done

    @property
    def ends_with_connection(self) -> bool:
        """Whether the answer has no other end."""
        return isinstance(self.response, UntilClose)

    @property
    def held(self) -> bytes:
        """What has come of a head that is not whole."""
        return bytes(self._head)

    def take_answer(self, data: bytes) -> bytes:
        """Return what the client is to get, now that the upstream has sent `data`: whole heads, and body bytes.

        Raises:
            FramingError: this is not the head of an answer to the request.
        """
        at = 0
        if self.response is None:
            looked = len(self._head)
            if looked:
                self._head += data
                data = bytes(self._head)
                self._head.clear()
            at = self._read_heads(data, looked)
            if self.switched:
                return data
            if self.response is None:
                self._head += data[at:]
                if len(self._head) > self.longest_head:
                    raise FramingError("its head is too long")
                return data[:at]
        try:
            end = self.response.take(data, at)
        except FramingError:
            # Its receiver may judge it: from here on everything is part of it.
            self.response = UntilClose()
            return data
        self.excess = end < len(data)
        return data[:end] if self.excess else data

    def _read_heads(self, data: bytes, looked: int) -> int:
        """Read heads up to that of the final answer; return where the last whole one ends."""
        at = 0
        start = max(0, looked - 3)
        while end := response_head_end(data, start):
            head = ResponseHead.parse(data[at:end])
            at = start = end
            if head.is_interim:
                continue
            if head.status == _SWITCHING_PROTOCOLS:
                if not self.upgrade:
                    raise FramingError("it switches to a protocol that nobody asked for")
                self.switched = True
            else:
                self.response = head.body(self.method)
            break
        return at


@define(eq=False)
class FollowedRequest:
    """A request that somebody else reads, followed to know where it ends."""

    longest_head: int
    """In bytes."""
    _head: bytearray = field(factory=bytearray, init=False)
    _body: Body | None = field(default=None, init=False)

    @property
    def done(self) -> bool:
        """Whether all of it has been seen."""
        return self._body is not None and self._body.done

    def take(self, data: bytes, start: int = 0) -> int:
        """Return where in `data`, from `start` on, the request or what there is of it ends.

        Raises:
            FramingError: readers may differ about where it ends.
        """
        if self._body is None:
            before = len(self._head)
            if before:
                self._head += data[start:]
                size = request_head_end(self._head, before - 3)
                head = bytes(self._head[:size])
            else:
                size = max(0, request_head_end(data, start) - start)
                head = data[start : start + size]
                self._head += data[start:] if not size else b""
            if len(self._head if not size else head) > self.longest_head:
                raise FramingError("its head is too long")
            if not size:
                return len(data)
            self._head.clear()
            self._body = RequestHead.parse(head).body()
            start += size - before
        return self._body.take(data, start)
