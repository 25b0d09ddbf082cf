"""Checks of what reaches the upstream: they ask the replay upstream what it got."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import msgspec
from attrs import define

from gateway.canary.doctor import PROBE, Check, Examination, Need, ok, problem, unseen
from gateway.canary.findings import Finding, Part
from gateway.canary.replay_control import Arrival

__all__ = ["CHECKS"]

_CONTRACT: Final = Part.CONTRACT
_CANCEL_SECONDS: Final = 5.0
_BETAS: Final = (
    "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
    "doctor-unheard-of-2031-01-01",
)
_OPEN_HEADERS: Final = (
    ("anthropic-version", "2023-06-01"),
    ("anthropic-beta", _BETAS[0]),
    ("anthropic-beta", _BETAS[1]),
    ("anthropic-workspace-id", "wrkspc_doctor"),
    ("user-agent", "claude-cli/2.1.330 (external, cli)"),
    ("x-app", "cli"),
    ("x-claude-code-session-id", "0b5e1bfc-39f2-4a52-8b15-6d1c1a3b7f44"),
    ("x-claude-code-agent-id", "doctor-agent"),
    ("x-claude-code-parent-agent-id", "doctor-parent"),
    ("x-claude-code-request-class", "subagent"),
    ("x-stainless-lang", "js"),
    ("x-doctor-unheard-of", "kept; as it is"),
)
"""Those that Claude Code sends, and some that nobody knows."""


@define
class _Sent:
    """A request with everything in it that is to arrive."""

    nonce: str
    body: bytes
    arrival: Arrival | None


async def _send(examination: Examination) -> _Sent:
    nonce = secrets.token_hex(8)
    model = msgspec.json.encode(examination.model)
    # What a decoder and an encoder would change: the order of members, a large number, white space, an escape.
    body = (
        b'{ "messages":[{"role":"user","content":"hi"},{"role":"system","content":"stay"}],\n'
        b'"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.330; cc_entrypoint=cli;"},'
        b'{"type":"text","text":"Be short.","cache_control":{"type":"ephemeral"}}],'
        b'"tools":[{"name":"look","input_schema":{"type":"object","maximum":1.0e2},"unheard_of":[1.50,"\\u00e9"]}],'
        b'"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},'
        b'"doctor_unheard_of":{"n":12345678901234567890},"max_tokens":64,'
        b'"metadata":{"user_id":"doctor-%b"},"model":%b }' % (nonce.encode(), model)
    )
    headers = [*_OPEN_HEADERS, (PROBE, nonce), ("x-replay-tool", "none")]
    await examination.ask("POST", "/v1/messages?beta=true&doctor=a%2Fb", body=body, headers=headers)
    return _Sent(nonce, body, await examination.arrival(nonce, hashlib.sha256(body).hexdigest()))


def _lost(check: str) -> Finding:
    return problem(
        check,
        _CONTRACT,
        "a request did not reach the upstream in a form in which it can be recognised",
        "see the gateway's log for what became of it",
    )


async def _query(examination: Examination) -> Finding:
    sent = await _send(examination)
    if sent.arrival is None:
        return _lost("query")
    if sent.arrival.target.endswith("/v1/messages?beta=true&doctor=a%2Fb"):
        return ok("query", _CONTRACT, "?beta=true and the rest of the query reach the upstream as they are")
    return problem(
        "query",
        _CONTRACT,
        f"/v1/messages?beta=true&doctor=a%2Fb reaches the upstream as {sent.arrival.target}",
        "match on the path, and keep the query as it came",
    )


async def _headers(examination: Examination) -> Finding:
    sent = await _send(examination)
    if sent.arrival is None:
        return _lost("headers")
    names = dict.fromkeys(name for name, _ in _OPEN_HEADERS)
    changed = [
        name
        for name in names
        if sent.arrival.values(name) != [value for known, value in _OPEN_HEADERS if known == name]
    ]
    if not changed:
        return ok("headers", _CONTRACT, f"{len(names)} kinds of headers reach the upstream, unknown ones included")
    return problem(
        "headers",
        _CONTRACT,
        f"changed or missing at the upstream: {', '.join(changed)}",
        "let request headers through as an open list, repeated ones repeated",
    )


async def _body(examination: Examination) -> Finding:
    sent = await _send(examination)
    if sent.arrival is None:
        return _lost("body")
    if sent.arrival.body_sha256 == hashlib.sha256(sent.body).hexdigest():
        return ok("body", _CONTRACT, "system, tools, messages and unknown fields reach the upstream byte for byte")
    return problem(
        "body",
        _CONTRACT,
        f"a request of {len(sent.body)} bytes reaches the upstream changed ({sent.arrival.body_bytes} bytes)",
        "see what rewrites requests: the first system block and the history are checked by the API as they are",
    )


async def _cancel(examination: Examination) -> Finding:
    nonce = secrets.token_hex(8)
    headers = [(PROBE, nonce), ("x-replay-tokens", "600"), ("x-replay-tokens-per-second", "20")]
    answer = await examination.send(
        stream=True, headers=headers, until=lambda answer: b"content_block_delta" in answer.text
    )
    if answer.ended != "left":
        return unseen("cancel", _CONTRACT, "a client that leaves: the stream was over before it could be left")
    control = examination.control
    assert control is not None  # noqa: S101 - Need.WATCHED
    ended = await control.wait_for(
        lambda arrival: nonce in arrival.values(PROBE) and arrival.finished is not None, _CANCEL_SECONDS
    )
    if ended is not None and ended.finished == "client_gone":
        return ok("cancel", _CONTRACT, "a client that leaves takes its upstream request with it")
    return problem(
        "cancel",
        _CONTRACT,
        f"{_CANCEL_SECONDS:g} s after the client has left, the upstream still answers, and is billed",
        "see that what stands in front of the gateway closes its connection when a client leaves "
        "(proxy_ignore_client_abort off in nginx)",
    )


CHECKS: Final = (
    Check("query", _CONTRACT, Need.WATCHED, _query, "?beta=true reaches the upstream"),
    Check("headers", _CONTRACT, Need.WATCHED, _headers, "anthropic-beta and unknown headers reach the upstream"),
    Check("body", _CONTRACT, Need.WATCHED, _body, "bodies reach the upstream byte for byte"),
    Check("cancel", _CONTRACT, Need.WATCHED, _cancel, "a client that leaves ends its upstream request"),
)
"""In the order in which they are told."""
