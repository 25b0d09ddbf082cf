"""Finds accounts for the admin API, in what this process has in memory, and says what is known of them."""

from __future__ import annotations

import asyncio
import base64
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from operator import itemgetter
from typing import Final

import msgspec
from attrs import define, field

from gateway.accounts.account import Account, AccountState, Cooldown
from gateway.accounts.backend import Backend
from gateway.accounts.office import AccountOffice
from gateway.config import ClientAuth
from gateway.controlplane.account_views import (
    AccountView,
    StateName,
    since_of,
    state_in_store,
    view_of_renewal,
    view_of_use,
    views_of_limits,
    views_of_rests,
)
from gateway.store.account_use import AccountUse, last_used, used_since
from gateway.store.accounts import ENVIRONMENT

__all__ = ["AccountDirectory", "BadCursorError", "Found"]

_AT_A_TIME: Final = 50
"""Accounts that are looked at before others get a turn."""
_HOUR: Final = 3600
_DAY: Final = 86_400
_MONTH: Final = 30 * _DAY
_FRESH_SECONDS: Final = 5.0

_Uses = tuple[Mapping[str, Sequence[int]], Mapping[str, Sequence[int]]]
"""Fields of `AccountUse` of the last day and of the last 30, by the names of accounts."""
_Key = tuple[str, str]
"""By which accounts are in order: the name without its case, the id."""


class BadCursorError(ValueError):
    """What was given as a place in the list is none."""


@define(frozen=True)
class Found:
    """Some accounts."""

    accounts: Sequence[Account]
    after: str | None
    """Where the next ones begin; None at the end."""
    total: int


@define(frozen=True)
class _State:
    name: StateName
    reason: str
    rests: Sequence[Cooldown] = ()
    since: float | None = None


