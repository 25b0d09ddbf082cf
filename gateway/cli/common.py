"""What the subcommands share."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from gateway.cli.errors import CommandError
from gateway.config import Settings, SettingsError, load_settings
from gateway.store import canary
from gateway.store.engine import Database, Opening
from gateway.store.errors import StoreError
from gateway.store.secret import SecretKeyError, has_secret_key, load_secret_keys

__all__ = [
    "CommandError",
    "Subparsers",
    "add_command",
    "add_config_option",
    "refuse_lost_key",
    "secret_keys_at_hand",
    "secret_keys_from",
    "settings_from",
    "warn",
]

Subparsers = Any
"""argparse's own type is private."""


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


def refuse_lost_key(settings: Settings, opening: Opening = Opening.EXISTING) -> None:
    """See that no secret key is made in the place of one that is lost; look into the database where there is none.

    Args:
        settings: as loaded.
        opening: what may be done to the database.

    Raises:
        CommandError: one is lost, or the database cannot be used.
    """

    async def look() -> None:
        async with Database.of(settings, opening) as database:
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
