"""What upstreams do to clients: one scenario per kind of trouble, each for every client, straight and behind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from attrs import define, field

from gateway.replay.answers import ANSWER, words
from gateway.replay.server import ReplayUpstream

__all__ = ["KNOWN_WORSE", "SCENARIOS", "Known", "Observation", "Outcome", "Pair", "Scenario"]

_AFTER_BLOCK: Final = 3 + len(words(ANSWER)) + 1
"""Events of the replay upstream's answer up to the end of its one block: two starts, a ping, deltas, a stop."""

_TOKENS_PER_SECOND: Final = 100
"""Events come one by one, as they do in life, so that content is seen before what goes wrong after it."""


@define(frozen=True)
class Scenario:
    """One kind of trouble."""

    name: str
    faults: tuple[str, ...] = ()
    """Rules of the replay upstream's script."""
    streamed: bool = True
    """Whether a stream is asked for; Claude Code always asks for one first."""

    def upstream(self) -> ReplayUpstream:
        """Return an upstream, not started yet, to which this happens."""
        upstream = ReplayUpstream(tokens_per_second=_TOKENS_PER_SECOND)
        for fault in self.faults:
            upstream.faults.push(fault)
        return upstream


def _scenario(name: str, *faults: str, streamed: bool = True) -> Scenario:
    return Scenario(name, faults, streamed)


SCENARIOS: Final[Mapping[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        _scenario("nothing goes wrong"),
        _scenario("529, twice", "status:529;times=2"),
        _scenario("529, always", "status:529;times=forever"),
        _scenario("429 with retry-after: 1, once", "status:429;retry-after=1"),
        _scenario("429 with x-should-retry: false", "status:429;should-retry=false;times=forever"),
        _scenario("500, once", "status:500"),
        _scenario("500, always", "status:500;times=forever"),
        _scenario("400", "status:400;times=forever"),
        _scenario("403", "status:403;times=forever"),
        _scenario("404", "status:404;times=forever"),
        _scenario("413", "status:413;times=forever"),
        _scenario("credential refused (401)", "status:401;times=forever"),
        _scenario("connection closed without an answer, once", "refuse"),
        _scenario("overloaded inside the 200 before content, once", "error-event:overloaded_error;event=1"),
        _scenario(
            "overloaded, always, streams inside the 200",
            "error-event:overloaded_error;event=1;times=forever",
            "status:529;times=forever",
        ),
        _scenario("overloaded, always, but streams only", "error-event:overloaded_error;event=1;times=forever"),
        _scenario("api_error inside the 200 before content, once", "error-event:api_error;event=0"),
        _scenario("error event inside a block, once", "error-event:overloaded_error;event=8"),
        _scenario("error event after the block, once", f"error-event:overloaded_error;event={_AFTER_BLOCK}"),
        _scenario("cut before content, once", "cut:event=1"),
        _scenario("cut inside a block, once", "cut:event=8"),
        _scenario("cut inside a block, every stream", "cut:event=8;times=forever"),
        _scenario("cut by a reset inside a block, once", "cut:event=8;reset"),
        _scenario("cut inside a character, once", "cut:utf8"),
        _scenario("cut after the block, once", f"cut:event={_AFTER_BLOCK}"),
        _scenario("cut before message_stop", f"cut:event={_AFTER_BLOCK + 1}"),
        _scenario("ends early before content, once", "eof:event=1"),
        _scenario("ends early inside a block, once", "eof:event=8"),
        _scenario("ends without message_delta, every stream", f"eof:event={_AFTER_BLOCK};times=forever"),
        _scenario("ends without message_stop", f"eof:event={_AFTER_BLOCK + 1}"),
        _scenario("message_start twice, once", "duplicate-start"),
        _scenario("message_start again inside a block, once", "duplicate-start;event=8"),
        _scenario("block index skipped, once", "skip-index"),
        _scenario("a delta under the name of a ping, once", "wrong-name;event=8"),
        _scenario("bytes that are no UTF-8, once", "garbage;event=8"),
        _scenario("a delta after message_stop", "after-stop"),
        _scenario("lines end with CR LF", "crlf"),
        _scenario("one byte at a time", "one-byte"),
        _scenario("compressed without being asked", "gzip"),
        _scenario("bytes behind the response, once", "after-end"),
        _scenario("not streamed: nothing goes wrong", streamed=False),
        _scenario("not streamed: 529, twice", "status:529;times=2", streamed=False),
        _scenario("not streamed: body shorter than announced, once", "truncate", streamed=False),
        _scenario("not streamed: body shorter than announced, always", "truncate;times=forever", streamed=False),
        _scenario("not streamed: last chunk missing, once", "truncate;chunked", streamed=False),
        _scenario("not streamed: compressed without being asked", "gzip", streamed=False),
    )
}
"""By name; "once" and "twice" mean that the next request fares well."""


