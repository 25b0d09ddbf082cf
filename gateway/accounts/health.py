"""What each class of trouble means for the request that met it and for the account that served it.

Trouble is classified, not counted: an overloaded provider is no reason to blame an account, and a request that
is refused for its content would be refused everywhere. `docs/fault-table.md` is made from the table here.
"""

from __future__ import annotations

import math
import random as random_module
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from attrs import define

from gateway.providers.base import FaultClass

__all__ = ["CONSEQUENCES", "EFFECTS", "Consequence", "Effect", "Health", "backoff"]


class Effect(StrEnum):
    """What a class of trouble does to the account."""

    #: Nothing.
    NONE = "untouched"
    #: The account is less preferred for a while; after many in a row it is left out for some seconds.
    SCORE = "score"
    #: After a few in a row the account is left out for some seconds.
    BREAKER = "breaker"
    #: The quota family rests until the limit starts anew.
    COOL = "cool"
    #: A person has to settle it with the provider.
    PARK = "park"
    #: A person has to give a new credential, unless the gateway can renew it.
    REAUTH = "reauth"


@define(frozen=True)
class Consequence:
    """What to do about one class of trouble before the commit point."""

    try_next_account: bool
    """Whether another account may do better."""
    account: Effect
    upstream_says: str
    """For people: how the trouble shows."""
    fixtures: tuple[str, ...]
    """Recorded answers of this class: names in `fixtures/errors`, or in `fixtures/streams` with their suffix."""
    most_attempts: int | None = None
    """Attempts of this class per request, the first included; None for as many as the settings allow."""
    hide_from_client: bool = False
    """Whether the upstream's answer speaks of the gateway's credential rather than the client's."""
    backs_off: bool = False
    """Whether the next attempt waits a little."""


CONSEQUENCES: Final[Mapping[FaultClass, Consequence]] = {
    FaultClass.TRANSPORT: Consequence(
        try_next_account=True,
        account=Effect.BREAKER,
        upstream_says="connect error, TLS, timeout or cut before any content",
        fixtures=("broken-truncated-after-message-start.sse", "broken-truncated-pings-only.sse"),
    ),
    FaultClass.CREDENTIAL: Consequence(
        try_next_account=True,
        account=Effect.REAUTH,
        upstream_says="401; 403 that says the OAuth token is revoked or expired",
        fixtures=(
            "401-bearer-invalid",
            "401-credentials-invalid",
            "401-oauth-expired",
            "401-x-api-key-invalid",
            "403-oauth-revoked",
        ),
        hide_from_client=True,
    ),
    FaultClass.REQUEST: Consequence(
        try_next_account=False,
        account=Effect.NONE,
        upstream_says="other 4xx; 401 that says OAuth is not supported; a credential that is for other programs",
        fixtures=(
            "400-prompt-too-long",
            "400-claude-code-only-credential",
            "401-claude-code-only-credential",
            "401-oauth-unsupported",
            "403-permission",
            "403-oauth-scope",
            "404-model",
            "409-conflict",
            "413-too-large",
            "422-proxy",
        ),
    ),
    FaultClass.QUOTA: Consequence(
        try_next_account=True,
        account=Effect.COOL,
        upstream_says="429 for a rate or a usage window",
        fixtures=(
            "429-retry-after-60",
            "429-without-retry-after",
            "429-throttle-without-unified",
            "429-unified-five-hour",
            "429-unified-seven-day-opus",
            "429-fast-mode",
            "429-ramp-limit-exceeded",
        ),
    ),
    FaultClass.BILLING: Consequence(
        try_next_account=True,
        account=Effect.PARK,
        upstream_says="402; 429 for a spend limit; credit used up; an organisation on hold",
        fixtures=(
            "402-billing",
            "400-credit-balance",
            "400-own-spend-limit",
            "400-organization-on-hold",
            "429-spend-limit-enforced",
            "429-contract-spend-limit-reached",
            "429-should-not-retry",
        ),
    ),
    FaultClass.UPSTREAM: Consequence(
        try_next_account=True,
        account=Effect.SCORE,
        upstream_says="500, 502, 503, 504, and answers that make no sense",
        fixtures=("500-api-error", "502-html", "503-envoy", "504-timeout", "broken-upstream-error-first-api.sse"),
        most_attempts=2,
    ),
    FaultClass.OVERLOAD: Consequence(
        try_next_account=True,
        account=Effect.NONE,
        upstream_says="529, and `overloaded_error` inside a 200 before any content",
        fixtures=("529-overloaded", "529-retry-after-120", "broken-upstream-error-first-overloaded.sse"),
        backs_off=True,
    ),
}
"""For each class of trouble what happens to the request and to the account."""

_FIRST_BACKOFF: Final = 0.25  # seconds
_LONGEST_BACKOFF: Final = 2.0


