"""`/api/v1/facets`: what requests can be told apart by, for whoever picks some."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.controlplane.access import Access
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.parts import Parts
from gateway.ledger.outcomes import OUTCOMES
from gateway.store.facet_queries import FacetQueries
from sse_fsm import VIOLATIONS

__all__ = ["ENDPOINTS"]

_MOST: Final = 500
"""Of each."""


class ActorFacet(msgspec.Struct, kw_only=True):
    """A key of a client."""

    id: str
    name: str


class Facets(msgspec.Struct, kw_only=True):
    """What is known of each, as long as requests that have it are kept. At most 500 of each.

    Providers, routes and stop reasons are those of the newest 3000 requests.
    """

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
    found = await FacetQueries(parts.database).read()
    actors = await parts.requests.actor_names()
    return Facets(
        providers=found.providers,
        accounts=found.accounts,
        actors=[ActorFacet(id=key_id, name=name) for key_id, name in list(actors.items())[:_MOST]],
        models=found.models,
        routes=found.routes,
        outcomes=list(OUTCOMES),
        stop_reasons=found.stop_reasons,
        codes=list(VIOLATIONS),
    )


ENDPOINTS: Final = (list_facets,)
