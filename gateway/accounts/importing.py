"""Files with credentials that other programs wrote, read as accounts.

Three kinds are known, by what is in them:

- a list of API keys: `[{"name": …, "provider": …, "api_key": …}]`; all of it is taken or nothing;
- a profile of the official SDKs and of `ant auth login`: a configuration (`"authentication"`) and the credentials
  that go with it (`"type": "oauth_token"`); Anthropic Python SDK 2.12.0, `lib/credentials/_providers.py`;
- the credentials of a Claude subscription (`"claudeAiOauth"`; Claude Code docs, "Authentication"), which the
  provider's terms restrict: only for an operator who has opted in, and with a client id of the operator's own.

No sentence of this module holds a secret, and no client id of another program is known to it.
"""

from __future__ import annotations

import codecs
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec
from attrs import define, evolve, field

from gateway.accounts.drafts import Draft, DraftError, check_name, vet
from gateway.accounts.import_shapes import (
    Authentication,
    Entry,
    Profile,
    ShapeError,
    Subscription,
    Token,
    structure,
)
from gateway.accounts.secrets import ApiKeySecret, Federation, OAuthSecret, SecretFormatError, check_token

__all__ = [
    "SUBSCRIPTION_NOTICE",
    "CredentialFile",
    "Examination",
    "Finding",
    "Import",
    "ImportRefusedError",
    "ImportWishes",
    "Lack",
    "decode",
    "examine",
    "read_credentials",
    "read_file",
]

SUBSCRIPTION_NOTICE: Final = """\
This is the login of a Claude subscription. Anthropic's terms reserve such logins for ordinary use of Claude Code
and its own other applications by whoever has the subscription, and bar routing the requests of others through
them; accounts that are used otherwise may be blocked without notice. API keys are the supported way to use this
gateway. You have opted in to this, and whether you may is between you and Anthropic.
Its refresh token works once: do not go on using the login in the program that wrote the file, or the two will
log each other out."""

_ROTATES: Final = (
    "the refresh token of a profile works once: let no other program go on using this profile, or the two will "
    "log each other out"
)
_WORKSPACE: Final = (
    "the profile names a workspace, which the gateway does not send along; clients may, as anthropic-workspace-id"
)
_LARGEST_FILE: Final = 1024 * 1024
_MOST_ACCOUNTS: Final = 1000
_MOST_PROBLEMS: Final = 20
_INFERENCE: Final = "user:inference"
_TOKEN_PATH: Final = "/v1/oauth/token"  # noqa: S105 - where tokens come from
_PROFILE_URL: Final = "https://api.anthropic.com"
_OTHERS_MAY_READ: Final = 0o077
_MILLISECONDS: Final = 1000


class Lack(StrEnum):
    """What it would take for a file to be read."""

    #: The setting `allow_subscription_oauth`.
    SUBSCRIPTION = "subscription"
    OWNER = "owner"
    CLIENT_ID = "client_id"
    TOKEN_URL = "token_url"  # noqa: S105 - the name of a wish
    #: The other file of a profile.
    COMPANION = "companion"


@define
class ImportRefusedError(Exception):
    """A file is not taken; the message says why and what to do, and holds no secret."""

    message: str
    lack: Lack | None = None
    """What is missing, for whoever has other words for how it is given."""

    def __str__(self) -> str:
        """Return the message."""
        return self.message


@define(frozen=True)
class Finding:
    """One entry of a file: an account, or what is wrong with it."""

    index: int
    """Its place in a list, from 0 on."""
    draft: Draft | None = None
    warnings: tuple[str, ...] = ()
    problem: str = ""
    """What is wrong and where; empty where there is a draft."""
    name: str = ""
    """As it stands in the entry, as far as that can be told."""


@define(frozen=True)
class Examination:
    """All that was found in a file."""

    findings: tuple[Finding, ...]
    warnings: tuple[str, ...] = ()
    """Of the file as a whole."""
    notice: str | None = None
    """What whoever imports it has to be told, whatever else they are."""


@define(frozen=True)
class CredentialFile:
    """A file as it was found, and the one that goes with it."""

    content: Any = field(repr=False)
    """Decoded JSON."""
    name: str
    """Its name without the suffix: that of the profile, where it is one."""
    companion: Any = field(default=None, repr=False)
    """The credentials of a profile's configuration, or the other way round."""
    warnings: tuple[str, ...] = ()


