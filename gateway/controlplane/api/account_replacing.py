"""`/api/v1/accounts/{id}/key` and `…/credentials`: another secret for an account that is there.

The account stays what it is: its name, its id, where its requests go, what was recorded of it. A renewal of the
old login that is under way comes to nothing, whichever of the two is faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.drafts import Draft, DraftError, check_owner, vet
from gateway.accounts.importing import Examination, ImportRefusedError, ImportWishes
from gateway.accounts.secrets import OAuthSecret
from gateway.controlplane.account_intake import Intake, Judged
from gateway.controlplane.account_views import AccountView, view_of_check
from gateway.controlplane.api.account_adding import (
    REFUSED,
    SECONDS,
    AccountAdded,
    FileContent,
    ImportReport,
    Key,
    Url,
    ask_first,
    entry_of,
    intake_of,
    read_key,
    sentences,
    why_refused,
)
from gateway.controlplane.api.accounts import Owner, account_of, refused
from gateway.controlplane.changes import account_secret_replaced
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.parts import Parts
from gateway.store.accounts import ENVIRONMENT
from gateway.wire.errors import ApiError

__all__ = ["ENDPOINTS"]


class NewKey(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Another key for an account."""

    api_key: Key
    check: bool = True
    """Whether the provider is asked first; what does not work is not saved then."""


