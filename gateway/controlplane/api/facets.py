"""`/api/v1/facets`: what requests can be told apart by, for whoever picks some."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.controlplane.access import Access
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.parts import Parts
from gateway.ledger.outcomes import OUTCOMES
from sse_fsm import VIOLATIONS

__all__ = ["ENDPOINTS"]

_DAY: Final = 86_400
_DAYS: Final = 31
_MOST: Final = 500
"""Of each."""


class ActorFacet(msgspec.Struct, kw_only=True):
    """A key of a client."""

    id: str
    name: str


class Facets(msgspec.Struct, kw_only=True):
    """What is known of each; names that are no longer used stay known for a month. At most 500 of each."""

    providers: list[str]
    accounts: list[str]
    actors: list[ActorFacet]
    models: list[str]
    routes: list[str]
    outcomes: list[str]
    stop_reasons: list[str]
    codes: list[str]
    """Of violations of the stream protocol."""


@endpoint("GET", "/api/v1/facets", access=Access.VIEWER, answer=Facets)
async def list_facets(parts: Parts, _call: Call) -> Facets:
    """List what requests can be told apart by: names of accounts, keys and models, and the like."""
    found = {name: await _seen(parts, name) for name in ("provider", "account", "model", "route", "stop_reason")}
    actors = await parts.requests.actor_names()
    return Facets(
        providers=sorted(found["provider"]),
        accounts=sorted({*found["account"], *await parts.requests.account_names()})[:_MOST],
        actors=[ActorFacet(id=key_id, name=name) for key_id, name in list(actors.items())[:_MOST]],
        models=sorted(found["model"]),
        routes=sorted(found["route"]),
        outcomes=list(OUTCOMES),
        stop_reasons=sorted(found["stop_reason"]),
        codes=list(VIOLATIONS),
    )


async def _seen(parts: Parts, name: str) -> set[str]:
    """Return what requests of the last month had, those that cost most first where there are many."""
    now = parts.database.clock()
    rows = await parts.requests.totals(
        _DAY, now - _DAYS * _DAY, now + _DAY, by=[name], most=_MOST, dearest_first=True
    )
    return {row[name] for row in rows} - {""}


ENDPOINTS: Final = (list_facets,)
