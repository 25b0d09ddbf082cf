"""Anthropic: credentials in headers, and what its refusals mean.

Source: Anthropic docs, "Errors", "Rate limits" and "Service tiers"; texts as real answers carry them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import define, field
from multidict import CIMultiDict

from gateway.providers.base import Credential, FaultClass, WrongProviderError
from gateway.providers.limits import RateLimits

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
_REVOKED_TOKEN: Final = (b"OAuth token has been revoked", b"OAuth token has expired")
_BILLING: Final = (
    b"enforced_spend_limit_reached",
    b"contract_spend_limit_reached",
    b"You have reached your API usage limits",
    b"Extra usage",
)
_CREDIT: Final = (b"Your credit balance is too low", b"You have reached your specified API usage limits")


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
        """Say what kind of trouble an answer with an error status is."""
        if status == 403 and any(text in body for text in _REVOKED_TOKEN):  # noqa: PLR2004 - an HTTP status
            return FaultClass.CREDENTIAL
        if status == 429 and any(text in body for text in _BILLING):  # noqa: PLR2004 - an HTTP status
            return FaultClass.BILLING
        if status == 400 and any(text in body for text in _CREDIT):  # noqa: PLR2004 - an HTTP status
            return FaultClass.BILLING
        known = _BY_STATUS.get(status)
        if known is not None:
            return known
        return FaultClass.UPSTREAM if status >= 500 else FaultClass.REQUEST  # noqa: PLR2004 - an HTTP status

    def classify_error_type(self, error_type: str) -> FaultClass:
        """Say what kind of trouble an error event inside a 200 stream is."""
        return _BY_ERROR_TYPE.get(error_type, FaultClass.REQUEST)

    def read_limits(self, headers: Mapping[str, str], now: float) -> RateLimits:  # noqa: ARG002 - read in full below
        """Read what an answer says about the account's limits."""
        return RateLimits()

    def quota_family(self, model: str) -> str:
        """Return the class of models that shares limits with this one."""
        return model
