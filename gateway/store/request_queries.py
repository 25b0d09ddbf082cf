"""Reading the records of requests: by page, by sums, one by one.

No answer looks at more rows than it shows, but for a filter that no index has: then it looks at a bounded number,
and says where to go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from attrs import asdict, define, evolve
from sqlalchemy import (
    ColumnElement,
    FromClause,
    RowMapping,
    Select,
    Table,
    and_,
    case,
    func,
    literal,
    not_,
    or_,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.ledger.outcomes import BROKEN, REFUSALS
from gateway.ledger.row import RequestRow
from gateway.ledger.totals import SUMS
from gateway.store.engine import Database
from gateway.store.former_names import AccountNames, by_present_name
from gateway.store.request_rows import EARLIEST, LATEST, read_rows
from gateway.store.tables import (
    accounts,
    client_keys,
    request_latencies,
    request_timelines,
    request_totals,
    requests,
)

__all__ = [
    "ERRORS",
    "MOST_GROUPS",
    "Count",
    "Cursor",
    "Page",
    "RequestFilter",
    "RequestQueries",
    "TotalsFilter",
    "is_pattern",
]

_LOOKED_AT: Final = 5_000
"""Rows that are looked at for one page, where no index has the filter."""
_COUNTED: Final = 10_000
_MOST_ACTORS: Final = 50
"""Keys of one name, the revoked ones too."""
MOST_GROUPS: Final = 10_000
"""Most groups of sums in one answer."""
_MANY: Final = 500
"""Rows that are looked at apart from the event loop."""
_NAMES: Final = 1000
"""Most names of actors or accounts that are looked up at a time."""
ERRORS: Final = (*BROKEN, "refused")
"""Outcomes that count as errors in sums, which know of no status: what broke, and what the upstream refused."""
_COLUMNS: Final = tuple(column for column in requests.columns if column.name != "summed")


@define(frozen=True)
class Cursor:
    """A place in the list of requests, the newest first: behind the request with this time and id."""

    at: float
    id: str


@define(frozen=True, kw_only=True)
class RequestFilter:
    """Which requests are meant; None or nothing for any."""

    since: float | None = None
    """Unix seconds; and so is the next one, which is not included."""
    until: float | None = None
    provider: str | None = None
    account: str | None = None
    """That served it."""
    tried: str | None = None
    """An account that was tried, whether it served or not."""
    actor: str | None = None
    """Name or id of an actor."""
    model: str | None = None
    """As it was asked for, or as it answered; `*` and `?` stand for any text and any character."""
    outcomes: frozenset[str] = frozenset()
    went_wrong: bool = False
    """Only what was not the client's doing: `truncated`, `violation`, `upstream_error`, `failed`; `refused` with
    429, 500 or above; `rejected` with 500 or above; and either of them behind the head of a stream."""
    stop_reason: str | None = None
    session: str | None = None
    route: str | None = None
    status: int | None = None
    code: str | None = None
    """Of a violation."""


@define(frozen=True)
class Page:
    """Some requests, the newest first."""

    rows: Sequence[RequestRow]
    after: Cursor | None
    """Where the next page begins; None at the end. A page may have fewer rows than asked for, or none, and still
    not be the last."""


@define(frozen=True)
class Count:
    """How many requests there are."""

    number: int
    is_exact: bool
    """Otherwise there are at least so many."""


@define(frozen=True, kw_only=True)
class TotalsFilter:
    """Which sums are meant; None for any, a set for any of its members."""

    provider: str | frozenset[str] | None = None
    route: str | frozenset[str] | None = None
    account: str | frozenset[str] | None = None
    actor_id: str | frozenset[str] | None = None
    model: str | frozenset[str] | None = None
    """In one that is no set, `*` and `?` stand for any text and any character."""
    outcome: str | frozenset[str] | None = None
    stop_reason: str | frozenset[str] | None = None


_Condition = Callable[[Any], ColumnElement[bool]]
"""Made from the columns of the table, or from those of a part of it."""


@define(frozen=True)
class _Way:
    """One way through an index, on which the rows come in order; several of them together are a filter."""

    index: str
    condition: _Condition | None = None
    """What the index knows."""
    rest: Sequence[_Condition] = ()
    """What it does not."""


@define
class RequestQueries:
    """Reads the table `requests` and its sums. Every method raises `StoreError` if the database cannot be used."""

    database: Database

    async def page(self, wanted: RequestFilter, *, limit: int, after: Cursor | None = None) -> Page:
        """Return the newest requests that a filter takes, behind a place in the list."""
        found: dict[str, RowMapping] = {}
        bounds: list[Cursor] = []
        async with self.database.read() as connection:
            for way in await _ways(connection, wanted):
                looked_at = _looked_at(way, wanted, after, most=_LOOKED_AT if way.rest else limit)
                query = select(looked_at).where(*(condition(looked_at.c) for condition in way.rest))
                rows = (await connection.execute(_newest_first(query, looked_at.c).limit(limit))).mappings().all()
                found |= {row["id"]: row for row in rows}
                if len(rows) == limit:
                    bounds.append(Cursor(rows[-1]["at"], rows[-1]["id"]))
                elif way.rest:
                    last = _newest_first(select(looked_at.c.at, looked_at.c.id), looked_at.c)
                    place = (await connection.execute(last.offset(_LOOKED_AT - 1).limit(1))).first()
                    if place is not None:
                        bounds.append(Cursor(place.at, place.id))
        # Hundreds of rows take long enough for streams to notice.
        return await asyncio.to_thread(_page, found.values(), bounds, limit)

    async def count(self, wanted: RequestFilter) -> Count:
        """Return how many requests a filter takes, up to a bound."""
        number = 0
        is_exact = True
        before: list[_Condition] = []
        async with self.database.read() as connection:
            for way in await _ways(connection, wanted):
                most = _LOOKED_AT if way.rest else _COUNTED
                looked_at = _looked_at(way, wanted, None, most=most)
                taken = func.count()
                if way.rest or before:
                    # What an earlier way has led to is counted already.
                    others = (condition(looked_at.c).is_not(true()) for condition in before)
                    taken = taken.filter(*(condition(looked_at.c) for condition in way.rest), *others)
                if way.condition is not None:
                    before.append(way.condition)
                query = select(func.count(), taken).select_from(looked_at)
                seen, matched = (await connection.execute(query)).one()
                number += matched
                is_exact &= seen < most
        return Count(number, is_exact)

    async def wrong_by_span(
        self, span: int, since: int, spans: int, *, provider: str | None = None
    ) -> dict[str, list[int]]:
        """Return how many requests went wrong in each of some spans of time, by provider; empty for none.

        Only those that are in the sums count, so that the two fit together.

        Args:
            span: seconds.
            since: Unix seconds, where the first span begins.
            spans: how many there are.
            provider: whose requests count; None for all.
        """
        wanted = RequestFilter(since=since, until=since + span * spans, provider=provider, went_wrong=True)
        found: dict[str, list[int]] = {}
        async with self.database.read() as connection:
            for way in await _ways(connection, wanted):
                part = _looked_at(evolve(way, condition=partial(_summed, way)), wanted, None, most=_COUNTED)
                begins = [since + span * number for number in range(spans)]
                counts = [
                    func.count().filter(part.c.at >= begin, part.c.at < begin + span).label(f"n{number}")
                    for number, begin in enumerate(begins)
                ]
                query = select(part.c.provider, *counts).where(*(condition(part.c) for condition in way.rest))
                for name, *numbers in (await connection.execute(query.group_by(part.c.provider))).all():
                    known = found.setdefault(name or "", [0] * spans)
                    found[name or ""] = [one + more for one, more in zip(known, numbers, strict=True)]
        return found

    async def get(self, request_id: str) -> RequestRow | None:
        """Return a request by its id, or by the one that the upstream gave it; None if there is none."""
        async with self.database.read() as connection:
            for column in (requests.c.id, requests.c.upstream_request_id):
                query = select(*_COLUMNS).where(column == request_id)
                if column is requests.c.upstream_request_id:
                    # In these words the partial index is known.
                    query = query.where(column.is_not(None)).order_by(requests.c.at.desc())
                row = (await connection.execute(query.limit(1))).mappings().first()
                if row is not None:
                    return read_rows([row])[0]
        return None

    async def ended_since(self, wanted: RequestFilter, since: float, *, most: int) -> dict[str, float]:
        """Return the ids of requests that ended at a time or later, and when each did, the last ones first.

        Args:
            wanted: which of them.
            since: Unix seconds.
            most: how many, at the most.
        """
        column = requests.c
        found: dict[str, float] = {}
        async with self.database.read() as connection:
            conditions = _conditions(wanted, *await _meant(connection, wanted))
            query = select(column.id, column.ended_at).where(column.ended_at.between(since, LATEST))
            query = query.where(*(condition(column) for condition in conditions.values()))
            if wanted.since is not None:
                query = query.where(column.at >= wanted.since)
            query = query.order_by(column.ended_at.desc()).limit(most)
            # Without statistics SQLite has little to choose an index by.
            query = query.with_hint(requests, "INDEXED BY ix_requests_ended_at", "sqlite")
            for part in (await connection.execute(query)).partitions(_MANY):
                found.update((row.id, row.ended_at) for row in part)
                await asyncio.sleep(0)
        return found

    async def by_ids(self, ids: Sequence[str]) -> list[RequestRow]:
        """Return the requests that there are of some, in no order; up to 1000 ids."""
        async with self.database.read() as connection:
            query = select(*_COLUMNS).where(requests.c.id.in_(ids))
            rows = (await connection.execute(query)).mappings().all()
        return await asyncio.to_thread(read_rows, rows)

    async def timeline(self, request_id: str) -> bytes | None:
        """Return the timeline of a request, by the gateway's id; None if none was kept."""
        query = select(request_timelines.c.timeline).where(request_timelines.c.id == request_id)
        async with self.database.read() as connection:
            kept = (await connection.execute(query)).scalar_one_or_none()
        # Something else than bytes is as little of a timeline as none of them.
        return kept if kept is None or isinstance(kept, bytes) else b""

    async def totals(
        self,
        span: int,
        since: float,
        until: float,
        *,
        by: Sequence[str] = (),
        wanted: TotalsFilter | None = None,
        most: int = MOST_GROUPS,
        dearest_first: bool = False,
    ) -> list[dict[str, Any]]:
        """Return sums of requests by whole spans of time.

        Args:
            span: 300, 3600 or 86400 seconds.
            since: Unix seconds; the span that this lies in is the first.
            until: Unix seconds; the span that this lies in is the last, unless it begins there.
            by: what to group by: `start`, or fields of `TotalsFilter`.
            wanted: which are summed.
            most: groups in the answer.
            dearest_first: those that cost most come first, rather than the first ones.

        Returns:
            A mapping for each group, of what it is grouped by, of all sums and of `errors`, which are the requests
            that ended with one of `ERRORS`.
        """
        table = request_totals
        wrong = case((table.c.outcome.in_(ERRORS), table.c.requests), else_=0)
        sums = {name: func.coalesce(func.sum(table.c[name]), 0) for name in SUMS}
        sums["errors"] = func.coalesce(func.sum(wrong), 0)
        order = [sums["cost_nanousd"].desc(), sums["requests"].desc()] if dearest_first else []
        async with self.database.read() as connection:
            source, groups = await _groups(connection, table, by)
            query = select(*groups, *(column.label(name) for name, column in sums.items())).select_from(source)
            query = query.where(table.c.span == span, *_during(table.c.start, span, since, until))
            query = query.where(*await _equal(connection, table.c, wanted))
            query = query.group_by(*groups).order_by(*order, *groups).limit(most)
            rows = (await connection.execute(query)).mappings().all()
        return await asyncio.to_thread(_as_sums, rows) if len(rows) > _MANY else _as_sums(rows)

    async def latencies(
        self,
        measure: str,
        span: int,
        since: float,
        until: float,
        *,
        by: Sequence[str] = (),
        wanted: TotalsFilter | None = None,
    ) -> dict[tuple[Any, ...], dict[int, int]]:
        """Return histograms of how long requests took; `gateway.ledger.totals.percentile` reads them.

        Args:
            measure: `first_content`, `gap` or `duration`.
            span: as in `totals`, and so are the next ones.
            since: as there.
            until: as there.
            by: what to group by: `start`, `provider`, `model`, `account`.
            wanted: which are counted; only these three fields of it.

        Returns:
            By group, how many requests are in each bucket.
        """
        table = request_latencies
        found: dict[tuple[Any, ...], dict[int, int]] = {}
        async with self.database.read() as connection:
            source, groups = await _groups(connection, table, by)
            query = select(*groups, table.c.bucket, func.sum(table.c.requests).label("number")).select_from(source)
            query = query.where(table.c.span == span, *_during(table.c.start, span, since, until))
            query = query.where(table.c.measure == measure, *await _equal(connection, table.c, wanted))
            query = query.group_by(*groups, table.c.bucket).order_by(*groups, table.c.bucket)
            for *group, bucket, number in (await connection.execute(query)).all():
                found.setdefault(tuple(group), {})[bucket] = int(number)
        return found

    async def unsummed(self) -> Count:
        """Return how many requests are in no sum yet, up to a bound."""
        # In these words the partial index is known.
        some = select(requests.c.id).where(text("requests.summed = false")).limit(_COUNTED).subquery()
        async with self.database.read() as connection:
            number = (await connection.execute(select(func.count()).select_from(some))).scalar_one()
        return Count(number, number < _COUNTED)

    async def actor_ids(self, actor: str) -> Sequence[str]:
        """Return the ids of those keys, the revoked ones too, whose name or id this is; up to 50."""
        async with self.database.read() as connection:
            return await _actor_ids(connection, actor)

    async def account_names(self) -> Sequence[str]:
        """Return the names of the upstream accounts that there are; up to 1000."""
        async with self.database.read() as connection:
            return (await connection.execute(select(accounts.c.name).limit(_NAMES))).scalars().all()

    async def actor_names(self, ids: Collection[str] | None = None) -> dict[str, str]:
        """Return the names of keys by their ids, the revoked ones too.

        Args:
            ids: of which; None for any, up to 1000, the newest first.
        """
        query = select(client_keys.c.id, client_keys.c.name).order_by(client_keys.c.created_at.desc())
        queries = [query.limit(_NAMES)]
        if ids is not None:
            ordered = sorted(ids)
            parts = (ordered[at : at + _NAMES] for at in range(0, len(ordered), _NAMES))
            queries = [query.where(client_keys.c.id.in_(part)) for part in parts]
        found: dict[str, str] = {}
        async with self.database.read() as connection:
            for each in queries:
                found |= {row.id: row.name for row in (await connection.execute(each)).all()}
        return found


