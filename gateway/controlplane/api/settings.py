"""`/api/v1/settings`: what the gateway is set to. It is changed where it is set, and by a restart."""

from __future__ import annotations

import asyncio
import platform
from typing import Final

import msgspec

from gateway.controlplane.access import Access
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.parts import Parts
from gateway.controlplane.setting_views import SettingGroup, setting_groups

__all__ = ["ENDPOINTS"]


class RolloutView(msgspec.Struct, kw_only=True):
    """How far the gateway has come beside what it is to replace."""

    state: str
    """`canary` or `promoted`."""
    approval: str
    """Who approved the promotion, when and where it is written; empty for a canary."""


class SettingsView(msgspec.Struct, kw_only=True):
    """What the gateway is set to, and what it runs on."""

    groups: list[SettingGroup]
    rollout: RolloutView
    version: str
    python: str
    database: str
    """Where it is, without a password."""
    data_directory: str
    data_url: str
    """Base URL of the data plane, for programs of this machine."""


@endpoint("GET", "/api/v1/settings", access=Access.VIEWER, answer=SettingsView)
async def get_settings(parts: Parts, _call: Call) -> SettingsView:
    """Show all settings with where each comes from.

    Of secrets it is told whether they are set. They are changed in the settings file or the environment, and by
    starting the gateway again.
    """
    settings = parts.settings
    return SettingsView(
        groups=await asyncio.to_thread(setting_groups, settings, parts.database),
        rollout=RolloutView(state=settings.rollout.value, approval=settings.rollout_approval),
        version=parts.version,
        python=platform.python_version(),
        database=parts.database.name,
        data_directory=str(settings.data_path),
        data_url=parts.data_url(),
    )


ENDPOINTS: Final = (get_settings,)
