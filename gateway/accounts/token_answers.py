"""What the answer of a token endpoint says. Pure: bytes in, verdict out.

Answers follow RFC 6749, sections 5.1 and 5.2; refusals may also come in the error envelopes of the providers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from attrs import define, field

from gateway.accounts.secrets import SecretFormatError, check_token

__all__ = ["Failed", "Granted", "NotSent", "Outcome", "Refused", "Unknown", "judge"]

USUAL_LIFETIME: Final = 3600.0
"""Seconds, where an answer says nothing plausible; so does the `anthropic` Python SDK 2.12.0."""

_LONGEST_LIFETIME: Final = 366 * 86_400
_LONGEST_WORDS: Final = 200
_LONGEST_WAIT: Final = 300.0
_LONGEST_NUMBER: Final = 9  # digits
_LONGEST_CODE: Final = 40
_OK: Final = 200
_FIRST_REDIRECT: Final = 300
_FIRST_ERROR: Final = 400
_FIRST_SERVER_ERROR: Final = 500

_TERMINAL: Final = frozenset(
    {
        # RFC 6749, section 5.2; the others there may be a mistake of the moment.
        "invalid_grant",
        "invalid_client",
        "unauthorized_client",
        # OpenAI's words for an invalid grant.
        "refresh_token_expired",
        "refresh_token_invalidated",
        "refresh_token_reused",
    }
)
# As narrow as that, so that no endpoint can have a token logged by calling it an error.
_CODE: Final = re.compile(r"[a-z]+(?:_[a-z]+){0,6}")
_TOKENLIKE: Final = re.compile(r"[^\s]{25,}")


@define(frozen=True)
class Granted:
    """A new access token."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    """The next one; None where the one that was sent stays valid."""
    lifetime: float
    """Seconds from when it was asked for."""


@define(frozen=True)
class Refused:
    """The grant is no good and never will be."""

    reason: str


@define(frozen=True)
class Failed:
    """A whole answer that says no, but not for ever: what was sent was not used up."""

    reason: str
    retry_after: float | None = None
    """Seconds that the endpoint asks for."""


@define(frozen=True)
class NotSent:
    """The grant certainly did not leave this process."""

    reason: str


@define(frozen=True)
class Unknown:
    """The grant was sent, and nobody knows whether it was used up."""

    reason: str


Outcome = Granted | Refused | Failed | NotSent | Unknown


def judge(status: int, headers: Mapping[str, str], body: bytes | None) -> Outcome:
    """Return what an answer comes to.

    A refusal counts by its status alone, whatever its body: a server that answers 429 or 503 says that it did not
    do what it was asked. A 200 counts only if it is whole and sound.

    Args:
        status: of the answer.
        headers: of the answer, found in any case.
        body: None if it was cut, too long, or compressed.
    """
    answer = _read_object(body)
    code = _error_code(answer)
    if status < _OK:
        return Unknown(f"the token endpoint answered with status {status}")
    if code is not None and not (status < _FIRST_REDIRECT and "access_token" in answer):
        reason = f"the token endpoint says {code}{_words(answer)}"
        if code in _TERMINAL and status < _FIRST_SERVER_ERROR:
            return Refused(reason)
        return Failed(reason, _wait(headers))
    if status >= _FIRST_ERROR:
        return Failed(f"the token endpoint answered with status {status}", _wait(headers))
    if status >= _FIRST_REDIRECT:
        return Failed(f"the token endpoint redirects (status {status}), which is not followed")
    return _read_grant(answer)


def _read_object(body: bytes | None) -> dict[str, Any]:
    if body is None:
        return {}
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _read_grant(answer: Mapping[str, Any]) -> Granted | Unknown:
    kind = answer.get("token_type")
    if kind is not None and not (isinstance(kind, str) and kind.lower() == "bearer"):
        return Unknown("the token endpoint granted a token of another type than Bearer")
    try:
        access = check_token(answer.get("access_token"))
        # Absent, null and empty all mean that there is no new one.
        refresh = check_token(answer["refresh_token"]) if answer.get("refresh_token") not in (None, "") else None
    except SecretFormatError:
        return Unknown("the token endpoint answered 200, but without a usable token")
    return Granted(access, refresh, _lifetime(answer.get("expires_in")))


def _lifetime(value: object) -> float:
    if isinstance(value, str) and len(value) <= _LONGEST_WORDS:
        try:
            value = float(value)
        except ValueError:
            return USUAL_LIFETIME
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return USUAL_LIFETIME
    # Compared before it is converted: an integer may be too large for a float.
    if not 1 <= value <= _LONGEST_LIFETIME or not math.isfinite(value):
        return USUAL_LIFETIME
    return float(value)


def _error_code(answer: Mapping[str, Any]) -> str | None:
    """Return the code of a refusal: a text, or a member of an object as in the providers' own envelopes."""
    error = answer.get("error")
    candidates: Iterable[Any] = (error.get("code"), error.get("type")) if isinstance(error, dict) else (error,)
    return next(
        (
            text
            for text in candidates
            if isinstance(text, str) and len(text) <= _LONGEST_CODE and _CODE.fullmatch(text)
        ),
        None,
    )


def _words(answer: Mapping[str, Any]) -> str:
    """Return the endpoint's own words, unless they are long or may quote what was sent."""
    error = answer.get("error")
    words = error.get("message") if isinstance(error, dict) else answer.get("error_description")
    if not isinstance(words, str) or not words or len(words) > _LONGEST_WORDS or not words.isprintable():
        return ""
    return "" if _TOKENLIKE.search(words) else f": {words}"


def _wait(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "")
    if not (value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER):
        return None
    return min(float(value), _LONGEST_WAIT)
