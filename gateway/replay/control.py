"""``/_replay``: looking at the record and setting faults from outside the process."""

import hashlib
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
from aiohttp import web

from gateway.replay.errors import ApiError
from gateway.replay.faults import Fault, FaultScript, FaultSyntaxError
from gateway.replay.journal import ReceivedRequest

if TYPE_CHECKING:
    from gateway.replay.server import ReplayUpstream

PREFIX = "/_replay/"
_SECRET_HEADERS = ("x-api-key", "authorization", "proxy-authorization", "cookie")
_DEFAULT_LIMIT = 100
_SHOWN = 4
_SHORTEST_SHOWN = 12
_LONGEST_LIFETIME = 366 * 86_400  # seconds


def control(upstream: "ReplayUpstream", request: web.BaseRequest, body: bytes) -> Any:
    """Return the JSON value that answers a control request; raises ``ApiError``.

    ``GET requests[?limit=N&bodies=1]`` lists the newest requests, ``DELETE requests`` forgets them;
    ``GET|POST|DELETE faults`` shows, appends to, and empties the script; ``POST tokens`` issues an OAuth pair, and
    ``{"expires_in": SECONDS}`` says how long it lives; ``POST tokens/expire`` makes an access token expire, and
    ``POST tokens/revoke`` revokes the family of a token: ``{"token": TOKEN}``. docs/replay.md has them all.
    """
    path = request.path.removeprefix(PREFIX)
    match request.method, path:
        case "GET", "requests":
            return _requests(upstream, request)
        case "DELETE", "requests":
            upstream.journal.clear()
            return {"requests": []}
        case ("GET" | "POST" | "DELETE", "faults"):
            return _faults(upstream, request.method, body)
        case "POST", "tokens":
            return upstream.tokens.issue(expires_in=_lifetime(body)).as_json()
        case "POST", "tokens/expire":
            return _expire(upstream, body)
        case "POST", "tokens/revoke":
            return _revoke(upstream, body)
    raise ApiError(404, "replay: no such control path")


def _faults(upstream: "ReplayUpstream", method: str, body: bytes) -> dict[str, Any]:
    if method == "DELETE":
        upstream.faults.clear()
    elif method == "POST":
        try:
            upstream.faults.rules.extend(FaultScript.of(_decode(body)).rules)
        except FaultSyntaxError as error:
            raise ApiError(400, f"replay: {error}") from None
    return {
        "rules": [
            {
                "fault": [_written(fault) for fault in rule.faults],
                "path": rule.path,
                "model": rule.model,
                "credential": rule.credential and _masked("x-api-key", rule.credential),
                "times": "forever" if rule.times is None else rule.times,
            }
            for rule in upstream.faults.rules
        ]
    }


def _written(fault: Fault) -> dict[str, Any]:
    """Return a fault as a mapping of what it sets, which reads back as the same fault."""
    return attrs.asdict(fault, filter=lambda field, value: value is not field.default)


def _requests(upstream: "ReplayUpstream", request: web.BaseRequest) -> dict[str, Any]:
    text = request.query.get("limit", str(_DEFAULT_LIMIT))
    if not text.isdecimal():
        raise ApiError(400, f"replay: limit is a whole number, not {text!r}")
    limit = int(text)
    newest = upstream.requests[-limit:] if limit else []
    with_bodies = request.query.get("bodies") == "1"
    return {
        "open_streams": upstream.open_streams,
        "requests": [_described(record, with_body=with_bodies) for record in newest],
    }


def _described(record: ReceivedRequest, *, with_body: bool) -> dict[str, Any]:
    credential = record.credential
    described: dict[str, Any] = {
        "method": record.method,
        "target": record.raw_path.decode("utf-8", "backslashreplace"),
        "headers": [[name, _masked(name, value)] for name, value in record.headers],
        "credential": None if credential is None else [credential[0], _masked(*credential)],
        "model": record.model,
        "request_id": record.request_id,
        "connection_id": record.connection_id,
        "finished": record.finished,
        "seconds": None if record.finished_at is None else record.finished_at - record.at,
        "body_bytes": len(record.body),
        "body_sha256": hashlib.sha256(record.body).hexdigest(),
    }
    # What is sent to the token endpoint is a credential from end to end.
    if with_body and record.path != "/v1/oauth/token":
        described["body"] = record.body.decode("utf-8", "backslashreplace")
    return described


def _masked(name: str, value: str) -> str:
    if name.lower() not in _SECRET_HEADERS:
        return value
    # Of a short secret four characters would be most of it.
    return f"…{value[-_SHOWN:]}" if len(value) >= _SHORTEST_SHOWN else "…"


def _lifetime(body: bytes) -> int | None:
    if not body.strip():
        return None
    value = _members(body, "expires_in").get("expires_in")
    if value is not None and (type(value) is not int or not 0 <= value <= _LONGEST_LIFETIME):
        raise ApiError(400, f"replay: expires_in is a whole number of seconds from 0 to {_LONGEST_LIFETIME}")
    return value


def _expire(upstream: "ReplayUpstream", body: bytes) -> dict[str, bool]:
    try:
        upstream.tokens.expire(_token(body))
    except KeyError:
        raise ApiError(404, "replay: no such access token was issued here") from None
    return {"expired": True}


def _revoke(upstream: "ReplayUpstream", body: bytes) -> dict[str, bool]:
    try:
        upstream.tokens.revoke(_token(body))
    except KeyError:
        raise ApiError(404, "replay: no such token was issued here") from None
    return {"revoked": True}


def _token(body: bytes) -> str:
    token = _members(body, "token").get("token")
    if not isinstance(token, str):
        raise ApiError(400, 'replay: the body names a token: {"token": "sk-ant-…"}')
    return token


def _members(body: bytes, *known: str) -> dict[str, Any]:
    """Return the members of a JSON object that may have these and no others."""
    value = _decode(body)
    if not isinstance(value, dict) or value.keys() - set(known):
        raise ApiError(400, f"replay: the body is an object with {' and '.join(known)}, and nothing else")
    return value


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ApiError(400, f"replay: the body is not JSON: {error}") from None