def _as_sums(rows: Iterable[RowMapping]) -> list[dict[str, Any]]:
    # PostgreSQL adds whole numbers up to decimals.
    return [{**row, **{name: int(row[name]) for name in (*SUMS, "errors")}} for row in rows]


def is_pattern(model: str) -> bool:
    """Return whether a model's name in a filter stands for several."""
    return "*" in model or "?" in model


def _page(rows: Iterable[RowMapping], bounds: Iterable[Cursor], limit: int) -> Page:
    """Return the newest of rows that several ways have found, each as far as one of the bounds."""
    # What lies beyond the nearest of these places not every way has looked at yet.
    bound = max(bounds, key=_place, default=None)
    ordered = read_rows(rows)
    ordered.sort(key=_place, reverse=True)
    if bound is not None:
        ordered = [row for row in ordered if _place(row) >= _place(bound)]
    if len(ordered) > limit:
        ordered = ordered[:limit]
        bound = Cursor(ordered[-1].at, ordered[-1].id)
    return Page(ordered, bound)


def _place(thing: RequestRow | Cursor) -> tuple[float, str]:
    return thing.at, thing.id


def _newest_first(query: Select[Any], columns: Any) -> Select[Any]:
    return query.order_by(columns.at.desc(), columns.id.desc())


def _looked_at(way: _Way, wanted: RequestFilter, after: Cursor | None, *, most: int) -> Any:
    """Return the newest rows on a way, as a part of the table."""
    column = requests.c
    query: Any = select(*_COLUMNS)
    if way.condition is not None:
        query = query.where(way.condition(column))
    # One bound on each side: of two SQLite may follow the wider one.
    query = query.where(column.at >= (EARLIEST if wanted.since is None else wanted.since))
    until = LATEST if wanted.until is None else wanted.until
    if after is None or until <= after.at:
        query = query.where(column.at < until)
    else:
        query = query.where(tuple_(column.at, column.id) < tuple_(literal(after.at), literal(after.id)))
    # Without statistics SQLite has little to choose an index by.
    hint = f"INDEXED BY {way.index}"
    return _newest_first(query, column).limit(most).with_hint(requests, hint, "sqlite").subquery()