@define(frozen=True)
class ImportWishes:
    """What the operator says about the accounts in a file."""

    name: str | None = None
    owner: str = ""
    client_id: str | None = None
    token_url: str | None = None
    allow_subscription: bool = False
    """The setting `allow_subscription_oauth`."""
    is_upload: bool = False
    """Whether it came over a network: then it is not to find out who has a home directory on this machine."""
    provider: str = "anthropic"
    """Whose login it is, where the file does not say."""
    before: OAuthSecret | None = field(default=None, repr=False)
    """What is to be replaced, where an account is to have another login: what neither the file nor the operator
    says stays as it is there."""


@define(frozen=True)
class Import:
    """What a file holds."""

    drafts: tuple[Draft, ...]
    warnings: tuple[str, ...] = ()
    notice: str | None = None
    """What whoever imports it has to be told, whatever else they are."""


def decode(data: bytes) -> Any:
    """Read the JSON of a file with credentials.

    Raises:
        ImportRefusedError: it is too large, or no JSON.
    """
    if len(data) > _LARGEST_FILE:
        raise ImportRefusedError(f"the file is larger than {_LARGEST_FILE} bytes, which no file of credentials is")
    try:
        return msgspec.json.decode(_in_utf8(data))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # What msgspec says is about a position; nobody needs it.
        raise ImportRefusedError("the file is not valid JSON") from None


