"""How accounts come in through the admin API: vetted, compared with those that are there, asked about."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any, Final

from attrs import define, evolve

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.checking import Checker, Verdict
from gateway.accounts.drafts import Draft, DraftError
from gateway.accounts.duplicates import Holders
from gateway.accounts.importing import (
    CredentialFile,
    Examination,
    Finding,
    ImportRefusedError,
    ImportWishes,
    decode,
    examine,
)
from gateway.accounts.office import AccountOffice, warn_of_idle_accounts
from gateway.accounts.remote_drafts import refuse_remote_draft
from gateway.accounts.secrets import ApiKeySecret, OAuthSecret, Secret, SecretFormatError, decode_secret
from gateway.accounts.vault import Vault, VaultError
from gateway.providers.base import Credential

__all__ = ["Intake", "Judged"]

_ANSWER_SECONDS: Final = 8.0
_ALL_SECONDS: Final = 14.0
_MOST_ASKED: Final = 100
"""Credentials of one file that are asked about before they are saved."""
_PLACE: Final = re.compile(r"\[(\d{1,4})\]")
"""How an entry of a file is called in a message."""
_KEY_ALONE: Final = re.compile(r"(?:export )?(?:[A-Z_]{1,60}=)?[\"']?sk-[\w-]{8,500}[\"']?", re.ASCII)
"""What people have at hand besides files: a key, or the line that sets it."""


@define(frozen=True)
class Judged:
    """One entry of a file, with what speaks for and against it."""

    index: int
    name: str
    draft: Draft | None
    problem: str
    """A sentence; empty where it can be added."""
    warnings: Sequence[str] = ()
    known_as: str | None = None
    """Name of the account that has its name, its refresh token or its API key already."""


@define
class Intake:
    """What new accounts go through."""

    office: AccountOffice
    vault: Vault
    known: Sequence[Account]
    """Accounts that are there."""

    async def read(self, content: str, companion: str | None, filename: str, wishes: ImportWishes) -> Examination:
        """Look into a file that was uploaded; nothing of this machine's is read.

        Args:
            content: of the file.
            companion: of the other file of a profile, if there is one.
            filename: as the browser calls it; a profile without a name of its own is called so.
            wishes: what is said about the accounts in it.

        Raises:
            ImportRefusedError: as a whole it is nothing that may be taken.
        """

        def work() -> Examination:
            if _KEY_ALONE.fullmatch(content.strip()):
                raise ImportRefusedError("this is a key by itself, and no file; add an account by its API key")
            other = None if companion is None else decode(companion.encode())
            name = PurePath(filename).stem.lstrip(".")
            return examine(CredentialFile(decode(content.encode()), name or "imported", other), wishes)

        return await asyncio.to_thread(work)

    async def read_successor(
        self, content: str, companion: str | None, account: Account, wishes: ImportWishes
    ) -> Examination:
        """Look into a file that holds the next credential of an account; a key or refresh token alone will do.

        Args:
            content: of the file.
            companion: of the other file of a profile, if there is one.
            account: whose credential it is to be.
            wishes: what is said about it.

        Raises:
            ImportRefusedError: as a whole it is nothing that may be taken.
        """

        def work() -> Examination:
            other = None if companion is None else decode(companion.encode())
            file = _bare_secret(content, account) or decode(content.encode())
            # In a list each has a name of its own.
            said = evolve(wishes, name=None) if isinstance(file, list) else wishes
            return examine(CredentialFile(file, account.name, other), said)

        return await asyncio.to_thread(work)

    async def secret_of(self, account: Account) -> Secret | None:
        """Return the present secret of an account; None where it has none that can be read."""

        def work() -> Secret | None:
            with suppress(SecretFormatError, VaultError):
                return (
                    None
                    if account.secret is None
                    else decode_secret(account.kind, self.vault.decrypt(account.secret))
                )
            return None

        return await asyncio.to_thread(work)

    async def judge(self, found: Examination) -> list[Judged]:
        """Say of each entry what speaks against it."""
        key = self.office.settings.anthropic_api_key
        return await asyncio.to_thread(self._judge, found, key)

    def _judge(self, found: Examination, key: str) -> list[Judged]:
        names = {account.name for account in self.known}
        holders = Holders.among(self.known, self.vault, key)
        return [_judge(one, names, holders) for one in found.findings]

    async def judge_successors(self, found: Examination, account: Account) -> list[Judged]:
        """Say of each entry what speaks against its credential as the next one of an account that is there.

        What there is to send is as the account's: to its address, under its name.
        """
        return await asyncio.to_thread(self._judge_successors, found, account)

    def _judge_successors(self, found: Examination, account: Account) -> list[Judged]:
        own = Holders.among([account], self.vault)
        others = [one for one in self.known if one.id != account.id]
        holders = Holders.among(others, self.vault, self.office.settings.anthropic_api_key)
        base_url = self.office.base_url(account)
        judged = []
        for one in found.findings:
            draft = one.draft
            if draft is None:
                judged.append(_judge(one, set(), holders))
                continue
            problem = _unfit(draft, account, base_url)
            # By another name than its own, to see whether it is the account's present one.
            if not problem and own.token_holder(evolve(draft, name="")) is not None:
                problem = (
                    "the account has this very refresh token, which works once; resuming the account lets it be "
                    "tried once more, and another login gives it a new one"
                )
            if problem:
                judged.append(Judged(one.index, one.name, None, problem))
                continue
            # Where its requests go was judged when it was added, by whoever could.
            fit = _judge(evolve(one, draft=evolve(draft, name=account.name, base_url=None)), set(), holders)
            judged.append(evolve(fit, name=one.name, draft=fit.draft and _as_of(fit.draft, account)))
        return judged

    async def ask(self, drafts: Sequence[Draft]) -> list[Verdict | None]:
        """Ask the providers about credentials, a few at a time and for a bounded time; None for those left out.

        Nothing is renewed: a refresh token works once, and is for the account that is to have it.
        """
        async with Checker(self.office.providers, answer_seconds=_ANSWER_SECONDS) as checker:
            asked = [(draft, _credential(draft, self.office.database.clock())) for draft in drafts]
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(checker.ask(_stand_in(draft), credential))
                    if credential is not None and place < _MOST_ASKED
                    else None
                    for place, (draft, credential) in enumerate(asked)
                ]
                started = [task for task in running if task is not None]
                if started:
                    _, late = await asyncio.wait(started, timeout=_ALL_SECONDS)
                    for task in late:
                        task.cancel()
        return [None if task is None or task.cancelled() else task.result() for task in running]

    def warn(self, drafts: Sequence[Draft]) -> list[str]:
        """Return warnings of accounts that the settings leave idle."""
        return list(warn_of_idle_accounts(drafts, self.office.settings))


def _judge(found: Finding, names: set[str], holders: Holders) -> Judged:
    index, name, draft = found.index, found.name, found.draft
    if draft is None:
        # People are shown which entry it is, and count from 1.
        problem = re.sub(rf"\[{index}\](?:: |\.| )", "", found.problem)
        return Judged(index, name, None, _PLACE.sub(lambda place: f"entry {int(place[1]) + 1}", problem))
    try:
        refuse_remote_draft(draft)
    except DraftError as error:
        return Judged(index, name, None, str(error))
    if (other := holders.token_holder(draft)) is not None:
        words = f"the account {other!r} has this refresh token already, and such a token works once"
        return Judged(index, name, None, words, known_as=other)
    if name in names:
        return Judged(index, name, None, f"there is an account {name!r} already", known_as=name)
    if (other := holders.key_holder(draft)) is not None:
        words = f"the account {other!r} has the same key: their limits are one and the same"
        return Judged(index, name, draft, "", (*found.warnings, words), other)
    return Judged(index, name, draft, "", found.warnings)


def _bare_secret(content: str, account: Account) -> Any:
    """Return what would stand in a file with a key or a refresh token, where the content is one; else None."""
    text = content.strip()
    if not text.startswith("sk-") or len(text.split()) > 1:
        return None
    if account.kind is AccountKind.API_KEY:
        return [{"name": account.name, "provider": account.provider, "api_key": text}]
    return {"type": "oauth_token", "refresh_token": text}


def _unfit(draft: Draft, account: Account, base_url: str) -> str:
    """Return why a draft's credential cannot become that of an account, whatever it is worth; empty if it can."""
    if draft.provider != account.provider:
        return f"this is of {draft.provider}, and the account of {account.provider}; add it as another account"
    if draft.kind is not account.kind:
        kinds = {AccountKind.API_KEY: "an API key", AccountKind.OAUTH: "a login"}
        return (
            f"this is {kinds.get(draft.kind, draft.kind.value)}, and the account has "
            f"{kinds.get(account.kind, account.kind.value)}; add it as another account"
        )
    if draft.base_url is not None and draft.base_url != base_url:
        return (
            f"its requests are to go to {draft.base_url}, and the account's go to {base_url}, which does not "
            "change; add it as another account"
        )
    return ""


def _as_of(draft: Draft, account: Account) -> Draft:
    return evolve(draft, name=account.name, base_url=account.base_url)


def _credential(draft: Draft, now: float) -> Credential | None:
    """Return what can be sent for an account without renewing anything."""
    match draft.secret:
        case ApiKeySecret(api_key):
            return Credential(draft.provider, api_key)
        case OAuthSecret(access_token=str(token), expires_at=expires_at) if expires_at is None or expires_at > now:
            return Credential(draft.provider, token, is_token=True, expires_at=expires_at)
    return None


def _stand_in(draft: Draft) -> Account:
    return Account("", draft.name, draft.provider, draft.kind, draft.base_url)
