"""`/api/v1/audit`: who changed what."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final

import msgspec

from gateway.controlplane.access import Access
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.parts import Parts
from gateway.store.audit_log import AuditEntry, AuditFilter
from gateway.wire.errors import ApiError

__all__ = ["ENDPOINTS"]

_Word = Annotated[str, msgspec.Meta(max_length=200)]
_Action = Annotated[
    str, msgspec.Meta(max_length=200, description="One, such as `account.pause`, or a group, such as `account`.")
]
_Time = Annotated[float, msgspec.Meta(ge=0, le=1e11, description="Unix seconds.")]


class AuditQuery(msgspec.Struct, kw_only=True):
    """Which entries are asked for."""

    who: _Word | None = None
    action: (
        Annotated[str, msgspec.Meta(max_length=200, description="Such as `account.pause`, or `account`.")] | None
    ) = None
    target: _Word | None = None
    since: _Time | None = None
    until: _Time | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    after: Annotated[str, msgspec.Meta(max_length=100, description="`next` of the page before.")] | None = None


class AuditView(msgspec.Struct, kw_only=True):
    """One change."""

    id: str
    at: float
    who: str
    """Empty for nobody who is known."""
    how: str
    """How they had signed in: `password`, `link`, `token` or `header`; or `command`."""
    address: str
    action: str
    target: str
    before: Any
    """What it was like, without secrets; None for nothing that changed."""
    after: Any


class AuditPage(msgspec.Struct, kw_only=True):
    """Changes, the newest first. They are kept for 400 days, failed sign-ins for 90."""

    entries: list[AuditView]
    next: str | None
    """To ask for the next page with; None on the last one."""


@endpoint("GET", "/api/v1/audit", access=Access.VIEWER, query=AuditQuery, answer=AuditPage)
async def list_audit(parts: Parts, call: Call) -> AuditPage:
    """List what people changed, and who signed in or could not.

    Failed sign-ins, `session.refused`, are counted: there is one entry an hour for each name and address, whose
    `after` says how many `times` and when `last`.
    """
    query: AuditQuery = call.query
    wanted = AuditFilter(
        who=query.who, action=query.action, target=query.target, since=query.since, until=query.until
    )
    found = await parts.desk.entries.page(wanted, query.limit + 1, _place(query.after))
    shown = found[: query.limit]
    more = f"{shown[-1].at!r}:{shown[-1].id}" if len(found) > len(shown) else None
    return AuditPage(entries=[_view(entry) for entry in shown], next=more)


def _place(text: str | None) -> tuple[float, str] | None:
    if text is None:
        return None
    at, colon, entry_id = text.partition(":")
    try:
        place = float(at), entry_id
    except ValueError:
        place = math.nan, ""
    if not colon or not math.isfinite(place[0]) or not entry_id.isascii() or not entry_id.isprintable():
        raise ApiError(400, "`after` must be the `next` of another page.")
    return place


def _view(entry: AuditEntry) -> AuditView:
    before, after = entry.states()
    return AuditView(
        id=entry.id,
        at=entry.at,
        who=entry.who,
        how=entry.how,
        address=entry.address,
        action=entry.action,
        target=entry.target,
        before=before,
        after=after,
    )


ENDPOINTS: Final = (list_audit,)
