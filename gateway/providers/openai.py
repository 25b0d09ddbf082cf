"""OpenAI, or something that speaks its API: credentials in headers, and what its refusals and limits mean.

Source: OpenAI API reference, "Error codes" and "Rate limits in headers".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from attrs import define, field
from multidict import CIMultiDict

from gateway.providers.base import Credential, FaultClass, WrongProviderError
from gateway.providers.limits import LimitWindow, RateLimits

__all__ = ["OpenAIProvider"]

_BY_STATUS: Final[Mapping[int, FaultClass]] = {
    401: FaultClass.CREDENTIAL,
    402: FaultClass.BILLING,
    429: FaultClass.QUOTA,
    503: FaultClass.OVERLOAD,
    529: FaultClass.OVERLOAD,
}
_NO_MONEY: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_ACCOUNT_GONE: Final = frozenset({"account_deactivated", "organization_deactivated"})
_WINDOWS: Final = ("requests", "tokens")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST: Final = 366 * 86400.0  # seconds; what is longer is a mistake
_LONGEST_TEXT: Final = 64
_ACCOUNT: Final = "account"
_LONGEST_BODY: Final = 64 * 1024
_OF_THE_REQUEST: Final = frozenset(
    {"mismatched_organization", "mismatched_project", "invalid_organization", "invalid_project", "missing_scope"}
)
"""Codes of a 401 that say nothing against the key: the request names another organisation or project, or wants
what the key is not for."""
_NOT_FOR_THIS: Final = "You have insufficient permissions for this operation"  # comes without a code, too
_CLIENTS_CHOICE: Final = ("openai-organization", "openai-project")


class _Error(msgspec.Struct):
    code: Any = None
    type: Any = None
    message: Any = None


class _Envelope(msgspec.Struct):
    error: _Error


_decode: Final = msgspec.json.Decoder(_Envelope).decode


@define
class OpenAIProvider:
    """The OpenAI API."""

    base_url: str = field(converter=lambda url: url.rstrip("/"))
    name: str = "openai"

    def add_credential(self, headers: CIMultiDict[str], credential: Credential) -> None:
        """Send a key or a token as a bearer.

        The organisation and project that a client has chosen are those of a key of its own; with another key they
        are refused, as if the key were bad.

        Raises:
            WrongProviderError: the credential is another provider's.
        """
        if credential.provider != self.name:
            raise WrongProviderError(f"a credential of {credential.provider} was not sent to {self.name}")
        headers["authorization"] = f"Bearer {credential.secret}"
        for name in _CLIENTS_CHOICE:
            headers.popall(name, None)

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> FaultClass:  # noqa: ARG002 - other providers tell by headers
        """Say what kind of trouble an answer with an error status is."""
        error = _read_error(body)
        found = {value for value in (error.code, error.type) if isinstance(value, str)}
        if found & _NO_MONEY or found & _ACCOUNT_GONE:
            return FaultClass.BILLING
        if found & _OF_THE_REQUEST or (isinstance(error.message, str) and error.message.startswith(_NOT_FOR_THIS)):
            return FaultClass.REQUEST
        known = _BY_STATUS.get(status)
        if known is not None:
            return known
        return FaultClass.UPSTREAM if status >= 500 else FaultClass.REQUEST  # noqa: PLR2004 - an HTTP status

    def classify_error_type(self, error_type: str) -> FaultClass:  # noqa: ARG002 - the interface
        """Say what kind of trouble an error inside a 200 is: nothing is looked into here."""
        return FaultClass.REQUEST

    def read_limits(self, headers: Mapping[str, str], now: float) -> RateLimits:
        """Read `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` and `retry-after`."""
        windows = []
        for name in _WINDOWS:
            limit = _number(headers.get(f"x-ratelimit-limit-{name}"))
            remaining = _number(headers.get(f"x-ratelimit-remaining-{name}"))
            wait = _duration(headers.get(f"x-ratelimit-reset-{name}"))
            if limit and remaining is not None:
                used = min(max(1 - remaining / limit, 0.0), 1.0)
                windows.append(LimitWindow(name, "", used, None if wait is None else now + wait))
        retry_after = _number(headers.get("retry-after"))
        return RateLimits(tuple(windows), retry_after if retry_after is None or retry_after <= _LONGEST else None)

    def quota_family(self, model: str) -> str:
        """Return the model: limits are per model. None is `account`, which would mean all of them."""
        return "" if model == _ACCOUNT else model[:_LONGEST_TEXT]


def _read_error(body: bytes) -> _Error:
    if len(body) > _LONGEST_BODY:
        return _Error()
    try:
        return _decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Error()


def _number(text: str | None) -> float | None:
    if text is None or len(text) > _LONGEST_TEXT:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _duration(text: str | None) -> float | None:
    """Read seconds from a text such as `6m0s`, `1.5s` or `20ms`; None for anything else."""
    if text is None or len(text) > _LONGEST_TEXT:
        return None
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return _number(text)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return seconds if seconds <= _LONGEST else None
