"""For each rule a sabotage that breaks what the rule is about, as gateways have been seen to do."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from typing import Any, Final

from attrs import define, field
from multidict import CIMultiDict

from sse_fsm.events import KINDS_BY_NAME
from tests.conformance.relay import Fetch, Request, Response, Sabotage

__all__ = ["SABOTEURS", "end_made_up_between_blocks", "on_body"]

_PING: Final = re.compile(rb'event: ping\ndata: \{"type": ?"ping"\}\n\n')
_ERROR: Final = re.compile(rb"event: error\n.*?\n\n", re.DOTALL)
_DELTA: Final = re.compile(rb"event: content_block_delta\n.*?\n\n", re.DOTALL)
_STOP: Final = re.compile(rb"event: message_stop\n.*?\n\n", re.DOTALL)
_JSON: Final = (("content-type", "application/json"),)


def json_answer(status: int, value: Any) -> Response:
    return Response(status, CIMultiDict(_JSON), json.dumps(value).encode())


def _is_stream(answer: Response) -> bool:
    return answer.headers.get("content-type", "").startswith("text/event-stream")


def on_body(change: Callable[[bytes], bytes]) -> Sabotage:
    """Change the bytes of streams, which are collected before."""

    def answer(response: Response) -> None:
        if _is_stream(response):
            response.body = change(response.body)

    return Sabotage(answer=answer)


def on_events(change: Callable[[str, dict[str, Any]], dict[str, Any] | None]) -> Sabotage:
    """Decode each event and write it anew, or leave it out."""

    def rewrite(body: bytes) -> bytes:
        kept = []
        for frame in body.decode().split("\n\n"):
            name, _, data = frame.partition("\ndata: ")
            if not data:
                continue
            payload = change(name.removeprefix("event: "), json.loads(data))
            if payload is not None:
                kept.append(f"{name}\ndata: {json.dumps(payload)}\n\n")
        return "".join(kept).encode()

    return on_body(rewrite)


def on_error(change: Callable[[Response], None]) -> Sabotage:
    """Change answers that are errors."""

    def answer(response: Response) -> None:
        if response.status >= 400:
            change(response)

    return Sabotage(answer=answer)


def without_header(*beginnings: str) -> Sabotage:
    """Drop headers of answers."""

    def head(response: Response) -> None:
        for name in {name for name in response.headers if name.lower().startswith(beginnings)}:
            del response.headers[name]

    return Sabotage(head=head)


def on_request(change: Callable[[Request], Response | None]) -> Sabotage:
    return Sabotage(request=change)


def on_json(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Sabotage:
    """Decode the body of a request and write it anew."""

    def rewrite(request: Request) -> None:
        if request.body:
            request.body = json.dumps(change(json.loads(request.body))).encode()

    return on_request(rewrite)


def rewrap(response: Response) -> None:
    """Decode an error and write it anew."""
    response.body = json.dumps(json.loads(response.body)).encode()


def becomes(status: int) -> Callable[[Response], None]:
    def change(response: Response) -> None:
        response.status = status

    return change


def answers_path(path: str, response: Callable[[], Response], method: str | None = None) -> Sabotage:
    """Answer one path in the gateway's place."""

    def request(asked: Request) -> Response | None:
        found = asked.target.partition("?")[0].endswith(path) and method in (None, asked.method)
        return response() if found else None

    return Sabotage(request=request)


def hide_troubles(response: Response) -> None:
    """Let every failure look like the end of a good answer."""
    if response.status >= 400 or not response.whole:
        response.status, response.whole = 200, True
        response.headers = CIMultiDict((("content-type", "text/event-stream"),))
        response.body = response.body if response.body.startswith(b"event:") else b""
    response.body = _ERROR.sub(b"", response.body)


def half_a_message(response: Response) -> None:
    if response.status >= 400:
        response.status, response.body = 200, b'{"type":"message","content":['


def invent_stop(body: bytes) -> bytes:
    return _ERROR.sub(b'event: message_stop\ndata: {"type":"message_stop"}\n\n', body)


def end_made_up_between_blocks(body: bytes) -> bytes:
    """Leave what breaks off inside a block alone, and call what breaks off behind one complete."""
    if body.count(b"event: content_block_start\n") != body.count(b"event: content_block_stop\n"):
        return body
    return _ERROR.sub(
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn",'
        b'"stop_sequence":null},"usage":{"output_tokens":9}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        body,
    )


def overload_is_success(response: Response) -> None:
    if response.status == 529:
        hide_troubles(response)


def last_data_line(body: bytes) -> bytes:
    return re.sub(rb"(?:data:[^\n]*\n)+(?=data:)", b"", body)


def no_first_delta(body: bytes) -> bytes:
    return _DELTA.sub(b"", body, count=1)


def no_unknown_event(name: str, payload: dict[str, Any]) -> dict[str, Any] | None:
    return payload if name.encode() in KINDS_BY_NAME else None


