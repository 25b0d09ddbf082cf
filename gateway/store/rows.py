"""Rows become objects and objects rows, strictly: a database may hold what its tables would not let in today."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final, TypeVar

from cattrs import Converter
from cattrs.errors import BaseValidationError
from sqlalchemy import RowMapping

from gateway.store.errors import StoreError

__all__ = ["storable", "structure", "unstructure"]

_T = TypeVar("_T")

_LONGEST: Final = 1_000


def _only(kind: type) -> Any:
    def check(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            # The value is not told: it may be a secret.
            raise TypeError(f"must be {kind.__name__}")
        return value

    return check


def _to_float(value: Any, _: Any) -> float:
    if type(value) not in {int, float} or not math.isfinite(value):
        raise TypeError("must be a finite number")
    return float(value)


_converter: Final = Converter()
for _kind in (str, int, bool, bytes):
    _converter.register_structure_hook(_kind, _only(_kind))
_converter.register_structure_hook(StrEnum, lambda value, choices: choices(value))
_converter.register_structure_hook(float, _to_float)


def structure(cls: type[_T], rows: Iterable[RowMapping], table: str) -> list[_T]:
    """Return the rows of a table as objects.

    Args:
        cls: an attrs class whose fields are columns of the table; other columns are ignored.
        rows: what was read.
        table: its name, for people.

    Raises:
        StoreError: a row holds something else than its columns should.
    """
    try:
        return [_converter.structure(dict(row), cls) for row in rows]
    except (BaseValidationError, TypeError, ValueError, KeyError):
        raise StoreError(
            f"the table {table} of the database holds a row that the gateway cannot have written; "
            "restore the database from a copy, or delete that row"
        ) from None


def unstructure(thing: Any) -> dict[str, Any]:
    """Return an attrs object as values for columns."""
    return _converter.unstructure(thing)


def storable(text: str) -> str:
    """Return text from outside as any database takes it: bounded, without NUL and lone surrogates."""
    return text[:_LONGEST].encode(errors="replace").decode().replace("\0", "?")
