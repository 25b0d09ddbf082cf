"""Client keys as lists show them: page by page, with what each may do and has used, and where requests hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from attrs import define
from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)

from gateway.actors.keys import StoredKey, visible_prefix
from gateway.actors.periods import period_start
from gateway.actors.terms import PERIODS, UNITS
from gateway.actors.use import KeyUse
from gateway.store.client_keys import stored_keys
from gateway.store.engine import Database
from gateway.store.key_use import use_of_row
from gateway.store.tables import (
    client_keys,
    former_keys,
    key_reservations,
    key_terms,
    key_use,
    request_totals,
)

__all__ = ["EXPIRING_SECONDS", "Held", "KeyLists", "KeyOrder", "KeyPage", "KeyState", "ListedKey", "state_of"]

EXPIRING_SECONDS: Final = 7 * 86_400.0
"""Before its end, for which a key counts as one that expires soon."""
_DAY: Final = 86_400
_MOST_HELD: Final = 100
_keys = client_keys.c
_terms = key_terms.c
_use = key_use.c


class KeyState(StrEnum):
    """What a key is good for."""

    ACTIVE = "active"
    EXPIRING = "expiring"
    """Active for a week at most."""
    EXPIRED = "expired"
    REVOKED = "revoked"


class KeyOrder(StrEnum):
    """By what a list is ordered."""

    NEWEST = "newest"
    NAME = "name"
    LAST_USED = "last_used"
    """The latest first."""
    MONTH = "month"
    """By cost since the month began, the most first."""


@define(frozen=True)
class ListedKey:
    """A key with what is known of it."""

    key: StoredKey
    use: KeyUse


@define(frozen=True)
class KeyPage:
    """Some keys of a list."""

    keys: Sequence[ListedKey]
    after: tuple[str | float, str] | None
    """Behind which the next page begins; None at the end."""


@define(frozen=True)
class Held:
    """What a request that is under way holds of its key's limits."""

    request_id: str
    at: float
    """Unix seconds of the database's clock, when it was let in."""
    tokens: int
    nanousd: int


def state_of(key: StoredKey, now: float) -> KeyState:
    """Return what a key is good for at a time, in Unix seconds of the database's clock."""
    end = key.terms.expires_at
    if key.revoked_at is not None:
        return KeyState.REVOKED
    if end is None or end > now + EXPIRING_SECONDS:
        return KeyState.ACTIVE
    return KeyState.EXPIRING if end > now else KeyState.EXPIRED


@define
class KeyLists:
    """Reads keys, many at a time. Every method raises `StoreError` if the database cannot be used."""

    database: Database

    async def page(
        self,
        *,
        limit: int,
        search: str = "",
        states: Iterable[KeyState] = (),
        order: KeyOrder = KeyOrder.NEWEST,
        is_reversed: bool = False,
        after: tuple[str | float, str] | None = None,
    ) -> KeyPage:
        """Return keys.

        Args:
            limit: how many.
            search: a part of the name, without regard to case, or the beginning of the id or of the key.
            states: which; none for all.
            order: by what.
            is_reversed: the other way round.
            after: the end of the page before; None for the first page.
        """
        now = self.database.clock()
        value, falls = _orders(now)[order]
        falls ^= is_reversed
        query = _joined([_keys.id, value.label("place")]).where(_is_found(search), _is_in(states, now))
        if after is not None:
            here, there = tuple_(value, _keys.id), tuple_(literal(after[0]), literal(after[1]))
            query = query.where(here < there if falls else here > there)
        parts = (value, _keys.id)
        query = query.order_by(*(part.desc() if falls else part.asc() for part in parts)).limit(limit + 1)
        async with self.database.read() as connection:
            found = (await connection.execute(query)).all()
        places = [(row.place, row.id) for row in found[:limit]]
        keys = await self.some([key_id for _, key_id in places])
        return KeyPage(keys, places[-1] if len(found) > limit else None)

    async def some(self, ids: Sequence[str]) -> list[ListedKey]:
        """Return keys by their ids, in this order; those that there are not are left out."""
        if not ids:
            return []
        async with self.database.read() as connection:

            async def rows(query: Select[Any]) -> Sequence[RowMapping]:
                return (await connection.execute(query)).mappings().all()

            keys = await rows(select(client_keys).where(_keys.id.in_(ids)))
            terms = await rows(select(key_terms).where(_terms.key_id.in_(ids)))
            former = await rows(select(former_keys).where(former_keys.c.key_id.in_(ids)))
            uses = await rows(select(key_use).where(_use.key_id.in_(ids)))
        return await asyncio.to_thread(_listed, ids, stored=(keys, terms, former), uses=uses)

    async def counts(self) -> dict[KeyState, int]:
        """Return how many keys there are of each state; one that expires soon is not among the active ones."""
        now = self.database.clock()
        numbers = {state: func.count(case((_state(state, now), 1))).label(state.value) for state in KeyState}
        async with self.database.read() as connection:
            row = (await connection.execute(_joined(list(numbers.values())))).mappings().one()
        return {state: row[state.value] for state in KeyState}

    async def nearest_to_budget(self, *, limit: int) -> list[ListedKey]:
        """Return the valid keys that have a budget, those first that have used up the largest share of one."""
        now = self.database.clock()
        shares = [_share(unit, period, now) for unit in UNITS for period in PERIODS]
        largest = shares[0]
        for share in shares[1:]:
            largest = case((share > largest, share), else_=largest)
        has_any = or_(*(_terms[f"{unit}_{period}"].is_not(None) for unit in UNITS for period in PERIODS))
        query = _joined([_keys.id]).where(has_any, _is_in((KeyState.ACTIVE, KeyState.EXPIRING), now))
        query = query.order_by(largest.desc(), _keys.id).limit(limit)
        async with self.database.read() as connection:
            ids = (await connection.execute(query)).scalars().all()
        return await self.some(ids)

    async def held(self, key_id: str) -> list[Held]:
        """Return what requests of a key that are under way hold of its limits; up to 100, the oldest first."""
        column = key_reservations.c
        query = select(column.id, column.at, column.tokens, column.nanousd)
        query = query.where(column.key_id == key_id, column.is_held).order_by(column.at, column.id)
        async with self.database.read() as connection:
            rows = (await connection.execute(query.limit(_MOST_HELD))).all()
        return [Held(*row) for row in rows]

    async def nanousd_by_day(self, ids: Sequence[str], since: int) -> dict[str, dict[int, int]]:
        """Return what keys' requests cost day by day, in 1e-9 USD.

        Args:
            ids: of the keys.
            since: when the first day begins, in Unix seconds.

        Returns:
            By key, by the begin of the day in UTC; days without requests are left out.
        """
        column = request_totals.c
        query = select(column.actor_id, column.start, func.sum(column.cost_nanousd))
        query = query.where(column.span == _DAY, column.start >= since, column.actor_id.in_(ids))
        found: dict[str, dict[int, int]] = {}
        async with self.database.read() as connection:
            for key_id, start, nanousd in await connection.execute(query.group_by(column.actor_id, column.start)):
                found.setdefault(key_id, {})[start] = int(nanousd)
        return found