def no_audio_block(_: str, payload: dict[str, Any]) -> dict[str, Any]:
    block = payload.get("content_block", {})
    if block.get("type") == "audio":
        block["type"] = "text"
    return payload


def no_unknown_delta(_: str, payload: dict[str, Any]) -> dict[str, Any] | None:
    return None if payload.get("delta", {}).get("type") in ("style_delta", "audio_delta") else payload


def no_unknown_field(_: str, payload: dict[str, Any]) -> dict[str, Any]:
    payload.pop("sequence", None)
    return payload


def packed(response: Response) -> None:
    packer = zlib.compressobj(wbits=31)
    response.body = packer.compress(response.body) + packer.flush()
    response.headers["content-encoding"] = "gzip"


def wrongly_labelled(response: Response) -> None:
    if _is_stream(response):
        response.headers["content-encoding"] = "gzip"


def listed_betas_only(request: Request) -> None:
    values = [value for value in request.headers.get("anthropic-beta", "").split(",") if "future" not in value]
    request.headers["anthropic-beta"] = ",".join(values)


def fixed_version(request: Request) -> None:
    request.headers["anthropic-version"] = "2023-06-01"


def no_query(request: Request) -> None:
    request.target = request.target.partition("?")[0]


def no_unknown_header(request: Request) -> None:
    request.headers.pop("x-conformance-future", None)


def no_unknown_member(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if not name.startswith("future")}


def own_prompt(body: dict[str, Any]) -> dict[str, Any]:
    system = body.get("system")
    return {
        **body,
        "system": [{"type": "text", "text": "Mine first."}, *(system if isinstance(system, list) else ())],
    }


def small_bodies_only(request: Request) -> Response | None:
    if len(request.body) <= 10 * 2**20:
        return None
    return json_answer(413, {"type": "error", "error": {"type": "request_too_large", "message": "Too large"}})


def tells_the_key(request: Request) -> None:
    request.headers["x-client-key"] = request.headers.get("x-api-key", "")


def date_instead(response: Response) -> None:
    response.headers["retry-after"] = "Fri, 01 Jan 2100 00:00:00 GMT"


def html(response: Response) -> None:
    response.headers["content-type"] = "text/html"
    response.body = b"<html>Unauthorized</html>"


def dumped_message(response: Response) -> None:
    if not _is_stream(response) and response.status == 200:
        rewrap(response)


def own_id(response: Response) -> None:
    response.headers["request-id"] = "req_of_the_relay"


@define
class FirstAnswerForAll:
    """Gives everybody the first answer that it saw."""

    bodies: list[bytes] = field(factory=list)

    def __call__(self, body: bytes) -> bytes:
        self.bodies.append(body)
        return self.bodies[0]


@define
class ErrorStays:
    """Gives the request behind an error that error again."""

    left: Response | None = None

    def __call__(self, response: Response) -> None:
        left, self.left = self.left, None
        if left is not None:
            response.status, response.headers, response.body = left.status, left.headers, left.body
        elif response.status >= 400:
            self.left = Response(response.status, response.headers.copy(), response.body)


@define
class OutOfUse:
    """Refuses the request behind a failure of the upstream."""

    failed: bool = False

    def __call__(self, response: Response) -> None:
        if self.failed:
            refusal = json_answer(
                503, {"type": "error", "error": {"type": "api_error", "message": "pool exhausted"}}
            )
            response.status, response.headers, response.body = refusal.status, refusal.headers, refusal.body
            self.failed = False
        else:
            self.failed = response.status >= 500


async def splice(request: Request, fetch: Fetch) -> Response:
    """Begin again where a stream failed, and append what comes."""
    first = await fetch(request)
    if b"event: error" in first.body:
        second = await fetch(request)
        first.body = _ERROR.sub(b"", first.body) + second.body
    return first


def _redirect() -> Response:
    return Response(307, CIMultiDict({"location": "/elsewhere"}))


def _unreadable(status: int) -> Callable[[], Response]:
    return lambda: Response(status, CIMultiDict({"content-type": "text/plain"}), b"nothing here")


_COLLECTED: Final = Sabotage(answer=lambda _: None)
_HIDDEN: Final = Sabotage(answer=hide_troubles)
_RAW: Final = Sabotage(past_the_gateway=True)
_DEAF: Final = Sabotage(reads_on=True)
_MUTE: Final = Sabotage(chunk=lambda data: _PING.sub(b"", data))

