"""Puts together what lets people in, and keeps its tables small."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from gateway.accounts.vault import Vault
from gateway.config import Settings
from gateway.controlplane.access import Visitor
from gateway.controlplane.audit import AuditLog
from gateway.controlplane.gate import DoorKeeper
from gateway.controlplane.sign_in.attempts import Attempts
from gateway.controlplane.sign_in.cookies import SessionCookie
from gateway.controlplane.sign_in.desk import Desk
from gateway.controlplane.sign_in.hosts import Place
from gateway.controlplane.sign_in.proxies import TrustedProxies
from gateway.controlplane.sign_in.sessions import Sessions
from gateway.store.audit_log import REFUSED, AuditStore
from gateway.store.engine import Database
from gateway.store.errors import StoreError
from gateway.store.user_links import LinkStore
from gateway.store.user_sessions import UserSession, UserSessionStore
from gateway.store.users import User, UserStore, name_key
from gateway.telemetry.logs import exception_facts, get_logger

__all__ = ["AUDIT_DAYS", "REFUSED_DAYS", "make_desk", "recall", "tidy", "tidy_until"]

_log = get_logger(__name__)

AUDIT_DAYS: Final = 400
"""For which the log of what people change is kept."""
REFUSED_DAYS: Final = 90
"""For which it has attempts to sign in that failed."""
_KNOWN_DAYS: Final = 30
_MOST_KNOWN: Final = 1000
_DAY: Final = 86_400.0
_TIDY_SECONDS: Final = 3600.0
_STEP_ROWS: Final = 500


def make_desk(settings: Settings, database: Database, vault: Vault, pepper: bytes) -> Desk:
    """Return what lets people in.

    Args:
        settings: as loaded.
        database: that is open as long as it is used.
        vault: for the secrets of second factors.
        pepper: for tokens against requests of other sites' pages.
    """
    entries = AuditStore(database)
    audit, place, attempts = AuditLog(entries), Place(settings.dashboard.public_url), Attempts()

    async def on_theft(session: UserSession, user: User) -> None:
        _log.warning("a session was ended: its token was used after another had taken its place", user=user.name)
        await audit.write(Visitor(name=user.name, how="password"), "session.reused", session.address)

    sessions = Sessions(UserSessionStore(database), settings.dashboard, on_theft)
    return Desk(
        settings=settings,
        vault=vault,
        users=UserStore(database),
        links=LinkStore(database),
        keeper=DoorKeeper(
            settings.control_token,
            pepper,
            place,
            SessionCookie(place),
            TrustedProxies(settings.dashboard, place),
            sessions,
            attempts,
        ),
        attempts=attempts,
        audit=audit,
        entries=entries,
    )


async def tidy_until(stopped: asyncio.Event, desk: Desk) -> None:
    """Take note of who has signed in from where, and every hour delete what is too old; it never raises.

    Args:
        stopped: ends it.
        desk: whose tables they are.
    """
    await _harmlessly(recall, desk)
    while not stopped.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(_TIDY_SECONDS):
                await stopped.wait()
                return
        # On other hosts too, people have signed in meanwhile.
        await _harmlessly(recall, desk)
        await _harmlessly(tidy, desk)


async def _harmlessly(work: Callable[[Desk], Awaitable[None]], desk: Desk) -> None:
    try:
        await work(desk)
    except StoreError as error:
        _log.warning("the upkeep of the dashboard's sign-in has to wait", problem=str(error))
    except Exception as error:  # noqa: BLE001 - it is tried again, and the gateway goes on
        _log.error("a defect in the upkeep of the dashboard's sign-in", **exception_facts(error))


async def recall(desk: Desk) -> None:
    """Take note of where people have signed in of late: who guesses their passwords does not keep them out there.

    Raises:
        StoreError: the database cannot be used.
    """
    since = await desk.users.database.now() - _KNOWN_DAYS * _DAY
    for name, address in await desk.entries.sign_ins(since, _MOST_KNOWN):
        desk.attempts.know(name_key(name), address)


async def tidy(desk: Desk) -> None:
    """Delete sessions and links that are over, and what was changed too long ago.

    Raises:
        StoreError: the database cannot be used.
    """
    await desk.keeper.sessions.tidy()
    await desk.links.tidy()
    # By the database's clock, on which all hosts agree.
    now = await desk.users.database.now()
    for days, action in ((AUDIT_DAYS, None), (REFUSED_DAYS, REFUSED)):
        while await desk.entries.delete_before(now - days * _DAY, _STEP_ROWS, action) == _STEP_ROWS:
            pass
