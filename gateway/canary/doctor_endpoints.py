"""Checks that any upstream will do for, the real API included: endpoints, a stream, the form of errors."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from gateway.canary.doctor import Check, Examination, Need, model_ids, ok, problem, warning
from gateway.canary.doctor_client import ENCODINGS, Answer, Credential
from gateway.canary.findings import Finding, Part
from gateway.wire.errors import GATEWAY_REQUEST_ID_HEADER, REQUEST_ID_HEADER
from sse_fsm import Outcome

__all__ = ["CHECKS"]

_CONTRACT: Final = Part.CONTRACT
_DISCOVERY_SECONDS: Final = 3.0
"""Claude Code waits so long for the list of models."""
_END_SECONDS: Final = 1.0
_LIMITS: Final = "anthropic-ratelimit-"
_MEBIBYTE: Final = 1024 * 1024
_COUNT: Final = "/v1/messages/count_tokens"


async def _hello(examination: Examination) -> Finding:
    answer = await examination.ask("HEAD", "/api/hello", credential="none")
    if answer.status == HTTPStatus.OK:
        return ok("hello", _CONTRACT, "HEAD /api/hello is answered with 200, without a key")
    return warning(
        "hello",
        _CONTRACT,
        f"HEAD /api/hello, with which Claude Code warms its connection, is answered with {answer.status}",
        "send all of the base URL's paths to the gateway, this one without a credential too",
    )


async def _models(examination: Examination) -> Finding:
    answer = await examination.ask("GET", "/v1/models?limit=1000", credential="authorization")
    ids = model_ids(answer)
    usable = [name for name in ids if "claude" in name.lower() or "anthropic" in name.lower()]
    if answer.is_redirect:
        return problem(
            "models",
            _CONTRACT,
            f"the list of models redirects ({answer.status}), which Claude Code takes for a failure",
            "make the base URL the address that is redirected to",
        )
    if answer.status != HTTPStatus.OK or not ids:
        return problem(
            "models",
            _CONTRACT,
            f"GET /v1/models?limit=1000 is answered with {answer.told}, not with a list of models",
            "see `gateway accounts check`; without the list, Claude Code offers no models of the gateway",
        )
    if answer.ended_at > _DISCOVERY_SECONDS:
        return problem(
            "models",
            _CONTRACT,
            f"the list of models took {answer.ended_at:.1f} s; Claude Code waits {_DISCOVERY_SECONDS:g}",
            "find out what is slow: the way to the gateway, or the gateway's to its upstream",
        )
    if not usable:
        return warning(
            "models",
            _CONTRACT,
            f"none of {len(ids)} models has claude or anthropic in its id; Claude Code offers only those",
            "name models so that their ids say what they are",
        )
    return ok("models", _CONTRACT, f"{len(usable)} of {len(ids)} models are such as Claude Code offers")


async def _count_tokens(examination: Examination) -> Finding:
    body = {"model": examination.model, "messages": [{"role": "user", "content": "hi"}]}
    answer = await examination.ask("POST", f"{_COUNT}?beta=true", body=body)
    value = answer.json()
    if answer.status == HTTPStatus.OK and isinstance(value, dict) and isinstance(value.get("input_tokens"), int):
        return ok("count-tokens", _CONTRACT, "count_tokens counts")
    if answer.status == HTTPStatus.NOT_FOUND:
        return warning(
            "count-tokens",
            _CONTRACT,
            "count_tokens is answered with 404, so Claude Code estimates by the number of characters",
            "send /v1/messages/count_tokens to the gateway, or use an upstream that has it",
        )
    return problem(
        "count-tokens",
        _CONTRACT,
        f"count_tokens is answered with {answer.told}",
        "make it count, or answer 404, on which clients count by themselves",
    )


async def _credentials(examination: Examination) -> Finding:
    """Old SDKs and Claude Code send x-api-key, new SDKs a bearer token, an apiKeyHelper both."""
    kinds: Sequence[Credential] = ("x-api-key", "authorization")
    refused = [
        kind
        for kind in kinds
        if (await examination.ask("GET", "/v1/models?limit=1", credential=kind)).status
        in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    ]
    if not refused:
        return ok("credentials", _CONTRACT, "the key is taken from x-api-key and from Authorization: Bearer")
    return problem(
        "credentials",
        _CONTRACT,
        f"the key is not taken from {' and '.join(refused)}",
        "see that nothing in front of the gateway takes this header away or puts its own in its place",
    )


async def _stream(examination: Examination) -> Sequence[Finding]:
    """Ask for one stream as Claude Code does, and look at everything that it shows."""
    answer = await examination.send(
        stream=True, path="/v1/messages?beta=true", headers=[("accept-encoding", ENCODINGS)], seconds=120.0
    )
    if answer.status != HTTPStatus.OK:
        return [
            problem(
                "stream",
                _CONTRACT,
                f"POST /v1/messages?beta=true is answered with {answer.told}",
                "match the path without its query; then see `gateway accounts check`",
            )
        ]
    found = [_compression(answer)]
    if answer.body and not answer.text:
        answer = await examination.send(stream=True, path="/v1/messages?beta=true", seconds=120.0)
    return [*found, _order(answer), _content_type(answer), _end(answer), _ids(answer), _limits(answer)]


def _compression(answer: Answer) -> Finding:
    encoding = answer.headers.get("content-encoding", "identity")
    if encoding == "identity":
        return ok("compression", _CONTRACT, "a client that accepts compression gets its stream without")
    return problem(
        "compression",
        _CONTRACT,
        f"the stream is compressed ({encoding}), so events wait for one another",
        "leave text/event-stream out of what is compressed: in nginx out of gzip_types, in Caddy out of encode",
    )


def _order(answer: Answer) -> Finding:
    events, verdict = answer.judged()
    if verdict.outcome is Outcome.COMPLETE:
        return ok("stream", _CONTRACT, f"a stream of {len(events)} events is valid, up to message_stop")
    about = str(verdict.violation) if verdict.violation is not None else verdict.outcome.value
    return problem(
        "stream",
        _CONTRACT,
        f"the stream is not valid: {about}",
        "save it with curl -N and look at it with sse-fsm trace",
    )


def _content_type(answer: Answer) -> Finding:
    kind = answer.headers.get("content-type", "")
    if kind.lower().startswith("text/event-stream"):
        return ok("content-type", _CONTRACT, f"streams are {kind}")
    return problem(
        "content-type",
        _CONTRACT,
        f"the stream is said to be {kind or 'nothing'}, not text/event-stream",
        "leave content-type as it comes; proxies decide by it what to buffer",
    )


def _end(answer: Answer) -> Finding:
    stop = next((piece.at for piece in answer.pieces if b"event: message_stop" in piece.data), None)
    if answer.ended != "complete":
        return problem(
            "end",
            _CONTRACT,
            f"the response does not end properly: it is {answer.ended}",
            "see that nothing on the way cuts connections, and that HTTP/1.1 is spoken all the way",
        )
    if stop is not None and answer.ended_at - stop > _END_SECONDS:
        return warning(
            "end",
            _CONTRACT,
            f"the response ends {answer.ended_at - stop:.1f} s after message_stop; some clients wait for its end",
            "see what keeps it open: something in front of the gateway that waits for more",
        )
    return ok("end", _CONTRACT, "the response ends with message_stop")


def _ids(answer: Answer) -> Finding:
    missing = [name for name in (REQUEST_ID_HEADER, GATEWAY_REQUEST_ID_HEADER) if name not in answer.headers]
    if not missing:
        return ok("request-ids", _CONTRACT, "answers carry request-id and x-gateway-request-id")
    return warning(
        "request-ids",
        _CONTRACT,
        f"the answer lacks {' and '.join(missing)}",
        "let these headers through; without them a request cannot be found in the logs",
    )


def _limits(answer: Answer) -> Finding:
    names = [name for name in answer.headers if name.lower().startswith(_LIMITS)]
    if names:
        return ok("rate-limits", _CONTRACT, f"{len(names)} headers say what is left of the limits")
    return warning(
        "rate-limits",
        _CONTRACT,
        "no anthropic-ratelimit-… header came with the answer",
        "let them through if the upstream sends any; clients slow down by them",
    )


async def _errors(examination: Examination) -> Finding:
    """Errors of the gateway itself, of the upstream, and for whom has no key have one form."""
    incomplete = {"model": examination.model}
    asked = {
        "a body without messages": (await examination.ask("POST", "/v1/messages", body=incomplete), {400}),
        "a path that is not there": (await examination.ask("GET", "/v1/doctor-nothing-is-here"), {404}),
        "a method that is not possible": (await examination.ask("DELETE", "/v1/messages"), {404, 405}),
        "a key that nobody has": (
            await examination.ask("GET", "/v1/models", credential="wrong"),
            {401, 403},
        ),
    }
    strange = [
        f"{what} ({answer.status})"
        for what, (answer, statuses) in asked.items()
        if answer.status not in statuses or answer.error is None or REQUEST_ID_HEADER not in answer.headers
    ]
    if not strange:
        return ok("errors", _CONTRACT, "errors have their status, Anthropic's envelope and a request-id")
    return problem(
        "errors",
        _CONTRACT,
        f"not answered with the status for it, Anthropic's envelope and a request-id: {'; '.join(strange)}",
        "let the gateway answer everything below the base URL, and put no error pages in the place of its answers",
    )


async def _body_size(examination: Examination) -> Finding:
    """Send much white space, which costs no tokens.

    What the real upstream makes of its very limit is no business of the gateway's, so that it gets a little less.
    """
    sizes = (2, 32 if examination.obeys else 31)
    asked = f'{{"model":"{examination.model}","messages":[{{"role":"user","content":"hi"}}]'.encode()
    small = await examination.ask("POST", _COUNT, body=asked + b"}")
    for size in sizes:
        body = asked + b" " * (size * _MEBIBYTE - len(asked) - 1) + b"}"
        answer = await examination.ask("POST", _COUNT, body=body, seconds=120.0)
        page = answer.status >= HTTPStatus.BAD_REQUEST and answer.error is None
        if page or answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return problem(
                "body-size",
                _CONTRACT,
                f"a request of {size} MiB is answered with {answer.told}; the API takes 32 MiB",
                "raise the limit of bodies to 32m in front of the gateway (client_max_body_size in nginx), and "
                "leave GATEWAY_LIMITS__REQUEST_BODY_BYTES as it is",
            )
        if answer.status == HTTPStatus.BAD_REQUEST != small.status:
            return problem(
                "body-size",
                _CONTRACT,
                f"a request of {size} MiB is answered with {answer.told}, and a small one is not",
                "see what cuts large bodies or changes them",
            )
    return ok("body-size", _CONTRACT, f"a request of {sizes[-1]} MiB is let through")


CHECKS: Final = (
    Check("hello", _CONTRACT, Need.ANY, _hello, "HEAD /api/hello"),
    Check("models", _CONTRACT, Need.ANY, _models, "models are listed, within 3 s, without a redirect"),
    Check("count-tokens", _CONTRACT, Need.ANY, _count_tokens, "tokens are counted"),
    Check("credentials", _CONTRACT, Need.ANY, _credentials, "a key is taken from both headers"),
    Check("stream", _CONTRACT, Need.ANY, _stream, "messages are streamed at /v1/messages?beta=true"),
    Check("errors", _CONTRACT, Need.ANY, _errors, "errors have Anthropic's envelope"),
    Check("body-size", _CONTRACT, Need.ANY, _body_size, "requests may have 32 MiB"),
)
"""In the order in which they are told."""
