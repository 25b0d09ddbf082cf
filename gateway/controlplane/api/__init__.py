"""The admin API: one module per resource."""

from __future__ import annotations

from typing import Final

from gateway.controlplane.api import (
    description,
    facets,
    keys,
    live,
    request_export,
    requests,
    session,
    settings,
    usage,
    violations,
)
from gateway.controlplane.endpoints import Endpoint

__all__ = ["ENDPOINTS"]

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *description.ENDPOINTS,
    *facets.ENDPOINTS,
    *keys.ENDPOINTS,
    *live.ENDPOINTS,
    *request_export.ENDPOINTS,
    *requests.ENDPOINTS,
    *session.ENDPOINTS,
    *settings.ENDPOINTS,
    *usage.ENDPOINTS,
    *violations.ENDPOINTS,
)
