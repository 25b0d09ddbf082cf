"""Which account has the prompt of a session cached.

Prompt caches belong to one organisation, so a session that changes accounts pays for its whole context anew. A
session stays where it is through passing trouble, leaves an account that is of no use to it for longer, and does
not go back by itself.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from typing import Final

import msgspec
from attrs import define, field

__all__ = ["Affinity", "Pin", "session_key"]

_MOST_PINS: Final = 20_000
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


@define
class Affinity:
    """The pins of all sessions: bounded, and forgotten when they are idle."""

    idle_seconds: float
    _pins: OrderedDict[tuple[str, str], Pin] = field(factory=OrderedDict)

    def __len__(self) -> int:
        """Return how many sessions are known."""
        return len(self._pins)

    def find(self, session: str, family: str, now: float) -> Pin | None:
        """Return the pin of a session that is not idle."""
        pin = self._pins.get((session, family))
        if pin is not None and now - pin.used_at > self.idle_seconds:
            del self._pins[session, family]
            return None
        return pin

    def pin(self, session: str, family: str, account_id: str, now: float) -> Pin:
        """Tie a session to an account, or note that it is in use there."""
        pin = self._pins.get((session, family))
        if pin is None or pin.account_id != account_id:
            pin = self._pins[session, family] = Pin(account_id, now)
        pin.used_at = now
        self._pins.move_to_end((session, family))
        while len(self._pins) > _MOST_PINS:
            self._pins.popitem(last=False)
        return pin
