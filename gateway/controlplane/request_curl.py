"""A request of the same kind as one in the list, as a command to paste into a shell."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any, Final

from gateway.ledger.row import RequestRow

__all__ = ["curl_command"]

_KEY: Final = "$GATEWAY_KEY"
_VERSION: Final = "2023-06-01"
_PREFIX: Final = "/claude"
_SDK: Final = "/claude-sdk/"
_HELLO: Final = [{"role": "user", "content": "Say hello."}]
_MOST_TOKENS: Final = 64
_BODIES: Final[dict[str, dict[str, Any]]] = {
    "/v1/messages": {"max_tokens": _MOST_TOKENS, "messages": _HELLO},
    "/v1/messages/count_tokens": {"messages": _HELLO},
    "/v1/chat/completions": {"messages": _HELLO},
    "/v1/responses": {"input": "Say hello."},
    "/v1/embeddings": {"input": "hello"},
}
"""Of bodies nothing is kept; these are the least that the APIs take."""
_VISIBLE: Final = re.compile(r"[ -~]+")
_WITHOUT_STREAM: Final = frozenset({"/v1/messages/count_tokens", "/v1/embeddings"})


def curl_command(row: RequestRow, base_url: str) -> str | None:
    """Return a command that asks this gateway the same kind of thing; None where the path is not known.

    It is safe to paste, whatever the client chose to send: all of it is quoted, and has no control characters.
    The key is taken from the environment, and the body is the least that the API takes, for the same model.

    Args:
        row: the request.
        base_url: of the data plane.
    """
    method, _, route = row.route.partition(" ")
    if not route.startswith("/") or "…" in route or not method.isalpha():
        return None
    path = route if row.provider != "anthropic" or route.startswith((_PREFIX + "/", _SDK)) else _PREFIX + route
    # The only path with an id that the gateway serves is that of a model.
    url = base_url.rstrip("/") + path.replace("{id}", "MODEL")
    parts = [f"curl -N {shlex.quote(url)}" if row.stream else f"curl {shlex.quote(url)}"]
    if method not in {"GET", "POST"}:
        parts.append(f"-X {shlex.quote(method)}")
    if path.startswith(_PREFIX):
        parts.append(f'-H "x-api-key: {_KEY}"')
        version = row.api_version if _VISIBLE.fullmatch(row.api_version or "") else _VERSION
        parts.append("-H " + shlex.quote(f"anthropic-version: {version}"))
    else:
        parts.append(f'-H "authorization: Bearer {_KEY}"')
    if method == "POST":
        parts.append("-H 'content-type: application/json'")
        parts.append("--data-raw " + shlex.quote(json.dumps(_body(row, path))))
    return " \\\n  ".join(parts)


def _body(row: RequestRow, path: str) -> dict[str, Any]:
    known = path.removeprefix(_PREFIX).removeprefix("-sdk")
    body: dict[str, Any] = {"model": row.model or row.model_served or "MODEL"}
    if row.stream and known not in _WITHOUT_STREAM:
        body["stream"] = True
    return body | _BODIES.get(known, {})