async def _meant(connection: AsyncConnection, wanted: RequestFilter) -> tuple[Sequence[str], AccountNames]:
    """Return the keys and the accounts that a filter names."""
    actors = await _actor_ids(connection, wanted.actor) if wanted.actor is not None else []
    return actors, await AccountNames.read(connection, {name for name in (wanted.account, wanted.tried) if name})


async def _ways(connection: AsyncConnection, wanted: RequestFilter) -> list[_Way]:
    """Return ways that together lead to all that is wanted, by the index that knows most of it."""
    actors, names = await _meant(connection, wanted)
    rest = _conditions(wanted, actors, names)

    def ways(name: str, *branches: tuple[str, _Condition]) -> list[_Way]:
        others = [condition for other, condition in rest.items() if other != name]
        return [_Way(index, condition, others) for index, condition in branches]

    if wanted.session is not None:
        return ways("session", ("ix_requests_session_at_id", rest["session"]))
    if wanted.went_wrong or (wanted.outcomes and "complete" not in wanted.outcomes):
        return _ways_by_outcome(wanted, rest)
    if actors:
        return ways(
            "actor", *(("ix_requests_actor_id_at_id", _equals("actor_id", actor)) for actor in sorted(actors))
        )
    if wanted.account is not None:
        branches = (partial(names.is_in, part) for part in names.parts(wanted.account))
        return ways("account", *(("ix_requests_account_at_id", branch) for branch in branches))
    if wanted.model is not None and not is_pattern(wanted.model):
        return ways(
            "model",
            ("ix_requests_model_at_id", _equals("model", wanted.model)),
            ("ix_requests_model_served_at_id", _equals("model_served", wanted.model)),
        )
    return [_Way("ix_requests_at_id", rest=list(rest.values()))]


