"""What is known of one account's credential, and what renewing it may come to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final, Protocol

from attrs import define, field

from gateway.accounts.account import Account
from gateway.providers.base import Credential

__all__ = [
    "NEVER",
    "Entry",
    "Flight",
    "Impossible",
    "Lost",
    "Postponed",
    "Present",
    "Renewed",
    "Result",
    "Source",
]

NEVER: Final = float("-inf")


@define(frozen=True)
class Present:
    """What a source has at hand."""

    credential: Credential | None
    lifetime: float | None = None
    """Seconds that it was good for when it was new."""


@define(frozen=True)
class Renewed:
    """There is something newer, which `Flight.adopt` was given."""


@define(frozen=True)
class Postponed:
    """Nothing new now."""

    reason: str
    retry_after: float | None = None
    """Seconds that were asked for."""
    soon: bool = False
    """Another process is at it; nothing failed."""


@define(frozen=True)
class Lost:
    """Nothing new ever, but what there is stays good until it expires."""

    reason: str


@define(frozen=True)
class Impossible:
    """Only a person can mend it."""

    reason: str


Result = Renewed | Postponed | Lost | Impossible


class Source(Protocol):
    """Where the credentials of a kind of accounts come from."""

    def read(self, account: Account) -> Present:
        """Return what is stored.

        Raises:
            CredentialUnavailableError: it cannot be read, or there is nothing to renew it with.
        """
        ...

    async def renew(self, entry: Entry, flight: Flight) -> Result:
        """Get a newer credential, hand it to `flight.adopt`, and finish what goes with it."""
        ...


@define(eq=False)
class Flight:
    """A renewal under way."""

    adopt: Callable[[Account, Present], None]
    """Puts a newer credential into use and lets those who wait for it go on."""
    conclude: Callable[[Result], None]
    """Says what came of it, once, and lets those who wait go on though something is left to be cleared up."""
    concluded: bool = False
    ready: asyncio.Event = field(factory=asyncio.Event)
    """Set when there is no point in waiting any longer."""
    critical: bool = False
    """It must not be cut short: a single-use token is on its way, or its successor is not written yet."""
    task: asyncio.Task[None] | None = None
    began: float = field(factory=lambda: asyncio.get_running_loop().time())
    """On the event loop's clock."""


@define(eq=False)
class Entry:
    """What is known of one account's credential."""

    account: Account
    source: Source
    told: Account | None = None
    """What the store last said, as it came."""
    present: Present = field(factory=lambda: Present(None))
    flight: Flight | None = None
    failures: int = 0
    next_try: float = NEVER
    problem: str = ""
    """Why the last renewal failed."""
    renewed_at: float = NEVER
    """When the present credential took the place of another one before our eyes."""
    refused: bool = False
    """The upstream does not want the present one."""
    withheld_until: float = NEVER
    strikes: int = 0
    lost: str = ""
    """Why it cannot be renewed any more, though it is still good."""
    dead: str = ""
    """Why there is nothing to send until a person does something."""
    dead_since: float = NEVER
    untold: bool = False
    """The store does not know yet that it is dead."""
    haste: float = field(factory=random.random)
    """From 0 to 1: spreads the renewals of several processes and accounts over time."""

    @property
    def credential(self) -> Credential | None:
        """The present credential."""
        return self.present.credential

    def left(self, now: float) -> float:
        """Seconds until the present credential expires."""
        if self.credential is None:
            return NEVER
        return float("inf") if self.credential.expires_at is None else self.credential.expires_at - now

    def usable(self, now: float) -> Credential | None:
        """Return the present credential if it may be sent."""
        return self.credential if self.left(now) > 0 and now >= self.withheld_until else None

    def newer(self, refused: Credential) -> Credential | None:
        """Return the present credential if it is not the refused one or one before that."""
        present = self.credential
        if present is None or present.version < refused.version or present.secret == refused.secret:
            return None
        return present

    def forget_trouble(self) -> None:
        """Begin anew, with a new secret or because a person said so."""
        self.failures, self.next_try, self.problem = 0, NEVER, ""
        self.refused, self.withheld_until = False, NEVER
        self.lost = self.dead = ""
        self.untold = False