def backoff(attempt: int, random: random_module.Random) -> float:
    """Return how many seconds to wait before the next attempt.

    Anything from nothing to a bound that doubles, so that requests that failed together do not come back together.

    Args:
        attempt: how many attempts have failed, from 1.
        random: where the jitter comes from.
    """
    return random.uniform(0, min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** min(attempt - 1, 10)))


_TRANSPORT_RUN: Final = 3  # failures in a row that open the breaker
_UPSTREAM_RUN: Final = 10
_RUN_SECONDS: Final = 120.0  # failures further apart are no run
_FIRST_OPEN: Final = 5.0  # seconds
_LONGEST_OPEN: Final = 60.0
_JITTER: Final = 0.2

EFFECTS: Final[Mapping[Effect, str]] = {
    Effect.NONE: "untouched",
    Effect.SCORE: "less preferred for a while; "
    f"after {_UPSTREAM_RUN} in a row left out as for the network, unless no other account is well",
    Effect.BREAKER: f"after {_TRANSPORT_RUN} in a row left out for {_FIRST_OPEN:.0f} s, "
    f"doubling to {_LONGEST_OPEN:.0f} s, then tried by one request; never the last account that is well",
    Effect.COOL: "its quota family rests for `retry-after`, else until the limit starts anew, else 30 s; "
    "an hour at the most, then one request finds out",
    Effect.PARK: "parked, with the upstream's own words, until a person resumes it",
    Effect.REAUTH: "renewed once where that can be; otherwise `needs_reauth` until it has a new credential",
}
"""For each effect what people have to know."""

_WEIGHT: Final = 0.15  # of the newest attempt in the share of failures
_HALF_LIFE: Final = 60.0  # seconds in which the share of failures is half forgotten
_UNWELL: Final = 0.25  # share of failures
_FAILING: Final = 0.5


@define
class Health:
    """How an account did lately, and its circuit breaker. What one process sees; nobody else is told."""

    open_since: float = 0.0
    """Unix seconds; so is the next one."""
    open_until: float = 0.0
    """Until then the account is left out; afterwards one request at a time finds out."""
    _opened: int = 0
    _transport_run: int = 0
    _upstream_run: int = 0
    _failed_at: float = -math.inf
    _failures: float = 0.0
    _judged_at: float = 0.0

    @property
    def is_tripped(self) -> bool:
        """Whether the breaker is open or half open, rather than closed."""
        return self._opened > 0

    def is_open(self, now: float) -> bool:
        """Whether the account is left out."""
        return self._opened > 0 and now < self.open_until

    def level(self, now: float) -> int:
        """Return 0 for well, 1 for unwell, 2 for failing more often than not."""
        if self._failures < _UNWELL:
            # A share only ever falls by itself.
            return 0
        share = self._share(now)
        return (share >= _UNWELL) + (share >= _FAILING)

    def went_well(self, now: float) -> None:
        """Close the breaker."""
        self._opened = self._transport_run = self._upstream_run = 0
        self._note(now, 0.0)

    def was_reached(self, *, probe: bool) -> None:
        """Note an answer that was no good, but an answer: the way to the upstream is open."""
        self._transport_run = 0
        if probe:
            self._opened = 0

    def failed(
        self, fault: FaultClass, now: float, random: random_module.Random, *, may_open: bool, probe: bool
    ) -> bool:
        """Count a failure of the network or of the upstream; return whether the breaker opens with it.

        Args:
            fault: transport or upstream.
            now: Unix seconds.
            random: for the jitter.
            may_open: whether another account is well; the last one is never left out.
            probe: the request was to find out whether the account is well again.
        """
        self._note(now, 1.0)
        if now - self._failed_at > _RUN_SECONDS:
            self._transport_run = self._upstream_run = 0
        self._failed_at = now
        if fault is FaultClass.TRANSPORT:
            self._transport_run += 1
        else:
            self._upstream_run += 1
        if self.is_tripped:
            # What was under way when the breaker opened says nothing new.
            opens = probe
        else:
            opens = self._transport_run >= _TRANSPORT_RUN or self._upstream_run >= _UPSTREAM_RUN
        if not (opens and may_open):
            return False
        self._opened += 1
        seconds = min(_LONGEST_OPEN, _FIRST_OPEN * 2 ** min(self._opened - 1, 10))
        self.open_since = now
        self.open_until = now + seconds * random.uniform(1 - _JITTER, 1 + _JITTER)
        return True

    def _share(self, now: float) -> float:
        return self._failures * 0.5 ** (max(0.0, now - self._judged_at) / _HALF_LIFE)

    def _note(self, now: float, failed: float) -> None:
        self._failures = self._share(now) * (1 - _WEIGHT) + _WEIGHT * failed
        self._judged_at = now
