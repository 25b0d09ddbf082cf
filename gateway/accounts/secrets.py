"""What the vault encrypts: the secret of an account, as its kind needs it."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
from attrs import asdict, define, field
from cattrs import Converter
from cattrs.errors import BaseValidationError

from gateway.accounts.account import AccountKind

__all__ = [
    "ApiKeySecret",
    "CommandSecret",
    "Federation",
    "OAuthSecret",
    "Secret",
    "SecretFormatError",
    "check_token",
    "decode_secret",
    "encode_secret",
]

_LONGEST_TOKEN: Final = 16 * 1024
_FIRST_VISIBLE: Final = "!"
_LAST_VISIBLE: Final = "~"


class SecretFormatError(ValueError):
    """A secret that is not what its account's kind needs; the message never holds any of it."""


def check_token(value: object) -> str:
    """Return a key or a token that can stand in a header: visible ASCII, up to 16 KiB.

    Raises:
        SecretFormatError: it cannot.
    """
    if not isinstance(value, str) or not value:
        raise SecretFormatError("is no text, or is empty")
    if len(value) > _LONGEST_TOKEN:
        raise SecretFormatError(f"is longer than {_LONGEST_TOKEN} characters")
    if min(value) < _FIRST_VISIBLE or max(value) > _LAST_VISIBLE:
        raise SecretFormatError("holds spaces or other characters that cannot stand in a header")
    return value


@define(frozen=True)
class ApiKeySecret:
    """A key that is valid until somebody revokes it."""

    api_key: str = field(repr=False, converter=check_token)


@define(frozen=True)
class CommandSecret:
    """A command of the settings file, by its name alone: no command line comes in through the database."""

    command: str


@define(frozen=True)
class Federation:
    """Workload identity federation: a signed assertion from a file buys an access token (RFC 7523, section 2.1).

    The fields are those of the request's body (`anthropic` Python SDK 2.12.0, `lib/credentials/_workload.py`).
    """

    assertion_file: str
    """Read anew for every exchange: whoever projects it into the file system also rotates it."""
    federation_rule_id: str | None = None
    organization_id: str | None = None
    service_account_id: str | None = None
    workspace_id: str | None = None


@define(frozen=True)
class OAuthSecret:
    """Tokens of a token endpoint, and what it takes to get new ones there."""

    token_url: str
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    scope: str | None = None
    refresh_token: str | None = field(default=None, repr=False)
    """Good for one use: the endpoint gives a new one with each access token."""
    federation: Federation | None = None
    """In place of a refresh token."""
    as_form: bool = False
    """Whether the endpoint wants a form, as RFC 6749 says, rather than the JSON of the model providers."""
    access_token: str | None = field(default=None, repr=False)
    """None before the first exchange."""
    expires_at: float | None = None
    """Unix seconds; None for unknown."""
    lifetime: float | None = None
    """Seconds that the access token was good for when it was granted."""

    @property
    def is_renewable(self) -> bool:
        """Whether there is anything to exchange for a new access token."""
        return self.refresh_token is not None or self.federation is not None


Secret = ApiKeySecret | CommandSecret | OAuthSecret

_KINDS: Final[dict[AccountKind, type[ApiKeySecret | CommandSecret | OAuthSecret]]] = {
    AccountKind.API_KEY: ApiKeySecret,
    AccountKind.COMMAND: CommandSecret,
    AccountKind.OAUTH: OAuthSecret,
}


def _to_text(value: Any, _: type) -> str:
    if not isinstance(value, str):
        raise SecretFormatError("text is needed")
    return value


def _to_number(value: Any, _: type) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SecretFormatError("a number is needed")
    return float(value)


# Unknown members are left alone, so that an older program reads what a newer one wrote.
_converter: Final = Converter(forbid_extra_keys=False)
_converter.register_structure_hook(str, _to_text)
_converter.register_structure_hook(float, _to_number)


def encode_secret(secret: Secret) -> bytes:
    """Return a secret as the bytes that are to be encrypted."""
    return msgspec.json.encode(asdict(secret, filter=lambda _, value: value is not None))


def decode_secret(kind: AccountKind, data: bytes) -> Secret:
    """Read what `encode_secret` made.

    Raises:
        SecretFormatError: it is not of this kind.
    """
    cls = _KINDS.get(kind)
    if cls is None:
        raise SecretFormatError(f"an account of kind {kind.value} has no secret")
    try:
        return _converter.structure(msgspec.json.decode(data), cls)
    except (msgspec.DecodeError, BaseValidationError, ValueError, TypeError):
        # What cattrs and msgspec say quotes the value.
        raise SecretFormatError(f"the stored secret is not one of an account of kind {kind.value}") from None