@define(eq=False)
class AccountDirectory:
    """All accounts of the gateway."""

    office: AccountOffice
    known: Callable[[], Sequence[Account]]
    """All accounts, as the database was last read; the same object until it is read again."""
    reload: Callable[[], Awaitable[None]] = field(repr=False)
    """Reads the database again, so that what was changed there is in use."""
    backends: Sequence[Backend]
    _sorted_of: Sequence[Account] = field(default=(), init=False, repr=False)
    _sorted: Sequence[tuple[_Key, Account]] = field(default=(), init=False, repr=False)
    _by_id: Mapping[str, tuple[_Key, Account]] = field(factory=dict, init=False, repr=False)
    _use: _Uses = field(factory=lambda: ({}, {}), init=False, repr=False)
    _use_read_at: float = field(default=float("-inf"), init=False)
    _reading: asyncio.Lock = field(factory=asyncio.Lock, init=False, repr=False)

    def get(self, account_id: str) -> Account | None:
        """Return an account; None if there is none of this id."""
        self._sort()
        found = self._by_id.get(account_id)
        return None if found is None else found[1]

    async def find(
        self,
        *,
        text: str = "",
        provider: str | None = None,
        state: str | None = None,
        after: str | None,
        limit: int,
    ) -> Found:
        """Return accounts by name, up to a number.

        Args:
            text: that the name, the owner or the base URL has in it, whatever its case.
            provider: only those of this one.
            state: only those in this state.
            after: what an earlier answer said; None for the first.
            limit: how many.

        Raises:
            BadCursorError: `after` is no such thing.
        """
        self._sort()
        text = text.strip().casefold()
        all_sorted = self._sorted
        begin = 0
        if after is not None:
            begin = bisect_right(all_sorted, _read_cursor(after), key=lambda one: one[0])
        found: list[Account] = []
        for place in range(begin, len(all_sorted)):
            if (place - begin) % _AT_A_TIME == _AT_A_TIME - 1:
                await asyncio.sleep(0)
            (name, _), account = all_sorted[place]
            if provider is not None and account.provider != provider:
                continue
            if text and not (text in name or text in account.owner.casefold() or text in (account.base_url or "")):
                continue
            if state is not None and self._state(account).name != state:
                continue
            if len(found) == limit:
                return Found(found, _cursor(all_sorted[place - 1][0]), len(all_sorted))
            found.append(account)
        return Found(found, None, len(all_sorted))

    async def views(self, accounts: Sequence[Account]) -> list[AccountView]:
        """Return accounts with all that is known of them.

        Raises:
            StoreError: the database cannot be used.
        """
        day, month = await self._used()
        last = await last_used(self.office.database, [account.name for account in accounts])
        views = []
        for place, account in enumerate(accounts):
            if place % _AT_A_TIME == _AT_A_TIME - 1:
                await asyncio.sleep(0)
            uses = AccountUse(*day.get(account.name, ())), AccountUse(*month.get(account.name, ()))
            views.append(self._view(account, uses, last.get(account.name)))
        return views

    async def view(self, account: Account) -> AccountView:
        """Return one account with all that is known of it.

        Raises:
            StoreError: the database cannot be used.
        """
        (one,) = await self.views([account])
        return one

    def rests(self, account: Account) -> Sequence[Cooldown]:
        """Return what an account serves no requests of for now."""
        return self._state(account).rests

    def _sort(self) -> None:
        known = self.known()
        if known is self._sorted_of:
            return
        # Of thousands of accounts hardly any has changed: the others are in order already.
        before, now = self._by_id, {}
        new: list[tuple[_Key, Account]] = []
        for account in known:
            one = before.get(account.id)
            if one is None or one[1] is not account:
                one = ((account.name.casefold(), account.id), account)
                new.append(one)
            now[account.id] = one
        kept = [one for one in self._sorted if now.get(one[1].id) is one]
        self._sorted = sorted(kept + new, key=itemgetter(0))
        self._by_id, self._sorted_of = now, known

    async def _used(self) -> _Uses:
        """Return what was used, a few seconds old at the most."""
        async with self._reading:
            database = self.office.database
            now = database.clock()
            if not 0 <= now - self._use_read_at < _FRESH_SECONDS:
                day = await used_since(database, _HOUR, now - _DAY)
                self._use = day, await used_since(database, _DAY, now - _MONTH)
                self._use_read_at = now
            return self._use

    def _backend(self, account: Account) -> Backend | None:
        """Return the backend that serves with an account, if any does."""
        for backend in self.backends:
            if backend.provider.name == account.provider and backend.pool.knows(account.id):
                return backend
        return None

    def _state(self, account: Account) -> _State:
        backend = self._backend(account)
        if backend is not None:
            state, rests, reason = backend.pool.state(account.id)
            return _State(state.value, reason, rests, since_of(account, state, rests))
        state = state_in_store(account)
        if state is not AccountState.ACTIVE:
            return _State(state.value, account.condition_reason, since=since_of(account, state, ()))
        if not self.office.is_configured(account):
            return _State("not_configured", "GATEWAY_ANTHROPIC_API_KEY is not set")
        return _State("idle", self._why_idle(account))

    def _why_idle(self, account: Account) -> str:
        if account.provider == "openai":
            return "accounts of openai serve only with openai_mode = pool"
        if self.office.settings.client_auth is ClientAuth.PASSTHROUGH:
            return "with client_auth = passthrough clients bring their own credentials"
        return "this version of the gateway does not know its provider"

    def _view(self, account: Account, uses: tuple[AccountUse, AccountUse], last: float | None) -> AccountView:
        backend, state = self._backend(account), self._state(account)
        credentials = None if backend is None else backend.credentials
        renewal = None if credentials is None else credentials.renewal(account.id)
        return AccountView(
            id=account.id,
            name=account.name,
            provider=account.provider,
            kind=account.kind.value,
            command=self.office.command(account),
            owner=account.owner,
            base_url=self.office.base_url(account),
            own_base_url=account.base_url is not None,
            weight=account.weight,
            priority=account.priority,
            max_concurrency=account.max_concurrency,
            created_at=account.created_at,
            state=state.name,
            reason=state.reason,
            since=state.since,
            until=max((rest.until for rest in state.rests), default=None) if state.name == "cooling" else None,
            rests=views_of_rests(state.rests),
            limits=views_of_limits([] if backend is None else backend.pool.seen_windows(account.id)),
            limits_seen_at=None if backend is None else backend.pool.limits_seen_at(account.id),
            renewal=view_of_renewal(renewal),
            in_flight=0 if backend is None else backend.pool.places_taken(account.id),
            last_used_at=last,
            day=view_of_use(uses[0]),
            month=view_of_use(uses[1]),
            is_environment=account.id == ENVIRONMENT,
            is_removable=not self.office.is_kept(account),
        )


def _cursor(key: _Key) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode()


def _read_cursor(text: str) -> _Key:
    try:
        return msgspec.json.decode(base64.b64decode(text, altchars=b"-_", validate=True), type=_Key)
    except (ValueError, msgspec.DecodeError, UnicodeError):
        raise BadCursorError from None
