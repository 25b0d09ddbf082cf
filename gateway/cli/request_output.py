"""Requests as people and scripts are shown them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final, TextIO

from gateway.cli.account_output import iso, moment
from gateway.cli.columns import Columns
from gateway.cli.timeline_output import in_words
from gateway.ledger.row import RequestRow
from gateway.pricing.cost import Cost
from gateway.telemetry.logs import printable
from sse_fsm import EndReason, Outcome

__all__ = [
    "FIELDS",
    "RequestTable",
    "as_json",
    "attempts_of",
    "csv_cell",
    "dollars",
    "print_details",
    "seconds",
    "why",
    "write_csv",
    "write_lines",
]

_NOTHING: Final = "-"
_COLUMNS: Final = (
    "TIME",
    "OUTCOME",
    "HTTP",
    "MODEL",
    "ACTOR",
    "ACCOUNT",
    "IN",
    "OUT",
    "COST $",
    "FIRST",
    "TOTAL",
    "ID",
    "WHY",
)
_NUMBERS: Final = frozenset({"HTTP", "IN", "OUT", "COST $", "FIRST", "TOTAL"})
_JSON: Final = ("attempts", "switch", "notes", "iterations")
_PLACES: Final = Decimal("0.000001")
_WHY_LENGTH: Final = 40

FIELDS: Final = (
    "id",
    "at",
    "route",
    "provider",
    "account",
    "actor_id",
    "actor",
    "session",
    "agent",
    "request_class",
    "client",
    "api_version",
    "trace_id",
    "model",
    "model_served",
    "stream",
    "outcome",
    "status",
    "stop_reason",
    "code",
    "reason",
    "upstream_request_id",
    "input_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_read_tokens",
    "output_tokens",
    "thinking_tokens",
    "web_searches",
    "web_fetches",
    "code_executions",
    "iterations",
    "service_tier",
    "inference_geo",
    "speed",
    "cost_usd",
    "cost_note",
    "ms_to_first_byte",
    "ms_to_content",
    "longest_gap_ms",
    "ms",
    "events",
    "bytes_in",
    "bytes_out",
    "attempts",
    "switch",
    "notes",
)
"""What scripts get of a request, in this order."""


def as_json(row: RequestRow) -> dict[str, Any]:
    """Return a request as `--json` and exports show it; docs/operating.md says what the fields mean."""
    values = row.columns()
    cost = values.pop("cost_nanousd")
    values["cost_usd"] = None if cost is None else cost / 1e9
    values["at"] = iso(row.at)
    for name in _JSON:
        values[name] = _decoded(values[name])
    return {name: values[name] for name in FIELDS}


def _decoded(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text, parse_constant=lambda _: None)
    except ValueError:
        return text


def dollars(nanousd: int | None) -> str:
    """Return an amount as people read it: to a millionth, without zeros behind the cents."""
    if nanousd is None:
        return "?"
    text = format((Decimal(nanousd) / 10**9).quantize(_PLACES), "f").rstrip("0")
    whole, _, cents = text.partition(".")
    return f"{whole}.{cents.ljust(2, '0')}"


class RequestTable:
    """A table with a line per request, to which more may be added."""

    def __init__(self) -> None:
        """Begin without lines."""
        self._columns = Columns(_COLUMNS, _NUMBERS)
        self._has_heading = False

    def print(self, rows: Iterable[RequestRow]) -> None:
        """Print lines, and the heading with the first ones."""
        self._columns.print([_cells(row) for row in rows], heading=not self._has_heading)
        self._has_heading = True


def _cells(row: RequestRow) -> tuple[str, ...]:
    prompt = total_input(row)
    return (
        moment(row.at)[:19],
        row.outcome or _NOTHING,
        _number(row.status),
        _text(row.model_served or row.model),
        _text(row.actor),
        _text(row.account),
        _number(prompt),
        _number(row.output_tokens),
        dollars(row.cost_nanousd),
        seconds(row.ms_to_content),
        seconds(row.ms),
        row.id,
        why(row),
    )


def _reason(row: RequestRow) -> str | None:
    # That the upstream ended a stream in order, if too early, is recorded as nothing else than the outcome.
    reason = row.reason or (EndReason.EOF if row.outcome == Outcome.TRUNCATED else None)
    return in_words(reason) if reason else None


def attempts_of(row: RequestRow) -> list[dict[str, Any]]:
    """Return the attempts of a request: objects with account, fault, status, ms."""
    attempts = _decoded(row.attempts)
    return [one for one in attempts if isinstance(one, dict)] if isinstance(attempts, list) else []


def why(row: RequestRow) -> str:
    """Return in some words why a request did not go well; nothing for one that did."""
    if row.outcome == "complete":
        return ""
    if row.code:
        return printable(row.code, _WHY_LENGTH)
    attempts = attempts_of(row)
    if attempts and attempts[-1].get("fault"):
        return printable(str(attempts[-1]["fault"]), _WHY_LENGTH)
    notes = _decoded(row.notes)
    note = str(notes[0]) if row.outcome == "repaired" and isinstance(notes, list) and notes else ""
    words = _reason(row) or printable(note)
    return words if len(words) <= _WHY_LENGTH else words[: _WHY_LENGTH - 1] + "…"


def total_input(row: RequestRow) -> int | None:
    """Return all tokens of the prompt; None where none were counted."""
    counts = (row.input_tokens, row.cache_write_tokens, row.cache_read_tokens)
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _text(value: str | None) -> str:
    return _NOTHING if value is None else printable(value, 40)


def _number(value: int | None) -> str:
    return _NOTHING if value is None else str(value)


def seconds(ms: float | None) -> str:
    """Return a time in milliseconds as people read it."""
    return _NOTHING if ms is None else f"{ms / 1000:.2f} s"


def print_details(row: RequestRow, bill: Cost) -> None:
    """Print all that is known of one request.

    Args:
        row: the request.
        bill: its cost, worked out again line by line.
    """
    for name, value in _details(row):
        print(f"{name + ':':<16} {value}")
    if attempts := attempts_of(row):
        print("\nattempts:")
        for number, attempt in enumerate(attempts, 1):
            fault = attempt.get("fault") or "served"
            status = attempt.get("status") or "no answer"
            account, ms = printable(str(attempt.get("account"))), attempt.get("ms")
            print(f"  {number}. {account}: {status}, {fault}, {ms} ms")
    if bill.lines:
        print("\nbill:")
        several = len({line.model for line in bill.lines if line.model is not None}) > 1
        for line in bill.lines:
            what = f"{line.what}, {line.model}" if several and line.model is not None else line.what
            print(f"  {line.quantity:>12,} {what:<44} at ${line.unit_usd.normalize():f}  ${line.usd:f}")
        now = "" if bill.nanousd == row.cost_nanousd else f"; with the prices of today ${dollars(bill.nanousd)}"
        print(f"  {'':>12} {'recorded':<44} ${dollars(row.cost_nanousd)}{now}")


def _details(row: RequestRow) -> Iterator[tuple[str, str]]:
    yield "request", row.id
    yield "time", moment(row.at)
    yield "route", printable(row.route)
    outcome = row.outcome or _NOTHING
    yield "outcome", outcome + (f" ({printable(row.stop_reason)})" if row.stop_reason else "")
    yield "HTTP status", _number(row.status)
    told = (
        ("violation", row.code),
        ("reason", _reason(row)),
        ("provider", row.provider),
        ("account", row.account),
        ("actor", f"{row.actor} ({row.actor_id})" if row.actor_id else row.actor),
        ("client", row.client),
        ("session", row.session),
        ("agent", row.agent),
        ("request class", row.request_class),
        ("upstream id", row.upstream_request_id),
        ("trace id", row.trace_id),
        ("API version", row.api_version),
        ("model asked", row.model),
        ("model served", row.model_served),
        ("service tier", row.service_tier),
        ("inference geo", row.inference_geo),
        ("speed", row.speed),
    )
    yield from ((name, printable(value)) for name, value in told if value is not None)
    yield "stream", "yes" if row.stream else "no"
    yield "tokens", _tokens(row)
    yield "cost", f"${dollars(row.cost_nanousd)}" + (f" ({printable(row.cost_note)})" if row.cost_note else "")
    if row.cost_nanousd is None and "unknown" in (row.cost_note or ""):
        yield (
            "to price it",
            (
                "add the price to the file that prices_file (GATEWAY_PRICES_FILE) names, as "
                "docs/cost-and-usage.md says, then `gateway costs recompute`"
            ),
        )
    yield (
        "times",
        (
            f"first byte {seconds(row.ms_to_first_byte)}, content {seconds(row.ms_to_content)}, "
            f"longest gap {seconds(row.longest_gap_ms)}, total {seconds(row.ms)}"
        ),
    )
    yield "size", _size(row)
    switch = _decoded(row.switch)
    if isinstance(switch, dict):
        cost = switch.get("usd")
        price = "of unknown price" if cost is None else f"about ${cost:.4f}"
        yield (
            "moved",
            (
                f"its session left account {printable(str(switch.get('account')))} ({switch.get('reason')}): "
                f"{switch.get('cached_tokens')} cached tokens to be written again, {price}"
            ),
        )
    notes = _decoded(row.notes)
    if isinstance(notes, list):
        yield from (("note", printable(str(note))) for note in notes)


def _size(row: RequestRow) -> str:
    parts = [f"{row.events} events"] if row.stream else []
    # Of an answer that is no stream it was not always counted what came.
    if row.stream or row.bytes_in:
        parts.append(f"{row.bytes_in} bytes from upstream")
    return ", ".join([*parts, f"{row.bytes_out} bytes to the client"])


def _tokens(row: RequestRow) -> str:
    parts = (
        ("input", row.input_tokens),
        ("cache write", row.cache_write_tokens),
        ("(5 min)", row.cache_write_5m_tokens),
        ("(1 h)", row.cache_write_1h_tokens),
        ("cache read", row.cache_read_tokens),
        ("output", row.output_tokens),
        ("(thinking)", row.thinking_tokens),
        ("web searches", row.web_searches),
        ("web fetches", row.web_fetches),
        ("code executions", row.code_executions),
    )
    known = [f"{count:,} {name}" for name, count in parts if count is not None]
    return ", ".join(known) or "none counted"


def write_lines(rows: Iterable[RequestRow], out: TextIO) -> None:
    """Write requests as JSON lines."""
    out.writelines(json.dumps(as_json(row), ensure_ascii=False) + "\n" for row in rows)


def write_csv(rows: Sequence[RequestRow], out: TextIO, *, heading: bool) -> None:
    """Write requests as CSV; lists and objects are JSON in their cell."""
    writer = csv.writer(out)
    if heading:
        writer.writerow(FIELDS)
    for row in rows:
        values = as_json(row)
        writer.writerow([csv_cell(values[name]) for name in FIELDS])


def csv_cell(value: Any) -> Any:
    """Return a value for a spreadsheet, which must not take it for a formula; lists and objects become JSON."""
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        # A spreadsheet would take it for a formula, and clients choose some of these texts.
        return "'" + value
    return value
