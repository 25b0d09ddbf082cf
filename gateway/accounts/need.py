"""What a request needs of the account pool, and what the pool says back."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from attrs import define, field

from gateway.providers.base import FaultClass
from gateway.providers.limits import RateLimits

__all__ = ["Exhaustion", "Lack", "Need", "Observation", "PoolBusyError", "Switch"]

_LONGEST_MESSAGE: Final = 300  # characters


def _one_line(text: str) -> str:
    return " ".join(text[: 4 * _LONGEST_MESSAGE].split())[:_LONGEST_MESSAGE]


@define(frozen=True)
class Need:
    """What a request needs. One object per request: it also says whose attempt a report is about."""

    family: str
    """The class of models that shares limits with the request's, as the provider names it."""
    session: str | None = None
    """Key of the session whose prompt an account may have cached; None for none."""
    model: str = ""


@define(frozen=True)
class Observation:
    """How an attempt went."""

    fault: FaultClass | None = None
    """None for well."""
    limits: RateLimits = field(factory=RateLimits)
    """What the answer's headers say."""
    message: str = field(default="", converter=_one_line)
    """The upstream's own words, for people: one line of at most 300 characters."""
    credential_version: int = 0
    """Version of the credential that was sent; what it met is held against no other."""
    renewable: bool = False
    """A refused credential is being renewed, which is not the pool's affair."""


@define(frozen=True)
class Switch:
    """A request is not served by the account that has its session's prompt cached."""

    from_account: str
    """Id of the account that has it."""
    reason: str
    """What keeps the request from it, in a word or two."""
    cached_tokens: int
    """Tokens that were last read from or written to the cache there."""
    lasting: bool = False
    """Whether the session stays with the new account."""


class Lack(StrEnum):
    """Why no account serves a request."""

    #: There is none.
    NO_ACCOUNT = "no_account"
    #: Every one is paused, parked or in need of a new credential.
    OUT_OF_USE = "out_of_use"
    #: At least one comes back by itself.
    COOLING = "cooling"
    #: Some could; this request has tried them all.
    TRIED = "tried"


@define(frozen=True)
class Exhaustion:
    """That no account serves a request, and why."""

    lack: Lack
    retry_at: float | None = None
    """Unix seconds at which the first one is expected back; None where nobody knows."""


class PoolBusyError(Exception):
    """All accounts that could serve a request are at their bound, and so is the queue, or the time to wait."""
