"""The OpenAI-compatible routes in mode `pool`: `/v1/*` served by the accounts of provider `openai`.

Clients have a key of the gateway's. Accounts are chosen, renewed and given a rest by the same code as Anthropic's,
in a pool of their own. Answers go on as they come; what fails before the head of an answer is tried elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from aiohttp import web
from attrs import define

from gateway.dataplane.messages import PooledApi
from gateway.dataplane.passthrough import has_dot_segment
from gateway.wire.errors import ApiError

__all__ = ["OpenAIPool"]

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


@define(eq=False)
class OpenAIPool:
    """Answers requests below `/v1`."""

    api: PooledApi

    def handle(self, request: web.BaseRequest, target: str) -> Awaitable[web.StreamResponse]:
        """Answer one request.

        Raises:
            ApiError: it is not one for an account.
        """
        if has_dot_segment(target.partition("?")[0].encode("utf-8", "surrogateescape")):
            raise ApiError(400, "A path below /v1 must not have dot segments.")
        if request.headers.get("upgrade", "").strip().lower() == "websocket":
            raise ApiError(
                501,
                "WebSockets are not served from a pool of accounts. Use the same request over HTTP, or let the "
                "operator set GATEWAY_OPENAI_MODE=forward.",
                should_retry=False,
            )
        if request.method in _WITH_BODY:
            return self.api.create(request, target)
        if request.method in _WITHOUT_BODY:
            return self.api.fetch(request, target)
        allowed = ", ".join(sorted(_WITH_BODY | _WITHOUT_BODY))
        raise ApiError(405, f"This method is not possible here; use {allowed}.", headers={"allow": allowed})
