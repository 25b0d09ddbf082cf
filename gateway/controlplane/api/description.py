"""`/api/v1/openapi.json`: what the admin API has."""

from __future__ import annotations

import asyncio
from functools import cache
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
    # The first time it takes a processor for some thirty milliseconds, which streams need not wait for.
    return answer_bytes(await asyncio.to_thread(_document, parts.version), "application/json")


@cache
def _document(version: str) -> bytes:
    from gateway.controlplane.api import ENDPOINTS as ALL  # noqa: PLC0415 - this module is one of those it describes

    return msgspec.json.encode(make_document(ALL, version))


ENDPOINTS: Final = (get_openapi,)
