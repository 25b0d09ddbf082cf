"""Recognise what people pipe in that is no event stream, and say it in a sentence.

To a decoder of event streams an HTTP head, an error body or a web page is just lines without meaning, and so the
stream is merely "truncated". A person is better served by being told what arrived instead.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from sse_fsm.printing import excerpt

__all__ = ["HEAD_BYTES", "describe_foreign", "describe_http_head"]

HEAD_BYTES: Final = 64 * 1024
"""How much of the beginning of an input is looked at, in bytes."""

_HTTP_HEAD: Final = re.compile(rb"HTTP/[0-9.]+ +([0-9]{3})[^\n]*\n(?:[^\r\n]+\r?\n)*(?:\r?\n|\Z)")
_HTTP_ERRORS: Final = 400


def describe_http_head(data: bytes) -> str | None:
    """Say that `data` begins with a response's status line and headers, as `curl -i` prints them; else None."""
    head = _HTTP_HEAD.match(data)
    if head is None:
        return None
    status_line = excerpt(head[0].splitlines()[0].decode(errors="replace").strip())
    if int(head[1]) >= _HTTP_ERRORS:
        return f"response head, {status_line}: an error, so its body will be no event stream"
    return f"response head, {status_line} (curl -i prints it); it is no part of the stream, leave -i away"


def describe_foreign(data: bytes) -> str | None:
    """Say what an input without a single event is, from its beginning; None where it may be a stream's beginning.

    Args:
        data: the beginning of the input, or all of it; `HEAD_BYTES` are enough.
    """
    body = data
    while (head := _HTTP_HEAD.match(body)) is not None:
        body = body[head.end() :]
    had_head = len(body) < len(data)
    body = body.strip()
    if not body:
        return "there is nothing behind the response head" if had_head else "there is nothing in it"
    if body.startswith(b"<"):
        return "it is a web page, not an event stream; a proxy or a wrong address may have answered"
    if not body.startswith((b"{", b"[")):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return "it looks like JSON, not like an event stream"
    return _describe_json(value)


def _describe_json(value: Any) -> str:
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict):
        request = f" (request {excerpt(value['request_id'])})" if value.get("request_id") else ""
        said = f"{excerpt(error.get('type'))}: {excerpt(error.get('message'), 400)}{request}"
        return f"it is an error body, not an event stream: {said}"
    if isinstance(value, dict) and value.get("type") == "message":
        return 'it is a whole message, not an event stream; the request lacked "stream": true'
    return "it is a JSON body, not an event stream"
