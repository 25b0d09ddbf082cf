"""One-time links, and the addresses that people open."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from attrs import define, evolve, field

from gateway.config import Settings
from gateway.controlplane.sign_in.tokens import digest_of, new_token
from gateway.setting_values import is_loopback
from gateway.store.user_links import Link, LinkStore, Purpose

__all__ = ["LINK_SECONDS", "OpenLink", "base_url", "clear_text_warning", "make_link"]

LINK_SECONDS: Final = 3600.0
_PAGES: Final = {Purpose.SET_PASSWORD: "setup", Purpose.SIGN_IN: "sign-in"}
_LOCAL: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - all interfaces have a loopback one


@define(frozen=True)
class OpenLink:
    """A link that can be used."""

    url: str = field(repr=False)
    """With its token behind the #, which browsers send to nobody."""
    expires_at: float
    """Unix seconds."""


async def make_link(
    store: LinkStore,
    base: str,
    purpose: Purpose,
    *,
    user_id: str | None = None,
    role: str = "",
    seconds: float = LINK_SECONDS,
) -> OpenLink:
    """Make a link, which takes the place of others for the same.

    Args:
        store: to keep it in.
        base: as of `base_url`.
        purpose: what it is for.
        user_id: whom it lets in; None for a user whom it makes.
        role: of that user.
        seconds: for which it is good.

    Raises:
        StoreError: the database cannot be used.
    """
    token = new_token()
    link = Link(digest=digest_of(token), purpose=purpose, user_id=user_id, role=role)
    return OpenLink(f"{base}/{_PAGES[purpose]}#{token}", await store.put(link, seconds))


def base_url(settings: Settings, port: int | None = None) -> str | None:
    """Return the address of the dashboard; None if there is none.

    Args:
        settings: as loaded.
        port: on which the control plane listens, where the system chose it.
    """
    address = settings.control_address
    if address is None:
        return None
    if settings.dashboard.public_url:
        return settings.dashboard.public_url.rstrip("/")
    return f"http://{evolve(address, host=_LOCAL.get(address.host, address.host), port=port or address.port)}"


def clear_text_warning(settings: Settings) -> str | None:
    """Say that passwords would cross a network for all to read, if they would; None if not."""
    address, public = settings.control_address, urlsplit(settings.dashboard.public_url)
    # In a container it listens on all interfaces, and only this machine may reach it all the same.
    is_private = public.scheme == "https" or is_loopback(public.hostname or "")
    if address is None or address.is_loopback or is_private:
        return None
    return (
        f"The control plane listens on {address} without encryption: passwords and sessions cross the network for "
        "all to read. Put a proxy with TLS in front and set GATEWAY_DASHBOARD__PUBLIC_URL to its https address, "
        "or to http://localhost:8788 if only this machine can reach it."
    )
