"""What must be true after any bad input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from tests.contract.harness import MESSAGES, Served, envelope, head
from tests.replay.raw_client import RawResponse, message

BODY: Final = b'{"model":"claude-opus-5-5","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
HOST: Final = "Host: gateway.example"
VERSION: Final = "anthropic-version: 2023-06-01"
LENGTH: Final = f"Content-Length: {len(BODY)}"
CLOSE: Final = "Connection: close"
CHUNKED: Final = "Transfer-Encoding: chunked"

__all__ = ["BODY", "CHUNKED", "CLOSE", "HOST", "LENGTH", "VERSION", "message", "post", "refused"]


def post(
    served: Served, *lines: str | bytes, body: bytes = BODY, target: str = MESSAGES, version: str = "1.1"
) -> bytes:
    """Return a request that is good but for the lines given; they take the place of Content-Length."""
    framing = lines or (LENGTH,)
    key = f"x-api-key: {served.key}"
    return head(target, HOST, key, VERSION, CLOSE, *framing, version=version) + body


async def refused(
    served: Served, answers: Iterable[RawResponse], status: int = 400, kind: str = "invalid_request_error"
) -> dict[str, Any]:
    """Check that there is one answer, that it is this error of the gateway's own, and that all is well after.

    Returns its `error` object.
    """
    (answer,) = answers
    error = envelope(answer, status, kind)
    terminal = status < 500 and status not in (408, 409, 429)
    assert answer.header("x-should-retry") == ("false" if terminal or status == 501 else None)
    assert served.upstream.requests == []
    await served.assert_serves()
    return error
