"""`/api/v1/violations`: the rules of the stream protocol."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.controlplane.access import Access
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.parts import Parts
from gateway.controlplane.violation_views import RuleView, find_rule, list_rules
from gateway.wire.errors import ApiError

__all__ = ["ENDPOINTS"]


class RuleList(msgspec.Struct, kw_only=True):
    """All rules, in the order in which an event is judged."""

    rules: list[RuleView]


@endpoint("GET", "/api/v1/violations", access=Access.VIEWER, answer=RuleList)
async def list_violations(_parts: Parts, _call: Call) -> RuleList:
    """Explain all rules of the stream protocol."""
    return RuleList(rules=list_rules())


@endpoint("GET", "/api/v1/violations/{code}", access=Access.VIEWER, answer=RuleView)
async def get_violation(_parts: Parts, call: Call) -> RuleView:
    """Explain a rule of the stream protocol by its code."""
    rule = find_rule(call.params["code"])
    if rule is None:
        raise ApiError(404, "No violation has this code; /api/v1/violations lists all that there are.")
    return rule


ENDPOINTS: Final = (list_violations, get_violation)
