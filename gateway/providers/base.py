"""Fault classes, and the interface of a provider."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from multidict import CIMultiDict

__all__ = ["FaultClass", "Provider"]


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

    def add_credential(self, headers: CIMultiDict[str], secret: str) -> None:
        """Put the account's credential into the headers of a request to the upstream."""
        ...

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> FaultClass:
        """Say what kind of trouble an answer with an error status is."""
        ...

    def classify_error_type(self, error_type: str) -> FaultClass:
        """Say what kind of trouble an error event inside a 200 stream is."""
        ...
