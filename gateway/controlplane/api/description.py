"""`/api/v1/openapi.json`: what the admin API has."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.controlplane.access import Access
from gateway.controlplane.endpoints import Call, answer_bytes, endpoint
from gateway.controlplane.openapi import make_document
from gateway.controlplane.parts import Parts

__all__ = ["ENDPOINTS"]


@endpoint("GET", "/api/v1/openapi.json", access=Access.OPEN, answer=dict[str, Any])
async def get_openapi(parts: Parts, _call: Call) -> Any:
    """Describe the admin API as an OpenAPI document."""
    from gateway.controlplane.api import ENDPOINTS as ALL  # noqa: PLC0415 - this module is one of those it describes

    return answer_bytes(msgspec.json.encode(make_document(ALL, parts.version)), "application/json")


ENDPOINTS: Final = (get_openapi,)
