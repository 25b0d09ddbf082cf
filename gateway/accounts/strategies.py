"""Which of the accounts that can serve a request does, where no session ties it to one.

Choosing and using are one step: what is chosen here has its slot taken before anybody else is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from attrs import define, field

from gateway.accounts.account import Account
from gateway.accounts.quota import Usage
from gateway.config import Strategy

__all__ = ["Candidates", "Chooser", "make_chooser"]

_USAGE_STEPS: Final = 10  # accounts within a tenth count as equally used: processes know it at different times
_RESET_STEP: Final = 900.0  # seconds; limits that start anew within the same quarter of an hour count as equal
_NEVER: Final = float("inf")


@define(frozen=True)
class Candidates:
    """The accounts that could serve a request, of which there is at least one."""

    accounts: Sequence[Account]
    usages: Callable[[], Sequence[Usage]]
    """Returns how much of its limits each of them has used, in the family of the request."""
    in_flight: Callable[[str], int]
    """Returns how many requests an account serves now."""


class Chooser(Protocol):
    """A strategy."""

    def choose(self, candidates: Candidates, session: str | None) -> int:
        """Return the place of one of the accounts."""
        ...

    def keep(self, account_ids: Collection[str]) -> None:
        """Forget all other accounts."""
        ...


@define
class _Turns:
    """Which account had its turn how long ago."""

    _last: dict[str, int] = field(factory=dict)
    _turn: int = 0

    def order(self, account: Account) -> tuple[int, float, str]:
        """Sort the one that has waited longest first; those that never had a turn by age."""
        return self._last.get(account.id, 0), account.created_at, account.id

    def take(self, account: Account) -> None:
        self._turn += 1
        self._last[account.id] = self._turn

    def keep(self, account_ids: Collection[str]) -> None:
        self._last = {known: turn for known, turn in self._last.items() if known in account_ids}


@define
class _Headroom:
    """The least used; of equals the one whose limit starts anew first, then the one with the fewest requests.

    Of those that are still equal a session has its own order, the same in every process.
    """

    _turns: _Turns = field(factory=_Turns)

    def choose(self, candidates: Candidates, session: str | None) -> int:
        accounts, usages = candidates.accounts, candidates.usages()
        # One criterion after the other, and each of those that are left alone: there may be thousands.
        steps = [int(usage.utilization * _USAGE_STEPS) for usage in usages]
        places = _least(range(len(accounts)), steps)
        if steps[places[0]]:
            # Of a limit that is hardly touched it does not matter, and every process has seen other ones.
            resets = [usages[place].resets_at for place in places]
            places = _least(places, [_NEVER if reset is None else reset // _RESET_STEP for reset in resets])
        places = _least(places, [candidates.in_flight(accounts[place].id) for place in places])
        if session is None:
            chosen = min(places, key=lambda place: self._turns.order(accounts[place]))
        else:
            chosen = min(places, key=lambda place: _rendezvous(session, accounts[place].id))
        self._turns.take(accounts[chosen])
        return chosen

    def keep(self, account_ids: Collection[str]) -> None:
        self._turns.keep(account_ids)


def _least(places: Sequence[int], values: Sequence[float]) -> Sequence[int]:
    """Return those of the places whose value is the least of all."""
    least = min(values)
    return [place for place, value in zip(places, values, strict=True) if value == least]


def _rendezvous(session: str, account_id: str) -> bytes:
    return hashlib.blake2b(f"{session}\0{account_id}".encode(), digest_size=8).digest()


@define
class _RoundRobin:
    """The one whose turn was longest ago."""

    _turns: _Turns = field(factory=_Turns)

    def choose(self, candidates: Candidates, session: str | None) -> int:  # noqa: ARG002 - turns only
        accounts = candidates.accounts
        chosen = min(range(len(accounts)), key=lambda place: self._turns.order(accounts[place]))
        self._turns.take(accounts[chosen])
        return chosen

    def keep(self, account_ids: Collection[str]) -> None:
        self._turns.keep(account_ids)


@define
class _FillFirst:
    """The first by priority, then by age."""

    def choose(self, candidates: Candidates, session: str | None) -> int:  # noqa: ARG002 - rank only
        accounts = candidates.accounts
        return min(range(len(accounts)), key=lambda place: _rank(accounts[place]))

    def keep(self, account_ids: Collection[str]) -> None:
        pass


def _rank(account: Account) -> tuple[int, float, str]:
    return account.priority, account.created_at, account.id


@define
class _Weighted:
    """In proportion to weights, and evenly spread: a weight of 5 does not mean five in a row.

    Smooth weighted round-robin, as known from nginx: each round credits everyone with its weight, and the one
    with the most credit pays for the whole round.
    """

    _credit: dict[str, int] = field(factory=dict)

    def choose(self, candidates: Candidates, session: str | None) -> int:  # noqa: ARG002 - shares only
        accounts = candidates.accounts
        round_cost = 0
        for account in accounts:
            weight = max(account.weight, 0)
            round_cost += weight
            self._credit[account.id] = self._credit.get(account.id, 0) + weight

        def order(place: int) -> tuple[int, int, float, str]:
            account = accounts[place]
            return -self._credit[account.id], *_rank(account)

        chosen = min(range(len(accounts)), key=order)
        self._credit[accounts[chosen].id] -= round_cost
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
