"""What a key has used and what it holds: pure arithmetic, which the store does under a lock.

A request that is let in reserves what it may use. When it is over, what it really used takes the reservation's
place. Rates are kept as the time until which they are used up: with N a minute each one takes 60/N seconds, and
up to a minute may be taken ahead (a token bucket that holds a minute's worth).
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from gateway.actors.periods import period_end, period_start
from gateway.actors.terms import PERIODS, UNITS, KeyLimits

__all__ = ["MOST", "KeyUse", "Refusal", "Reservation", "Spent"]

_MINUTE: Final = 60.0
_LEAST: Final = 1e-3
"""Seconds below which a rate counts as kept: sums of Unix seconds in double precision are no more exact."""
_SLOT_SECONDS: Final = 2.0
"""What a client is told to wait for another of its requests to end; when that will be nobody knows."""
_SKEW_SECONDS: Final = 30.0
"""By which the clock may seem to have gone back, because processes do not read it to the same moment."""
MOST: Final = 2**62
"""Of anything; what databases count up to, and far from it."""


@define(frozen=True)
class Spent:
    """What requests used."""

    requests: int = 0
    tokens: int = 0
    nanousd: int = 0

    def __add__(self, other: Spent) -> Spent:
        """Return the sum."""
        return Spent(
            min(self.requests + other.requests, MOST),
            min(self.tokens + other.tokens, MOST),
            min(self.nanousd + other.nanousd, MOST),
        )


@define(frozen=True)
class Reservation:
    """What a request that is under way may use."""

    id: str
    """That of the request."""
    key_id: str
    at: float
    """When it was let in, in Unix seconds of the database's clock; what it uses counts for that day."""
    tokens: int
    nanousd: int
    token_rate: int | None = None
    """The key's tokens per minute at that time."""


@define(frozen=True)
class Refusal:
    """Why a request is not let in."""

    limit: str
    """Name of the field of `KeyLimits`."""
    allowed: int
    used: int
    wait: float | None
    """Seconds after which it may go better; None for a budget that is used up."""
    resets_at: int | None = None
    """When a budget that is used up begins anew, in Unix seconds."""


@define
class Period:
    """A day, a week or a month."""

    start: int = 0
    """Unix seconds; 0 for none yet."""
    spent: Spent = field(factory=Spent)


