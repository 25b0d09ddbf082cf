"""An account that somebody asks for, and what speaks against it.

Whatever is refused here would have failed later, in the middle of somebody's work: a key of another kind or of
another provider, a base URL that is none. No sentence of this module holds a secret.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from attrs import define, field

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.command import unknown_command
from gateway.accounts.oauth import is_secure
from gateway.accounts.secrets import (
    ApiKeySecret,
    CommandSecret,
    OAuthSecret,
    Secret,
    SecretFormatError,
    check_token,
)
from gateway.setting_values import BadValueError, canonical_host, check_base_url, is_loopback

__all__ = ["PROVIDERS", "Draft", "DraftError", "check_name", "check_owner", "read_secret", "refuse_key", "vet"]

PROVIDERS: Final = ("anthropic", "openai")

_HOSTS: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic": ("anthropic.com", "claude.com", "claude.ai"),
    "openai": ("openai.com", "chatgpt.com"),
}
_NAMES: Final[Mapping[str, str]] = {"anthropic": "Anthropic", "openai": "OpenAI"}
_PREFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic": ("sk-ant-",),
    "openai": ("sk-proj-", "sk-svcacct-", "sk-admin-"),
}
_SECRET_PREFIXES: Final = ("sk-", "csg_")
_RESERVED: Final = frozenset({"environment", "passthrough"})
_LONGEST_NAME: Final = 100
_LONGEST_OWNER: Final = 200
_LARGEST_NUMBER: Final = 1_000_000
_ID_PREFIX: Final = "acc_"
_NO_API_KEYS: Final[Mapping[str, str]] = {
    "sk-ant-oat": (
        "this is an OAuth access token, which expires, and no API key; make an API key in the Console, "
        "or add the refresh token of a profile as an account of kind oauth"
    ),
    "sk-ant-ort": (
        "this is an OAuth refresh token, and no API key; add it as an account of kind oauth, with the client id "
        "that it was issued to"
    ),
    "sk-ant-admin": "this is a key of the Admin API, which serves no messages; make an API key in the Console",
    "csg_": "this is a key of this gateway's own clients; the key of an account comes from its provider",
}
_NO_REFRESH_TOKENS: Final[Mapping[str, str]] = {
    "sk-ant-api": "this is an API key, and no refresh token; add it as an account of kind api_key",
    "sk-ant-oat": "this is an access token, which cannot be renewed; the refresh token beside it is needed",
    "sk-ant-admin": "this is a key of the Admin API, and no refresh token",
    "csg_": "this is a key of this gateway's own clients, and no refresh token",
}


class DraftError(ValueError):
    """An account cannot be had so; the message says why and what to do, and holds no secret."""


@define(frozen=True)
class Draft:
    """What an account is to be like."""

    name: str
    provider: str
    secret: Secret = field(repr=False)
    base_url: str | None = None
    owner: str = ""
    weight: int = 1
    priority: int = 0
    max_concurrency: int | None = None

    @property
    def kind(self) -> AccountKind:
        """Where its credential comes from, which its secret says."""
        if isinstance(self.secret, ApiKeySecret):
            return AccountKind.API_KEY
        return AccountKind.COMMAND if isinstance(self.secret, CommandSecret) else AccountKind.OAUTH

    @property
    def expires_at(self) -> float | None:
        """When its credential expires, in Unix seconds; None for never or unknown."""
        return self.secret.expires_at if isinstance(self.secret, OAuthSecret) else None

    def as_account(self, account_id: str, encrypted: bytes, created_at: float) -> Account:
        """Return the account that comes of it.

        Args:
            account_id: a new one.
            encrypted: its secret, as the vault gave it back.
            created_at: Unix seconds.
        """
        return Account(
            id=account_id,
            name=self.name,
            provider=self.provider,
            kind=self.kind,
            base_url=self.base_url,
            owner=self.owner,
            weight=self.weight,
            priority=self.priority,
            max_concurrency=self.max_concurrency,
            created_at=created_at,
            secret=encrypted,
            secret_version=1,
            expires_at=self.expires_at,
        )


def read_secret(data: bytes) -> str:
    """Return the one key or token that was typed, pasted or piped; white space around it is dropped.

    Raises:
        DraftError: it is empty, more than one line, or cannot stand in a header.
    """
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise DraftError("the secret holds a character that is not ASCII; copy it again") from None
    if not text:
        raise DraftError(
            "the secret is empty; pipe it in, as in: printenv ANTHROPIC_API_KEY | gateway accounts add …"
        )
    if len(text.splitlines()) > 1:
        raise DraftError("the secret has more than one line; pipe in the key or token alone")
    try:
        return check_token(text)
    except SecretFormatError as error:
        raise DraftError(f"the secret {error}; copy it again") from None


def check_name(name: str) -> str:
    """Return the name of a new account without the white space around it.

    Raises:
        DraftError: nobody could tell by it which account is meant, or it looks like a secret.
    """
    name = name.strip()
    if not name or not name.isprintable() or len(name) > _LONGEST_NAME or name.startswith("-"):
        raise DraftError(
            f"the name of an account needs 1 to {_LONGEST_NAME} visible characters and cannot begin with a hyphen"
        )
    if name.startswith(_SECRET_PREFIXES):
        raise DraftError("the name of an account looks like a secret; names are shown and logged")
    if name in _RESERVED or name.startswith(_ID_PREFIX):
        raise DraftError(f"the name {name!r} is taken by the gateway itself; choose another")
    return name


def check_owner(owner: str) -> str:
    """Return who an account belongs to, without the white space around it.

    Raises:
        DraftError: it is too long, or cannot be shown.
    """
    owner = owner.strip()
    if not owner.isprintable() or len(owner) > _LONGEST_OWNER:
        raise DraftError(f"the owner is a text of at most {_LONGEST_OWNER} visible characters")
    return owner


def refuse_key(key: str, provider: str) -> None:
    """Refuse what cannot be an API key of a provider, by how it begins.

    Raises:
        DraftError: says what it is instead, and what to do with that.
    """
    for prefix, words in _NO_API_KEYS.items():
        if key.startswith(prefix):
            raise DraftError(words)
    _refuse_foreign(key, provider)


def vet(draft: Draft, commands: Collection[str] = ()) -> list[str]:
    """Look for what speaks against an account.

    Args:
        draft: the account.
        commands: names of the commands in the settings file.

    Returns:
        Warnings, a sentence each.

    Raises:
        DraftError: it cannot work.
    """
    check_name(draft.name)
    if draft.provider not in PROVIDERS:
        raise DraftError(f"the provider must be one of {', '.join(PROVIDERS)}")
    check_owner(draft.owner)
    for what, least, value in (
        ("the weight", 1, draft.weight),
        ("the priority", 0, draft.priority),
        ("the bound of requests at a time", 0, draft.max_concurrency),
    ):
        if value is not None and not least <= value <= _LARGEST_NUMBER:
            raise DraftError(f"{what} must be from {least} to {_LARGEST_NUMBER}")
    warnings = list(_vet_base_url(draft))
    match draft.secret:
        case ApiKeySecret(api_key):
            refuse_key(api_key, draft.provider)
        case CommandSecret(command):
            if command not in commands:
                raise DraftError(unknown_command(command, commands))
        case OAuthSecret():
            _vet_oauth(draft.secret, draft.provider)
    return warnings


def _vet_base_url(draft: Draft) -> Iterator[str]:
    if draft.base_url is None:
        return
    try:
        check_base_url(draft.base_url)
    except BadValueError as error:
        raise DraftError(f"the base URL {error}") from None
    parts = urlsplit(draft.base_url)
    host = parts.hostname or ""
    _refuse_foreign_host("the base URL", host, draft.provider)
    if parts.scheme == "http" and not is_loopback(host):
        yield f"requests of {draft.name!r} go to {host} without TLS, and its credential with them; use https"
    if parts.path.rstrip("/").endswith("/v1"):
        yield f"the base URL of {draft.name!r} ends in /v1, to which the gateway adds /v1/…; leave it out"


def _vet_oauth(secret: OAuthSecret, provider: str) -> None:
    try:
        check_base_url(secret.token_url)
    except BadValueError as error:
        raise DraftError(f"the token URL {error}") from None
    if not is_secure(secret.token_url):
        raise DraftError("the token URL must begin with https: a refresh token is not sent in clear")
    _refuse_foreign_host("the token URL", urlsplit(secret.token_url).hostname or "", provider)
    if secret.federation is not None:
        rule = secret.federation
        if not rule.assertion_file.startswith("/"):
            raise DraftError(
                "the path of the file with the assertion must be absolute: the gateway may run elsewhere"
            )
        if provider == "anthropic" and not (rule.federation_rule_id and rule.organization_id):
            raise DraftError("an assertion needs a federation rule and an organization, as the Console shows them")
        return
    if not secret.is_renewable or secret.refresh_token is None:
        raise DraftError("an account of kind oauth needs a refresh token or a file with an assertion")
    for prefix, words in _NO_REFRESH_TOKENS.items():
        if secret.refresh_token.startswith(prefix):
            raise DraftError(words)
    _refuse_foreign(secret.refresh_token, provider)
    if not secret.client_id:
        raise DraftError("a refresh token belongs to a client id: give the one that it was issued to")


def _refuse_foreign(secret: str, provider: str) -> None:
    for other, prefixes in _PREFIXES.items():
        if other != provider and secret.startswith(prefixes):
            raise DraftError(
                f"this is a secret of {_NAMES[other]}, and the account's provider is "
                f"{_NAMES.get(provider, provider)}; choose {_NAMES[other]}"
            )


def _refuse_foreign_host(what: str, host: str, provider: str) -> None:
    host = canonical_host(host)
    for other, domains in _HOSTS.items():
        if other != provider and any(host == domain or host.endswith(f".{domain}") for domain in domains):
            raise DraftError(
                f"{what} leads to {host}, which is {_NAMES[other]}'s; credentials of "
                f"{_NAMES.get(provider, provider)} are not sent there"
            )
