"""OpenAI's error envelope, for answers that the gateway gives in its own name below `/v1`.

Source: OpenAI API reference, "Error codes"; `openai` Python SDK 3.54.0, `_exceptions.py` (`APIError` reads
`message`, `type`, `param` and `code`).
"""

from __future__ import annotations

from http import HTTPStatus

from gateway.wire.errors import ApiError, encode_json

__all__ = ["openai_body"]


def openai_body(error: ApiError) -> bytes:
    """Encode an error as OpenAI does: `{"error":{"message","type","param","code"}}`."""
    kind = "server_error" if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return encode_json(
        {"error": {"message": error.message, "type": kind, "param": None, "code": error.error_code}}
    )
