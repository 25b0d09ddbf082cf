"""`/api/v1/accounts`: upstream accounts, what is known of them, and what people do with them."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.drafts import DraftError, check_name, check_owner
from gateway.accounts.vault import VaultError
from gateway.controlplane.access import Access
from gateway.controlplane.account_directory import BadCursorError
from gateway.controlplane.account_views import (
    AccountList,
    AccountView,
    CredentialCheck,
    StateName,
    view_of_check,
)
from gateway.controlplane.changes import (
    account_changed,
    account_checked,
    account_paused,
    account_removed,
    account_resumed,
)
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.parts import Parts
from gateway.store.accounts import ENVIRONMENT
from gateway.store.errors import NameTakenError
from gateway.wire.errors import ApiError

__all__ = ["ENDPOINTS", "Bound", "Name", "Owner", "Priority", "Weight", "account_of", "refused"]

Name = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=100, description="Visible characters, no hyphen at the beginning."),
]
Owner = Annotated[str, msgspec.Meta(max_length=200, description="Whose account it is, in your words.")]
Weight = Annotated[
    int, msgspec.Meta(ge=1, le=1_000_000, description="Share of the requests under the strategy `weighted`.")
]
Priority = Annotated[
    int, msgspec.Meta(ge=0, le=1_000_000, description="Order under the strategy `fill_first`, the lowest first.")
]
Bound = Annotated[int, msgspec.Meta(ge=0, le=1_000_000, description="Requests at a time; 0 for no bound.")]

_CHECK_SECONDS: Final = 100.0
"""For a check that renews a credential first."""


class AccountsWanted(msgspec.Struct, kw_only=True):
    """Which accounts."""

    q: Annotated[
        str, msgspec.Meta(max_length=200, description="What the name, the owner or the base URL has in it.")
    ] = ""
    provider: Literal["anthropic", "openai"] | None = None
    state: StateName | None = None
    after: Annotated[str, msgspec.Meta(max_length=2000, description="`next` of the answer before.")] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500, description="Most accounts of the answer.")] = 100


class AccountChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be different about an account; what is left out stays."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    owner: Owner | msgspec.UnsetType = msgspec.UNSET
    weight: Weight | msgspec.UnsetType = msgspec.UNSET
    priority: Priority | msgspec.UnsetType = msgspec.UNSET
    max_concurrency: Bound | msgspec.UnsetType | None = msgspec.UNSET
    """Null for the setting's."""


class AccountResumed(msgspec.Struct, kw_only=True):
    """What ended when an account was put into use again."""

    account: AccountView
    cleared: list[str]
    """In a few words each."""
    refresh_under_way_until: float | None
    """Until when the answer to its refresh token may come, which is not sent again before; null if none is."""


class AccountChecked(msgspec.Struct, kw_only=True):
    """What a check of an account found."""

    account: AccountView
    check: CredentialCheck


@endpoint("GET", "/api/v1/accounts", access=Access.VIEWER, query=AccountsWanted, answer=AccountList)
async def list_accounts(parts: Parts, call: Call) -> AccountList:
    """List upstream accounts by name.

    What they do at this moment is what this process of the gateway knows; what was used is of all processes.
    """
    wanted = call.query
    try:
        found = await parts.directory.find(
            text=wanted.q, provider=wanted.provider, state=wanted.state, after=wanted.after, limit=wanted.limit
        )
    except BadCursorError:
        raise ApiError(400, "`after` is not what an answer gave as `next`; begin anew without it.") from None
    return AccountList(accounts=await parts.directory.views(found.accounts), next=found.after, total=found.total)


@endpoint("GET", "/api/v1/accounts/{id}", access=Access.VIEWER, answer=AccountView)
async def get_account(parts: Parts, call: Call) -> AccountView:
    """Show one account."""
    return await parts.directory.view(account_of(parts, call))


@endpoint("PATCH", "/api/v1/accounts/{id}", body=AccountChange, answer=AccountView)
async def change_account(parts: Parts, call: Call) -> AccountView:
    """Change an account's name, owner, weight, priority or bound.

    Where its requests go cannot be changed: its secret would go there too. What it used under an earlier name
    stays its own; single requests show the name that it had then.
    """
    account = account_of(parts, call)
    given = {
        name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not msgspec.UNSET
    }
    checks = {"name": check_name, "owner": check_owner}
    try:
        given = {name: checks.get(name, lambda value: value)(value) for name, value in given.items()}
        changes = {name: value for name, value in given.items() if value != getattr(account, name)}
        if "name" in changes and account.id == ENVIRONMENT:
            raise ApiError(409, "The account of GATEWAY_ANTHROPIC_API_KEY keeps its name.")
        if not await parts.accounts.change(account.id, changes):
            raise _gone()
    except DraftError as error:
        raise refused(error) from None
    except NameTakenError as error:
        raise refused(error, 409) from None
    if changes:
        await parts.audit.note(call.visitor, account_changed(account, changes))
    return await _after_change(parts, account.id)


