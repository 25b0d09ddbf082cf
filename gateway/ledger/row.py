"""A request's record as a row of the table `requests`, and as a line of the spool."""

from __future__ import annotations

import json
from operator import attrgetter
from typing import Any, Final

import msgspec
from attrs import asdict, define, fields
from cattrs import Converter
from cattrs.errors import BaseValidationError

from gateway.ledger.record import RequestRecord
from gateway.wire.errors import encode_json

__all__ = ["BadLineError", "RequestRow"]

_TEXT_LENGTH: Final = 1000  # characters; what clients and upstreams choose has no bound of its own
_LIST_LENGTH: Final = 50
_LARGEST: Final = 2**63 - 1


class BadLineError(Exception):
    """A line of the spool that is no row."""


@define(frozen=True, kw_only=True)
class RequestRow:
    """One request. All texts are such as a database takes, whoever chose them, and of bounded length."""

    id: str
    at: float
    """When it began, in Unix seconds."""
    route: str
    provider: str | None = None
    account: str | None = None
    actor_id: str | None = None
    actor: str | None = None
    model: str | None = None
    stream: bool = False
    outcome: str | None = None
    status: int | None = None
    upstream_request_id: str | None = None
    code: str | None = None
    reason: str | None = None
    stop_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    attempts: str = "[]"
    """JSON: a list of objects with account, fault, status, ms."""
    switch: str | None = None
    """JSON: an object with account, reason, cached_tokens, usd."""
    events: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    ms_to_content: int | None = None
    ms: int | None = None
    notes: str | None = None
    """JSON: a list of texts."""

    @classmethod
    def of(cls, record: RequestRecord) -> RequestRow:
        """Return a record as it is now."""
        usage = record.usage or {}
        attempts = [
            {"account": a.account, "fault": a.fault, "status": a.status, "ms": a.milliseconds}
            for a in record.attempts[:_LIST_LENGTH]
        ]
        return cls(
            id=record.id,
            at=record.at,
            route=_text(record.route) or "",
            provider=_text(record.provider),
            account=_text(record.account),
            actor_id=_text(record.actor_id),
            actor=_text(record.actor),
            model=_text(record.model),
            stream=record.stream,
            outcome=record.outcome,
            status=record.status,
            upstream_request_id=_text(record.upstream_request_id),
            code=_text(record.code),
            reason=_text(record.reason),
            stop_reason=_text(record.stop_reason),
            input_tokens=_count(usage.get("input_tokens")),
            output_tokens=_count(usage.get("output_tokens")),
            cache_read_tokens=_count(usage.get("cache_read_input_tokens")),
            cache_write_tokens=_count(usage.get("cache_creation_input_tokens")),
            attempts=encode_json(attempts).decode(),
            switch=None if record.switch is None else json.dumps(asdict(record.switch)),
            events=record.events,
            bytes_in=record.bytes_in,
            bytes_out=record.bytes_out,
            ms_to_content=record.milliseconds_to_content,
            ms=record.milliseconds,
            notes=json.dumps([_text(note) for note in record.notes[:_LIST_LENGTH]]) if record.notes else None,
        )

    @classmethod
    def from_line(cls, line: bytes) -> RequestRow:
        """Read a line of the spool; one of another version may have more columns, or fewer.

        Raises:
            BadLineError: it is no row.
        """
        try:
            return _converter.structure(msgspec.json.decode(line), cls)
        except (BaseValidationError, RecursionError, TypeError, ValueError) as error:
            raise BadLineError(f"no row of the ledger ({type(error).__name__})") from None

    def to_line(self) -> bytes:
        """Return it as a line of the spool, without the end of the line."""
        return msgspec.json.encode(self.columns())

    def columns(self) -> dict[str, Any]:
        """Return its values by the names of the table's columns."""
        return dict(zip(_COLUMNS, _values(self), strict=True))


_COLUMNS: Final = tuple(field.name for field in fields(RequestRow))
_values: Final = attrgetter(*_COLUMNS)


def _as_is(kind: type[Any] | tuple[type[Any], ...]) -> Any:
    def check(value: Any, _: Any) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError("a value of another type")
        return value

    return check


_converter: Final = Converter()
for _kind, _accepted in ((str, str), (int, int), (float, (float, int)), (bool, bool)):
    _converter.register_structure_hook(_kind, _as_is(_accepted))


def _text(value: str | None) -> str | None:
    """Return a text without what no database takes: NUL characters and lone surrogates."""
    if value is None:
        return None
    short = value[:_TEXT_LENGTH]
    return short.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _count(value: object) -> int | None:
    """Return a count that an upstream gave, if it is one."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        return None
    return value
