"""The JSON of files with credentials that can be imported, structured strictly; see `importing`.

What is wrong with a file is told by the names of its members, never by what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from attrs import define, field
from cattrs import Converter
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError

__all__ = ["Authentication", "Entry", "Profile", "ShapeError", "Subscription", "Token", "structure"]

_LARGEST_TIME: Final = 1e15  # milliseconds, and some
_MEMBER: Final = re.compile(r"[A-Za-z_]{1,30}")

_T = TypeVar("_T")


class ShapeError(ValueError):
    """A piece of JSON is not what it should be; the message says where, and holds no value."""


@define(frozen=True)
class Entry:
    """One account in a list of API keys."""

    name: str
    provider: str
    api_key: str = field(repr=False)
    base_url: str | None = None
    owner: str | None = None
    weight: int = 1
    priority: int = 0
    max_concurrency: int | None = None


@define(frozen=True)
class Subscription:
    """A login of a Claude subscription, `claudeAiOauth`."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    """Milliseconds."""
    scopes: list[str] | None = None


@define(frozen=True)
class Token:
    """The credentials of a profile: `credentials/NAME.json`."""

    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    """Unix seconds."""


@define(frozen=True)
class IdentityToken:
    """Where a workload finds the assertion of who it is."""

    source: str = "file"
    path: str | None = None


@define(frozen=True)
class Authentication:
    """How a profile gets its tokens."""

    type: str
    client_id: str | None = None
    scope: str | None = None
    federation_rule_id: str | None = None
    service_account_id: str | None = None
    identity_token: IdentityToken | None = None


@define(frozen=True)
class Profile:
    """The configuration of a profile: `configs/NAME.json`."""

    authentication: Authentication
    organization_id: str | None = None
    workspace_id: str | None = None
    base_url: str | None = None


_SPELLED: Final = {"accessToken": "access_token", "refreshToken": "refresh_token", "expiresAt": "expires_at"}


def structure(content: Any, cls: type[_T], what: str) -> _T:
    """Read a piece of JSON as one of the classes above.

    Args:
        content: decoded JSON.
        cls: the class.
        what: how people call it.

    Raises:
        ShapeError: it is not of that shape.
    """
    if not isinstance(content, dict):
        # Most often a list of keys alone.
        example = ', such as {"name": …, "provider": …, "api_key": …}' if cls is Entry else ""
        raise ShapeError(f"{what} must be an object{example}")
    if cls is Subscription:
        content = {_SPELLED.get(name, name): value for name, value in content.items()}
    # Other programs may write more tomorrow; what is written for the gateway is read by the letter.
    converter = _strict if cls is Entry else _lenient
    try:
        return converter.structure(content, cls)
    except (ClassValidationError, ForbiddenExtraKeysError) as error:
        raise ShapeError("; ".join(f"{what}{problem}" for problem in _problems(error))) from None


def _problems(error: BaseException, path: str = "") -> Iterator[str]:
    """Say which members are wrong and how; never what is in them."""
    if isinstance(error, ClassValidationError):
        of_fields, others = error.group_exceptions()
        for problem, note in of_fields:
            yield from _problems(problem, f"{path}.{note.name}")
        for problem in others:
            yield from _problems(problem, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        names = sorted(name for name in error.extra_fields if _MEMBER.fullmatch(name))
        yield f"{path} has members that mean nothing here{': ' if names else ''}{', '.join(names)}"
    elif isinstance(error, KeyError):
        yield f"{path} is missing"
    elif isinstance(error, ShapeError):
        yield f"{path} {error}"
    else:
        yield f"{path} must be an object"


def _to_text(value: Any, _: type) -> str:
    if not isinstance(value, str):
        raise ShapeError("must be text")
    return value


def _to_int(value: Any, _: type) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ShapeError("must be a whole number")
    return value


def _to_float(value: Any, _: type) -> float:
    # Compared before it is converted: an integer may be too large for a float.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LARGEST_TIME:
        raise ShapeError("must be a number")
    return float(value)


def _converter(*, forbid_extra_keys: bool) -> Converter:
    made = Converter(forbid_extra_keys=forbid_extra_keys)
    made.register_structure_hook(str, _to_text)
    made.register_structure_hook(int, _to_int)
    made.register_structure_hook(float, _to_float)
    return made


_strict: Final = _converter(forbid_extra_keys=True)
_lenient: Final = _converter(forbid_extra_keys=False)
"""For files of other programs, which may write more tomorrow."""
