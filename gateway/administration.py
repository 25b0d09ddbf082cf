"""Puts together what people see of a gateway: the dashboard, and the admin API behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from attrs import define, field

from gateway.accounts.office import AccountOffice, providers_of
from gateway.accounts.vault import Vault
from gateway.actors.keys import secret_id
from gateway.config import ClientAuth, Settings
from gateway.controlplane.access import AuditTrail
from gateway.controlplane.account_directory import AccountDirectory
from gateway.controlplane.api import ENDPOINTS
from gateway.controlplane.canary_runs import CanaryRuns
from gateway.controlplane.canary_tools import CanaryTools
from gateway.controlplane.check_keys import CheckKeys
from gateway.controlplane.endpoints import Routes
from gateway.controlplane.health import ProcessVitals, Vitals
from gateway.controlplane.live import LiveHub
from gateway.controlplane.pages import Pages
from gateway.controlplane.parts import Parts
from gateway.controlplane.server import Dashboard
from gateway.controlplane.sign_in.opening import make_desk, tidy_until
from gateway.controlplane.watch import Watch
from gateway.ledger.record import Ledger
from gateway.pricing.book import PriceBook
from gateway.shared_state import SharedState
from gateway.store.engine import Database
from gateway.store.request_queries import RequestQueries
from gateway.store.secret import load_secret_keys
from gateway.telemetry.version import program_version

__all__ = ["Known", "open_dashboard"]

_SPREAD_SECONDS: Final = 1.0
"""In which other workers hear of a change; they look more than twice in it."""


@define(eq=False)
class Known:
    """What the gateway has already; `Parts` says what the names mean."""

    vault: Vault = field(repr=False)
    pepper: bytes = field(repr=False)
    state: SharedState
    prices: PriceBook
    ledger: Ledger
    tasks: asyncio.TaskGroup
    stopped: asyncio.Event
    data_url: Callable[[], str]
    watch: Watch
    vitals: ProcessVitals
    canary: CanaryTools
    stopping: asyncio.Event
    """Set before `stopped`: no more clients are taken, and those that are there are waited for."""


async def open_dashboard(settings: Settings, database: Database, known: Known) -> Dashboard | None:
    """Return the dashboard of a gateway; None if it has no control plane, or another of its workers shows it."""
    known.watch.report(known.vitals, known.tasks, known.stopped)
    if settings.control_address is None:
        return None
    desk = make_desk(settings, database, known.vault, known.pepper)
    known.tasks.create_task(tidy_until(known.stopped, desk), name="tidy-sign-in")
    live = LiveHub()
    version = await asyncio.to_thread(program_version)
    parts = Parts(
        settings=settings,
        version=version,
        database=database,
        vault=known.vault,
        pepper=known.pepper,
        secret_ids=[
            secret_id(key)
            for key in await asyncio.to_thread(load_secret_keys, settings.secret_key, settings.data_path)
        ],
        take_over_keys=known.state.load_keys,
        accounts=known.state.accounts,
        client_keys=known.state.client_keys,
        directory=AccountDirectory(
            AccountOffice(settings, database, known.state.accounts, providers_of(settings), known.vault),
            lambda: known.state.known,
            known.state.load_accounts,
            known.state.backends,
        ),
        requests=RequestQueries(database),
        prices=known.prices,
        backends=known.state.backends,
        ledger=known.ledger,
        gate=desk.keeper,
        audit=desk.audit,
        desk=desk,
        live=live,
        canary=_canary(settings, database, known, desk.audit, live),
        vitals=Vitals(
            settings=settings,
            version=version,
            database=database,
            backends=known.state.backends,
            process=known.vitals,
        ),
        workers=known.watch.files,
        tasks=known.tasks,
        stopped=known.stopped,
        data_url=known.data_url,
    )
    known.watch.show(parts)
    known.state.on_change = parts.live.changed
    return Dashboard(parts, Routes(ENDPOINTS), await asyncio.to_thread(Pages.load))


def _canary(settings: Settings, database: Database, known: Known, audit: AuditTrail, live: LiveHub) -> CanaryRuns:
    async def spread() -> None:
        await known.state.load_keys()
        if settings.workers > 1:
            await asyncio.sleep(_SPREAD_SECONDS)

    keys = CheckKeys(
        known.state.client_keys, known.pepper, audit, known.tasks, spread, lambda: live.changed("keys")
    )
    runs = CanaryRuns(
        known.canary,
        keys,
        settings.client_auth is ClientAuth.KEYS,
        database,
        audit,
        live,
        known.tasks,
    )
    known.tasks.create_task(runs.end_with(known.stopping), name="end-canary-runs")
    return runs
