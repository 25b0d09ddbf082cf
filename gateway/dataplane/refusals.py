"""The upstream's last refusals, for clients that come when there is no account left to ask."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from attrs import define, field

from gateway.dataplane.answers import UpstreamAnswer
from gateway.providers.base import FaultClass
from gateway.wire.errors import ApiError

__all__ = ["LastRefusals", "no_credential"]

_MOST: Final = 64
_RENEWED_SOON: Final = 10  # seconds in which a token that cannot be renewed now may well be
_LARGEST: Final = 16 * 1024  # bytes of a body
_KEPT: Final = frozenset({FaultClass.QUOTA, FaultClass.BILLING})
_LONGEST: Final = 3600.0  # seconds; no account rests for longer without another refusal
# Said to one client, at one time.
_OF_THE_MOMENT: Final = ("date", "age", "expires", "set-cookie", "retry-after", "retry-after-ms")


@define
class _Kept:
    at: float
    answer: UpstreamAnswer


@define
class LastRefusals:
    """Remembers for each quota family how the upstream last refused it: status, headers and body as they came.

    Headers that were true for one client or at one time only are left out; how long to wait is the pool's to say.
    """

    _clock: Callable[[], float] = time.monotonic
    _answers: OrderedDict[tuple[str, FaultClass], _Kept] = field(factory=OrderedDict, init=False)

    def keep(self, family: str, fault: FaultClass, answer: UpstreamAnswer) -> None:
        """Remember a refusal, if it is of a kind that lasts beyond its request."""
        if fault not in _KEPT or len(answer.body) > _LARGEST:
            return
        headers = answer.headers.copy()
        for name in _OF_THE_MOMENT:
            headers.popall(name, None)
        key = family, fault
        self._answers[key] = _Kept(self._clock(), UpstreamAnswer(answer.status, headers, answer.body))
        self._answers.move_to_end(key)
        while len(self._answers) > _MOST:
            self._answers.popitem(last=False)

    def find(self, family: str, fault: FaultClass) -> UpstreamAnswer | None:
        """Return a copy of the last refusal of this class for this family; None if there was none.

        One for a limit is forgotten after an hour: whatever keeps accounts from serving then is something else.
        """
        kept = self._answers.get((family, fault))
        if kept is None or (fault is FaultClass.QUOTA and self._clock() - kept.at > _LONGEST):
            return None
        return UpstreamAnswer(kept.answer.status, kept.answer.headers.copy(), kept.answer.body)


def no_credential(what: str, *, terminal: bool = True) -> ApiError:
    """Say that an account has nothing to send, without naming it: that is the operator's to know, by the log."""
    # It may end in the upstream's words, which not always end as sentences do.
    what = what if what.endswith((".", "!", "?", "…")) else f"{what}."
    if not terminal:
        return ApiError(503, f"{what} Your own key is fine; this passes by itself.", retry_after=_RENEWED_SOON)
    return ApiError(
        503,
        f"{what} Your own key is fine; the operator has to renew the account.",
        # It does not heal within anybody's retries, so nobody should sit through them.
        should_retry=False,
    )
