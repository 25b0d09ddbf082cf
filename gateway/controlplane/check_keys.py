"""Client keys that live for one run of a canary tool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from attrs import define, field

from gateway.actors.terms import KeyLimits, KeyTerms
from gateway.controlplane.access import AuditTrail, Visitor
from gateway.store.client_keys import ClientKeyStore
from gateway.store.errors import StoreError
from gateway.telemetry.logs import get_logger

__all__ = ["CHECK_KEY_NAME", "CheckKeys", "LentKey"]

_log = get_logger(__name__)

CHECK_KEY_NAME: Final = "dashboard check"
_LIMITS: Final = KeyLimits(concurrent=64, requests_per_minute=600)
"""More than any tool asks for; no budget in USD, since one check asks for a model that has no price."""
_SPARE_SECONDS: Final = 60.0


@define(frozen=True)
class LentKey:
    """A key for one run."""

    id: str
    key: str = field(repr=False)


@define(eq=False)
class CheckKeys:
    """Makes keys for runs, and revokes them at the end whatever happens; by themselves they expire soon after."""

    store: ClientKeyStore
    pepper: bytes = field(repr=False)
    audit: AuditTrail
    tasks: asyncio.TaskGroup
    """Owns the revoking, which goes on if the run is cancelled."""
    spread: Callable[[], Awaitable[None]]
    """Returns when all processes that serve on this host know of a key that has just been made."""
    changed: Callable[[], None]
    """Told that the list of keys is another one."""

    @asynccontextmanager
    async def lent(self, visitor: Visitor, seconds: float) -> AsyncGenerator[LentKey]:
        """Make a key for as long as the context lasts.

        Args:
            visitor: who runs the tool.
            seconds: that the run takes at the most.

        Raises:
            StoreError: the database cannot be used.
        """
        terms = KeyTerms(expires_at=self.store.database.clock() + seconds + _SPARE_SECONDS, limits=_LIMITS)
        stored, key = await self.store.create(CHECK_KEY_NAME, self.pepper, terms)
        try:
            await self.audit.write(
                visitor, "key.create", CHECK_KEY_NAME, after={"id": stored.id, "expires_at": terms.expires_at}
            )
            await self.spread()
            self.changed()
            yield LentKey(stored.id, key)
        finally:
            # A task of its own: who cancels the run does not cancel this.
            await asyncio.wait({self.tasks.create_task(self._revoke(visitor, stored.id), name="revoke-check-key")})

    async def _revoke(self, visitor: Visitor, key_id: str) -> None:
        try:
            if await self.store.revoke(key_id):
                await self.audit.write(visitor, "key.revoke", CHECK_KEY_NAME, before={"id": key_id})
            self.changed()
        except StoreError as error:
            _log.warning(
                "the key of a check could not be revoked; it expires by itself", key=key_id, problem=str(error)
            )
