"""Which account has the prompt of a session cached.

Prompt caches belong to one organisation, so a session that changes accounts pays for its whole context anew. A
session stays where it is through passing trouble, leaves an account that is of no use to it for longer, and does
not go back by itself. All processes that share a database agree on it; `gateway/accounts/pins.py` says how.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from typing import Final

import msgspec
from attrs import define, field

from gateway.accounts.pins import SessionPin, touch_seconds

__all__ = ["MOST_PINS", "Affinity", "Pin", "session_key"]

MOST_PINS: Final = 20_000
"""Sessions that are remembered; of more, those that were used last."""
_LONGEST_ID: Final = 200  # characters; what is longer is no id
_SESSION_SUFFIX: Final = re.compile(r"_session_([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\Z")


class _UserId(msgspec.Struct):
    session_id: str = ""


_decode_user_id: Final = msgspec.json.Decoder(_UserId).decode


def session_key(actor: str, *, header: str | None, user_id: str | None, opening: bytes | None) -> str | None:
    """Return the key of a request's session, or None for a request that shows none.

    The key is a hash: nothing of the session or of the prompt can be read from it, and two actors never share one.

    Args:
        actor: id of who asks.
        header: value of `x-claude-code-session-id`, which Claude Code sends.
        user_id: `metadata.user_id`; Claude Code puts the session's id into it, as JSON or as a suffix.
        opening: first system block and first user block, which stay the same through a conversation.
    """
    if header and len(header) <= _LONGEST_ID:
        return _key(actor, b"id", header.encode(errors="replace"))
    session_id = _session_of(user_id) if user_id else None
    if session_id:
        return _key(actor, b"id", session_id.encode(errors="replace"))
    return _key(actor, b"opening", opening) if opening else None


def _session_of(user_id: str) -> str | None:
    found = _SESSION_SUFFIX.search(user_id[-2 * _LONGEST_ID :])
    if found:
        return found[1]
    if not user_id.startswith("{"):
        return None
    try:
        session_id = _decode_user_id(user_id).session_id
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return session_id if len(session_id) <= _LONGEST_ID else None


def _key(actor: str, kind: bytes, value: bytes) -> str:
    name = actor.encode(errors="replace")
    digest = hashlib.blake2b(b"%d:%b:%b:%b" % (len(name), name, kind, value), digest_size=16, person=b"session")
    return digest.hexdigest()


@define
class Pin:
    """A session's account, for one class of models."""

    account_id: str
    used_at: float
    """Unix seconds."""
    confirmed: bool = False
    """Whether the account has answered: until then nothing is cached there."""
    cached_tokens: int = 0
    """Tokens that the last answer read from the cache or wrote to it."""
    moves: int = 0
    """How often the session has changed accounts, as far as is known here."""
    told_at: float | None = None
    """The use that other processes know of, in Unix seconds."""
    told_tokens: int = 0


@define
class Affinity:
    """The pins of all sessions: bounded, and forgotten when they are idle.

    What others should know comes back from the methods that note something; what others say goes into `adopt`.
    """

    idle_seconds: float
    secret: bytes = field(default=b"", repr=False)
    """Keys the hashes under which others are told of sessions; at most 64 bytes."""
    _pins: OrderedDict[str, Pin] = field(factory=OrderedDict)

    def __len__(self) -> int:
        """Return how many sessions are known."""
        return len(self._pins)

    def find(self, session: str, family: str, now: float) -> Pin | None:
        """Return the pin of a session that is not idle."""
        return self._find(self._key(session, family), now)

    def pin(self, session: str, family: str, account_id: str, now: float) -> SessionPin | None:
        """Tie a session to an account, or note that it is in use there; return what others should know."""
        key = self._key(session, family)
        pin = self._find(key, now)
        if pin is None:
            pin = Pin(account_id, now)
        elif pin.account_id != account_id:
            pin = Pin(account_id, now, moves=pin.moves + 1)
        pin.used_at = now
        self._keep(key, pin)
        return self._news(key, pin)

    def note_cached(
        self, session: str, family: str, account_id: str, tokens: int, now: float
    ) -> SessionPin | None:
        """Take note of how much an account has cached of a session; return what others should know."""
        key = self._key(session, family)
        pin = self._find(key, now)
        if pin is None or pin.account_id != account_id:
            return None
        pin.cached_tokens = tokens
        return self._news(key, pin)

    def adopt(self, told: SessionPin, now: float) -> None:
        """Go by what the store has, but for a move from there that the store is still to be told of."""
        key = told.session_key
        pin = self._find(key, now)
        if pin is None and now - told.used_at > self.idle_seconds:
            return
        if pin is None or (pin.account_id != told.account_id and pin.moves <= told.moves):
            # Whoever chose it has asked there; to take a cache for granted that is not there costs little.
            used_at = told.used_at if pin is None else pin.used_at
            pin = Pin(told.account_id, used_at, confirmed=True, cached_tokens=told.cached_tokens)
        elif pin.account_id != told.account_id:
            return
        if told.used_at >= pin.used_at:
            pin.used_at = min(told.used_at, now)
            pin.cached_tokens = told.cached_tokens or pin.cached_tokens
        pin.moves = max(pin.moves, told.moves)
        pin.told_at = told.used_at if pin.told_at is None else max(pin.told_at, told.used_at)
        pin.told_tokens = max(pin.told_tokens, told.cached_tokens)
        self._keep(key, pin)

    def _find(self, key: str, now: float) -> Pin | None:
        pin = self._pins.get(key)
        if pin is not None and now - pin.used_at > self.idle_seconds:
            del self._pins[key]
            return None
        return pin

    def _keep(self, key: str, pin: Pin) -> None:
        self._pins[key] = pin
        self._pins.move_to_end(key)
        while len(self._pins) > MOST_PINS:
            self._pins.popitem(last=False)

    def _news(self, key: str, pin: Pin) -> SessionPin | None:
        """Return what others should know: an account, now and then that it is in use, and how much is cached."""
        if (
            pin.told_at is not None
            and pin.used_at - pin.told_at < touch_seconds(self.idle_seconds)
            and (pin.cached_tokens == 0 or pin.cached_tokens < 2 * pin.told_tokens)
        ):
            return None
        pin.told_at, pin.told_tokens = pin.used_at, pin.cached_tokens
        return SessionPin(key, pin.account_id, pin.used_at, pin.moves, pin.cached_tokens)

    def _key(self, session: str, family: str) -> str:
        name = f"{session}\0{family}".encode(errors="replace")
        return hashlib.blake2b(name, digest_size=16, key=self.secret, person=b"session pin").hexdigest()
