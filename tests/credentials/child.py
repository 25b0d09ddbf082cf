"""A process that shares accounts with others: told over a pipe what to do, and killed where it is told to be.

Started by a fork server that has all modules loaded, so that a dead one is replaced within milliseconds.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from attrs import define, evolve

from gateway.accounts.credentials import CredentialManager, CredentialUnavailableError
from gateway.accounts.oauth import ExchangeTimes
from gateway.accounts.vault import Vault
from gateway.store.accounts import AccountStore
from gateway.store.engine import Database
from gateway.store.leases import LeaseStore
from tests.credentials.bench import KEY, REFRESH, RENEWAL


@define(frozen=True)
class Job:
    """What a process is to do with an account, and what befalls it."""

    account_id: str
    seed: int = 0
    skew: float = 0.0
    """Seconds that its clock is ahead."""
    pause: float = 0.0
    """Seconds that it may take between two steps, at the most."""
    renewals: int = 0
    """How often its token is refused by the upstream."""
    lease: float = 20.0
    """Seconds that a lease lasts before anything is sent."""
    sent: float = 20.0
    """Seconds that it lasts from then on."""
    answer: float = 15.0
    """Seconds that the token endpoint may take."""
    kill_at: str | None = None
    """The step at which it is killed."""
    kill_after: float | None = None
    """Seconds after which it is killed, wherever it is."""


@define(frozen=True)
class Report:
    """What has come of a job."""

    secret: str = ""
    version: int = 0
    problem: str = ""
    terminal: bool = False


def serve(connection: Connection, database_url: str, directory: str) -> None:
    """Do jobs until there are no more."""
    asyncio.run(_serve(connection, database_url, Path(directory)))


async def _serve(connection: Connection, database_url: str, directory: Path) -> None:
    async with Database(database_url, directory) as database:
        while (job := await asyncio.to_thread(connection.recv)) is not None:
            connection.send(await _do(job, database))


async def _do(job: Job, database: Database) -> Report:
    chance = random.Random(job.seed)

    async def step(name: str) -> None:
        if name == job.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(chance.random() * job.pause)

    store = AccountStore(database)
    manager = CredentialManager(
        store,
        LeaseStore(database),
        Vault([KEY]),
        clock=lambda: database.clock() + job.skew,
        owner=f"process-{os.getpid()}",
        on_condition=lambda *_, **__: None,
        renewal_times=evolve(RENEWAL, wait=25.0, advisory=8.0, mandatory=2.0),
        refresh_times=evolve(
            REFRESH,
            lease=job.lease,
            sent=job.sent,
            held=25.0,
            store=20.0,
            exchange=ExchangeTimes(answer=job.answer),
        ),
        step=step,
    )
    async with manager:
        account = await store.find(job.account_id)
        assert account is not None
        await asyncio.sleep(chance.random() * job.pause)
        try:
            credential = await manager.current(account)
            for _ in range(job.renewals):
                credential = await manager.renew(account, credential) or credential
        except CredentialUnavailableError as error:
            return Report(problem=error.message, terminal=error.terminal)
        return Report(credential.secret, credential.version)
