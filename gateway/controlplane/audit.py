"""Writes down what people change, in the database and in the log."""

from __future__ import annotations

from typing import Any

from attrs import define

from gateway.controlplane.access import Visitor
from gateway.store.audit_log import AuditStore
from gateway.telemetry.logs import get_logger

__all__ = ["AuditLog"]

_log = get_logger(__name__)


@define(eq=False)
class AuditLog:
    """Where every change is written down."""

    store: AuditStore

    async def write(
        self, visitor: Visitor, action: str, target: str = "", *, before: Any = None, after: Any = None
    ) -> None:
        """Write down a change; `AuditTrail` says what the arguments mean.

        Raises:
            StoreError: the database cannot be used.
        """
        # First to the log, which takes it whatever the database does.
        _log.info(
            "written to the audit log",
            action=action,
            target=target,
            by=visitor.name,
            how=visitor.how,
            address=visitor.address,
        )
        await self.store.add(
            who=visitor.name,
            how=visitor.how,
            address=visitor.address,
            action=action,
            target=target,
            before=before,
            after=after,
        )
