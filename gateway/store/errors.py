"""What can be wrong with the database, in words that help and hold nothing secret."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import asyncpg
from sqlalchemy import exc

__all__ = [
    "NameTakenError",
    "StoreBusyError",
    "StoreError",
    "StoreUnavailableError",
    "WrongTablesError",
    "as_store_error",
]


class StoreError(Exception):
    """The database cannot be used so; the message says why and what to do."""


class NameTakenError(StoreError):
    """There is something of that name already."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached, or is busy; the same may work later."""


class WrongTablesError(StoreError):
    """Tables or rights are missing, whatever is to be read or written; a person has to see to it."""


class StoreBusyError(StoreUnavailableError):
    """Others are using the database; the same may work at once."""


_BUSY: Final = {
    "SQLITE_BUSY": "another process has been writing to it for too long; see what it is, and try again",
    "SQLITE_LOCKED": "another connection holds it; try again",
    "SQLITE_PROTOCOL": "too many processes open it at once; try again",
}
_OF_SQLITE: Final = {
    "SQLITE_CANTOPEN": "it cannot be opened; see that its directory exists, belongs to this user and is writable",
    "SQLITE_READONLY": "it cannot be written to; see that it and its directory belong to this user, and that the "
    "file system is not mounted read-only",
    "SQLITE_PERM": "this user may not use it; see that it belongs to this user",
    "SQLITE_FULL": "the disk is full; make room",
    "SQLITE_IOERR": "the disk does not read or write it; see the system's log",
}
_DAMAGED: Final = {
    "SQLITE_NOTADB": "it is no SQLite database; name another file in GATEWAY_DATABASE_URL, or move this one away",
    "SQLITE_CORRUPT": "it is damaged; restore it from a copy",
}
_WRONG_TABLES: Final = "its tables are not the gateway's; name another database in GATEWAY_DATABASE_URL"
_OF_POSTGRES: Final = {
    "08": "the connection failed",
    "25006": "it only lets itself be read, as a standby does and a server whose disk is nearly full; try again",
    "25P03": "a write took too long",
    "40": "others changed the same at the same time; try again",
    "53": "it has no room for more; see its limits of connections, memory and disk",
    "55P03": "others have kept what this needs for too long; try again",
    "57": "it is starting, stopping or was told to give up; try again",
    "58": "its system has trouble; see its log",
}
_FOR_PEOPLE: Final = {
    "28": "it refuses the user or the password; see GATEWAY_DATABASE_URL and the server's pg_hba.conf",
    "3D000": "there is no database of that name; make it with CREATE DATABASE",
    "42501": "the user lacks a permission; make it the owner of the database",
    "42704": "it does not know an option of GATEWAY_DATABASE_URL",
    "42": _WRONG_TABLES,
    "3F": _WRONG_TABLES,
}
_OTHERS: Final[Sequence[tuple[tuple[type[BaseException], ...], type[StoreError], str]]] = (
    ((TimeoutError, exc.TimeoutError), StoreUnavailableError, "it does not answer in time"),
    ((asyncpg.ClientConfigurationError,), StoreError, "an option of GATEWAY_DATABASE_URL is wrong"),
    (
        (asyncpg.TargetServerAttributeNotMatched,),
        StoreUnavailableError,
        "none of its servers is of the kind that target_session_attrs asks for; try again",
    ),
    ((UnicodeError,), StoreError, "text that is not valid Unicode cannot be stored or looked for"),
    (
        (asyncpg.InterfaceError, asyncpg.InternalClientError),
        StoreUnavailableError,
        "the connection was lost; try again",
    ),
)
"""What drivers and Python raise, the more special first."""


def as_store_error(error: BaseException, name: str) -> StoreError:
    """Return what people are told instead of an exception of the database, its driver or the network.

    Args:
        error: what was raised. Of its text only what cannot hold a value is told.
        name: the database's.
    """
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    cause = getattr(cause, "driver_exception", None) or cause
    if isinstance(cause, sqlite3.Error):
        return _from_sqlite(cause, name)
    state = getattr(cause, "sqlstate", None)
    if isinstance(state, str):
        return _from_postgres(state, name)
    for types, kind, told in _OTHERS:
        if isinstance(cause, types):
            return kind(f"cannot use the database {name}: {told}")
    if isinstance(cause, OSError):
        return StoreUnavailableError(f"cannot reach the database {name}: {cause.strerror or type(cause).__name__}")
    return StoreError(f"cannot use the database {name} ({type(cause).__name__})")


def _from_sqlite(error: sqlite3.Error, name: str) -> StoreError:
    code = getattr(error, "sqlite_errorname", None) or ""
    # Extended codes go on behind the code: SQLITE_IOERR_WRITE.
    short = "_".join(code.split("_")[:2])
    if told := _BUSY.get(short):
        return StoreBusyError(f"cannot use the database {name}: {told}")
    if told := _OF_SQLITE.get(short):
        return StoreUnavailableError(f"cannot use the database {name}: {told}")
    if told := _DAMAGED.get(short):
        return StoreError(f"cannot use the database {name}: {told}")
    if code == "SQLITE_ERROR":
        # Missing and unexpected tables and columns; it names them, and no value.
        return WrongTablesError(f"cannot use the database {name}: {error}; {_WRONG_TABLES}")
    return StoreError(f"cannot use the database {name} ({code or type(error).__name__})")


def _from_postgres(state: str, name: str) -> StoreError:
    for length in (5, 2):
        if told := _OF_POSTGRES.get(state[:length]):
            return StoreUnavailableError(f"cannot use the database {name}: {told} (SQLSTATE {state})")
        if told := _FOR_PEOPLE.get(state[:length]):
            return WrongTablesError(f"cannot use the database {name}: {told} (SQLSTATE {state})")
    return StoreError(f"cannot use the database {name} (SQLSTATE {state})")
