"""Reading a stream that the upstream compressed although it was asked not to."""

from __future__ import annotations

import zlib
from typing import Final

import aiohttp

from gateway.dataplane.answers import Read

__all__ = ["WINDOW_BITS", "decoding_reader"]

_PIECE: Final = 64 * 1024
_FEED: Final = 4 * 1024  # bytes of input at a time: what zlib does not take of them, it copies
WINDOW_BITS: Final = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


def decoding_reader(response: aiohttp.ClientResponse) -> Read | None:
    """Return a function that reads the body in the clear; None for an encoding that cannot be read here.

    The function raises `aiohttp.ClientPayloadError` where the compressed data is broken, ends too early or is
    followed by something else.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return response.content.readany
    bits = WINDOW_BITS.get(encoding)
    return _Inflater(response.content.readany, bits).read if bits is not None else None


class _Inflater:
    """Inflates piece by piece, so that a small input cannot become a large buffer."""

    def __init__(self, read: Read, window_bits: int) -> None:
        self._read = read
        self._window_bits = window_bits
        self._inflate = zlib.decompressobj(wbits=window_bits)
        self._rest = memoryview(b"")

    async def read(self) -> bytes:
        while True:
            if not self._rest:
                self._rest = memoryview(await self._read())
                if not self._rest:
                    if not self._inflate.eof:
                        raise aiohttp.ClientPayloadError("the compressed body ended too early")
                    return b""
            if self._inflate.eof:
                self._begin_member()
            fed = self._rest[:_FEED]
            try:
                piece = self._inflate.decompress(fed, _PIECE)
            except zlib.error as error:
                raise aiohttp.ClientPayloadError("the compressed body is broken") from error
            left = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            self._rest = self._rest[len(fed) - len(left) :]
            if piece:
                return piece

    def _begin_member(self) -> None:
        """Go on behind the end: RFC 1952, section 2.2, lets members follow each other, RFC 1950 nothing."""
        if self._window_bits == zlib.MAX_WBITS:
            raise aiohttp.ClientPayloadError("something follows the compressed body")
        self._inflate = zlib.decompressobj(wbits=self._window_bits)
