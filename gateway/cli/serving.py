"""What the commands share that serve clients."""

from __future__ import annotations

import errno
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from gateway.accounts.vault import VaultError
from gateway.cli.common import warn
from gateway.cli.errors import CommandError
from gateway.config import Settings
from gateway.controlplane.sign_in.links import clear_text_warning
from gateway.dataplane.sdk_transport import SdkUnavailableError, check_sdk
from gateway.observability import ControlAddressError, TracingUnavailableError
from gateway.pricing.price_file import PricesError
from gateway.store.errors import StoreError
from gateway.store.secret import SecretKeyError, key_file
from gateway.telemetry.diagnostics import Diagnostics
from gateway.telemetry.logs import close_logs, configure_logs
from gateway.telemetry.shared_files import NoRoomError

__all__ = ["check", "serving"]

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
    if (text := clear_text_warning(settings)) is not None:
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
