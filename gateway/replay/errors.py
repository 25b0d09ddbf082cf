"""Errors in the API's own words.

Types by status are those of the API documentation, page "Errors"; the wording of the named ones was reported
by users of the API and may change upstream at any time.
"""

from typing import Any

import attrs
import msgspec

from gateway.replay.headers import Headers

TYPE_BY_STATUS: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Error type that goes with each status the API is known to use."""

_MESSAGE_BY_STATUS: dict[int, str] = {
    400: "messages: at least one message is required",
    401: "invalid x-api-key",
    402: "Your organization has an outstanding balance. Please update your billing details.",
    403: "Your API key does not have permission to use the specified resource.",
    404: "The requested resource could not be found.",
    405: "Method Not Allowed",
    408: "Request timed out",
    409: "The request conflicts with the current state of the resource.",
    413: "Request exceeds the maximum size",
    422: "Unprocessable entity",
    429: "This request would exceed your organization's rate limit of 30,000 input tokens per minute. "
    "For details, refer to: https://docs.claude.com/en/api/rate-limits.",
    500: "Internal server error",
    502: "Bad gateway",
    503: "Service unavailable",
    504: "The request timed out while processing. Consider streaming long requests.",
    529: "Overloaded",
}


@attrs.frozen
class ApiError(Exception):
    """An answer in Anthropic's error envelope."""

    status: int
    message: str
    error_type: str = ""
    details: dict[str, Any] | None = None
    headers: Headers = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        """Fill ``args`` so that the error prints well."""
        super().__init__(self.message)

    @property
    def type(self) -> str:
        """The envelope's ``error.type``."""
        return self.error_type or TYPE_BY_STATUS.get(self.status, _type_of_family(self.status))

    def body(self, request_id: str) -> bytes:
        """Return the envelope as JSON bytes."""
        error: dict[str, Any] = {"type": self.type, "message": self.message}
        if self.details is not None:
            error["details"] = self.details
        return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})


def _type_of_family(status: int) -> str:
    return "api_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004 - the server-error family


def by_status(status: int) -> ApiError:
    """Return the usual error of a status, without any retry hint."""
    return ApiError(status, _MESSAGE_BY_STATUS.get(status, f"Replayed status {status}"))


NAMED: dict[str, ApiError] = {
    "missing_key": ApiError(401, "x-api-key header is required"),
    "invalid_key": ApiError(401, "invalid x-api-key"),
    "invalid_bearer": ApiError(401, "Invalid bearer token"),
    "oauth_expired": ApiError(
        401, "OAuth token has expired. Please obtain a new token or refresh your existing token."
    ),
    "oauth_revoked": ApiError(403, "OAuth token has been revoked. Please obtain a new token."),
    "oauth_beta_missing": ApiError(401, "OAuth authentication is currently not supported."),
    "oauth_scope": ApiError(403, "OAuth token does not meet scope requirement user:profile"),
    "credit_balance": ApiError(
        400,
        "Your credit balance is too low to access the Anthropic API. "
        "Please go to Plans & Billing to upgrade or purchase credits.",
    ),
    "spend_limit": ApiError(
        429,
        "You have reached your API usage limits. You will regain access on the first of the month.",
        details={"error_code": "enforced_spend_limit_reached"},
    ),
    "own_spend_limit": ApiError(
        400, "You have reached your specified API usage limits. You will regain access on the first of the month."
    ),
    "account_rate_limit": ApiError(
        429, "This request would exceed your account's rate limit. Please try again later."
    ),
    "prompt_too_long": ApiError(400, "prompt is too long: 208310 tokens > 200000 maximum"),
    "context_limit": ApiError(
        400,
        "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, "
        "decrease input length or `max_tokens` and try again",
    ),
    "overloaded": by_status(529),
}
"""Errors that a fault can ask for by name, besides those in ``fixtures/errors``."""


def named(name: str) -> ApiError:
    """Return a new error of ``NAMED``; raising the one in the table would pile up its tracebacks."""
    return attrs.evolve(NAMED[name])