def _in_utf8(data: bytes) -> bytes:
    """Return a text of Windows as others write it: PowerShell writes UTF-16, and editors a mark before UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16").encode()
    return data.removeprefix(codecs.BOM_UTF8)


def read_file(path: Path) -> CredentialFile:
    """Read a file, and its companion if it is one half of a profile.

    Raises:
        ImportRefusedError: one of them cannot be read.
    """
    content = _read(path)
    secret, companion = path, None
    if _is_configuration(content):
        override = content["authentication"].get("credentials_path")
        secret = path.absolute().parent.parent / "credentials" / path.name
        if isinstance(override, str) and override:
            secret = _expanded(override)
        companion = _read(secret) if _exists(secret) else None
    elif _is_token(content):
        configuration = path.absolute().parent.parent / "configs" / path.name
        if configuration != path.absolute() and _exists(configuration):
            companion = _read(configuration)
    return CredentialFile(content, path.stem.lstrip("."), companion, _warn_of_readers(secret))


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ImportRefusedError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError:
        raise ImportRefusedError("the name of the file cannot be one: it holds a NUL character") from None
    try:
        return decode(data)
    except ImportRefusedError as error:
        raise ImportRefusedError(f"{path}: {error}") from None


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ImportRefusedError("the profile names a file in a home directory that does not exist") from None


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _warn_of_readers(path: Path) -> tuple[str, ...]:
    if not _exists(path) or not path.stat().st_mode & _OTHERS_MAY_READ:
        return ()
    return (f"others can read {path}, and the secrets in it; run: chmod 600 {path}",)


def _is_configuration(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("authentication"), dict)


def _is_token(content: Any) -> bool:
    return isinstance(content, dict) and (content.get("type") == "oauth_token" or "access_token" in content)


def read_credentials(file: CredentialFile, wishes: ImportWishes) -> Import:
    """Return the accounts in a file.

    Raises:
        ImportRefusedError: it holds none that may be taken, or some of them are not sound; says which.
    """
    found = examine(file, wishes)
    problems = [one.problem for one in found.findings if one.problem]
    if problems:
        more = f"; and {len(problems) - _MOST_PROBLEMS} more" if len(problems) > _MOST_PROBLEMS else ""
        raise ImportRefusedError(f"nothing was imported: {'; '.join(problems[:_MOST_PROBLEMS])}{more}")
    drafts = tuple(one.draft for one in found.findings if one.draft is not None)
    warnings = [text for one in found.findings for text in one.warnings]
    return Import(drafts, (*found.warnings, *warnings), found.notice)


def examine(file: CredentialFile, wishes: ImportWishes) -> Examination:
    """Look into a file, entry by entry.

    Raises:
        ImportRefusedError: as a whole it is nothing that may be taken.
    """
    try:
        found = _read_content(file, wishes)
    except (DraftError, ShapeError) as error:
        raise ImportRefusedError(str(error)) from None
    return evolve(found, warnings=(*file.warnings, *found.warnings))


def _read_content(file: CredentialFile, wishes: ImportWishes) -> Examination:
    content = file.content
    if isinstance(content, list):
        return _read_list(content, wishes)
    if isinstance(content, dict) and "claudeAiOauth" in content:
        return _read_subscription(content["claudeAiOauth"], wishes)
    if _is_configuration(content):
        return _read_profile(content, file.companion, file.name, wishes)
    if _is_token(content):
        return _read_profile(file.companion, content, file.name, wishes)
    raise ImportRefusedError(
        "the file is of no known kind: neither a list of API keys, "
        '[{"name": …, "provider": …, "api_key": …}], nor a profile, nor credentials of a login'
    )


def _read_list(entries: list[Any], wishes: ImportWishes) -> Examination:
    if not entries or len(entries) > _MOST_ACCOUNTS:
        raise ImportRefusedError(f"the file holds {len(entries)} accounts; 1 to {_MOST_ACCOUNTS} can be imported")
    if wishes.name is not None and len(entries) > 1:
        raise ImportRefusedError("the file holds more than one account, and each has a name of its own there")
    findings: list[Finding] = []
    first: dict[str, int] = {}
    for index, entry in enumerate(entries):
        found = _find_entry(index, entry, wishes)
        if found.draft is not None:
            name = found.draft.name
            if name in first:
                problem = f"[{index}]: the name {name!r} is that of [{first[name]}] too"
                found = Finding(index, problem=problem, name=name)
            first.setdefault(name, index)
        findings.append(found)
    return Examination(tuple(findings))


def _find_entry(index: int, entry: Any, wishes: ImportWishes) -> Finding:
    name = entry.get("name") if isinstance(entry, dict) else None
    # Only what could be the name of an account: whatever else stands there may be a secret in the wrong place.
    try:
        shown = check_name(name) if isinstance(name, str) else ""
    except DraftError:
        shown = ""
    try:
        draft = _read_entry(structure(entry, Entry, f"[{index}]"), wishes)
        return Finding(index, draft, tuple(vet(draft)), name=draft.name)
    except ShapeError as error:
        return Finding(index, problem=str(error), name=shown)
    except DraftError as error:
        return Finding(index, problem=f"[{index}]: {error}", name=shown)


def _read_entry(entry: Entry, wishes: ImportWishes) -> Draft:
    return Draft(
        name=check_name(wishes.name or entry.name),
        provider=entry.provider,
        secret=_api_key(entry.api_key),
        base_url=entry.base_url.rstrip("/") if entry.base_url else None,
        owner=wishes.owner if entry.owner is None else entry.owner,
        weight=entry.weight,
        priority=entry.priority,
        max_concurrency=entry.max_concurrency,
    )


def _api_key(text: str) -> ApiKeySecret:
    try:
        return ApiKeySecret(text.strip())
    except SecretFormatError as error:
        raise DraftError(f"its api_key {error}") from None


def _read_subscription(content: Any, wishes: ImportWishes) -> Examination:
    if not wishes.allow_subscription:
        raise ImportRefusedError(
            "this is the login of a Claude subscription, which the provider's terms reserve for its own "
            "applications. Use an API key of the Console: "
            "gateway accounts add --name NAME --provider anthropic --secret-stdin. "
            "To import it all the same, read docs/accounts.md and set allow_subscription_oauth = true",
            Lack.SUBSCRIPTION,
        )
    login = structure(content, Subscription, "claudeAiOauth")
    refresh_token = _refresh_token(login.refresh_token)
    before = wishes.before or OAuthSecret("")
    client_id, token_url = wishes.client_id or before.client_id, wishes.token_url or before.token_url
    for value, lack, option, why in (
        (wishes.owner, Lack.OWNER, "--owner", "whose subscription it is"),
        (
            client_id,
            Lack.CLIENT_ID,
            "--client-id",
            "your own OAuth client; that of another program is not for you to use",
        ),
        (token_url, Lack.TOKEN_URL, "--token-url", "the token endpoint that your client may use"),
    ):
        if not value:
            words = f"the login of a subscription needs {option}: {why}. Or use an API key"
            raise ImportRefusedError(words, lack)
    secret = OAuthSecret(
        token_url=token_url,
        client_id=client_id,
        refresh_token=refresh_token,
        access_token=_token(login.access_token, "the access token"),
        expires_at=None if login.expires_at is None else login.expires_at / _MILLISECONDS,
    )
    secret = _as_before(secret, wishes.before)
    draft = Draft(check_name(wishes.name or wishes.owner), "anthropic", secret, owner=wishes.owner)
    warnings = (*_warn_of_scopes(login.scopes), *vet(draft))
    return Examination((Finding(0, draft, warnings, name=draft.name),), notice=SUBSCRIPTION_NOTICE)


def _read_profile(configuration: Any, token: Any, name: str, wishes: ImportWishes) -> Examination:
    if configuration is None:
        # The credentials alone, of a login whose client the operator knows.
        profile, provider = Profile(Authentication("user_oauth")), wishes.provider
    else:
        profile, provider = structure(configuration, Profile, "the profile"), "anthropic"
    base_url = (profile.base_url or "").rstrip("/")
    token_url = wishes.token_url or (base_url and base_url + _TOKEN_PATH)
    if not token_url:
        token_url = _PROFILE_URL + _TOKEN_PATH if wishes.before is None else wishes.before.token_url
    warnings: tuple[str, ...] = ()
    if profile.authentication.type == "oidc_federation":
        secret = _federated(profile, token_url, wishes)
    elif profile.authentication.type == "user_oauth":
        secret = _as_before(_logged_in(profile, token, token_url, wishes), wishes.before)
        scope = profile.authentication.scope
        warnings += (_ROTATES, *_warn_of_scopes(None if scope is None else scope.split()))
        if profile.workspace_id:
            warnings += (_WORKSPACE,)
    else:
        raise ImportRefusedError("the profile's authentication.type must be user_oauth or oidc_federation")
    draft = Draft(check_name(wishes.name or name), provider, secret, base_url or None, wishes.owner)
    return Examination((Finding(0, draft, (*warnings, *vet(draft)), name=draft.name),))


def _federated(profile: Profile, token_url: str, wishes: ImportWishes) -> OAuthSecret:
    rule = profile.authentication
    identity = rule.identity_token
    if identity is None or identity.source != "file" or not identity.path:
        raise ImportRefusedError(
            'the profile names no file with an identity token: "identity_token": {"source": "file", "path": …}'
        )
    return OAuthSecret(
        token_url=token_url,
        federation=Federation(
            assertion_file=identity.path if wishes.is_upload else str(_expanded(identity.path)),
            federation_rule_id=rule.federation_rule_id,
            organization_id=profile.organization_id,
            service_account_id=rule.service_account_id,
            workspace_id=profile.workspace_id,
        ),
    )


def _logged_in(profile: Profile, token: Any, token_url: str, wishes: ImportWishes) -> OAuthSecret:
    if token is None:
        raise ImportRefusedError(
            "the profile's file of credentials is not there; log in again with the program it is of",
            Lack.COMPANION,
        )
    login = structure(token, Token, "the credentials")
    refresh_token = _refresh_token(login.refresh_token)
    client_id = wishes.client_id or profile.authentication.client_id
    if not client_id and wishes.before is not None:
        client_id = wishes.before.client_id
    if not client_id:
        raise ImportRefusedError(
            "the profile has no client id: another program renews its token. Name your client with --client-id, "
            "or leave the renewing to that program, and read the token with a command of the settings file "
            "(--kind command)",
            Lack.CLIENT_ID,
        )
    return OAuthSecret(
        token_url=token_url,
        client_id=client_id,
        scope=profile.authentication.scope,
        refresh_token=refresh_token,
        access_token=_token(login.access_token, "the access token"),
        expires_at=login.expires_at,
    )


def _as_before(secret: OAuthSecret, before: OAuthSecret | None) -> OAuthSecret:
    """Let a client that is the same go on showing who it is, at the endpoint that it did so and no other."""
    if before is None or before.token_url != secret.token_url:
        return secret
    secret = evolve(secret, as_form=before.as_form)
    if before.client_id != secret.client_id:
        return secret
    return evolve(secret, client_secret=before.client_secret, scope=secret.scope or before.scope)


def _refresh_token(text: str | None) -> str:
    # Before anything else is asked for: nothing that people could say makes up for it.
    token = _token(text, "the refresh token")
    if token is None:
        raise ImportRefusedError(
            "the login has no refresh token, so it would end with its access token; log in again with the program "
            "that it is of, or use an API key"
        )
    return token


def _warn_of_scopes(scopes: list[str] | None) -> tuple[str, ...]:
    if scopes is None or _INFERENCE in scopes:
        return ()
    return (f"the login was not given the scope {_INFERENCE}, without which the provider refuses messages",)


def _token(text: str | None, what: str) -> str | None:
    if not text:
        return None
    try:
        return check_token(text)
    except SecretFormatError as error:
        raise ImportRefusedError(f"{what} {error}") from None
