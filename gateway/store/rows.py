"""Rows become objects and objects rows, strictly: a database may hold what its tables would not let in today."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, Final, Generic, TypeVar, get_type_hints

from attrs import define, field, fields
from cattrs import Converter
from cattrs.errors import BaseValidationError
from sqlalchemy import Result, RowMapping

from gateway.store.errors import StoreError

__all__ = ["KnownRows", "readable", "storable", "structure", "unstructure"]

_T = TypeVar("_T")

_LONGEST: Final = 1_000
_AT_A_TIME: Final = 200
"""Rows that are looked at before others have their turn: streams share the event loop."""


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


def readable(cls: type, row: Mapping[Any, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what can be read of a row that is none that the gateway can have written.

    Args:
        cls: an attrs class whose fields are columns of the table, but for those that it has besides.
        row: what was read.

    Returns:
        The sound values by the names of their columns, and the names of the other columns.
    """
    values: dict[str, Any] = {}
    bad: list[str] = []
    for name, kind in _kinds(cls).items():
        if name not in row:
            continue
        try:
            values[name] = _converter.structure(row[name], kind)
        except (BaseValidationError, TypeError, ValueError):
            bad.append(name)
    return values, bad


@cache
def _kinds(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {each.name: hints[each.name] for each in fields(cls)}


@define(eq=False)
class KnownRows(Generic[_T]):
    """The rows of a table as they were last read, each with the object that was made of it.

    Of thousands of rows that are read again mostly none has changed. To make new objects of them all would take
    long, and the collector of garbage as long again.
    """

    make: Callable[[RowMapping], _T]
    """Returns the object of a row; raises `StoreError`."""
    _known: dict[Any, tuple[tuple[Any, ...], _T]] = field(factory=dict, init=False, repr=False)

    async def read(self, result: Result[Any], key: Sequence[str]) -> list[_T]:
        """Return the objects of all rows; a row that has not changed keeps its object.

        Args:
            result: the rows, all of them; always with the same columns.
            key: the columns that tell one row from all others.

        Raises:
            StoreError: a row is none that the gateway can have written.
        """
        names = tuple(result.keys())
        places = [names.index(name) for name in key]
        now: dict[Any, tuple[tuple[Any, ...], _T]] = {}
        for part in result.partitions(_AT_A_TIME):
            for row in part:
                values = tuple(row)
                of = values[places[0]] if len(places) == 1 else tuple(values[place] for place in places)
                known = self._known.get(of)
                if known is None or known[0] != values:
                    known = (values, self.make(row._mapping))  # noqa: SLF001 - SQLAlchemy's own name for it
                now[of] = known
            if len(part) == _AT_A_TIME:
                await asyncio.sleep(0)
        self._known = now
        return [thing for _, thing in now.values()]


def unstructure(thing: Any) -> dict[str, Any]:
    """Return an attrs object as values for columns."""
    return _converter.unstructure(thing)


def storable(text: str) -> str:
    """Return text from outside as any database takes it: bounded, without NUL and lone surrogates."""
    return text[:_LONGEST].encode(errors="replace").decode().replace("\0", "?")
