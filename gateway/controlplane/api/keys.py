"""`/api/v1/keys` and `/api/v1/budgets`: keys of clients, what they may do and what they have used."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.actors.keys import StoredKey
from gateway.actors.term_rules import LONGEST_NAME, checked_name
from gateway.actors.terms import KeyTerms
from gateway.actors.use import KeyUse
from gateway.controlplane.access import Access
from gateway.controlplane.changes import key_changed, key_created, key_revoked, key_rotated
from gateway.controlplane.endpoints import Call, answer_bytes, endpoint
from gateway.controlplane.key_views import (
    BudgetView,
    KeyView,
    Name,
    Terms,
    budgets_of,
    changes_of,
    views_of,
)
from gateway.controlplane.parts import Parts
from gateway.controlplane.usage_views import UsageGroup, usage_groups, usage_sums
from gateway.ledger.sums import DAY
from gateway.store.client_keys import KeyMeantError, changed_terms
from gateway.store.errors import StoreError
from gateway.store.key_lists import KeyLists, KeyOrder, KeyState, ListedKey
from gateway.store.request_queries import TotalsFilter
from gateway.wire.errors import ApiError

__all__ = ["ENDPOINTS"]

_SHOWN_DAYS: Final = 14
_USED_DAYS: Final = 30
_MOST_MODELS: Final = 50
_MOST_GRACE: Final = 30 * DAY
_GRACE: Final = 3_600.0

Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]


class KeysQuery(msgspec.Struct, kw_only=True):
    """Which keys."""

    search: Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)] = ""
    """A part of the name, or the beginning of the id or of the key."""
    state: list[KeyState] = []
    """None for all."""
    order: KeyOrder = KeyOrder.NEWEST
    reversed: bool = False
    """Whether it goes the other way round."""
    limit: Limit = 100
    after: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    """`after` of the page before."""


class KeyCounts(msgspec.Struct, kw_only=True):
    """How many keys there are of each state."""

    active: int
    """Without those that expire within a week."""
    expiring: int
    expired: int
    revoked: int


class KeyList(msgspec.Struct, kw_only=True):
    """Some keys."""

    keys: list[KeyView]
    after: str | None
    """Where the next page begins; null at the end."""
    counts: KeyCounts
    """Of all, whatever was searched for."""
    now: float
    """The database's clock, by which keys expire."""
    client_auth: str
    """`keys`: clients need one. `passthrough` or `off`: they do not, and keys open nothing."""
    base_url: str
    """Of the API that clients use, for programs of this machine."""
    is_local: bool
    """Whether only programs of this machine can reach it."""


class KeyDraft(Terms, kw_only=True):
    """A key that is to be made."""

    name: Name


class KeyChange(Terms, kw_only=True):
    """What is to change of a key; what is left out stays."""

    name: Name | msgspec.UnsetType = msgspec.UNSET


class MadeKey(msgspec.Struct, kw_only=True):
    """A key that was just made."""

    key: KeyView
    secret: str
    """The key itself. It is shown this once; the gateway keeps but a hash of it."""
    namesakes: list[str]
    """Ids of other valid keys that have the name too."""