SABOTEURS: Final[dict[str, Callable[[], Sabotage]]] = {
    "stream.events": lambda: on_body(no_first_delta),
    "stream.bytes": lambda: on_events(lambda _, payload: payload),
    "stream.incremental": lambda: _COLLECTED,
    "stream.ends-at-stop": lambda: Sabotage(holds_open=True),
    "stream.no-done-marker": lambda: on_body(lambda body: body + b"data: [DONE]\n\n"),
    "stream.big-event": lambda: on_body(lambda body: body if len(body) < 2**16 else body[: 2**16]),
    "future.events": lambda: on_events(no_unknown_event),
    "future.blocks": lambda: on_events(no_audio_block),
    "future.deltas": lambda: on_events(no_unknown_delta),
    "future.fields": lambda: on_events(no_unknown_field),
    "framing.crlf": lambda: on_body(lambda body: b"" if b"\r\n" in body else body),
    "framing.cr": lambda: on_body(lambda body: b"" if b"\r" in body else body),
    "framing.multi-line-data": lambda: on_body(last_data_line),
    "framing.comments": lambda: on_body(lambda body: b"" if re.search(rb"(?m)^:", body) else body),
    "framing.bom": lambda: on_body(lambda body: b"\xef\xbb\xbf" + body),
    "framing.split-characters": lambda: on_body(lambda body: body.decode("ascii", "replace").encode()),
    "parallel.streams": lambda: on_body(FirstAnswerForAll()),
    "request.beta": lambda: on_request(listed_betas_only),
    "request.version": lambda: on_request(fixed_version),
    "request.query": lambda: on_request(no_query),
    "request.unknown-header": lambda: on_request(no_unknown_header),
    "request.unknown-fields": lambda: on_json(no_unknown_member),
    "request.meaning": lambda: on_json(own_prompt),
    "request.body-bytes": lambda: on_json(lambda body: body),
    "request.body-32-mib": lambda: on_request(small_bodies_only),
    "request.credential": lambda: on_request(tells_the_key),
    "headers.request-id": lambda: Sabotage(head=own_id),
    "headers.rate-limits": lambda: without_header("anthropic-ratelimit-"),
    "headers.unified": lambda: without_header("anthropic-ratelimit-unified-"),
    "compression.readable": lambda: Sabotage(head=wrongly_labelled),
    "compression.incremental": lambda: _COLLECTED,
    "compression.unasked": lambda: Sabotage(answer=packed),
    "endpoint.message": lambda: Sabotage(answer=dumped_message),
    "endpoint.count-tokens": lambda: answers_path("/count_tokens", lambda: json_answer(500, {})),
    "endpoint.models": lambda: answers_path("/v1/models", _redirect),
    "endpoint.hello": lambda: answers_path("/api/hello", _unreadable(502)),
    "endpoint.unknown-path": lambda: answers_path("/nothing-here", _unreadable(404)),
    "endpoint.wrong-method": lambda: answers_path("/v1/messages", _unreadable(405), "GET"),
    "connection.after-error": lambda: Sabotage(answer=ErrorStays()),
    "truncated.eof-before-content": lambda: _HIDDEN,
    "truncated.eof-after-content": lambda: _HIDDEN,
    "truncated.cut-before-content": lambda: _HIDDEN,
    "truncated.cut-after-content": lambda: on_body(invent_stop),
    "truncated.tool-input": lambda: _HIDDEN,
    "truncated.missing-stop": lambda: on_body(lambda body: _STOP.sub(b"", body)),
    "truncated.message": lambda: Sabotage(answer=half_a_message),
    "inband.overload-first": lambda: Sabotage(answer=overload_is_success),
    "inband.error-after-content": lambda: on_body(lambda body: body.replace(b"overloaded_error", b"api_error")),
    "inband.no-splice": lambda: Sabotage(exchange=splice),
    "broken.duplicate-start": lambda: _RAW,
    "broken.block-order": lambda: _RAW,
    "broken.after-stop": lambda: _RAW,
    "broken.event-name": lambda: _RAW,
    "broken.json": lambda: _RAW,
    "broken.utf8": lambda: _RAW,
    "cancel.before-answer": lambda: _DEAF,
    "cancel.silent-stream": lambda: _DEAF,
    "cancel.busy-stream": lambda: _DEAF,
    "silence.before-content": lambda: _MUTE,
    "silence.mid-stream": lambda: _MUTE,
    "error.400": lambda: on_error(rewrap),
    "error.403": lambda: on_error(rewrap),
    "error.404": lambda: on_error(rewrap),
    "error.413": lambda: on_error(becomes(400)),
    "error.request-id": lambda: without_header("request-id"),
    "error.500": lambda: on_error(becomes(503)),
    "error.529": lambda: on_error(becomes(500)),
    "error.should-retry": lambda: without_header("x-should-retry"),
    "error.recovers": lambda: Sabotage(answer=OutOfUse()),
    "error.429": lambda: on_error(becomes(503)),
    "error.retry-after": lambda: on_error(date_instead),
    "error.unified": lambda: without_header("anthropic-ratelimit-unified-"),
    "error.401": lambda: on_error(html),
}
"""By the id of the rule that it breaks."""
