"""Gateway keys: how they look, how they are stored, who they stand for."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import define, field
from multidict import CIMultiDictProxy

from gateway.actors.terms import KeyTerms
from gateway.wire.errors import ApiError

__all__ = [
    "ANONYMOUS",
    "KEY_PREFIX",
    "Actor",
    "FormerKey",
    "KeyRing",
    "StoredKey",
    "hash_key",
    "new_key",
    "presented_credential",
    "secret_id",
    "secret_standing",
    "visible_prefix",
]

KEY_PREFIX: Final = "csg_"
"""Every gateway key begins with it, so that secret scanners and people know one when they see one."""
_SHOWN: Final = 10
_REVOKED_DAYS: Final = 30
_MOST_REVOKED: Final = 1_000
_LOOKUP: Final = 16  # hexadecimal digits of a digest that find it; the rest is compared in constant time


@define(frozen=True)
class Actor:
    """On whose behalf a request is made."""

    id: str
    name: str
    terms: KeyTerms = field(factory=KeyTerms)
    valid_until: float | None = None
    """When the key that was presented stops being valid, in Unix seconds of the database's clock."""
    is_replaced: bool = False
    """Whether that is because another key took its place."""
    is_revoked: bool = False


ANONYMOUS: Final = Actor("anonymous", "anonymous")
"""The actor of every request where clients need no key."""


@define(frozen=True)
class FormerKey:
    """A key that another one took the place of, and that is valid for a while yet."""

    digest: str = field(repr=False)
    valid_until: float
    """Unix seconds of the database's clock."""


@define(frozen=True)
class StoredKey:
    """A key as the store knows it."""

    id: str
    name: str
    digest: str = field(repr=False)
    prefix: str
    created_at: str
    """ISO 8601, UTC."""
    revoked_at: str | None = None
    secret_id: str | None = None
    """`secret_id` of the secret key that it was hashed with; None for unknown."""
    terms: KeyTerms = field(factory=KeyTerms)
    former: tuple[FormerKey, ...] = ()


def new_key() -> str:
    """Return a fresh key: 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def visible_prefix(key: str) -> str:
    """Return the part of a key that may be shown, to tell keys apart."""
    return key[:_SHOWN]


def hash_key(key: str, pepper: bytes) -> str:
    """Return the keyed hash under which a key is stored, in hexadecimal.

    Args:
        key: as the client sends it.
        pepper: the gateway's secret key, at most 64 bytes.
    """
    return hashlib.blake2b(key.encode(errors="surrogateescape"), key=pepper, digest_size=32).hexdigest()


def secret_id(pepper: bytes) -> str:
    """Return what tells one of the gateway's secret keys from another, and is too short to give it away.

    Args:
        pepper: the secret key, at most 64 bytes.
    """
    return hashlib.blake2b(key=pepper, digest_size=4, person=b"secret id").hexdigest()


def secret_standing(made_with: str | None, known: Sequence[str]) -> str | None:
    """Say what has become of the secret key that a client key was made with.

    Args:
        made_with: its `secret_id`; None for unknown.
        known: those of the gateway's secret keys, the current one first.

    Returns:
        `current`, `older`, `missing`, or None for unknown.
    """
    if made_with is None:
        return None
    if made_with not in known:
        return "missing"
    return "current" if made_with == known[0] else "older"


class KeyRing:
    """The keys that are valid now, in memory, and those of late that were revoked."""

    def __init__(self, pepper: bytes, keys: Iterable[StoredKey] = (), older: Sequence[bytes] = ()) -> None:
        """Hold `keys`, hashed with `pepper`, or before that was exchanged with one of the `older` ones."""
        self._peppers = (pepper, *older)
        self._known: Mapping[str, tuple[str, Actor]] = {}
        self._entries: dict[str, tuple[StoredKey, Sequence[tuple[str, tuple[str, Actor]]]]] = {}
        """What `_known` has of each valid key, by its id."""
        self._revoked: Mapping[str, tuple[str, Actor]] = {}
        self.replace(keys)

    def replace(self, keys: Iterable[StoredKey]) -> None:
        """Make these keys, and no others, the valid ones."""
        entries: dict[str, tuple[StoredKey, Sequence[tuple[str, tuple[str, Actor]]]]] = {}
        gone: list[StoredKey] = []
        for key in keys:
            if key.revoked_at is not None:
                gone.append(key)
                continue
            # Of thousands of keys hardly any changes.
            before = self._entries.get(key.id)
            entries[key.id] = before if before is not None and before[0] is key else (key, _entries(key))
        self._entries = entries
        self._known = dict(entry for _, of_key in entries.values() for entry in of_key)
        self._revoked = _revoked(gone)

    def find(self, key: str) -> Actor | None:
        """Return whose key this is, or None; it may be one that is not valid any more, which the actor says."""
        return self._find(key, self._known)

    def find_revoked(self, key: str) -> Actor | None:
        """Return whose key this was until it was revoked in the last 30 days, or None."""
        return self._find(key, self._revoked)

    def _find(self, key: str, known: Mapping[str, tuple[str, Actor]]) -> Actor | None:
        for pepper in self._peppers:
            presented = hash_key(key, pepper)
            digest, actor = known.get(presented[:_LOOKUP], ("", ANONYMOUS))
            if hmac.compare_digest(digest, presented):
                return actor
        return None


def _entries(key: StoredKey) -> Sequence[tuple[str, tuple[str, Actor]]]:
    """Return a valid key as the ring holds it, and those that it took the place of."""
    found: list[tuple[str, tuple[str, Actor]]] = []
    end = key.terms.expires_at
    for former in key.former:
        until = former.valid_until if end is None else min(former.valid_until, end)
        actor = Actor(key.id, key.name, key.terms, until, is_replaced=until != end)
        found.append((former.digest[:_LOOKUP], (former.digest, actor)))
    found.append((key.digest[:_LOOKUP], (key.digest, Actor(key.id, key.name, key.terms, end))))
    return found


def _revoked(keys: list[StoredKey]) -> dict[str, tuple[str, Actor]]:
    """Return revoked keys as the ring holds them: those of late, and of very many the latest."""
    # Both are ISO 8601 in UTC to the millisecond, which sorts by time.
    since = (datetime.now(UTC) - timedelta(days=_REVOKED_DAYS)).isoformat(timespec="milliseconds")
    late = sorted((key for key in keys if (key.revoked_at or "") >= since), key=lambda key: key.revoked_at or "")
    found: dict[str, tuple[str, Actor]] = {}
    for key in late[-_MOST_REVOKED:]:
        actor = Actor(key.id, key.name, is_revoked=True)
        for digest in (key.digest, *(former.digest for former in key.former)):
            found[digest[:_LOOKUP]] = (digest, actor)
    return found


def presented_credential(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the credential a client sent in `x-api-key` or `Authorization: Bearer`; None if there is none.

    Raises:
        ApiError: 401, the headers contradict each other.
    """
    found: set[str] = set()
    for value in headers.getall("x-api-key", ()):
        found.add(value.strip())
    for value in headers.getall("authorization", ()):
        scheme, _, token = value.strip().partition(" ")
        found.add(token.strip() if scheme.lower() == "bearer" else "")
    found.discard("")
    if len(found) > 1:
        raise ApiError(
            401,
            "x-api-key and Authorization carry different credentials; send one of them, or the same in both",
        )
    return found.pop() if found else None