class Outcome(IntEnum):
    """How a run ended for its user, worst first."""

    WRONG = 0
    """An incomplete or altered answer that passes for the whole one."""
    ERROR = 1
    ANSWER = 2


@define(frozen=True)
class Observation:
    """How one client fared in one place."""

    outcome: Outcome
    requests: int
    """For messages, as they arrived upstream."""
    detail: str = field(default="", eq=False)

    def __str__(self) -> str:
        """Return it as a table shows it."""
        return f"{self.outcome.name.lower()}, {self.requests}"


@define(frozen=True)
class Pair:
    """How one client fared straight at the upstream and behind the gateway."""

    straight: Observation
    behind: Observation

    def __str__(self) -> str:
        """Return it as a table shows it: one observation where both are the same."""
        return str(self.behind) if self.straight == self.behind else f"{self.straight} → {self.behind}"

    @property
    def is_worse(self) -> bool:
        """Whether the gateway cost the user the answer, or the same end took more requests."""
        if self.behind.outcome is not self.straight.outcome:
            return self.behind.outcome < self.straight.outcome
        return self.behind.requests > self.straight.requests

    @property
    def is_better(self) -> bool:
        """Whether the gateway gave the user a better end, or the same with fewer requests."""
        if self.behind.outcome is not self.straight.outcome:
            return self.behind.outcome > self.straight.outcome
        return self.behind.requests < self.straight.requests


@define(frozen=True)
class Known:
    """A place where the gateway does worse, and means to."""

    clients: str
    """Regular expression for the names of all clients that it holds for, and of no other."""
    scenario: str
    reason: str

    def explains(self, client: str, scenario: str) -> bool:
        """Say whether this is about one client in one scenario."""
        return scenario == self.scenario and re.fullmatch(self.clients, client) is not None


_SDKS: Final = "python-.*|typescript-.*"
_STATUS: Final = "the refusal comes as a status 529, which these clients try again; inside a 200 they do not"
_LENIENT: Final = (
    "these clients overlook the violation; the gateway stops it, because others fail on it or lose text "
    "(`GATEWAY_STREAM_MODE=observe` lets it pass)"
)
KNOWN_WORSE: Final = (
    Known(_SDKS, "overloaded, always, streams inside the 200", _STATUS),
    Known(_SDKS, "overloaded, always, but streams only", _STATUS),
    Known(
        "claude-code",
        "overloaded, always, but streams only",
        "after three times a status 529 it gives up; after three times the same inside a 200 it asks without "
        "streaming, which an overloaded API would refuse as well",
    ),
    Known(
        "typescript-.*",
        "not streamed: body shorter than announced, always",
        "the failure comes as a status 502, which these clients try again; a body that breaks off they do not",
    ),
    Known("claude-code|python-.*", "message_start twice, once", _LENIENT),
    Known("claude-code|python-.*", "message_start again inside a block, once", _LENIENT),
    Known("claude-code", "block index skipped, once", _LENIENT),
    Known("claude-code|typescript-.*", "bytes that are no UTF-8, once", _LENIENT),
)
