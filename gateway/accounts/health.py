"""What each class of trouble means for the request that met it.

Trouble is classified, not counted: an overloaded provider is no reason to blame an account, and a request that
is refused for its content would be refused everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import define

from gateway.providers.base import FaultClass

__all__ = ["CONSEQUENCES", "Consequence"]


@define(frozen=True)
class Consequence:
    """What to do about one class of trouble before the commit point."""

    try_next_account: bool
    """Whether another account may do better."""
    most_attempts: int | None = None
    """Attempts of this class per request, the first included; None for as many as there are accounts."""
    hide_from_client: bool = False
    """Whether the upstream's answer speaks of the gateway's credential rather than the client's."""


CONSEQUENCES: Final[Mapping[FaultClass, Consequence]] = {
    FaultClass.TRANSPORT: Consequence(try_next_account=True),
    FaultClass.CREDENTIAL: Consequence(try_next_account=True, hide_from_client=True),
    FaultClass.REQUEST: Consequence(try_next_account=False),
    FaultClass.QUOTA: Consequence(try_next_account=True),
    FaultClass.BILLING: Consequence(try_next_account=True),
    FaultClass.UPSTREAM: Consequence(try_next_account=True, most_attempts=2),
    FaultClass.OVERLOAD: Consequence(try_next_account=True),
}
"""For each class of trouble what happens to the request."""