def _joined(columns: Sequence[Any]) -> Select[Any]:
    """Select from keys, with their terms and use as far as they have any."""
    tables = client_keys.outerjoin(key_terms, _terms.key_id == _keys.id).outerjoin(
        key_use, _use.key_id == _keys.id
    )
    return select(*columns).select_from(tables)


def _orders(now: float) -> Mapping[KeyOrder, tuple[ColumnElement[Any], bool]]:
    """Return by what each order goes, and whether it falls."""
    return {
        KeyOrder.NEWEST: (_keys.created_at, True),
        KeyOrder.NAME: (func.lower(_keys.name), False),
        KeyOrder.LAST_USED: (func.coalesce(_use.last_used_at, 0.0), True),
        KeyOrder.MONTH: (_used("nanousd", "month", now), True),
    }


def _used(unit: str, period: str, now: float) -> ColumnElement[Any]:
    # What was used in a period that is over stays in the row until the key is used again.
    is_now = _use[f"{period}_start"] >= period_start(period, now)
    return case((is_now, _use[f"{period}_{unit}"]), else_=0)


def _share(unit: str, period: str, now: float) -> ColumnElement[Any]:
    budget = _terms[f"{unit}_{period}"]
    return func.coalesce(_used(unit, period, now) * 1.0 / func.nullif(budget, 0), 0.0)


def _is_found(search: str) -> ColumnElement[bool]:
    if not search:
        return true()
    plain = search.replace("/", "//").replace("%", "/%").replace("_", "/_")
    shown = visible_prefix(search)
    # Databases may know of the letters of ASCII alone which are the small ones.
    spellings = {_ascii_lower(one) for one in (plain, plain.lower(), plain.upper(), plain.capitalize())}
    return or_(
        *(func.lower(_keys.name).like(f"%{one}%", escape="/") for one in sorted(spellings)),
        _keys.id.like(f"{plain}%", escape="/"),
        # Somebody may have the whole key and wonder whose it is.
        func.substr(_keys.prefix, 1, len(shown)) == shown,
    )


def _ascii_lower(text: str) -> str:
    return "".join(one.lower() if one.isascii() else one for one in text)


def _is_in(states: Iterable[KeyState], now: float) -> ColumnElement[bool]:
    wanted = [_state(state, now) for state in states]
    return or_(false(), *wanted) if wanted else true()


def _state(state: KeyState, now: float) -> ColumnElement[bool]:
    if state is KeyState.REVOKED:
        return _keys.revoked_at.is_not(None)
    end, soon = _terms.expires_at, now + EXPIRING_SECONDS
    of_end: Callable[[], ColumnElement[bool]] = {
        KeyState.ACTIVE: lambda: or_(end.is_(None), end > soon),
        KeyState.EXPIRING: lambda: and_(end > now, end <= soon),
        KeyState.EXPIRED: lambda: end <= now,
    }[state]
    return and_(_keys.revoked_at.is_(None), of_end())


def _listed(
    ids: Sequence[str],
    *,
    stored: tuple[Sequence[RowMapping], Sequence[RowMapping], Sequence[RowMapping]],
    uses: Sequence[RowMapping],
) -> list[ListedKey]:
    keys = {key.id: key for key in stored_keys(*stored)}
    used = {row["key_id"]: use_of_row(row) for row in uses}
    return [ListedKey(keys[one], used.get(one) or KeyUse(one)) for one in ids if one in keys]
