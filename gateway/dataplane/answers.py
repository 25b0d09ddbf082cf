"""What an attempt at an account can come to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from attrs import define, field
from multidict import CIMultiDict

from gateway.accounts.account import Account
from gateway.accounts.pool import Lease
from gateway.providers.base import FaultClass
from gateway.wire.errors import ApiError
from sse_fsm import StreamGuard, Verdict

__all__ = ["OpenBody", "OpenStream", "Refusal"]

Read = Callable[[], Awaitable[bytes]]
"""Returns the next bytes of a body, empty at its end."""


@define
class OpenStream:
    """A stream whose content has begun, or whose silence has lasted too long to hold it back."""

    account: Account
    response: aiohttp.ClientResponse
    headers: CIMultiDict[str]
    """For the client."""
    guard: StreamGuard
    read: Read
    held: list[bytes] = field(factory=list)
    """Released by the guard while the answer was held back."""
    terminal: bytes = b""
    """The stream's last event, if it is here already."""
    silent: bool = False
    """No content yet: the client gets a ping with the head."""
    lease: Lease | None = None

    def close(self) -> None:
        """Close the upstream's answer, unless it is over, and give the account's slot back."""
        _close(self.response, self.lease)


@define
class OpenBody:
    """An answer that is no stream: whole in `held`, or too large to be held."""

    account: Account
    response: aiohttp.ClientResponse
    headers: CIMultiDict[str]
    held: list[bytes]
    complete: bool
    lease: Lease | None = None
    usage: dict[str, Any] | None = None
    """Of a message that is here as a whole; so are the next ones."""
    stop_reason: str | None = None
    model: str | None = None
    has_output: bool | None = None
    refusal_category: str | None = None

    def close(self) -> None:
        """Close the upstream's answer, unless it is over, and give the account's slot back."""
        _close(self.response, self.lease)


@define
class Refusal:
    """No content: the upstream's own refusal as it came, or one in the gateway's name."""

    fault: FaultClass
    answer: UpstreamAnswer | ApiError
    verdict: Verdict | None = None
    """On a stream that broke before any content."""
    words: str = ""
    """The upstream's own message, for the operator; empty where there is none."""
    reason: str = ""
    """Why it came to this, for the record, where the answer does not say so."""

    @property
    def status(self) -> int:
        """HTTP status for the client."""
        return self.answer.status


@define
class UpstreamAnswer:
    """A whole answer of the upstream."""

    status: int
    headers: CIMultiDict[str]
    """For the client."""
    body: bytes


def _close(response: aiohttp.ClientResponse, lease: Lease | None) -> None:
    response.close()
    if lease is not None:
        lease.release()
