"""The log of what people changed, in the database."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from attrs import define, field
from sqlalchemy import Row, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.engine import Database, database_time
from gateway.store.errors import StoreError
from gateway.store.rows import storable, structure
from gateway.store.statements import locking
from gateway.store.tables import audit_log
from gateway.wire.errors import encode_json

__all__ = ["BEGUN", "MANY", "REFUSED", "AuditEntry", "AuditFilter", "AuditStore", "Change"]

_COLUMNS: Final = audit_log.c
BEGUN: Final = "session.begin"
"""What is written when somebody signs in."""
REFUSED: Final = "session.refused"
"""What is written when somebody cannot."""
MANY: Final = "(many)"
"""Stands for names and addresses of which there are too many to write each down."""
_LONGEST: Final = 20_000
"""Characters of what something was like, as JSON."""
_HOUR: Final = 3600.0
_MOST_REFUSALS: Final = 50
"""Entries of an hour."""


@define(frozen=True)
class Change:
    """Something that was done."""

    action: str
    """Such as `account.pause`."""
    target: str = ""
    """Name of what it was done to."""
    before: Any = field(default=None, kw_only=True)
    """What it was like: JSON, without secrets; and so is the next one."""
    after: Any = field(default=None, kw_only=True)


@define(frozen=True, kw_only=True)
class AuditEntry:
    """A row of `audit_log`."""

    id: str
    at: float
    who: str
    """Name of the user; empty for nobody who is known."""
    how: str
    """`password`, `link`, `token`, `header` or `command`."""
    address: str
    action: str
    target: str
    before: str | None
    """JSON; and so is the next one."""
    after: str | None

    def states(self) -> tuple[Any, Any]:
        """Return what something was like before and after.

        Raises:
            StoreError: the database holds something else than JSON.
        """
        try:
            before, after = (None if text is None else json.loads(text) for text in (self.before, self.after))
        except (RecursionError, ValueError):
            raise StoreError(
                f"the table {audit_log.name} of the database holds a row that the gateway cannot have written; "
                "restore the database from a copy, or delete that row"
            ) from None
        return before, after


@define(frozen=True, kw_only=True)
class AuditFilter:
    """Which entries are meant; None for any."""

    who: str | None = None
    action: str | None = None
    """Of which, or of which group: `account` stands for `account.pause` and all others that begin so."""
    target: str | None = None
    since: float | None = None
    """Unix seconds; and so is the next one, which is not included."""
    until: float | None = None


@define(frozen=True)
class AuditStore:
    """The table `audit_log`. Every method raises `StoreError` if the database cannot be used."""

    database: Database

    async def add(
        self, *changes: Change, who: str, how: str, address: str, within: AsyncConnection | None = None
    ) -> None:
        """Write an entry for each of some changes, all or none, with the time of the database.

        Args:
            changes: what was done.
            who: name of whoever did it.
            how: they had signed in, as in `AuditEntry`.
            address: from where.
            within: the transaction that makes the changes; None for one of its own.
        """
        common = {"who": storable(who), "how": how, "address": storable(address)}
        own = [
            {
                "id": f"aud_{secrets.token_hex(8)}",
                "action": change.action,
                "target": storable(change.target),
                "before": _json(change.before),
                "after": _json(change.after),
            }
            for change in changes
        ]
        if not own:
            return
        statement = insert(audit_log).values(at=database_time(), **common)
        if within is not None:
            await within.execute(statement, own)
            return
        async with self.database.write() as connection:
            await connection.execute(statement, own)

    async def add_refusal(self, *, how: str, address: str, target: str) -> None:
        """Count an attempt to sign in that failed.

        There is one entry an hour for each name and address, and one for all that come when an hour has fifty:
        whoever guesses for weeks and from everywhere must not fill the disk, nor hide what people changed.

        Args:
            how: it was tried.
            address: from where; of IPv6 the network.
            target: name of the user; empty where there is none of that name.
        """
        address, target = storable(address), storable(target)
        recent = (_COLUMNS.action == REFUSED, _COLUMNS.at > database_time() - _HOUR)

        async def same() -> Row[Any, Any] | None:
            query = select(_COLUMNS.id, _COLUMNS.after).where(
                *recent, _COLUMNS.target == target, _COLUMNS.address == address
            )
            return (await connection.execute(locking(query.order_by(_COLUMNS.at.desc()).limit(1)))).first()

        async with self.database.write() as connection:
            now = (await connection.execute(select(database_time()))).scalar_one()
            known = await same()
            if known is None:
                number = (await connection.execute(select(func.count()).where(*recent))).scalar_one()
                if number >= _MOST_REFUSALS:
                    address = target = MANY
                    known = await same()
            if known is not None:
                counted = update(audit_log).where(_COLUMNS.id == known.id)
                await connection.execute(counted.values(after=_json(_one_more(known.after, now))))
                return
            values = {
                "id": f"aud_{secrets.token_hex(8)}",
                "at": now,
                "who": "",
                "how": how,
                "address": address,
                "action": REFUSED,
                "target": target,
                "after": _json(_one_more(None, now)),
            }
            await connection.execute(insert(audit_log).values(values))

    async def sign_ins(self, since: float, most: int) -> Sequence[tuple[str, str]]:
        """Return names that have signed in since a time, and from which address, the latest last."""
        query = select(_COLUMNS.who, _COLUMNS.address).where(_COLUMNS.action == BEGUN, _COLUMNS.at >= since)
        async with self.database.read() as connection:
            rows = (await connection.execute(query.order_by(_COLUMNS.at.desc()).limit(most))).all()
        return [(row.who, row.address) for row in reversed(rows)]

    async def page(
        self, wanted: AuditFilter, most: int, before: tuple[float, str] | None = None
    ) -> Sequence[AuditEntry]:
        """Return entries, the newest first.

        Args:
            wanted: which.
            most: how many at the most.
            before: time and id of the entry behind which the page begins.
        """
        meant = [
            column == value
            for column, value in ((_COLUMNS.who, wanted.who), (_COLUMNS.target, wanted.target))
            if value is not None
        ]
        if wanted.action is not None:
            begins = _COLUMNS.action.startswith(f"{wanted.action}.", autoescape=True)
            meant.append(or_(_COLUMNS.action == wanted.action, begins))
        if wanted.since is not None:
            meant.append(_COLUMNS.at >= wanted.since)
        if wanted.until is not None:
            meant.append(_COLUMNS.at < wanted.until)
        if before is not None:
            at, entry_id = before
            meant.append(or_(_COLUMNS.at < at, and_(_COLUMNS.at == at, _COLUMNS.id < entry_id)))
        query = select(audit_log).where(*meant).order_by(_COLUMNS.at.desc(), _COLUMNS.id.desc()).limit(most)
        async with self.database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return structure(AuditEntry, rows, audit_log.name)

    async def delete_before(self, at: float, most: int, action: str | None = None) -> int:
        """Delete entries that are older than a time, but no more than so many; return how many.

        Args:
            at: the time.
            most: how many at the most.
            action: of which; None for all.
        """
        meant = [_COLUMNS.at < at] if action is None else [_COLUMNS.action == action, _COLUMNS.at < at]
        old = select(_COLUMNS.id).where(*meant).order_by(_COLUMNS.at).limit(most)
        async with self.database.write() as connection:
            return (await connection.execute(delete(audit_log).where(_COLUMNS.id.in_(old)))).rowcount


def _one_more(counted: str | None, now: float) -> dict[str, Any]:
    """Return what an entry has of attempts, with one more of now."""
    times = 0
    with suppress(TypeError, ValueError, KeyError, RecursionError):
        times = int(json.loads(counted or "{}")["times"])
    return {"times": times + 1, "last": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")}


def _json(value: Any) -> str | None:
    """Return JSON that any database takes; what is too long is left out and says so."""
    if value is None:
        return None
    text = encode_json(value).decode().replace("\\u0000", "?")
    return text if len(text) <= _LONGEST else '"(too long to keep)"'
