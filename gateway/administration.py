"""Puts together what people see of a gateway: the dashboard, and the admin API behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from attrs import define, field

from gateway.accounts.vault import Vault
from gateway.config import Settings
from gateway.controlplane.api import ENDPOINTS
from gateway.controlplane.endpoints import Routes
from gateway.controlplane.gate import TokenGate
from gateway.controlplane.live import LiveHub
from gateway.controlplane.pages import Pages
from gateway.controlplane.parts import Parts
from gateway.controlplane.server import Dashboard
from gateway.ledger.record import Ledger
from gateway.pricing.book import PriceBook
from gateway.shared_state import SharedState
from gateway.store.engine import Database
from gateway.store.request_queries import RequestQueries
from gateway.telemetry.version import program_version

__all__ = ["Known", "open_dashboard"]


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


async def open_dashboard(settings: Settings, database: Database, known: Known) -> Dashboard | None:
    """Return the dashboard of a gateway; None if it has no control plane."""
    if settings.control_address is None:
        return None
    gate = TokenGate(settings.control_token)
    parts = Parts(
        settings=settings,
        version=await asyncio.to_thread(program_version),
        database=database,
        vault=known.vault,
        pepper=known.pepper,
        accounts=known.state.accounts,
        client_keys=known.state.client_keys,
        requests=RequestQueries(database),
        prices=known.prices,
        backends=known.state.backends,
        ledger=known.ledger,
        gate=gate,
        audit=gate,
        live=LiveHub(),
        tasks=known.tasks,
        stopped=known.stopped,
        data_url=known.data_url,
    )
    return Dashboard(parts, Routes(ENDPOINTS), await asyncio.to_thread(Pages.load))
