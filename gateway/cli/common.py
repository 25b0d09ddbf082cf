"""What the subcommands share."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from gateway.accounts.vault import VaultError
from gateway.config import Settings, SettingsError, load_settings
from gateway.dataplane.sdk_transport import SdkUnavailableError, check_sdk
from gateway.store.errors import StoreError
from gateway.store.secret import SecretKeyError
from gateway.telemetry.diagnostics import Diagnostics
from gateway.telemetry.logs import close_logs, configure_logs

__all__ = ["CommandError", "Subparsers", "add_command", "add_config_option", "check", "serving", "settings_from"]

Subparsers = Any
"""argparse's own type is private."""


class CommandError(Exception):
    """The command cannot go on; the message says why and what to do."""


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Add `--config FILE`."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings in TOML; GATEWAY_… environment variables win over it"
    )


def settings_from(args: argparse.Namespace) -> Settings:
    """Load the settings that the command line names.

    Raises:
        CommandError: they cannot be used.
    """
    try:
        return load_settings(args.config, warn=lambda text: print(f"gateway: warning: {text}", file=sys.stderr))
    except SettingsError as error:
        raise CommandError(str(error)) from None


def check(settings: Settings) -> None:
    """Refuse settings that could not serve anybody.

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
    except (SecretKeyError, StoreError, SdkUnavailableError, VaultError) as error:
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
