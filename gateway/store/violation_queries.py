"""Which rules of the stream protocol were broken of late, and by which requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field
from sqlalchemy import literal, select

from gateway.store.engine import Database
from gateway.store.tables import requests

__all__ = ["SeenViolation", "SeenViolations", "ViolationExample", "ViolationQueries"]

_LOOKED_AT: Final = 5_000


@define(frozen=True)
class ViolationExample:
    """A request whose stream broke a rule."""

    id: str
    at: float
    """Unix seconds."""
    provider: str
    account: str | None
    model: str | None


@define
class SeenViolation:
    """How often a rule was broken."""

    code: str
    number: int = 0
    examples: list[ViolationExample] = field(factory=list)
    """The newest ones."""


@define(frozen=True)
class SeenViolations:
    """Which rules were broken, those first that were broken most."""

    seen: Sequence[SeenViolation]
    is_exact: bool
    """Otherwise there were more, and of the newest ones only is told."""


@define
class ViolationQueries:
    """Reads the table `requests`. Every method raises `StoreError` if the database cannot be used."""

    database: Database

    async def since(self, at: float, *, examples: int) -> SeenViolations:
        """Return what was broken since a time.

        Args:
            at: Unix seconds.
            examples: so many requests of each, at the most.
        """
        column = requests.c
        query = select(column.code, column.id, column.at, column.provider, column.account, column.model).where(
            column.outcome == "violation",
            # In these words the partial index is known.
            column.outcome != literal("complete", literal_execute=True),
            column.at >= at,
        )
        query = query.order_by(column.at.desc(), column.id.desc()).limit(_LOOKED_AT + 1)
        # Without statistics SQLite has little to choose an index by.
        query = query.with_hint(requests, "INDEXED BY ix_requests_outcome_at_id", "sqlite")
        async with self.database.read() as connection:
            rows = (await connection.execute(query)).all()
        found: dict[str, SeenViolation] = {}
        for row in rows[:_LOOKED_AT]:
            one = found.setdefault(row.code or "", SeenViolation(row.code or ""))
            one.number += 1
            if len(one.examples) < examples:
                one.examples.append(ViolationExample(row.id, row.at, row.provider or "", row.account, row.model))
        seen = sorted(found.values(), key=lambda one: (-one.number, one.code))
        return SeenViolations(seen, is_exact=len(rows) <= _LOOKED_AT)
