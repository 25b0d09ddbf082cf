"""Fault classes, and the interface of a provider."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from attrs import define, field
from multidict import CIMultiDict

from gateway.providers.limits import RateLimits

__all__ = ["Credential", "FaultClass", "Provider", "WrongProviderError"]


@define(frozen=True)
class Credential:
    """What is sent upstream to say which account pays."""

    provider: str
    """Name of the only provider that may ever see it."""
    secret: str = field(repr=False)
    is_token: bool = False
    """Whether it is a short-lived token rather than an API key."""
    version: int = 0
    """Rises with every renewal, so that it can be said which one was refused."""
    expires_at: float | None = None
    """Unix seconds; None for never or unknown."""


class WrongProviderError(Exception):
    """A credential was about to be sent to a provider that it does not belong to."""


class FaultClass(StrEnum):
    """What kind of trouble an upstream answer is. Each class has its own consequences."""

    #: No usable answer: connect error, TLS, cut, timeout.
    TRANSPORT = "transport"
    #: The account's credential is expired, revoked or wrong.
    CREDENTIAL = "credential"
    #: The request itself is refused; another account would refuse it too.
    REQUEST = "request"
    #: The account's rate limit or usage window is spent.
    QUOTA = "quota"
    #: The account cannot pay.
    BILLING = "billing"
    #: The provider failed.
    UPSTREAM = "upstream"
    #: The provider has no capacity; no account is to blame.
    OVERLOAD = "overload"


class Provider(Protocol):
    """One provider of models."""

    name: str
    base_url: str
    """Without a trailing slash."""

    def add_credential(self, headers: CIMultiDict[str], credential: Credential) -> None:
        """Put an account's credential into the headers of a request to the upstream.

        Raises:
            WrongProviderError: it is another provider's.
        """
        ...

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> FaultClass:
        """Say what kind of trouble an answer with an error status is."""
        ...

    def classify_error_type(self, error_type: str) -> FaultClass:
        """Say what kind of trouble an error event inside a 200 stream is."""
        ...

    def read_limits(self, headers: Mapping[str, str], now: float) -> RateLimits:
        """Read what an answer, a refusal or not, says about the account's limits.

        Args:
            headers: of the answer.
            now: Unix seconds, against which implausible values are refused.
        """
        ...

    def quota_family(self, model: str) -> str:
        """Return the class of models that shares limits with this one, such as `opus`."""
        ...