class Rotation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How a key is to be replaced."""

    grace_seconds: Annotated[float, msgspec.Meta(ge=0, le=_MOST_GRACE)] = _GRACE
    """For how long the old one is valid too."""


class KeyDay(msgspec.Struct, kw_only=True):
    """What a key used on one day."""

    start: float
    """When the day begins in UTC, in Unix seconds."""
    requests: int
    errors: int
    tokens: int
    """Of prompts, cached or not, and answers."""
    cost_usd: float


class HeldView(msgspec.Struct, kw_only=True):
    """What a request that is under way may use."""

    request_id: str
    at: float
    tokens: int
    cost_usd: float


class KeyUsage(msgspec.Struct, kw_only=True):
    """What a key has used and is using."""

    key: KeyView
    budgets: list[BudgetView]
    days: list[KeyDay]
    """The last 30 in UTC, today last."""
    models: list[UsageGroup]
    """Of these days, those that cost most first; up to 50."""
    held: list[HeldView]
    """Requests of a key with limits that are under way, the oldest first; up to 100."""


class BudgetsQuery(msgspec.Struct, kw_only=True):
    """How many keys."""

    limit: Limit = 100


class BudgetList(msgspec.Struct, kw_only=True):
    """Budgets of valid keys, those first of which the largest share is used up."""

    budgets: list[BudgetView]
    has_more: bool
    """Whether more keys have budgets than the answer was to have."""
    now: float


@endpoint("GET", "/api/v1/keys", access=Access.VIEWER, query=KeysQuery, answer=KeyList)
async def list_keys(parts: Parts, call: Call) -> Any:
    """List client keys, with what they may do and have used."""
    query: KeysQuery = call.query
    lists = KeyLists(parts.database)
    page = await lists.page(
        limit=query.limit,
        search=query.search.strip(),
        states=query.state,
        order=query.order,
        is_reversed=query.reversed,
        after=None if query.after is None else _place(query.after, query.order),
    )
    counts = await lists.counts()
    now, settings = parts.database.clock(), parts.settings
    days = _days(now, _SHOWN_DAYS)
    costs = await lists.nanousd_by_day([each.key.id for each in page.keys], days[0])

    def work() -> bytes:
        by_day = {key_id: [of.get(day, 0) / 1e9 for day in days] for key_id, of in costs.items()}
        return msgspec.json.encode(
            KeyList(
                keys=views_of(page.keys, now, parts.secret_ids, by_day),
                after=None if page.after is None else _cursor(page.after),
                counts=KeyCounts(**{state.value: number for state, number in counts.items()}),
                now=now,
                client_auth=settings.client_auth.value,
                base_url=f"{parts.data_url()}/claude",
                is_local=settings.address.is_loopback,
            )
        )

    return answer_bytes(await asyncio.to_thread(work), "application/json")


@endpoint("POST", "/api/v1/keys", body=KeyDraft, answer=MadeKey, status=201)
async def create_key(parts: Parts, call: Call) -> MadeKey:
    """Make a client key.

    The answer has the key itself, this once. It may be used at once.
    """
    draft: KeyDraft = call.body
    name, terms = _name(draft.name), changed_terms(KeyTerms(), _changes(parts, draft))
    namesakes = await parts.client_keys.ids_of(name)

    async def note(connection: AsyncConnection, _before: StoredKey | None, made: StoredKey) -> None:
        await parts.audit.note(call.visitor, key_created(made), within=connection)

    stored, secret = await parts.client_keys.create(name, parts.pepper, terms, note)
    await _changed(parts)
    view = _shown(parts, ListedKey(stored, KeyUse(stored.id)))
    return MadeKey(key=view, secret=secret, namesakes=namesakes)


@endpoint("GET", "/api/v1/keys/{id}", access=Access.VIEWER, answer=KeyView)
async def get_key(parts: Parts, call: Call) -> KeyView:
    """Show one client key."""
    return await _view(parts, call.params["id"])


@endpoint("PATCH", "/api/v1/keys/{id}", body=KeyChange, answer=KeyView)
async def change_key(parts: Parts, call: Call) -> KeyView:
    """Change what a key may do, or its name.

    It holds for requests that come from now on; other processes learn of it within a second.
    """
    change: KeyChange = call.body
    changes = _changes(parts, change)
    name = None if change.name is msgspec.UNSET else _name(change.name)
    key = (await _listed(parts, call.params["id"])).key

    async def note(connection: AsyncConnection, before: StoredKey | None, after: StoredKey) -> None:
        await parts.audit.note(call.visitor, key_changed(before or key, after), within=connection)

    try:
        await parts.client_keys.change_terms(key.id, changes, name=name, is_id=True, also=note)
    except KeyMeantError:
        raise _gone() from None
    await _changed(parts)
    return await _view(parts, key.id)


@endpoint("POST", "/api/v1/keys/{id}/rotate", body=Rotation, answer=MadeKey, status=201)
async def rotate_key(parts: Parts, call: Call) -> MadeKey:
    """Put a new key in the place of one.

    Its id, limits and use stay. The old one is valid for a while yet, so that clients can be changed one by one.
    """
    rotation: Rotation = call.body
    listed, grace = await _listed(parts, call.params["id"]), rotation.grace_seconds

    async def note(connection: AsyncConnection, before: StoredKey | None, after: StoredKey) -> None:
        await parts.audit.note(call.visitor, key_rotated(before or listed.key, after, grace), within=connection)

    try:
        stored, secret = await parts.client_keys.rotate(listed.key.id, parts.pepper, grace, is_id=True, also=note)
    except KeyMeantError:
        raise _gone() from None
    await _changed(parts)
    # The key is shown this once, whatever becomes of the database from here on.
    with suppress(StoreError):
        listed = await _listed(parts, stored.id)
    return MadeKey(key=_shown(parts, listed), secret=secret, namesakes=[])


@endpoint("DELETE", "/api/v1/keys/{id}")
async def revoke_key(parts: Parts, call: Call) -> None:
    """Revoke a client key, for good.

    Requests with it are refused from now on; those under way come to their end. To revoke one again does nothing.
    """
    key = (await _listed(parts, call.params["id"])).key

    async def note(connection: AsyncConnection, _before: StoredKey | None, after: StoredKey) -> None:
        await parts.audit.note(call.visitor, key_revoked(after), within=connection)

    if await parts.client_keys.revoke(key.id, is_id=True, also=note):
        await _changed(parts)


@endpoint("GET", "/api/v1/keys/{id}/usage", access=Access.VIEWER, answer=KeyUsage)
async def get_key_usage(parts: Parts, call: Call) -> KeyUsage:
    """Tell what a key used day by day and by model, how its budgets stand, and which of its requests run."""
    listed = await _listed(parts, call.params["id"])
    key_id, now = listed.key.id, parts.database.clock()
    days, wanted = _days(now, _USED_DAYS), TotalsFilter(actor_id=key_id)
    span = (DAY, float(days[0]), now + 1)
    by_day = {row["start"]: row for row in await parts.requests.totals(*span, by=["start"], wanted=wanted)}
    models = await parts.requests.totals(*span, by=["model"], wanted=wanted, most=_MOST_MODELS, dearest_first=True)
    held = await KeyLists(parts.database).held(key_id)
    return KeyUsage(
        key=_shown(parts, listed),
        budgets=budgets_of(listed, now),
        days=[_day(start, by_day.get(start)) for start in days],
        models=usage_groups(models, ["model"], {}, parts.prices, now),
        held=[
            HeldView(request_id=one.request_id, at=one.at, tokens=one.tokens, cost_usd=one.nanousd / 1e9)
            for one in held
        ],
    )


@endpoint("GET", "/api/v1/budgets", access=Access.VIEWER, query=BudgetsQuery, answer=BudgetList)
async def list_budgets(parts: Parts, call: Call) -> Any:
    """Tell how the budgets of keys stand, and where they are heading."""
    query: BudgetsQuery = call.query
    listed = await KeyLists(parts.database).nearest_to_budget(limit=query.limit + 1)
    now = parts.database.clock()

    def work() -> bytes:
        budgets = [budget for each in listed[: query.limit] for budget in budgets_of(each, now)]
        budgets.sort(key=lambda one: -one.used / one.limit if one.limit else 0.0)
        return msgspec.json.encode(BudgetList(budgets=budgets, has_more=len(listed) > query.limit, now=now))

    return answer_bytes(await asyncio.to_thread(work), "application/json")


def _name(text: str) -> str:
    try:
        return checked_name(text)
    except ValueError as error:
        raise ApiError(400, f"The name {error}.") from None


def _changes(parts: Parts, terms: Terms) -> dict[str, Any]:
    try:
        return changes_of(terms, parts.database.clock())
    except ValueError as error:
        raise ApiError(400, str(error)) from None


async def _listed(parts: Parts, key_id: str) -> ListedKey:
    for listed in await KeyLists(parts.database).some([key_id]):
        return listed
    raise ApiError(404, "There is no key with this id.")


async def _view(parts: Parts, key_id: str) -> KeyView:
    return _shown(parts, await _listed(parts, key_id))


def _shown(parts: Parts, listed: ListedKey) -> KeyView:
    return views_of([listed], parts.database.clock(), parts.secret_ids)[0]


def _gone() -> ApiError:
    return ApiError(409, "This key was revoked; make another one.")


async def _changed(parts: Parts) -> None:
    """Let this process know of a change at once, and tell all viewers."""
    with suppress(StoreError):
        # What was changed is in the database; if it cannot be read now, it is as soon as it can be.
        await parts.take_over_keys()
    parts.live.changed("keys")


def _days(now: float, number: int) -> list[int]:
    """Return when the last days began in UTC, today last."""
    today = int(now // DAY) * DAY
    return [today - ago * DAY for ago in range(number - 1, -1, -1)]


def _day(start: int, row: Any) -> KeyDay:
    if row is None:
        return KeyDay(start=start, requests=0, errors=0, tokens=0, cost_usd=0.0)
    sums = usage_sums(row)
    tokens = sums.input_tokens + sums.cache_write_tokens + sums.cache_read_tokens + sums.output_tokens
    return KeyDay(start=start, requests=sums.requests, errors=sums.errors, tokens=tokens, cost_usd=sums.cost_usd)


def _cursor(place: Sequence[str | float]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _place(cursor: str, order: KeyOrder) -> tuple[str | float, str]:
    try:
        value, key_id = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=tuple[str | float, str])
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise ApiError(400, "`after` is none that an answer had.") from None
    is_text = order in {KeyOrder.NEWEST, KeyOrder.NAME}
    if is_text is not isinstance(value, str) or "\0" in key_id or (is_text and "\0" in str(value)):
        raise ApiError(400, "`after` is of a list in another order.")
    return value, key_id


ENDPOINTS: Final = (
    list_keys,
    create_key,
    get_key,
    change_key,
    rotate_key,
    revoke_key,
    get_key_usage,
    list_budgets,
)
