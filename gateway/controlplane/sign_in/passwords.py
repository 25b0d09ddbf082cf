"""Passwords: which are good enough, and how they are kept and compared."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from attrs import define, field

from gateway.store.users import name_key
from gateway.wire.errors import ApiError

__all__ = ["LONGEST", "SHORTEST", "Passwords", "check_password"]

_T = TypeVar("_T")

SHORTEST: Final = 10
LONGEST: Final = 256
_MEMORY_KIB: Final = 46 * 1024
_AT_A_TIME: Final = 2
"""Each takes that memory and a processor, for some 50 ms."""
_MOST_WAITING: Final = 16
_WAIT_SECONDS: Final = 10.0
_RETRY: Final = 5
_COMMON_WORDS: Final = """
0000000000 0123456789 1029384756 1111111111 1122334455 1234567890 12345678900 123456789a 1234567891
12345678910 123456789q 12341234123 1212121212 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc 2222222222 5555555555
7777777777 9876543210 9999999999 abcdefghij adminadmin administrator basketball changeme123 changemenow
claudeclaude correcthorsebatterystaple dragon1234 football123 gatewaygateway iloveyou123 iloveyou12
letmein123 letmein1234 liverpool1 manchester monkey1234 passw0rd123 password01 password1! password10
password11 password12 password123 password1234 password12345 password123! passwordpassword p@ssw0rd123
qazwsxedcrfv qwerty12345 qwerty123456 qwertyqwerty qwertyuiop qwertyuiop123 qwertzuiop secret1234 streaming1
superman123 sunshine123 trustno1trustno1 welcome123 welcome1234 zaq12wsxcde3
"""
_COMMON: Final = frozenset(_COMMON_WORDS.split())
"""Of those that everybody tries first, the ones that are long enough."""


def check_password(password: str, name: str) -> None:
    """Refuse a password that is guessed at once.

    Args:
        password: that somebody chose.
        name: of its user.

    Raises:
        ApiError: 400.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise ApiError(400, f"A password needs {SHORTEST} to {LONGEST} characters.")
    lower = name_key(password)
    is_name = lower in {name_key(name), name_key(name) * 2}
    if is_name or lower in _COMMON or len(set(lower)) < 4:  # noqa: PLR2004 - one or two letters again and again
        raise ApiError(400, "That password is one of those that are tried first; choose another one.")


@define(eq=False)
class Passwords:
    """Hashes passwords, a few at a time: argon2id with the memory and passes that OWASP's cheat sheet puts first.

    One lane each, so that streams have the other processors.
    """

    _hasher: PasswordHasher = field(
        factory=lambda: PasswordHasher(time_cost=1, memory_cost=_MEMORY_KIB, parallelism=1), init=False, repr=False
    )
    _turns: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(_AT_A_TIME), init=False, repr=False)
    _waiting: int = field(default=0, init=False)
    _nobodys: str = field(default="", init=False, repr=False)

    async def hash(self, password: str) -> str:
        """Return what is stored of a password.

        Raises:
            ApiError: 503, too many others wait.
        """
        return await self._work(lambda: self._hasher.hash(_bytes(password)))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Return whether a password is the one that is stored; that takes as long where none is.

        Raises:
            ApiError: 503, too many others wait.
        """
        return await self._work(lambda: self._matches(stored, password))

    def is_outdated(self, stored: str) -> bool:
        """Return whether a password is to be hashed anew, in the way of this version."""
        return self._hasher.check_needs_rehash(stored)

    def _matches(self, stored: str | None, password: str) -> bool:
        if not self._nobodys:
            self._nobodys = self._hasher.hash(secrets.token_bytes(16))
        try:
            self._hasher.verify(stored or self._nobodys, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None

    async def _work(self, work: Callable[[], _T]) -> _T:
        async with self._turn():
            return await asyncio.to_thread(work)

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        busy = ApiError(503, "Too many people are signing in at once; try again.", retry_after=_RETRY)
        if self._waiting >= _MOST_WAITING:
            raise busy
        self._waiting += 1
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise busy from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()


def _bytes(password: str) -> bytes:
    """Return a password's bytes, the same from every keyboard and system."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
