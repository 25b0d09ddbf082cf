"""`gateway accounts check`: whether accounts work."""

from __future__ import annotations

import argparse
import sys

from attrs import define, evolve

from gateway.accounts.account import Account, AccountState
from gateway.accounts.checking import Finding, Verdict
from gateway.accounts.office import Shown
from gateway.cli.account_office import Office, open_vault, run_with_office
from gateway.cli.account_output import print_json, still, verdict_as_json, verdict_as_text
from gateway.cli.common import CommandError, settings_from
from gateway.cli.noting import note
from gateway.controlplane.changes import account_checked

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Run `gateway accounts check`."""
    settings = settings_from(args)
    vault = open_vault(settings)

    async def work(office: Office) -> list[tuple[Account, Verdict]]:
        if args.names:
            wanted = {account.id: account for account in [await office.find(name) for name in args.names]}
        else:
            wanted = {account.id: account for account in await office.accounts()}
        if not wanted:
            raise CommandError("there are no accounts to check; add one with `gateway accounts add`")
        checked = await office.check(vault, list(wanted.values()), _Progress(len(wanted)).step)
        present = {account.id: account for account in await office.accounts()}
        # Those of which it changed something: whoever looks at all accounts every minute changes nothing by that.
        await note(
            office.database,
            *(
                account_checked(account, verdict.finding)
                for account, verdict in checked
                if account.id in present and _is_changed(account, present[account.id])
            ),
        )
        shown = await office.show([present.get(account.id, account) for account, _ in checked])
        return [
            (account, _with_state(verdict, one)) for (account, verdict), one in zip(checked, shown, strict=True)
        ]

    checked = run_with_office(settings, work)
    if args.json:
        print_json([verdict_as_json(account.name, verdict) for account, verdict in checked])
    else:
        for account, verdict in checked:
            print(verdict_as_text(account.name, verdict))
    return 0 if all(verdict.is_good for _, verdict in checked) else 1


def _is_changed(before: Account, after: Account) -> bool:
    return (before.condition, before.secret_version) != (after.condition, after.secret_version)


def _with_state(verdict: Verdict, shown: Shown) -> Verdict:
    """Let nobody believe that an account serves because it works."""
    untold = verdict.finding is Finding.LIMITED and shown.state is AccountState.COOLING
    if not verdict.is_good or untold or not (words := still(shown)):
        return verdict
    return evolve(verdict, message=f"{verdict.message} {words}")


@define
class _Progress:
    """Says on a terminal how far it is."""

    total: int
    finished: int = 0

    def step(self) -> None:
        self.finished += 1
        if sys.stderr.isatty():
            end = "\n" if self.finished == self.total else ""
            print(f"\rchecked {self.finished} of {self.total}", end=end, file=sys.stderr, flush=True)
