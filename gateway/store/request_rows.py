"""Rows of the table `requests` as objects: one that is damaged keeps no other from being read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import RowMapping

from gateway.ledger.row import DamagedRow, RequestRow
from gateway.store.errors import StoreError
from gateway.store.rows import readable, structure
from gateway.store.tables import requests

__all__ = ["EARLIEST", "LATEST", "is_sound", "read_rows"]

EARLIEST: Final = 0.0
LATEST: Final = 253_402_300_800.0
"""The year 10000. A row whose time is not in between, both in Unix seconds, has no place in a list by time."""
_SHOWN: Final = 40


def read_rows(rows: Iterable[RowMapping]) -> list[RequestRow]:
    """Return rows as objects; those that the gateway cannot have written as `DamagedRow`."""
    rows = list(rows)
    try:
        return structure(RequestRow, rows, requests.name)
    except StoreError:
        return [_read(row) for row in rows]


def is_sound(row: Mapping[str, Any]) -> bool:
    """Return whether columns of a row hold what they should."""
    return not readable(RequestRow, row)[1]


def _read(row: RowMapping) -> RequestRow:
    values, bad = readable(RequestRow, row)
    if not bad:
        return RequestRow(**values)
    known: dict[str, Any] = {"id": _shown(row["id"]), "at": 0.0, "route": ""} | values
    return DamagedRow(**known, unreadable=tuple(bad))


def _shown(value: object) -> str:
    return f"x'{value.hex()[:_SHOWN]}'" if isinstance(value, bytes) else str(value)[:_SHOWN]
