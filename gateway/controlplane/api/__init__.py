"""The admin API: one module per resource."""

from __future__ import annotations

from typing import Final

from gateway.controlplane.api import (
    account_adding,
    account_replacing,
    accounts,
    audit,
    canary,
    description,
    facets,
    keys,
    live,
    machine,
    overview,
    own_access,
    request_export,
    requests,
    session,
    settings,
    usage,
    users,
    violations,
)
from gateway.controlplane.endpoints import Endpoint

__all__ = ["ENDPOINTS"]

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *account_adding.ENDPOINTS,
    *account_replacing.ENDPOINTS,
    *accounts.ENDPOINTS,
    *audit.ENDPOINTS,
    *canary.ENDPOINTS,
    *description.ENDPOINTS,
    *facets.ENDPOINTS,
    *keys.ENDPOINTS,
    *live.ENDPOINTS,
    *machine.ENDPOINTS,
    *overview.ENDPOINTS,
    *own_access.ENDPOINTS,
    *request_export.ENDPOINTS,
    *requests.ENDPOINTS,
    *session.ENDPOINTS,
    *settings.ENDPOINTS,
    *usage.ENDPOINTS,
    *users.ENDPOINTS,
    *violations.ENDPOINTS,
)
