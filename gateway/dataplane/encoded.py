"""Reading a stream that the upstream compressed although it was asked not to."""

from __future__ import annotations

import zlib
from typing import Final

import aiohttp

from gateway.dataplane.answers import Read

__all__ = ["decoding_reader"]

_PIECE: Final = 64 * 1024
_WINDOW_BITS: Final = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


def decoding_reader(response: aiohttp.ClientResponse) -> Read | None:
    """Return a function that reads the body in the clear; None for an encoding that cannot be read here.

    The function raises `aiohttp.ClientPayloadError` where the compressed data is broken or ends too early.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return response.content.readany
    bits = _WINDOW_BITS.get(encoding)
    return _Inflater(response.content.readany, bits).read if bits is not None else None


class _Inflater:
    """Inflates piece by piece, so that a small input cannot become a large buffer."""

    def __init__(self, read: Read, window_bits: int) -> None:
        self._read = read
        self._inflate = zlib.decompressobj(wbits=window_bits)
        self._rest = b""

    async def read(self) -> bytes:
        while True:
            if not self._rest:
                self._rest = await self._read()
                if not self._rest:
                    if not self._inflate.eof:
                        raise aiohttp.ClientPayloadError("the compressed body ended too early")
                    return b""
            try:
                piece = self._inflate.decompress(self._rest, _PIECE)
            except zlib.error as error:
                raise aiohttp.ClientPayloadError("the compressed body is broken") from error
            self._rest = self._inflate.unconsumed_tail
            if piece:
                return piece
