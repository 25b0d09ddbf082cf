"""A request's record as a row of the table `requests`, and as a line of the spool."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from operator import attrgetter
from typing import Any, Final

import msgspec
from attrs import asdict, define, fields
from cattrs import Converter
from cattrs.errors import BaseValidationError

from gateway.ledger.record import RequestRecord
from gateway.pricing.usage import Usage
from gateway.wire.errors import encode_json

__all__ = ["BadLineError", "DamagedRow", "RequestRow"]

_TEXT_LENGTH: Final = 1000  # characters; what clients and upstreams choose has no bound of its own
_LIST_LENGTH: Final = 50


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
    """JSON: a list of objects with account, fault, status, ms, and began_ms after the request did."""
    switch: str | None = None
    """JSON: an object with account, reason, cached_tokens, usd."""
    events: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    ms_to_content: int | None = None
    ms: int | None = None
    notes: str | None = None
    """JSON: a list of texts."""
    session: str | None = None
    agent: str | None = None
    client: str | None = None
    request_class: str | None = None
    model_served: str | None = None
    api_version: str | None = None
    iterations: str | None = None
    """JSON; `gateway.pricing.usage` reads it, and the counters."""
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    cost_note: str | None = None
    trace_id: str | None = None
    thinking_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    web_searches: int | None = None
    web_fetches: int | None = None
    code_executions: int | None = None
    cost_nanousd: int | None = None
    """1e-9 USD; None with the reason in `cost_note`."""
    ms_to_first_byte: int | None = None
    longest_gap_ms: int | None = None
    ended_at: float | None = None
    """In Unix seconds; None for one of an older version."""
    timeline: str | None = None
    """In base64; kept in a table of its own."""

    @property
    def damage(self) -> str | None:
        """What of it cannot be read, in a sentence; None for a row that is whole."""
        return None

    @classmethod
    def of(cls, record: RequestRecord) -> RequestRow:
        """Return a record as it is now."""
        counts = record.counts or _NOTHING_COUNTED
        cost = record.cost
        attempts = [
            {"account": a.account, "fault": a.fault, "status": a.status, "ms": a.milliseconds}
            | ({} if a.began_milliseconds is None else {"began_ms": a.began_milliseconds})
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
            attempts=encode_json(attempts).decode(),
            switch=None if record.switch is None else json.dumps(asdict(record.switch)),
            events=record.events,
            bytes_in=record.bytes_in,
            bytes_out=record.bytes_out,
            ms_to_content=record.milliseconds_to_content,
            ms=record.milliseconds,
            notes=json.dumps([_text(note) for note in record.notes[:_LIST_LENGTH]]) if record.notes else None,
            session=_text(record.session),
            agent=_text(record.agent),
            client=_text(record.client),
            request_class=_text(record.request_class),
            model_served=_text(record.model_served),
            api_version=_text(record.api_version),
            cost_note="no price was worked out" if cost is None else _text(cost.note),
            trace_id=_text(record.trace_id),
            cost_nanousd=None if cost is None else cost.nanousd,
            ms_to_first_byte=record.milliseconds_to_first_byte,
            longest_gap_ms=record.longest_gap_milliseconds,
            ended_at=record.at + (record.milliseconds or 0) / 1000,
            **counts.columns(),
            timeline=None if record.timeline is None else b64encode(record.timeline).decode(),
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
        line = self.columns() | {"timeline": self.timeline}
        return msgspec.json.encode({name: value for name, value in line.items() if value is not None})

    def columns(self) -> dict[str, Any]:
        """Return its values by the names of the columns of `requests`."""
        return dict(zip(_COLUMNS, _values(self), strict=True))

    def timeline_columns(self) -> dict[str, Any] | None:
        """Return its values by the names of the columns of `request_timelines`; None where it has no timeline."""
        if self.timeline is None:
            return None
        try:
            timeline = b64decode(self.timeline, validate=True)
        except ValueError:  # of a line that somebody wrote
            return None
        return {"id": self.id, "at": self.at, "timeline": timeline}


@define(frozen=True, kw_only=True)
class DamagedRow(RequestRow):
    """What can be read of a row of the database that the gateway cannot have written."""

    unreadable: tuple[str, ...]
    """Columns that hold something else than they should; here they are as if nothing were known of them."""

    @property
    def damage(self) -> str:
        """What of it cannot be read, in a sentence."""
        return f"this row cannot be read: nonsense in {', '.join(self.unreadable)}"


_NOTHING_COUNTED: Final = Usage()
_COLUMNS: Final = tuple(field.name for field in fields(RequestRow) if field.name != "timeline")
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
