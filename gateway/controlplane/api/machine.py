"""`/api/v1/machine`: the state machine that every stream is judged by, and which of its rules were broken."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from gateway.controlplane.access import Access
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.parts import Parts
from gateway.controlplane.violation_views import RuleView, list_rules
from gateway.store.violation_queries import ViolationQueries
from sse_fsm.diagram import MEANINGS, moves_from, refusals_in
from sse_fsm.machine import TRANSITIONS, State

__all__ = ["ENDPOINTS"]

_EXAMPLES: Final = 5
_DAY: Final = 86_400.0


class StateView(msgspec.Struct, kw_only=True):
    """A state of the machine."""

    name: str
    meaning: str
    """In a sentence; names of events stand between backquotes."""
    is_end: bool
    """Whether a stream that is here has come to its end."""


class EdgeView(msgspec.Struct, kw_only=True):
    """A way from a state to the next one, which may be the same."""

    source: str
    target: str
    events: list[str]
    """That lead there; `unknown` is any that the protocol does not know yet."""


class RefusalView(msgspec.Struct, kw_only=True):
    """A rule that events break which come in a state."""

    state: str
    code: str
    events: list[str]


class MachineView(msgspec.Struct, kw_only=True):
    """The machine: what may come when, and what is a violation."""

    states: list[StateView]
    edges: list[EdgeView]
    refusals: list[RefusalView]
    """By where an event came. Rules on what is inside of events are `rules` too, and may be broken anywhere."""
    rules: list[RuleView]


class BrokenBy(msgspec.Struct, kw_only=True):
    """A request whose stream broke a rule."""

    id: str
    at: float
    provider: str
    account: str | None
    model: str | None


class BrokenRule(msgspec.Struct, kw_only=True):
    """A rule that was broken."""

    code: str
    rule: RuleView | None
    """None for a rule that this version does not know."""
    count: int
    examples: list[BrokenBy]
    """The newest ones, up to 5."""


class BrokenRules(msgspec.Struct, kw_only=True):
    """The rules that were broken, those first that were broken most."""

    since: float
    rules: list[BrokenRule]
    is_exact: bool
    """Otherwise there were more violations, and only the newest 5,000 are counted."""


class BrokenSince(msgspec.Struct, kw_only=True):
    """From when on."""

    since: (
        Annotated[float, Meta(ge=0, le=4_000_000_000, description="Unix seconds; a week ago if it is left out.")]
        | None
    ) = None


@endpoint("GET", "/api/v1/machine", access=Access.VIEWER, answer=MachineView)
async def get_machine(_parts: Parts, _call: Call) -> MachineView:
    """Show the state machine that every stream is judged by.

    How often each of its edges is taken comes by the live feed's topic `machine`.
    """
    return MachineView(
        states=[
            StateView(name=state.name, meaning=meaning, is_end=state not in TRANSITIONS or not moves_from(state))
            for state, meaning in MEANINGS.items()
        ],
        edges=[
            EdgeView(source=state.name, target=target.name, events=[kind.value for kind in kinds])
            for state in State
            for target, kinds in moves_from(state).items()
        ],
        refusals=[
            RefusalView(state=state.name, code=violation.code, events=[kind.value for kind in kinds])
            for state in State
            for violation, kinds in refusals_in(state).items()
        ],
        rules=list_rules(),
    )


@endpoint("GET", "/api/v1/machine/violations", access=Access.VIEWER, query=BrokenSince, answer=BrokenRules)
async def list_broken_rules(parts: Parts, call: Call) -> BrokenRules:
    """Show which rules were broken, how often, and by which requests of late."""
    since = call.query.since if call.query.since is not None else parts.database.clock() - 7 * _DAY
    known = {rule.code: rule for rule in list_rules()}
    found = await ViolationQueries(parts.database).since(since, examples=_EXAMPLES)
    return BrokenRules(
        since=since,
        rules=[
            BrokenRule(
                code=one.code,
                rule=known.get(one.code),
                count=one.number,
                examples=[
                    BrokenBy(
                        id=example.id,
                        at=example.at,
                        provider=example.provider,
                        account=example.account,
                        model=example.model,
                    )
                    for example in one.examples
                ],
            )
            for one in found.seen
        ],
        is_exact=found.is_exact,
    )


ENDPOINTS: Final = (get_machine, list_broken_rules)
