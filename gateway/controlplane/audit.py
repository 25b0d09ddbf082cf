"""Writes down what people change, in the database and in the log."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from attrs import define
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.controlplane.access import Visitor
from gateway.controlplane.sign_in.addresses import network_of
from gateway.store.audit_log import AuditStore, Change
from gateway.telemetry.logs import get_logger

__all__ = ["AuditLog"]

_log = get_logger(__name__)

_AT_A_TIME: Final = 50
"""Lines of the log that are written before others have their turn."""


@define(eq=False)
class AuditLog:
    """Where every change is written down."""

    store: AuditStore

    async def note(self, visitor: Visitor, *changes: Change, within: AsyncConnection | None = None) -> None:
        """Write down what somebody did; `AuditTrail` says what the arguments mean.

        Raises:
            StoreError: the database cannot be used.
        """
        for place, change in enumerate(changes, 1):
            # First to the log, which takes it whatever the database does.
            _log.info(
                "written to the audit log",
                action=change.action,
                target=change.target,
                by=visitor.name,
                how=visitor.how,
                address=visitor.address,
            )
            if place % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        await self.store.add(*changes, who=visitor.name, how=visitor.how, address=visitor.address, within=within)

    async def refused(self, visitor: Visitor, name: str) -> None:
        """Count an attempt to sign in that failed; `AuditTrail` says what the arguments mean.

        Raises:
            StoreError: the database cannot be used.
        """
        await self.store.add_refusal(how=visitor.how, address=network_of(visitor.address), target=name)

    async def write(
        self, visitor: Visitor, action: str, target: str = "", *, before: Any = None, after: Any = None
    ) -> None:
        """Write down a change, whose parts are those of `Change`.

        Raises:
            StoreError: the database cannot be used.
        """
        await self.note(visitor, Change(action, target, before=before, after=after))
