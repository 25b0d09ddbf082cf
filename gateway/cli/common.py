"""What the subcommands share."""

from __future__ import annotations

import argparse
import errno
from pathlib import Path
from typing import Any

from gateway.config import Settings, SettingsError, load_settings

__all__ = ["CommandError", "Subparsers", "add_config_option", "listen_error", "settings_from"]

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
        return load_settings(args.config)
    except SettingsError as error:
        raise CommandError(str(error)) from None


def listen_error(error: OSError, address: str, setting: str) -> CommandError:
    """Explain why an address cannot be listened on.

    Args:
        error: as raised.
        address: HOST:PORT.
        setting: what to set to listen elsewhere.
    """
    if error.errno == errno.EADDRINUSE:
        return CommandError(f"{address} is in use already; stop what listens there, or set {setting}")
    if error.errno == errno.EACCES:
        return CommandError(f"listening on {address} is not permitted; set {setting} to a port above 1023")
    return CommandError(f"cannot listen on {address}: {error.strerror or error}; set {setting}")
