"""The admin API: one module per resource."""

from __future__ import annotations

from typing import Final

from gateway.controlplane.api import description, live, settings
from gateway.controlplane.endpoints import Endpoint

__all__ = ["ENDPOINTS"]

ENDPOINTS: Final[tuple[Endpoint, ...]] = (*description.ENDPOINTS, *live.ENDPOINTS, *settings.ENDPOINTS)
