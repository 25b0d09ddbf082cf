"""How accounts come in through the admin API: vetted, compared with those that are there, asked about."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from attrs import define

from gateway.accounts.account import Account
from gateway.accounts.checking import Checker, Verdict
from gateway.accounts.drafts import Draft, DraftError
from gateway.accounts.duplicates import Holders
from gateway.accounts.importing import CredentialFile, Examination, Finding, ImportWishes, decode, examine
from gateway.accounts.office import AccountOffice, warn_of_idle_accounts
from gateway.accounts.remote_drafts import refuse_remote_draft
from gateway.accounts.secrets import ApiKeySecret, OAuthSecret
from gateway.accounts.vault import Vault
from gateway.providers.base import Credential

__all__ = ["Intake", "Judged"]

_ANSWER_SECONDS: Final = 8.0
_ALL_SECONDS: Final = 14.0
_MOST_ASKED: Final = 100
"""Credentials of one file that are asked about before they are saved."""
_PLACE: Final = re.compile(r"\[(\d{1,4})\]")
"""How an entry of a file is called in a message."""


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
            other = None if companion is None else decode(companion.encode())
            name = PurePath(filename).stem.lstrip(".")
            return examine(CredentialFile(decode(content.encode()), name or "imported", other), wishes)

        return await asyncio.to_thread(work)

    async def judge(self, found: Examination) -> list[Judged]:
        """Say of each entry what speaks against it."""
        key = self.office.settings.anthropic_api_key
        return await asyncio.to_thread(self._judge, found, key)

    def _judge(self, found: Examination, key: str) -> list[Judged]:
        names = {account.name for account in self.known}
        holders = Holders.among(self.known, self.vault, key)
        return [_judge(one, names, holders) for one in found.findings]

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
