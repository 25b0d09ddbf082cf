"""Which headers go on, in either direction. Open sets: what is not named here passes.

Source: Anthropic docs, "LLM gateway protocol" (forward headers as open lists); RFC 9110, section 7.6.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from gateway.wire.errors import SERVER_NAME

__all__ = ["CREDENTIALS", "Headers", "to_client", "to_upstream"]

_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    }
)
_NOT_TO_UPSTREAM: Final = _HOP_BY_HOP | {
    # Made anew for the upstream's connection.
    "host",
    "content-length",
    "expect",
    # The guard reads the stream, so it must not be compressed.
    "accept-encoding",
    # Of the client's relation to this gateway, none of the upstream's business.
    "cookie",
    "forwarded",
    "x-real-ip",
    "via",
    "cf-connecting-ip",
    "true-client-ip",
}
_FORWARDING_PREFIX: Final = "x-forwarded-"
Headers = CIMultiDict[str]
"""Headers to send: in order, names in any case, repeated ones repeated."""

CREDENTIALS: Final = frozenset({"authorization", "x-api-key"})
"""Headers that carry a client's credential."""

# RFC 9110, section 5.5: such values are dangerous, and aiohttp refuses to send them.
_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_TO_CLIENT: Final = _HOP_BY_HOP | {"alt-svc"}
# Another tenant's business, where accounts are shared by clients.
_OF_THE_ACCOUNT: Final = frozenset(
    {"anthropic-organization-id", "anthropic-workspace-id", "openai-organization", "openai-project"}
)
_SUBSCRIPTION_WINDOWS: Final = "anthropic-ratelimit-unified-"


def to_upstream(headers: CIMultiDictProxy[str], *, keep_credentials: bool = False) -> CIMultiDict[str]:
    """Return the client's headers as the upstream gets them, in order, repeated ones repeated.

    Args:
        headers: of the client's request.
        keep_credentials: pass the client's own credential on (client_auth = passthrough).
    """
    dropped = _NOT_TO_UPSTREAM if keep_credentials else _NOT_TO_UPSTREAM | CREDENTIALS
    named = _named_by_connection(headers.getall("connection", ()))
    kept = CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if (low := name.lower()) not in dropped and low not in named and not low.startswith(_FORWARDING_PREFIX)
    )
    kept["accept-encoding"] = "identity"
    return kept


def to_client(headers: CIMultiDictProxy[str], *, shared_account: bool, streaming: bool) -> CIMultiDict[str]:
    """Return the upstream's response headers as the client gets them.

    Args:
        headers: of the upstream's response.
        shared_account: the account serves several clients, so what identifies it and its subscription windows
            stays here.
        streaming: the answer is an event stream, whose length may change by pings and error events and which
            no proxy may buffer.
    """
    named = _named_by_connection(headers.getall("connection", ()))
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        low = name.lower()
        if low in _NOT_TO_CLIENT or low in named or _CONTROL_CHARACTER.search(value):
            continue
        if shared_account and (low in _OF_THE_ACCOUNT or low.startswith(_SUBSCRIPTION_WINDOWS)):
            continue
        if streaming and low == "content-length":
            continue
        kept.add(name, value)
    if streaming:
        kept["x-accel-buffering"] = "no"
        kept.setdefault("cache-control", "no-cache")
        kept.setdefault("content-type", "text/event-stream; charset=utf-8")
    # Otherwise the HTTP library would put its own name and version there.
    kept.setdefault("server", SERVER_NAME)
    return kept


def _named_by_connection(values: Iterable[str]) -> frozenset[str]:
    return frozenset(token.strip().lower() for value in values for token in value.split(","))
