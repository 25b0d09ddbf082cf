"""The requests that this process has in flight, looked at while somebody watches."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from attrs import define, field

from gateway.controlplane.lane import Edge, Lane
from gateway.controlplane.streams import LaneSegment, StreamView
from gateway.ledger.in_flight import InFlight, RequestsInFlight
from sse_fsm import State, StreamGuard

__all__ = ["Board"]

_TURN_SECONDS: Final = 0.002
"""After which others have theirs."""
_LONGEST: Final = 200
"""Characters of what clients and upstreams choose."""
_MOST_TOKENS: Final = 10**9


@define(eq=False)
class _Watched:
    request: InFlight
    lane: Lane = field(factory=Lane)
    counted: Counter[Edge] = field(factory=Counter)
    bytes: int = 0
    heard: float | None = None


@define(eq=False)
class Board:
    """Remembers between two looks what it has read, so that each look reads what is new."""

    requests: RequestsInFlight
    worker: int = 0
    most: int = 1000
    """Requests that are shown, those that last longest first."""
    edges: Counter[Edge] = field(factory=Counter, init=False)
    """How often which event came in which state, since the watch began."""
    states: Counter[str] = field(factory=Counter, init=False)
    """How many streams are in which state."""
    not_shown: int = field(default=0, init=False)
    _watched: dict[InFlight, _Watched] = field(factory=dict, init=False)

    async def begin(self) -> None:
        """Begin to watch."""
        self.edges.clear()
        self._watched.clear()
        self.requests.watch()
        turns = _Turns()
        for request in list(self.requests.now):
            await turns.let_others()
            # What came before does not count.
            self._watched[request] = watched = _Watched(request)
            watched.lane.read(request, turns.clock() - request.started)
            watched.counted = watched.lane.edges

    def end(self) -> None:
        """Watch no more, and remember nothing."""
        self.requests.unwatch()
        self._watched.clear()
        self.states.clear()

    async def look(self) -> list[StreamView]:
        """Return the requests that are in flight, the oldest first."""
        turns = _Turns()
        behind = datetime.now(UTC).timestamp() - turns.clock()
        for request in self.requests.take_ended():
            await turns.let_others()
            # What it did after the last look counts too.
            self._read(self._watched.pop(request, None) or _Watched(request), turns.clock())
        in_flight = sorted(self.requests.now, key=lambda request: request.started)
        states: Counter[str] = Counter()
        views: list[StreamView] = []
        for request in in_flight:
            await turns.let_others()
            if request not in self.requests.now:
                continue
            watched = self._watched.setdefault(request, _Watched(request))
            self._read(watched, turns.clock())
            if (guard := request.guard) is not None:
                states[guard.state.name] += 1
            if len(views) < self.most:
                views.append(self._view(watched, behind))
        self.states = states
        self.not_shown = len(in_flight) - len(views)
        return views

    def _read(self, watched: _Watched, now: float) -> None:
        watched.lane.read(watched.request, now - watched.request.started)
        edges = watched.lane.edges
        if edges != watched.counted:
            self.edges += edges - watched.counted
            watched.counted = edges
        size = _bytes(watched.request)
        if size != watched.bytes:
            watched.bytes, watched.heard = size, now

    def _view(self, watched: _Watched, behind: float) -> StreamView:
        request, lane = watched.request, watched.lane
        record, guard = request.record, request.guard
        heard = request.heard if request.heard is not None else watched.heard
        exact = _exact_tokens(guard)
        tokens = lane.tokens if lane.has_stream else None
        account = record.account or (record.attempts[-1].account if record.attempts else None)
        return StreamView(
            id=record.id,
            began_at=round(request.started + behind, 2),
            route=_shown(record.route) or "",
            is_stream=record.stream,
            worker=self.worker,
            provider=record.provider,
            actor=_shown(record.actor) or "",
            account=_shown(account),
            model=_shown(record.model),
            session=_shown(record.session),
            client=_shown(record.client),
            phase=lane.phase,
            lane=[LaneSegment(*segment) for segment in lane.segments],
            attempts=len(record.attempts),
            heard_at=None if heard is None or not watched.bytes else round(heard + behind, 2),
            longest_gap=round(request.longest_gap, 2),
            bytes=watched.bytes,
            events=guard.machine.events if guard is not None else 0,
            output_tokens=tokens if exact is None else exact,
            is_exact=exact is not None,
            tokens_per_second=lane.tokens_per_second(),
        )


@define(eq=False)
class _Turns:
    """Keeps a long piece of work from holding up the event loop."""

    clock: Callable[[], float] = field(factory=lambda: asyncio.get_running_loop().time)
    _since: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._since = self.clock()

    async def let_others(self) -> None:
        """Let others have their turn if this one was long enough."""
        if self.clock() - self._since > _TURN_SECONDS:
            await asyncio.sleep(0)
            self._since = self.clock()


def _bytes(request: InFlight) -> int:
    guard = request.guard
    return guard.bytes_in if guard is not None else request.body_bytes or 0


def _exact_tokens(guard: StreamGuard | None) -> int | None:
    """Return the output tokens that the upstream has counted, once it has come to the end."""
    if guard is None or guard.state not in (State.ENDING, State.STOPPED) or guard.message is None:
        return None
    usage = guard.message.get("usage")
    tokens = usage.get("output_tokens") if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) and 0 <= tokens < _MOST_TOKENS else None


def _shown(text: str | None) -> str | None:
    """Return a text of bounded length in which everything can be encoded."""
    return None if text is None else text[:_LONGEST].encode("utf-8", "backslashreplace").decode()