def _ways_by_outcome(wanted: RequestFilter, rest: Mapping[str, _Condition]) -> list[_Way]:
    others = [condition for name, condition in rest.items() if name not in {"outcomes", "went_wrong"}]
    outcomes = wanted.outcomes or {*BROKEN, *REFUSALS}
    if not wanted.went_wrong:
        also: dict[str, list[_Condition]] = {}
    else:
        outcomes = outcomes & {*BROKEN, *REFUSALS}
        also = {outcome: [partial(_is_serious, statuses)] for outcome, statuses in REFUSALS.items()}
    return [
        _Way("ix_requests_outcome_at_id", partial(_incomplete, outcome), [*also.get(outcome, ()), *others])
        for outcome in sorted(outcomes)
    ]


async def _actor_ids(connection: AsyncConnection, actor: str) -> Sequence[str]:
    query = select(client_keys.c.id).where(or_(client_keys.c.id == actor, client_keys.c.name == actor))
    return (await connection.execute(query.limit(_MOST_ACTORS))).scalars().all()


def _conditions(wanted: RequestFilter, actors: Sequence[str], names: AccountNames) -> dict[str, _Condition]:
    found: dict[str, _Condition] = {}
    of_accounts = {"account": names.of_requests, "tried": names.of_attempts}
    for name in ("provider", "account", "tried", "stop_reason", "session", "route", "status", "code"):
        if (value := getattr(wanted, name)) is not None:
            found[name] = partial(of_accounts[name], name=value) if name in of_accounts else _equals(name, value)
    if actors:
        found["actor"] = lambda column: column.actor_id.in_(actors)
    elif wanted.actor is not None:
        found["actor"] = lambda column: or_(column.actor_id == wanted.actor, column.actor == wanted.actor)
    if (model := wanted.model) is not None:
        found["model"] = lambda column: or_(_is_model(column.model, model), _is_model(column.model_served, model))
    if wanted.outcomes:
        found["outcomes"] = lambda column: column.outcome.in_(sorted(wanted.outcomes))
    if wanted.went_wrong:
        found["went_wrong"] = _went_wrong
    return found


