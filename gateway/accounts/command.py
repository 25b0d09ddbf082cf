"""Credentials that a command of the operator's prints, such as the client of a secrets manager."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec
from attrs import define, field

from gateway.accounts.account import Account
from gateway.accounts.entries import Entry, Flight, Postponed, Present, Renewed, Result
from gateway.accounts.persistence import SecretVault
from gateway.accounts.secrets import CommandSecret, SecretFormatError, check_token
from gateway.accounts.stored import read_secret
from gateway.accounts.unavailable import CredentialUnavailableError
from gateway.providers.base import Credential
from gateway.setting_values import suggest
from gateway.telemetry.logs import get_logger

__all__ = ["CommandError", "CommandSource", "run_command", "unknown_command"]

_log = get_logger(__name__)

_LONGEST_OUTPUT: Final = 64 * 1024
_STDOUT: Final = 1
_STDERR: Final = 2
_REAP_SECONDS: Final = 5.0
_KEPT_ENVIRONMENT: Final = ("PATH", "HOME")
_TOKEN_PREFIX: Final = "sk-ant-oat"  # noqa: S105 - how Anthropic's access tokens begin; protocol facts, no secret
_LATEST: Final = 366 * 86_400
_MILLISECONDS_FROM: Final = 1e11  # as seconds, the year 5138
_KINDS: Final = {"api_key": False, "token": True, "access_token": True}
"""Members of a JSON answer that hold the credential, and whether it is a short-lived token."""


class CommandError(Exception):
    """A command gave no credential; the message says why and holds nothing of what it printed."""


async def run_command(argv: Sequence[str], *, seconds: float) -> bytes:
    """Run a command and return what it printed.

    It gets no shell, no input, of the environment only PATH and HOME, and a process group of its own, all of which
    is killed when it takes too long.

    Args:
        argv: program and arguments.
        seconds: how long it may take.

    Raises:
        CommandError: it cannot be started, failed, printed too much, or took too long.
    """
    loop = asyncio.get_running_loop()
    try:
        transport, output = await loop.subprocess_exec(
            _Output,
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise CommandError(f"the command cannot be started ({type(error).__name__})") from None
    try:
        async with asyncio.timeout(seconds):
            await output.ended.wait()
    except TimeoutError:
        raise CommandError(f"the command did not end within {seconds:g} seconds") from None
    finally:
        # Also what it may have left running in the background.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(transport.get_pid(), signal.SIGKILL)
        transport.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_REAP_SECONDS):
                await output.exited.wait()
    code = transport.get_returncode()
    if code != 0:
        _log.warning("a credential command failed", exit_code=code, stderr_bytes=output.sizes[_STDERR])
        raise CommandError(f"the command ended with exit code {code}")
    if output.sizes[_STDOUT] > _LONGEST_OUTPUT:
        raise CommandError(f"the command printed more than {_LONGEST_OUTPUT} bytes")
    return bytes(output.kept)


class _Output(asyncio.SubprocessProtocol):
    """Keeps the beginning of what a command prints, and counts all of it.

    asyncio's own streams would stop reading when nobody takes what they hold, and then never notice the end.
    """

    def __init__(self) -> None:
        self.kept = bytearray()
        self.sizes = {_STDOUT: 0, _STDERR: 0}
        self.exited = asyncio.Event()
        self.ended = asyncio.Event()
        """It has exited, and all it started has closed what it prints to."""

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.sizes[fd] += len(data)
        if fd == _STDOUT and self.sizes[fd] <= _LONGEST_OUTPUT:
            self.kept += data

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.exited.set()
        self.ended.set()


def read_output(output: bytes, now: float) -> tuple[str, bool, float | None]:
    """Return the credential that a command printed, whether it is a token, and when it expires.

    Args:
        output: a bare key or token, or a JSON object with `api_key`, `token` or `access_token`, and perhaps
            `expires_in` (seconds) or `expires_at` (Unix seconds, or ISO 8601).
        now: Unix seconds.

    Raises:
        CommandError: there is none.
    """
    text = output.strip()
    try:
        if not text.startswith(b"{"):
            bare = check_token(text.decode("ascii", "replace"))
            return bare, bare.startswith(_TOKEN_PREFIX), None
        answer = msgspec.json.decode(text)
        name = next((name for name in _KINDS if name in answer), "token")
        secret = check_token(answer.get(name))
    except msgspec.DecodeError:
        raise CommandError("what the command printed begins like JSON, but is none") from None
    except SecretFormatError as error:
        raise CommandError(f"what the command printed {error}") from None
    expires_at = _expiry(answer, now)
    if expires_at is not None and expires_at <= now:
        raise CommandError("what the command printed has expired already")
    return secret, _KINDS[name], expires_at


def _expiry(answer: Mapping[str, Any], now: float) -> float | None:
    within = _number(answer.get("expires_in"))
    if within is not None:
        return now + within if within <= _LATEST else None
    at = answer.get("expires_at")
    moment = _number(at)
    if moment is None and isinstance(at, str):
        with suppress(ValueError, OverflowError):
            parsed = datetime.fromisoformat(at)
            moment = parsed.timestamp() if parsed.tzinfo is not None else None
    if moment is None:
        return None
    if moment >= _MILLISECONDS_FROM:
        moment /= 1000
    return moment if moment <= now + _LATEST else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # Compared first: an integer may be too large for a float.
    return float(value) if 0 <= value < 1e15 and math.isfinite(value) else None  # noqa: PLR2004 - far beyond any date


@define(eq=False)
class CommandSource:
    """Commands of the settings file."""

    vault: SecretVault
    clock: Callable[[], float]
    commands: Mapping[str, Sequence[str]] = field(repr=False)
    seconds: float = 30.0
    """How long a command may take."""

    def read(self, account: Account) -> Present:
        """Return nothing: what a command prints is never stored.

        Raises:
            CredentialUnavailableError: there is no such command.
        """
        self._command(account)
        return Present(None)

    async def renew(self, entry: Entry, flight: Flight) -> Result:
        """Run the command."""
        account = entry.account
        try:
            name, argv = self._command(account)
        except CredentialUnavailableError as error:
            return Postponed(error.message)
        now = self.clock()
        try:
            secret, is_token, expires_at = read_output(await run_command(argv, seconds=self.seconds), now)
        except CommandError as error:
            return Postponed(
                f"credential command {name!r}: {error}. See its line under [credential_commands] in the settings "
                "file, and run that as the gateway's user"
            )
        present = entry.credential
        if entry.refused and present is not None and present.secret == secret:
            return Postponed(
                f"credential command {name!r} prints the same credential that the upstream refused. See that it "
                "gets a new one"
            )
        credential = Credential(
            account.provider, secret, is_token=is_token, version=account.secret_version, expires_at=expires_at
        )
        flight.adopt(account, Present(credential, None if expires_at is None else expires_at - now))
        return Renewed()

    def _command(self, account: Account) -> tuple[str, Sequence[str]]:
        name = read_secret(account, self.vault, CommandSecret).command
        if argv := self.commands.get(name):
            return name, argv
        raise CredentialUnavailableError(f"{unknown_command(name, self.commands)}.", terminal=True)


def unknown_command(name: str, known: Collection[str]) -> str:
    """Say that there is no such command, and where it would have to be; without a dot at the end."""
    if not known:
        return (
            f"There is no command {name!r}: no settings file with a table [credential_commands] was given. Name "
            "the command in one, and give that with --config FILE"
        )
    return (
        f"There is no command {name!r} under [credential_commands] in the settings file{suggest(name, known)}; "
        f"known: {', '.join(sorted(known))}"
    )
