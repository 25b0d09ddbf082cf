"""What the subcommands share."""

from __future__ import annotations

import argparse
import asyncio
import errno
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from gateway.accounts.vault import VaultError
from gateway.config import Settings, SettingsError, load_settings
from gateway.dataplane.sdk_transport import SdkUnavailableError, check_sdk
from gateway.observability import ControlAddressError, TracingUnavailableError
from gateway.pricing.price_file import PricesError
from gateway.store import canary
from gateway.store.engine import Database
from gateway.store.errors import StoreError
from gateway.store.secret import SecretKeyError, has_secret_key, key_file, load_secret_keys
from gateway.telemetry.diagnostics import Diagnostics
from gateway.telemetry.logs import close_logs, configure_logs
from gateway.telemetry.shared_files import NoRoomError

__all__ = [
    "CommandError",
    "Subparsers",
    "add_command",
    "add_config_option",
    "check",
    "refuse_lost_key",
    "secret_keys_at_hand",
    "secret_keys_from",
    "serving",
    "settings_from",
    "warn",
]

_SHORT_KEY: Final = 16
_REFUSALS: Final = (
    ControlAddressError,
    NoRoomError,
    PricesError,
    SdkUnavailableError,
    SecretKeyError,
    StoreError,
    TracingUnavailableError,
    VaultError,
)
"""Whose messages say what to do."""

Subparsers = Any
"""argparse's own type is private."""


class CommandError(Exception):
    """The command cannot go on; the message says why and what to do."""


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Add `--config FILE`."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings in TOML; GATEWAY_… environment variables win over it"
    )


def warn(text: str) -> None:
    """Tell whoever runs the command of something that need not be as it is."""
    print(f"gateway: warning: {text}", file=sys.stderr)


def settings_from(args: argparse.Namespace) -> Settings:
    """Load the settings that the command line names.

    Raises:
        CommandError: they cannot be used.
    """
    try:
        return load_settings(args.config, warn=warn)
    except SettingsError as error:
        raise CommandError(str(error)) from None


def check(settings: Settings) -> None:
    """Refuse settings that could not serve anybody; warn of those that will not do for long.

    Raises:
        CommandError: says what to set.
    """
    try:
        Diagnostics(settings.diagnostics)
    except ValueError as error:
        raise CommandError(f"GATEWAY_DIAGNOSTICS: {error}") from None
    if settings.sdk_enabled:
        try:
            check_sdk(settings)
        except SdkUnavailableError as error:
            raise CommandError(str(error)) from None
    for text in _warn_of_secret_key(settings):
        warn(text)


def _warn_of_secret_key(settings: Settings) -> Iterator[str]:
    if any(len(key.strip()) < _SHORT_KEY for key in settings.secret_key.split(",") if key.strip()):
        yield (
            f"GATEWAY_SECRET_KEY is shorter than {_SHORT_KEY} characters: whoever gets hold of the database may "
            "guess it, and has the accounts; docs/security.md says how to exchange it"
        )
    if not settings.secret_key and settings.database_url.startswith("postgres"):
        yield (
            f"the secret key is this host's own, {key_file(settings.data_path)}: before other hosts use this "
            "database, set GATEWAY_SECRET_KEY to the same on all of them"
        )


def refuse_lost_key(settings: Settings) -> None:
    """See that no secret key is made in the place of one that is lost; look into the database where there is none.

    Raises:
        CommandError: one is lost, or the database cannot be used.
    """

    async def look() -> None:
        async with Database.of(settings) as database:
            await canary.refuse_lost_key(database, settings.secret_key, settings.data_path)

    try:
        if not has_secret_key(settings.secret_key, settings.data_path):
            asyncio.run(look())
    except (SecretKeyError, StoreError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"cannot look into {settings.data_path}: {error.strerror or error}") from None


def secret_keys_from(settings: Settings) -> tuple[bytes, ...]:
    """Load the secret keys; make one where none was ever needed.

    Raises:
        CommandError: they cannot be used, or one is lost.
    """
    refuse_lost_key(settings)
    try:
        return load_secret_keys(settings.secret_key, settings.data_path)
    except SecretKeyError as error:
        raise CommandError(str(error)) from None


def secret_keys_at_hand(settings: Settings) -> tuple[bytes, ...]:
    """Load the secret keys that there are; make none, and leave it to others to say what is wrong with them."""
    try:
        if has_secret_key(settings.secret_key, settings.data_path):
            return load_secret_keys(settings.secret_key, settings.data_path)
    except (SecretKeyError, OSError):
        pass
    return ()


def add_command(subparsers: Subparsers, name: str, *, summary: str, about: str, examples: str) -> Any:
    """Add a subcommand whose help ends with examples; return its parser."""
    return subparsers.add_parser(
        name,
        help=summary,
        description=about,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


@contextmanager
def serving(settings: Settings, *, log_to: TextIO | None = None) -> Generator[None, None, None]:
    """Set up logging for a command that serves, and say in one sentence why it cannot.

    Raises:
        CommandError: the key file, the database or the address cannot be used.
    """
    configure_logs(level=settings.log_level, fmt=settings.log_format, stream=log_to)
    try:
        yield
    except _REFUSALS as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise _cannot_listen(error, settings.listen) from None
    finally:
        close_logs()


def _cannot_listen(error: OSError, address: str) -> CommandError:
    if error.errno == errno.EADDRINUSE:
        return CommandError(f"{address} is in use already; stop what listens there, or set GATEWAY_LISTEN")
    if error.errno == errno.EACCES:
        return CommandError(f"listening on {address} is not permitted; set GATEWAY_LISTEN to a port above 1023")
    return CommandError(f"cannot listen on {address}: {error.strerror or error}; set GATEWAY_LISTEN")
