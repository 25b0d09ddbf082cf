"""The link on the terminal with which the first user of the dashboard chooses a name and a password."""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from gateway.app import Gateway
from gateway.cli.common import warn
from gateway.config import Settings
from gateway.controlplane.sign_in.links import base_url, make_link
from gateway.store.engine import Database
from gateway.store.errors import StoreError
from gateway.store.user_links import LinkStore, Purpose
from gateway.store.users import ADMIN, UserStore

__all__ = ["control_port", "print_setup_link"]


async def print_setup_link(settings: Settings, port: int | None = None) -> None:
    """Print the link if nobody has a password yet. It is new at each start; earlier ones are good no more.

    It goes to standard error and never through the log, which others read too.

    Args:
        settings: as loaded.
        port: on which the control plane listens, where the system chose it.
    """
    base = base_url(settings, port)
    if base is None or settings.dashboard.trusted_header:
        return
    try:
        async with Database.of(settings) as database:
            if await UserStore(database).anybody_has_a_password():
                return
            link = await make_link(LinkStore(database), base, Purpose.SET_PASSWORD, role=ADMIN)
    except StoreError as error:
        warn(f"no link could be made to set up the dashboard: {error}")
        return
    print(
        "gateway: the dashboard has no user yet. Choose a name and a password within an hour; this works once:\n"
        f"gateway: {link.url}",
        file=sys.stderr,
        flush=True,
    )


def control_port(gateway: Gateway) -> int | None:
    """Return the port of a gateway's control plane; None if it has none."""
    return urlsplit(gateway.control_url).port if gateway.control_url is not None else None