@endpoint("POST", "/api/v1/accounts/{id}/pause", answer=AccountView)
async def pause_account(parts: Parts, call: Call) -> AccountView:
    """Keep an account out of use until somebody resumes it.

    Requests under way finish; traffic never ends a pause.
    """
    account = account_of(parts, call)
    if not await parts.accounts.pause(account.id):
        raise _gone()
    if account.paused_at is None:
        await parts.audit.note(call.visitor, account_paused(account))
    return await _after_change(parts, account.id)


@endpoint("POST", "/api/v1/accounts/{id}/resume", answer=AccountResumed)
async def resume_account(parts: Parts, call: Call) -> AccountResumed:
    """Put an account into use again, whatever kept it out of use.

    Ends a pause, parking, a credential's refusal and all rests; a refresh token that was sent before, and is used
    up for all that is known, may be sent once more, unless an answer to it may still come.
    """
    account = account_of(parts, call)
    try:
        ended = await parts.directory.office.resume(account, parts.directory.rests(account))
    except DraftError:
        raise _gone() from None
    await parts.audit.note(call.visitor, account_resumed(account, ended))
    view = await _after_change(parts, account.id)
    return AccountResumed(
        account=view, cleared=list(ended.cleared), refresh_under_way_until=ended.refresh_sent_until
    )


@endpoint("POST", "/api/v1/accounts/{id}/check", answer=AccountChecked, seconds=_CHECK_SECONDS)
async def check_account(parts: Parts, call: Call) -> AccountChecked:
    """Find out whether an account works, by asking its provider for the list of models, which is free.

    A credential that has expired is renewed first. An account that needed another credential and works is taken
    back into use; one that is paused or parked stays so.
    """
    account = account_of(parts, call)
    try:
        ((_, verdict),) = await parts.directory.office.check(parts.vault, [account], remedy=_remedy)
    except VaultError as error:
        raise refused(error, 409) from None
    await parts.audit.note(call.visitor, account_checked(account, verdict.finding))
    return AccountChecked(account=await _after_change(parts, account.id), check=view_of_check(verdict))


@endpoint("DELETE", "/api/v1/accounts/{id}")
async def remove_account(parts: Parts, call: Call) -> None:
    """Delete an account and its secret.

    Requests under way finish. What was recorded of its requests stays.
    """
    account = account_of(parts, call)
    if parts.directory.office.is_kept(account):
        raise ApiError(
            409,
            "This account is GATEWAY_ANTHROPIC_API_KEY: unset that and restart the gateway, or pause the account.",
        )
    if not await parts.accounts.remove(account.id):
        raise _gone()
    await parts.audit.note(call.visitor, account_removed(account))
    await parts.directory.reload()


def account_of(parts: Parts, call: Call) -> Account:
    """Return the account that a request is about.

    Raises:
        ApiError: 404.
    """
    account = parts.directory.get(call.params["id"])
    if account is None:
        raise _gone()
    return account


def refused(error: Exception, status: int = 400) -> ApiError:
    """Return the refusal that tells people what an exception says."""
    text = str(error)
    return ApiError(status, f"{text[0].upper()}{text[1:].rstrip('.')}.")


def _remedy(account: Account) -> str:
    if account.id == ENVIRONMENT:
        return "set another GATEWAY_ANTHROPIC_API_KEY, and restart the gateway"
    if account.kind is AccountKind.API_KEY:
        return "replace its key"
    if account.kind is AccountKind.COMMAND:
        return "see what the account's command prints"
    return "replace its credentials by those of another login"


def _gone() -> ApiError:
    return ApiError(404, "There is no such account; it may have been removed meanwhile.")


async def _after_change(parts: Parts, account_id: str) -> AccountView:
    """Put a change into use in this process, and return what the account is like now."""
    await parts.directory.reload()
    account = parts.directory.get(account_id)
    if account is None:
        raise _gone()
    return await parts.directory.view(account)


ENDPOINTS: Final = (
    list_accounts,
    get_account,
    change_account,
    pause_account,
    resume_account,
    check_account,
    remove_account,
)
