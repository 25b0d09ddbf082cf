"""Which requests somebody wants to see, as a query says it."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from gateway.ledger.outcomes import Outcome
from gateway.store.request_queries import Cursor, RequestFilter

__all__ = ["PLACE", "RequestsQuery", "read_place", "request_filter", "write_place"]

_LATEST: Final = 1e11
PLACE: Final = r"^[0-9]{1,11}(\.[0-9]{1,12})?_[A-Za-z0-9_-]{1,100}$"
"""How a place in the list is written: the time of a request and its id."""

_Time = Annotated[float, msgspec.Meta(ge=0, le=_LATEST)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class RequestsQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which requests are meant; what is not said may be anything."""

    since: _Time | None = None
    until: _Time | None = None
    """Not included."""
    provider: _Name | None = None
    account: _Name | None = None
    """That served it."""
    tried: _Name | None = None
    """An account that was tried, whether it served or not."""
    actor: _Name | None = None
    """Name or id of a key."""
    model: _Name | None = None
    """As it was asked for or as it answered; `*` and `?` stand for any text and any character."""
    outcome: list[Outcome] = []
    """Any of them."""
    went_wrong: Annotated[bool, msgspec.Meta(description="Only what was not the client's doing.")] = False
    stop_reason: _Name | None = None
    session: _Name | None = None
    route: _Name | None = None
    status: Annotated[int, msgspec.Meta(ge=100, le=599)] | None = None
    code: _Name | None = None
    """Of a violation of the stream protocol."""


def request_filter(query: RequestsQuery) -> RequestFilter:
    """Return the filter that a query means."""
    return RequestFilter(
        since=query.since,
        until=query.until,
        provider=query.provider,
        account=query.account,
        tried=query.tried,
        actor=query.actor,
        model=query.model,
        outcomes=frozenset(query.outcome),
        went_wrong=query.went_wrong,
        stop_reason=query.stop_reason,
        session=query.session,
        route=query.route,
        status=query.status,
        code=query.code,
    )


def write_place(place: Cursor | None) -> str | None:
    """Return a place in the list as text; None for none."""
    if place is None:
        return None
    at = repr(place.at)
    # Of the first moments of 1970 Python writes an exponent.
    return f"{at if 'e' not in at else f'{place.at:.12f}'}_{place.id}"


def read_place(text: str | None) -> Cursor | None:
    """Return the place that a text of the form `PLACE` means; None for the beginning."""
    if text is None:
        return None
    at, _, request_id = text.partition("_")
    return Cursor(float(at), request_id)