def _went_wrong(column: Any) -> ColumnElement[bool]:
    refused = (and_(column.outcome == outcome, _is_serious(also, column)) for outcome, also in REFUSALS.items())
    return or_(column.outcome.in_(BROKEN), *refused)


def _is_serious(also: Sequence[int], column: Any) -> ColumnElement[bool]:
    # A status below 400 is that of a stream whose head had left before it was refused.
    return func.coalesce(or_(not_(column.status.between(400, 499)), column.status.in_(also)), true())


def _is_model(column: ColumnElement[str], model: str) -> ColumnElement[bool]:
    if not is_pattern(model):
        return column == model
    # As with the models of keys, case does not matter.
    plain = model.lower().replace("/", "//").replace("%", "/%").replace("_", "/_")
    return func.lower(column).like(plain.replace("*", "%").replace("?", "_"), escape="/")


def _equals(name: str, value: object) -> _Condition:
    return lambda column: column[name] == value


def _incomplete(outcome: str, column: Any) -> ColumnElement[bool]:
    # The second half is what a partial index is known by.
    return and_(column.outcome == outcome, column.outcome != literal("complete", literal_execute=True))


def _summed(way: _Way, column: Any) -> ColumnElement[bool]:
    return and_(column.summed.is_(True), *([way.condition(column)] if way.condition is not None else []))


