"""Requests as people and scripts are shown them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from gateway.cli.account_output import moment
from gateway.cli.columns import Columns
from gateway.ledger.readable import attempts_of, decoded, ended_by, notes_of, total_input, why
from gateway.ledger.row import RequestRow
from gateway.pricing.cost import Cost
from gateway.telemetry.logs import printable

__all__ = ["RequestTable", "dollars", "print_details", "seconds"]

_NOTHING: Final = "-"
_DAMAGED: Final = "damaged"
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
_PLACES: Final = Decimal("0.000001")


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
        row.outcome or (_NOTHING if row.damage is None else _DAMAGED),
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
    if row.damage is not None:
        yield _DAMAGED, f"{row.damage}; what follows is the rest of it"
    yield "time", moment(row.at)
    yield "route", printable(row.route)
    outcome = row.outcome or _NOTHING
    yield "outcome", outcome + (f" ({printable(row.stop_reason)})" if row.stop_reason else "")
    yield "HTTP status", _number(row.status)
    told = (
        ("violation", row.code),
        ("reason", ended_by(row)),
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
    switch = decoded(row.switch)
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
    yield from (("note", printable(note)) for note in notes_of(row))


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