@define
class KeyUse:
    """One key's. Times are Unix seconds of the database's clock."""

    key_id: str
    day: Period = field(factory=Period)
    week: Period = field(factory=Period)
    month: Period = field(factory=Period)
    total: Spent = field(factory=Spent)
    running: int = 0
    reserved_tokens: int = 0
    reserved_nanousd: int = 0
    requests_until: float = 0.0
    """Until when its requests per minute are used up."""
    tokens_until: float = 0.0
    last_used_at: float = 0.0

    def period(self, name: str) -> Period:
        """Return one of `PERIODS`."""
        return getattr(self, name)

    def roll(self, now: float) -> None:
        """Begin the periods anew that are over.

        When the clock was set back, what was used stays, and all times go back with it: a key must neither wait
        for a time to come that was never there, nor have periods until then in which nothing counts.
        """
        if (ahead := self.last_used_at - now) > _SKEW_SECONDS:
            self.last_used_at = now
            self.requests_until -= ahead
            self.tokens_until -= ahead
        for name in PERIODS:
            period, start = self.period(name), period_start(name, now)
            if start > period.start:
                period.start, period.spent = start, Spent()
            elif period.start - now > _SKEW_SECONDS:
                period.start = start

    def refusal(self, limits: KeyLimits, now: float) -> Refusal | None:
        """Return why one more request is not let in, or None.

        A budget, or the tokens of a minute, refuse when they are used up, not already when the request could use
        more than is left: what it will use is known only afterwards, and mostly far less than it may use.
        """
        self.roll(now)
        return self._used_up(limits, now) or self._too_many(limits, now) or self._held(limits)

    def reserve(self, reservation: Reservation, limits: KeyLimits, now: float) -> None:
        """Let a request in."""
        self.running += 1
        self.reserved_tokens = min(self.reserved_tokens + reservation.tokens, MOST)
        self.reserved_nanousd = min(self.reserved_nanousd + reservation.nanousd, MOST)
        self.last_used_at = max(self.last_used_at, now)
        if limits.requests_per_minute:
            self.requests_until = max(self.requests_until, now) + _MINUTE / limits.requests_per_minute
        if reservation.token_rate is not None:
            self.tokens_until = max(self.tokens_until, now) + _seconds(reservation, reservation.tokens)

    def release(self, reservation: Reservation) -> None:
        """Give back what a reservation held."""
        self.running = max(self.running - 1, 0)
        self.reserved_tokens = max(self.reserved_tokens - reservation.tokens, 0)
        self.reserved_nanousd = max(self.reserved_nanousd - reservation.nanousd, 0)

    def settle(self, reservation: Reservation, spent: Spent, now: float) -> None:
        """Count what a request really used, after its reservation was released."""
        self.add(spent, reservation.at, now)
        if reservation.token_rate is None:
            return
        if spent.tokens >= reservation.tokens:
            more = _seconds(reservation, spent.tokens - reservation.tokens)
            self.tokens_until = max(self.tokens_until, now) + more
            return
        # Of what was reserved, time has given back a part already, which others may have used.
        left = _seconds(reservation, reservation.tokens) - (now - reservation.at)
        fewer = _seconds(reservation, reservation.tokens - spent.tokens)
        self.tokens_until -= max(min(left, fewer), 0.0)

    def add(self, spent: Spent, at: float, now: float) -> None:
        """Count what was used at some time; for periods that are over only in total."""
        self.roll(now)
        at = min(at, now)
        for name in PERIODS:
            period = self.period(name)
            # The second is so when another process has begun a period that has not come yet by the clock of this.
            if period_start(name, at) == period.start or now < period.start:
                period.spent += spent
        self.total += spent
        self.last_used_at = max(self.last_used_at, at)

    def _used_up(self, limits: KeyLimits, now: float) -> Refusal | None:
        found = None
        for name in PERIODS:
            for unit in UNITS:
                allowed, used = limits.budget(unit, name), getattr(self.period(name).spent, unit)
                if allowed is not None and used >= allowed:
                    # The later ones last longer.
                    found = Refusal(f"{unit}_{name}", allowed, used, None, period_end(name, now))
        return found

    def _too_many(self, limits: KeyLimits, now: float) -> Refusal | None:
        allowed = limits.concurrent
        if allowed is not None and self.running >= allowed:
            return Refusal("concurrent", allowed, self.running, _SLOT_SECONDS)
        for name in ("requests_per_minute", "tokens_per_minute"):
            # Nothing that a command sets, but somebody may in the database, and means it.
            if (allowed := getattr(limits, name)) is not None and allowed < 1:
                return Refusal(name, allowed, 0, _MINUTE)
        allowed = limits.requests_per_minute
        if allowed is not None:
            wait = max(self.requests_until, now) + _MINUTE / allowed - _MINUTE - now
            if wait > _LEAST:
                return Refusal("requests_per_minute", allowed, _used(self.requests_until, now, allowed), wait)
        allowed = limits.tokens_per_minute
        if allowed is not None and (wait := self.tokens_until - now - _MINUTE) > -_LEAST:
            return Refusal(
                "tokens_per_minute", allowed, _used(self.tokens_until, now, allowed), max(wait, _MINUTE / allowed)
            )
        return None

    def _held(self, limits: KeyLimits) -> Refusal | None:
        for name in PERIODS:
            for unit in UNITS:
                allowed, used = limits.budget(unit, name), getattr(self.period(name).spent, unit)
                if allowed is not None and used + getattr(self, f"reserved_{unit}") >= allowed:
                    return Refusal(f"{unit}_{name}", allowed, used, _SLOT_SECONDS)
        return None

    def used_of_minute(self, limits: KeyLimits, name: str, now: float) -> int:
        """Return how much of `requests_per_minute` or `tokens_per_minute` cannot be used at once."""
        until = self.requests_until if name == "requests_per_minute" else self.tokens_until
        return _used(until, now, getattr(limits, name) or 0)


def _seconds(reservation: Reservation, tokens: int) -> float:
    return tokens * _MINUTE / (reservation.token_rate or 1)


def _used(until: float, now: float, allowed: int) -> int:
    return round(max(until - now, 0.0) * allowed / _MINUTE)