def _during(start: ColumnElement[int], span: int, since: float, until: float) -> list[ColumnElement[bool]]:
    return [start >= int(since // span) * span, start < until]


async def _groups(
    connection: AsyncConnection, table: Table, by: Sequence[str]
) -> tuple[FromClause, list[ColumnElement[Any]]]:
    """Return a table of sums to select from, and what to group by in it."""
    if "account" not in by:
        return table, [table.c[name] for name in by]
    source, account = await by_present_name(connection, table)
    return source, [account if name == "account" else table.c[name] for name in by]


async def _equal(
    connection: AsyncConnection, columns: Any, wanted: TotalsFilter | None
) -> list[ColumnElement[bool]]:
    if wanted is None:
        return []
    given = {name: value for name, value in asdict(wanted).items() if value is not None}
    found: list[ColumnElement[bool]] = []
    if (account := given.pop("account", None)) is not None:
        asked = {account} if isinstance(account, str) else account
        names = await AccountNames.read(connection, asked)
        plain = sorted(set(asked).difference(names.renamed()))
        found.append(or_(columns.account.in_(plain), *(names.of_sums(columns, name) for name in names.renamed())))
    return [*found, *(_is(columns[name], value) for name, value in given.items())]


def _is(column: ColumnElement[str], value: str | frozenset[str]) -> ColumnElement[bool]:
    if not isinstance(value, str):
        return column.in_(sorted(value))
    return _is_model(column, value) if column.name == "model" else column == value