class NewCredentials(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A file with the next credential of an account, and what is said about it."""

    content: FileContent
    """The refresh token alone will do for an account of kind `oauth`."""
    companion: FileContent | None = None
    """The credentials that go with the configuration of a profile, or the other way round."""
    owner: Owner = ""
    """Where nothing is said of that yet, and the file is the login of a subscription."""
    client_id: Annotated[str, msgspec.Meta(max_length=500)] | None = None
    """Your own OAuth client; null for what the file says, or else the account's until now."""
    token_url: Url | None = None
    """Where your client renews tokens; likewise."""


class CredentialsLook(NewCredentials, kw_only=True, forbid_unknown_fields=True):
    """A file that is looked into."""

    ask: bool = True
    """Whether the provider is asked about the credentials."""


class CredentialsOrder(NewCredentials, kw_only=True, forbid_unknown_fields=True):
    """A file with the credential that the account is to have."""

    take: Annotated[int, msgspec.Meta(ge=0, le=999)] | None = None
    """Which entry, by its place from 0 on; may be null where there is one."""
    notice_read: bool = False
    """Whether the notice was shown and read, where the file has one."""


class CredentialsReplaced(msgspec.Struct, kw_only=True):
    """An account that has another credential."""

    account: AccountView
    warnings: list[str]


@endpoint("PUT", "/api/v1/accounts/{id}/key", body=NewKey, answer=AccountAdded, seconds=SECONDS)
async def replace_key(parts: Parts, call: Call) -> AccountAdded:
    """Give an account another API key, which ends `needs_reauth`; a pause and parking stay.

    The provider is asked first, unless `check` is false.
    """
    account = _replaceable(parts, call)
    if account.kind is not AccountKind.API_KEY:
        raise ApiError(409, "This account has no API key, but a login: replace that, by `credentials`.")
    draft = Draft(account.name, account.provider, read_key(call.body.api_key), account.base_url)
    intake = intake_of(parts)
    others = [other for other in intake.known if other.id != account.id]
    try:
        warnings = await parts.directory.office.warn_before_adding([draft], others, parts.vault)
        vet(draft)
    except DraftError as error:
        raise refused(error) from None
    verdict = await ask_first(intake, draft) if call.body.check else None
    return AccountAdded(
        account=await _save(parts, call, account, draft),
        check=None if verdict is None else view_of_check(verdict),
        warnings=sentences(warnings),
    )


@endpoint(
    "POST",
    "/api/v1/accounts/{id}/credentials/check",
    body=CredentialsLook,
    answer=ImportReport,
    seconds=SECONDS,
)
async def check_credentials(parts: Parts, call: Call) -> ImportReport:
    """Say of a file with credentials whether the account can have one of them, and save nothing.

    Refresh tokens are not tried, because they work once.
    """
    account = _replaceable(parts, call)
    intake = intake_of(parts)
    try:
        found = await _read(parts, intake, account, call.body)
    except ImportRefusedError as error:
        return ImportReport(entries=[], warnings=[], notice=None, problem=why_refused(error), lacks=error.lack)
    judged = await intake.judge_successors(found, account)
    drafts = [one.draft for one in judged if one.draft is not None]
    verdicts = iter(await intake.ask(drafts) if call.body.ask else [None] * len(drafts))
    entries = [entry_of(parts, one, next(verdicts) if one.draft is not None else None) for one in judged]
    return ImportReport(
        entries=entries, warnings=sentences(found.warnings), notice=found.notice, problem="", lacks=None
    )


@endpoint(
    "PUT",
    "/api/v1/accounts/{id}/credentials",
    body=CredentialsOrder,
    answer=CredentialsReplaced,
    seconds=SECONDS,
)
async def replace_credentials(parts: Parts, call: Call) -> CredentialsReplaced:
    """Give an account another credential from a file, which ends `needs_reauth`; a pause and parking stay.

    What the file does not say of a login, its client and its token endpoint, stays as it was. What cannot be taken
    is refused with 422; `credentials/check` says what and why.
    """
    account = _replaceable(parts, call)
    intake = intake_of(parts)
    order: CredentialsOrder = call.body
    try:
        found = await _read(parts, intake, account, order)
    except ImportRefusedError as error:
        raise ApiError(REFUSED, why_refused(error)) from None
    if found.notice is not None and not order.notice_read:
        raise ApiError(REFUSED, "The file has a notice that must be read first; `credentials/check` shows it.")
    one = _chosen(await intake.judge_successors(found, account), order.take)
    if one.draft is None:
        (problem,) = sentences([one.problem])
        raise ApiError(REFUSED, problem)
    said = order.owner.strip() and not account.owner
    view = await _save(parts, call, account, one.draft, {"owner": one.draft.owner} if said else {})
    return CredentialsReplaced(account=view, warnings=sentences([*found.warnings, *one.warnings]))


def _replaceable(parts: Parts, call: Call) -> Account:
    """Return the account that a request is about, if it can have another secret from here.

    Raises:
        ApiError: 404 or 409.
    """
    account = account_of(parts, call)
    if account.id == ENVIRONMENT:
        raise ApiError(
            409, "The key of this account is GATEWAY_ANTHROPIC_API_KEY: set another one, and restart the gateway."
        )
    if account.kind not in {AccountKind.API_KEY, AccountKind.OAUTH}:
        raise ApiError(409, "A command of the settings file prints this account's credential: see what it prints.")
    return account


async def _read(parts: Parts, intake: Intake, account: Account, given: NewCredentials) -> Examination:
    # As the database has it: a renewal may just have written another one.
    present = await parts.accounts.find(account.id) or account
    before = await intake.secret_of(present)
    try:
        owner = account.owner or check_owner(given.owner)
    except DraftError as error:
        raise ImportRefusedError(str(error)) from None
    wishes = ImportWishes(
        account.name,
        owner,
        (given.client_id or "").strip() or None,
        (given.token_url or "").strip() or None,
        parts.settings.allow_subscription_oauth,
        is_upload=True,
        provider=account.provider,
        before=before if isinstance(before, OAuthSecret) else None,
    )
    return await intake.read_successor(given.content, given.companion, account, wishes)


def _chosen(judged: list[Judged], take: int | None) -> Judged:
    if take is None and len(judged) > 1:
        raise ApiError(REFUSED, "The file holds more than one credential; say which one with `take`.")
    for one in judged:
        if take in (None, one.index):
            return one
    raise ApiError(REFUSED, "There is no such entry in the file.")


async def _save(
    parts: Parts, call: Call, account: Account, draft: Draft, changes: Mapping[str, Any] | None = None
) -> AccountView:
    try:
        await parts.directory.office.replace_secret(account.id, draft, parts.vault, changes)
    except DraftError as error:
        raise refused(error, 409) from None
    await parts.audit.note(call.visitor, account_secret_replaced(account, changes))
    await parts.directory.reload()
    return await parts.directory.view(account_of(parts, call))


ENDPOINTS: Final = (replace_key, check_credentials, replace_credentials)
