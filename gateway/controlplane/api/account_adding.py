"""`/api/v1/accounts`, where secrets come in: by API key, and by the files of other programs.

No answer holds a secret, and neither does the audit log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from gateway.accounts.checking import Verdict
from gateway.accounts.drafts import Draft, DraftError, vet
from gateway.accounts.importing import ImportRefusedError, ImportWishes, Lack
from gateway.accounts.remote_drafts import refuse_remote_draft
from gateway.accounts.secrets import ApiKeySecret, SecretFormatError
from gateway.controlplane.account_intake import Intake, Judged
from gateway.controlplane.account_views import AccountView, CredentialCheck, view_of_check
from gateway.controlplane.api.accounts import Bound, Name, Owner, Priority, Weight, refused
from gateway.controlplane.changes import account_added
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.parts import Parts
from gateway.store.errors import NameTakenError
from gateway.wire.errors import ApiError

__all__ = [
    "ENDPOINTS",
    "REFUSED",
    "SECONDS",
    "AccountAdded",
    "FileContent",
    "ImportReport",
    "Key",
    "Url",
    "ask_first",
    "entry_of",
    "intake_of",
    "read_key",
    "sentences",
    "why_refused",
]

SECONDS: Final = 60.0
"""For what asks a provider."""
REFUSED: Final = 422
"""What was sent is understood, and cannot be used."""
_LACKS: Final = {
    Lack.SUBSCRIPTION: (
        "This is the login of a Claude subscription, which the provider's terms reserve for its own applications. "
        "Add an API key of the Console instead. To import it all the same, read docs/accounts.md and set "
        "allow_subscription_oauth = true in the gateway's settings."
    ),
    Lack.OWNER: "The login of a subscription needs an owner: whose subscription it is.",
    Lack.CLIENT_ID: (
        "The file does not say which OAuth client its token is of. Give the id of your own; that of another "
        "program is not for you to use."
    ),
    Lack.TOKEN_URL: "The login of a subscription needs the token endpoint that your client may use.",
    Lack.COMPANION: (
        "This is one half of a profile, its configuration. Give its file of credentials too, "
        "credentials/NAME.json beside configs/NAME.json."
    ),
}

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=16_384, description="As the provider shows it.")]
Url = Annotated[str, msgspec.Meta(max_length=2000)]
FileContent = Annotated[
    str, msgspec.Meta(min_length=1, max_length=1_048_576, description="The file as it is: JSON.")
]


class NewAccount(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An account with an API key."""

    name: Name
    provider: Literal["anthropic", "openai"]
    api_key: Key
    base_url: Url | None = None
    """Where its requests go, if not to the provider's base URL."""
    owner: Owner = ""
    weight: Weight = 1
    priority: Priority = 0
    max_concurrency: Bound | None = None
    """Null for the setting's."""
    check: bool = True
    """Whether the provider is asked first; what does not work is not saved then."""


class AccountAdded(msgspec.Struct, kw_only=True):
    """What was added."""

    account: AccountView
    check: CredentialCheck | None
    warnings: list[str]


class ImportedFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A file with credentials that another program wrote, and what is said about it."""

    content: FileContent
    companion: FileContent | None = None
    """The credentials that go with the configuration of a profile, or the other way round."""
    filename: Annotated[str, msgspec.Meta(max_length=200)] = ""
    name: Name | None = None
    """Of the account, where the file holds one."""
    owner: Owner = ""
    """Of those accounts of whom the file does not say."""
    client_id: Annotated[str, msgspec.Meta(max_length=500)] | None = None
    """Your own OAuth client."""
    token_url: Url | None = None
    """Where your client renews tokens."""


class ImportLook(ImportedFile, kw_only=True, forbid_unknown_fields=True):
    """A file that is looked into."""

    ask: bool = True
    """Whether the providers are asked about the credentials; about the first hundred."""


class ImportOrder(ImportedFile, kw_only=True, forbid_unknown_fields=True):
    """A file whose accounts are to be added."""

    take: Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=999)]], msgspec.Meta(max_length=1000)] | None = None
    """Which entries, by their place from 0 on; null for all."""
    notice_read: bool = False
    """Whether the notice was shown and read, where the file has one."""


class ImportEntry(msgspec.Struct, kw_only=True):
    """One account of a file."""

    index: int
    """Its place in the file, from 0 on."""
    name: str
    """Empty where that cannot be told."""
    provider: str
    kind: str
    owner: str
    base_url: str
    """Where its requests would go."""
    problem: str
    """Why it cannot be added; empty where it can."""
    warnings: list[str]
    known_as: str | None
    """Name of the account that has its name, its refresh token or its API key already."""
    check: CredentialCheck | None
    """Null where the provider was not asked."""


class ImportReport(msgspec.Struct, kw_only=True):
    """What is in a file. Nothing of it is saved."""

    entries: list[ImportEntry]
    warnings: list[str]
    notice: str | None
    """What has to be read before it is imported."""
    problem: str
    """Why nothing of it can be taken; empty where there are entries."""
    lacks: Lack | None
    """What it would take, where that is one thing."""


class AccountsImported(msgspec.Struct, kw_only=True):
    """What was added."""

    accounts: list[AccountView]
    warnings: list[str]


@endpoint("POST", "/api/v1/accounts", body=NewAccount, answer=AccountAdded, status=201, seconds=SECONDS)
async def add_account(parts: Parts, call: Call) -> AccountAdded:
    """Add an account with an API key.

    The provider is asked first, with this key alone and at the account's own address, unless `check` is false;
    what it does not take is refused with 422, and not saved. The account serves from this moment on.
    """
    wanted: NewAccount = call.body
    draft = Draft(
        wanted.name.strip(),
        wanted.provider,
        read_key(wanted.api_key),
        wanted.base_url.rstrip("/") if wanted.base_url else None,
        wanted.owner.strip(),
        wanted.weight,
        wanted.priority,
        wanted.max_concurrency,
    )
    intake = intake_of(parts)
    try:
        warnings = vet(draft)
        refuse_remote_draft(draft)
        if any(account.name == draft.name for account in intake.known):
            raise ApiError(409, f"There is an account {draft.name!r} already; choose another name.")
        warnings += await parts.directory.office.warn_before_adding([draft], intake.known, parts.vault)
    except DraftError as error:
        raise refused(error) from None
    verdict = await ask_first(intake, draft) if wanted.check else None
    (added,) = await _save(parts, call, [draft])
    return AccountAdded(
        account=added, check=None if verdict is None else view_of_check(verdict), warnings=sentences(warnings)
    )


@endpoint("POST", "/api/v1/accounts/import/check", body=ImportLook, answer=ImportReport, seconds=SECONDS)
async def check_import(parts: Parts, call: Call) -> ImportReport:
    """Say what a file with credentials holds and what is wrong with it, and save nothing.

    Refresh tokens are not tried, because they work once.
    """
    intake = intake_of(parts)
    try:
        found = await intake.read(*_file(parts, call.body))
    except ImportRefusedError as error:
        return ImportReport(entries=[], warnings=[], notice=None, problem=why_refused(error), lacks=error.lack)
    judged = await intake.judge(found)
    drafts = [one.draft for one in judged if one.draft is not None]
    verdicts = iter(await intake.ask(drafts) if call.body.ask else [None] * len(drafts))
    entries = [entry_of(parts, one, next(verdicts) if one.draft is not None else None) for one in judged]
    warnings = [*found.warnings, *intake.warn(drafts)]
    return ImportReport(entries=entries, warnings=sentences(warnings), notice=found.notice, problem="", lacks=None)


@endpoint(
    "POST", "/api/v1/accounts/import", body=ImportOrder, answer=AccountsImported, status=201, seconds=SECONDS
)
async def import_accounts(parts: Parts, call: Call) -> AccountsImported:
    """Add accounts of a file with credentials: all that are asked for, or none.

    What cannot be taken is refused with 422; `import/check` says what and why.
    """
    intake = intake_of(parts)
    order: ImportOrder = call.body
    try:
        found = await intake.read(*_file(parts, order))
    except ImportRefusedError as error:
        raise ApiError(REFUSED, why_refused(error)) from None
    if found.notice is not None and not order.notice_read:
        raise ApiError(REFUSED, "The file has a notice that must be read first; `import/check` shows it.")
    judged = await intake.judge(found)
    wanted = None if order.take is None else frozenset(order.take)
    taken = [one for one in judged if wanted is None or one.index in wanted]
    if not taken:
        raise ApiError(REFUSED, "No entry of the file was chosen.")
    problems = [f"Entry {one.index + 1}: {one.problem}." for one in taken if one.draft is None]
    if problems:
        more = f" And {len(problems) - 5} more." if len(problems) > 5 else ""  # noqa: PLR2004 - enough to begin with
        raise ApiError(REFUSED, f"Nothing was imported. {' '.join(problems[:5])}{more}")
    drafts = [one.draft for one in taken if one.draft is not None]
    warnings = [*found.warnings, *(text for one in taken for text in one.warnings), *intake.warn(drafts)]
    return AccountsImported(accounts=await _save(parts, call, drafts), warnings=sentences(warnings))


def intake_of(parts: Parts) -> Intake:
    """Return what new accounts go through."""
    return Intake(parts.directory.office, parts.vault, parts.directory.known())


def read_key(text: str) -> ApiKeySecret:
    """Read an API key that was typed or pasted.

    Raises:
        ApiError: 400, it cannot be one.
    """
    try:
        return ApiKeySecret(text.strip())
    except SecretFormatError as error:
        raise ApiError(400, f"The key {error}; copy it again.") from None


async def ask_first(intake: Intake, draft: Draft) -> Verdict | None:
    """Ask the provider about an account that is to be.

    Raises:
        ApiError: 422, it does not work; says why.
    """
    (verdict,) = await intake.ask([draft])
    if verdict is not None and not verdict.is_good:
        raise ApiError(REFUSED, verdict.message, kind=f"check_{verdict.finding.value}")
    return verdict


async def _save(parts: Parts, call: Call, drafts: Sequence[Draft]) -> list[AccountView]:
    try:
        added = await parts.directory.office.add(drafts, parts.vault)
    except NameTakenError as error:
        raise refused(error, 409) from None
    # As one: a thousand times to the disk can take longer than there is for an answer.
    await parts.audit.note(call.visitor, *map(account_added, added))
    await parts.directory.reload()
    return await parts.directory.views(added)


def _file(parts: Parts, given: ImportedFile) -> tuple[str, str | None, str, ImportWishes]:
    wishes = ImportWishes(
        given.name,
        given.owner.strip(),
        (given.client_id or "").strip() or None,
        (given.token_url or "").strip() or None,
        parts.settings.allow_subscription_oauth,
        is_upload=True,
    )
    return given.content, given.companion, given.filename, wishes


def why_refused(error: ImportRefusedError) -> str:
    """Return why a file is not taken, for somebody who is not in a shell."""
    if error.lack is not None:
        return _LACKS[error.lack]
    return _sentence(str(error))


def entry_of(parts: Parts, one: Judged, verdict: Verdict | None) -> ImportEntry:
    """Return what is shown of an entry of a file."""
    draft = one.draft
    office = parts.directory.office
    provider = None if draft is None else office.providers.get(draft.provider)
    default = "" if provider is None else provider.base_url
    return ImportEntry(
        index=one.index,
        name=one.name,
        provider="" if draft is None else draft.provider,
        kind="" if draft is None else draft.kind.value,
        owner="" if draft is None else draft.owner,
        base_url="" if draft is None else draft.base_url or default,
        problem=_sentence(one.problem) if one.problem else "",
        warnings=sentences(one.warnings),
        known_as=one.known_as,
        check=None if verdict is None else view_of_check(verdict),
    )


def _sentence(text: str) -> str:
    # What begins with the name of a field keeps it as it stands in the file.
    begin = text[0] if "_" in text.split(maxsplit=1)[0] else text[0].upper()
    return f"{begin}{text[1:].rstrip('.')}."


def sentences(texts: Sequence[str]) -> list[str]:
    """Return texts as sentences of their own."""
    return [_sentence(text) for text in texts]


ENDPOINTS: Final = (add_account, check_import, import_accounts)
