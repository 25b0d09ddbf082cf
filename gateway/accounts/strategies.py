"""Which of the accounts that can serve a request does, where no session ties it to one.

Choosing and using are one step: what is chosen here has its slot taken before anybody else is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

from attrs import define, field

from gateway.accounts.account import Account
from gateway.accounts.quota import Usage
from gateway.config import Strategy

__all__ = ["Candidate", "Chooser", "make_chooser"]

_USAGE_STEPS: Final = 10  # accounts within a tenth count as equally used: processes know it at different times
_RESET_STEP: Final = 900.0  # seconds; limits that start anew within the same quarter of an hour count as equal
_NEVER: Final = float("inf")


@define(frozen=True)
class Candidate:
    """An account that could serve a request."""

    account: Account
    usage: Usage = field(factory=Usage)
    """Of the family of the request."""
    in_flight: int = 0
    """Requests that it serves now."""


class Chooser(Protocol):
    """A strategy."""

    def choose(self, candidates: Sequence[Candidate], session: str | None) -> Candidate:
        """Return one of the candidates, of which there is at least one."""
        ...

    def keep(self, account_ids: Collection[str]) -> None:
        """Forget all other accounts."""
        ...


@define
class _Turns:
    """Which account had its turn how long ago."""

    _last: dict[str, int] = field(factory=dict)
    _turn: int = 0

    def order(self, candidate: Candidate) -> tuple[int, float, str]:
        """Sort the one that has waited longest first; those that never had a turn by age."""
        account = candidate.account
        return self._last.get(account.id, 0), account.created_at, account.id

    def take(self, candidate: Candidate) -> Candidate:
        self._turn += 1
        self._last[candidate.account.id] = self._turn
        return candidate

    def keep(self, account_ids: Collection[str]) -> None:
        self._last = {known: turn for known, turn in self._last.items() if known in account_ids}


@define
class _Headroom:
    """The least used; of equals the one whose limit starts anew first, then the one with the fewest requests.

    Of those that are still equal a session has its own order, the same in every process.
    """

    _turns: _Turns = field(factory=_Turns)

    def choose(self, candidates: Sequence[Candidate], session: str | None) -> Candidate:
        def order(candidate: Candidate) -> tuple[int, float, int, bytes | tuple[int, float, str]]:
            usage = candidate.usage
            step = int(usage.utilization * _USAGE_STEPS)
            reset = usage.resets_at
            return (
                step,
                # Of a limit that is hardly touched it does not matter, and every process has seen other ones.
                _NEVER if reset is None or not step else reset // _RESET_STEP,
                candidate.in_flight,
                self._turns.order(candidate) if session is None else _rendezvous(session, candidate.account.id),
            )

        return self._turns.take(min(candidates, key=order))

    def keep(self, account_ids: Collection[str]) -> None:
        self._turns.keep(account_ids)


def _rendezvous(session: str, account_id: str) -> bytes:
    return hashlib.blake2b(f"{session}\0{account_id}".encode(), digest_size=8).digest()


@define
class _RoundRobin:
    """The one whose turn was longest ago."""

    _turns: _Turns = field(factory=_Turns)

    def choose(self, candidates: Sequence[Candidate], session: str | None) -> Candidate:  # noqa: ARG002 - turns only
        return self._turns.take(min(candidates, key=self._turns.order))

    def keep(self, account_ids: Collection[str]) -> None:
        self._turns.keep(account_ids)


@define
class _FillFirst:
    """The first by priority, then by age."""

    def choose(self, candidates: Sequence[Candidate], session: str | None) -> Candidate:  # noqa: ARG002 - rank only
        return min(candidates, key=_rank)

    def keep(self, account_ids: Collection[str]) -> None:
        pass


def _rank(candidate: Candidate) -> tuple[int, float, str]:
    account = candidate.account
    return account.priority, account.created_at, account.id


@define
class _Weighted:
    """In proportion to weights, and evenly spread: a weight of 5 does not mean five in a row.

    Smooth weighted round-robin, as known from nginx: each round credits everyone with its weight, and the one
    with the most credit pays for the whole round.
    """

    _credit: dict[str, int] = field(factory=dict)

    def choose(self, candidates: Sequence[Candidate], session: str | None) -> Candidate:  # noqa: ARG002 - shares only
        round_cost = 0
        for candidate in candidates:
            account = candidate.account
            weight = max(account.weight, 0)
            round_cost += weight
            self._credit[account.id] = self._credit.get(account.id, 0) + weight
        chosen = min(candidates, key=lambda one: (-self._credit[one.account.id], *_rank(one)))
        self._credit[chosen.account.id] -= round_cost
        return chosen

    def keep(self, account_ids: Collection[str]) -> None:
        self._credit = {known: credit for known, credit in self._credit.items() if known in account_ids}


_CHOOSERS: Final[Mapping[Strategy, type[_Headroom | _RoundRobin | _FillFirst | _Weighted]]] = {
    Strategy.HEADROOM: _Headroom,
    Strategy.ROUND_ROBIN: _RoundRobin,
    Strategy.FILL_FIRST: _FillFirst,
    Strategy.WEIGHTED: _Weighted,
}


def make_chooser(strategy: Strategy) -> Chooser:
    """Return a strategy that has not chosen anything yet."""
    return _CHOOSERS[strategy]()
