"""What the endpoints of the admin API work with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from attrs import define, field

from gateway.accounts.backend import Backend
from gateway.accounts.vault import Vault
from gateway.config import Settings
from gateway.controlplane.access import AuditTrail, Gate
from gateway.controlplane.account_directory import AccountDirectory
from gateway.controlplane.canary_runs import CanaryRuns
from gateway.controlplane.health import Vitals
from gateway.controlplane.live import LiveHub
from gateway.controlplane.sign_in.desk import Desk
from gateway.controlplane.worker_reports import WorkerFiles
from gateway.ledger.record import Ledger
from gateway.pricing.book import PriceBook
from gateway.store.accounts import AccountStore
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.request_queries import RequestQueries

__all__ = ["Parts"]

_MOST_EXPORTS: Final = 4


@define(eq=False, kw_only=True)
class Parts:
    """One gateway, as its operators see it."""

    settings: Settings
    version: str
    database: Database
    vault: Vault = field(repr=False)
    pepper: bytes = field(repr=False)
    """With which client keys are hashed."""
    secret_ids: Sequence[str]
    """Of all secret keys that client keys may have been made with, the current one first."""
    take_over_keys: Callable[[], Awaitable[None]]
    """Lets this process know what the database says of client keys; it raises `StoreError` if it cannot."""
    accounts: AccountStore
    directory: AccountDirectory
    """Accounts, with what is known of them."""
    client_keys: ClientKeyStore
    requests: RequestQueries
    prices: PriceBook
    backends: Sequence[Backend]
    """Pools of this process, with what it knows of their accounts."""
    ledger: Ledger
    gate: Gate
    audit: AuditTrail
    desk: Desk
    live: LiveHub
    canary: CanaryRuns
    """Of the canary tools."""
    vitals: Vitals
    workers: WorkerFiles | None
    """By which the other workers tell of themselves; None where there are none."""
    tasks: asyncio.TaskGroup
    """Owns what goes on behind an answer."""
    stopped: asyncio.Event
    """Set when the gateway ends: what `tasks` owns must end then."""
    data_url: Callable[[], str]
    """Base URL of the data plane, for programs of this machine."""
    exports: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(_MOST_EXPORTS), init=False, repr=False)
    """Places of those who download long files, which may take minutes."""
