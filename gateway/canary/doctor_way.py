"""Checks of what stands between a client and the gateway: reverse proxies, load balancers, access gateways.

They hold for a way with nothing in it as well. What a proxy's name is matters only for the advice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from gateway.canary.doctor import Check, Examination, Need, ok, problem, unseen, warning
from gateway.canary.doctor_client import Answer, NoAnswerError
from gateway.canary.findings import Finding, Part
from gateway.wire.errors import GATEWAY_REQUEST_ID_HEADER

__all__ = ["CHECKS", "of_all_answers"]

_WAY: Final = Part.WAY
_HOLD_SECONDS: Final = 1.5
_AFTER_CONTENT: Final = 6
_LONG_HEADER: Final = 6 * 1024
_CLOCK_SECONDS: Final = 5.0
_CLOCK_TOO_FAR_SECONDS: Final = 60.0
_FEWEST_PIECES: Final = 3
_UNBUFFERED: Final[Mapping[str, str]] = {
    "nginx": "set proxy_buffering off and proxy_http_version 1.1 for the location",
    "openresty": "set proxy_buffering off and proxy_http_version 1.1 for the location",
    "caddy": "set flush_interval -1 in reverse_proxy",
    "apache": "set flushpackets=on on ProxyPass, and SetEnv no-gzip 1",
}
_UNBUFFERED_IN_GENERAL: Final = "switch off the buffering of responses in what stands in front of the gateway"
_PATIENT: Final[Mapping[str, str]] = {
    "nginx": "set proxy_read_timeout 660s and proxy_send_timeout 660s",
    "openresty": "set proxy_read_timeout 660s and proxy_send_timeout 660s",
    "caddy": "set response_header_timeout 660s in the transport, and no read_timeout",
    "apache": "set ProxyTimeout 660",
}
_PATIENT_IN_GENERAL: Final = (
    "let it wait 660 s for an answer (timeout server in HAProxy, idle timeout of a load balancer)"
)


async def _in_front(examination: Examination) -> Finding:
    if examination.in_front is None:
        return ok(
            "in-front", _WAY, "the gateway answers itself, or through something that leaves no mark on answers"
        )
    ours = any(GATEWAY_REQUEST_ID_HEADER in answer.headers for answer in examination.answers)
    if not ours:
        answer = await examination.ask("GET", "/v1/models?limit=1")
        ours = GATEWAY_REQUEST_ID_HEADER in answer.headers
    if ours:
        return ok("in-front", _WAY, f"{examination.in_front} stands in front of the gateway")
    return warning(
        "in-front",
        _WAY,
        f"what answers calls itself {examination.in_front} and does not show x-gateway-request-id",
        "see that the base URL leads to this gateway, and that response headers are let through",
    )


async def _buffering(examination: Examination) -> Finding:
    """Have the upstream stop for a moment after the first words, and see whether they come before it goes on."""
    if not examination.obeys:
        return await _arriving_in_pieces(examination)
    fault = f"hang:event={_AFTER_CONTENT};seconds={_HOLD_SECONDS}"
    answer = await examination.send(fault, stream=True, seconds=60.0)
    if answer.status != HTTPStatus.OK or not answer.pieces:
        return unseen("buffering", _WAY, f"whether streams are buffered: answered with {answer.told}")
    if answer.ended_at - _content_at(answer) > _HOLD_SECONDS / 2:
        return ok("buffering", _WAY, "what the upstream has sent arrives while it is silent")
    fix = _advice(examination, _UNBUFFERED, _UNBUFFERED_IN_GENERAL)
    return problem("buffering", _WAY, "events are kept back until more of the stream has come", fix)


def _content_at(answer: Answer) -> float:
    """Return when there was content: what comes before it may have been let through alone."""
    so_far = b""
    for piece in answer.pieces:
        so_far += piece.data
        if b"event: content_block_delta" in so_far:
            return piece.at
    return answer.pieces[0].at


async def _arriving_in_pieces(examination: Examination) -> Finding:
    answer = await examination.send(stream=True, seconds=120.0)
    if answer.status != HTTPStatus.OK:
        return unseen("buffering", _WAY, f"whether streams are buffered: answered with {answer.told}")
    if len(answer.pieces) >= _FEWEST_PIECES:
        return ok("buffering", _WAY, f"the stream came in {len(answer.pieces)} pieces")
    fix = _advice(examination, _UNBUFFERED, _UNBUFFERED_IN_GENERAL)
    return warning("buffering", _WAY, "the stream came all at once; it may be buffered on the way", fix)


async def _silence(examination: Examination) -> Finding:
    """Keep an answer that is no stream back, as one that takes the model minutes is."""
    seconds = examination.silence_seconds
    if not seconds:
        return unseen(
            "silence",
            _WAY,
            "whether an answer may take long: not tried",
            "try with --silence 65, behind the replay upstream",
        )
    fix = _advice(examination, _PATIENT, _PATIENT_IN_GENERAL)
    try:
        answer = await examination.send(f"hang:head;seconds={seconds:g}", seconds=seconds + 30.0)
    except NoAnswerError as error:
        return problem("silence", _WAY, f"an answer that takes {seconds:g} s does not arrive: {error}", fix)
    if answer.status == HTTPStatus.OK and answer.ended == "complete":
        return ok("silence", _WAY, f"an answer that takes {seconds:g} s arrives; the API may take 600 s")
    return problem(
        "silence", _WAY, f"an answer that takes {seconds:g} s is given up after {answer.ended_at:.0f} s", fix
    )


async def _long_headers(examination: Examination) -> Finding:
    answer = await examination.ask("GET", "/v1/models?limit=1", headers=[("x-doctor-long", "x" * _LONG_HEADER)])
    if answer.status == HTTPStatus.OK:
        return ok("long-headers", _WAY, "a header of 6 KiB is let through")
    return problem(
        "long-headers",
        _WAY,
        f"a request with a header of 6 KiB is answered with {answer.told}",
        "raise the limit of request headers (large_client_header_buffers 4 16k in nginx)",
    )


def of_all_answers(examination: Examination) -> Sequence[Finding]:
    """Return what can be said of any answer: redirects, versions of HTTP, the clock."""
    return [_redirects(examination), _version(examination), _clock(examination)]


def _redirects(examination: Examination) -> Finding:
    moved = next((answer for answer in examination.answers if answer.is_redirect), None)
    if moved is None:
        return ok("redirects", _WAY, "nothing is redirected")
    return problem(
        "redirects",
        _WAY,
        f"the base URL redirects ({moved.status}) to {moved.headers['location'].partition('?')[0][:120]}",
        "give clients the address that it redirects to: a redirected POST loses its body or its credential",
    )


def _version(examination: Examination) -> Finding:
    if all(answer.version == "1.1" for answer in examination.answers):
        return ok("http-version", _WAY, "HTTP/1.1 is spoken")
    return warning(
        "http-version",
        _WAY,
        "answers come as HTTP/1.0, in which a stream that is cut looks like one that has ended",
        "have HTTP/1.1 spoken all the way (proxy_http_version 1.1 in nginx)",
    )


def _clock(examination: Examination) -> Finding:
    apart = examination.clock_apart
    if apart is None:
        return unseen("clock", _WAY, "no answer says what time it is")
    if apart <= _CLOCK_SECONDS:
        return ok("clock", _WAY, "the clocks of this machine and of what answers agree")
    found = f"the clocks of this machine and of what answers are {apart:.0f} s apart"
    fix = "set both by NTP; tokens expire, and limits start anew, by the clock"
    return (problem if apart > _CLOCK_TOO_FAR_SECONDS else warning)("clock", _WAY, found, fix)


def _advice(examination: Examination, known: Mapping[str, str], general: str) -> str:
    name = (examination.in_front or "").lower()
    return next((fix for word, fix in known.items() if word in name), general)


CHECKS: Final = (
    Check("in-front", _WAY, Need.ANY, _in_front, "who answers"),
    Check("buffering", _WAY, Need.ANY, _buffering, "events arrive as they come"),
    Check("silence", _WAY, Need.OBEDIENT, _silence, "an answer may take long"),
    Check("long-headers", _WAY, Need.ANY, _long_headers, "headers may be long"),
)
"""In the order in which they are told."""
