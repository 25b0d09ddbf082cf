"""The upstream's last refusals, for clients that come when there is no account left to ask."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from attrs import define, field

from gateway.dataplane.answers import UpstreamAnswer
from gateway.providers.base import FaultClass

__all__ = ["LastRefusals"]

_MOST: Final = 64
_LARGEST: Final = 16 * 1024  # bytes of a body
_KEPT: Final = frozenset({FaultClass.QUOTA, FaultClass.BILLING})


@define
class LastRefusals:
    """Remembers for each quota family how the upstream last refused it: status, headers and body as they came."""

    _answers: OrderedDict[tuple[str, FaultClass], UpstreamAnswer] = field(factory=OrderedDict, init=False)

    def keep(self, family: str, fault: FaultClass, answer: UpstreamAnswer) -> None:
        """Remember a refusal, if it is of a kind that lasts beyond its request."""
        if fault not in _KEPT or len(answer.body) > _LARGEST:
            return
        key = family, fault
        self._answers[key] = UpstreamAnswer(answer.status, answer.headers.copy(), answer.body)
        self._answers.move_to_end(key)
        while len(self._answers) > _MOST:
            self._answers.popitem(last=False)

    def find(self, family: str, fault: FaultClass) -> UpstreamAnswer | None:
        """Return a copy of the last refusal of this class for this family; None if there was none."""
        answer = self._answers.get((family, fault))
        return None if answer is None else UpstreamAnswer(answer.status, answer.headers.copy(), answer.body)
