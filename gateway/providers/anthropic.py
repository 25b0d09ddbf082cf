"""Anthropic: credentials in headers, and what its refusals mean.

Source: Anthropic docs, "Errors", "Rate limits" and "Service tiers"; texts as real answers carry them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import define, field
from multidict import CIMultiDict

from gateway.providers.anthropic_limits import quota_family, read_limits
from gateway.providers.base import Credential, FaultClass, WrongProviderError
from gateway.providers.limits import RateLimits
from gateway.wire.errors import read_error

__all__ = ["AnthropicProvider"]

_BY_STATUS: Final[Mapping[int, FaultClass]] = {
    401: FaultClass.CREDENTIAL,
    402: FaultClass.BILLING,
    429: FaultClass.QUOTA,
    500: FaultClass.UPSTREAM,
    502: FaultClass.UPSTREAM,
    503: FaultClass.UPSTREAM,
    504: FaultClass.UPSTREAM,
    529: FaultClass.OVERLOAD,
}
_BY_ERROR_TYPE: Final[Mapping[str, FaultClass]] = {
    "overloaded_error": FaultClass.OVERLOAD,
    "rate_limit_error": FaultClass.QUOTA,
    "api_error": FaultClass.UPSTREAM,
    "timeout_error": FaultClass.UPSTREAM,
    "authentication_error": FaultClass.CREDENTIAL,
    "billing_error": FaultClass.BILLING,
}
_OAUTH_BETA: Final = "oauth-2025-04-20"


@define(frozen=True)
class _Text:
    """A refusal that its status alone does not tell: a message that begins so, or an error code."""

    statuses: frozenset[int]
    fault: FaultClass
    begins: str = ""
    """In lower case."""
    code: str = ""
    """`error.details.error_code`."""

    def matches(self, status: int, message: str, code: str) -> bool:
        if status not in self.statuses:
            return False
        return code == self.code if self.code else message.startswith(self.begins)


def _says(begins: str, fault: FaultClass, *statuses: int) -> _Text:
    return _Text(frozenset(statuses), fault, begins=begins.lower())


def _has_code(code: str, fault: FaultClass, *statuses: int) -> _Text:
    return _Text(frozenset(statuses), fault, code=code)


_TEXTS: Final = (
    _says("OAuth token has been revoked", FaultClass.CREDENTIAL, 403),
    _says("OAuth token has expired", FaultClass.CREDENTIAL, 403),
    # The request lacks a beta, or the route takes no tokens; no new token would help.
    _says("OAuth authentication is currently not supported", FaultClass.REQUEST, 401),
    # It depends on the request: the same credential goes on serving Claude Code.
    _says("This credential is only authorized for use with Claude Code", FaultClass.REQUEST, 400, 401, 403),
    _says("Your credit balance is too low", FaultClass.BILLING, 400, 403),
    _says("You have reached your specified API usage limits", FaultClass.BILLING, 400),
    _has_code("organization_on_hold", FaultClass.BILLING, 400, 403),
    _has_code("enforced_spend_limit_reached", FaultClass.BILLING, 429),
    _has_code("contract_spend_limit_reached", FaultClass.BILLING, 429),
    # Usage that rises too fast; it passes.
    _has_code("ramp_limit_exceeded", FaultClass.QUOTA, 429),
    _says("You have reached your API usage limits", FaultClass.BILLING, 429),
    _says("spend limit reached", FaultClass.BILLING, 429),
    _says("You're out of extra usage", FaultClass.BILLING, 429),
    # A request of this size, or of a model with a long context, is not part of the plan; all others are.
    _says("Extra usage is required for", FaultClass.REQUEST, 429),
)
"""Source: Anthropic docs, "Errors"; texts as real answers carry them. The first that matches counts."""


@define
class AnthropicProvider:
    """The Anthropic API, or something that speaks it."""

    base_url: str = field(converter=lambda url: url.rstrip("/"))
    name: str = "anthropic"

    def add_credential(self, headers: CIMultiDict[str], credential: Credential) -> None:
        """Send an API key as `x-api-key`, which every API version takes, and a token as a bearer.

        Tokens need the beta `oauth-2025-04-20`, which is merged into the client's own list (Anthropic docs, "LLM
        gateway protocol").

        Raises:
            WrongProviderError: the credential is another provider's.
        """
        if credential.provider != self.name:
            raise WrongProviderError(f"a credential of {credential.provider} was not sent to {self.name}")
        if not credential.is_token:
            headers["x-api-key"] = credential.secret
            return
        headers["authorization"] = f"Bearer {credential.secret}"
        betas = headers.popall("anthropic-beta", [])
        if not any(beta.strip() == _OAUTH_BETA for line in betas for beta in line.split(",")):
            betas = [*betas[:-1], ", ".join([*betas[-1:], _OAUTH_BETA])]
        for line in betas:
            headers.add("anthropic-beta", line)

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> FaultClass:  # noqa: ARG002 - other providers tell by headers
        """Say what kind of trouble an answer with an error status is.

        Only the error's own message and code are looked at: other parts of a body may quote what a user wrote.
        """
        error = read_error(body) or {}
        message, details = error.get("message"), error.get("details")
        code = details.get("error_code") if isinstance(details, dict) else None
        begins = message.strip().lower() if isinstance(message, str) else ""
        for text in _TEXTS:
            if text.matches(status, begins, code if isinstance(code, str) else ""):
                return text.fault
        known = _BY_STATUS.get(status)
        if known is not None:
            return known
        return FaultClass.UPSTREAM if status >= 500 else FaultClass.REQUEST  # noqa: PLR2004 - an HTTP status

    def classify_error_type(self, error_type: str) -> FaultClass:
        """Say what kind of trouble an error event inside a 200 stream is."""
        return _BY_ERROR_TYPE.get(error_type, FaultClass.REQUEST)

    def read_limits(self, headers: Mapping[str, str], now: float) -> RateLimits:
        """Read what an answer, a refusal or not, says about the account's limits."""
        return read_limits(headers, now)

    def quota_family(self, model: str) -> str:
        """Return the class of models that shares limits with this one, such as `opus`."""
        return quota_family(model)
