"""Records of requests as programs and spreadsheets take them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, TextIO

from gateway.ledger.readable import decoded
from gateway.ledger.row import RequestRow
from gateway.telemetry.times import iso

__all__ = ["FIELDS", "as_json", "csv_cell", "write_csv", "write_lines"]

_JSON: Final = ("attempts", "switch", "notes", "iterations")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How texts begin that spreadsheets calculate; those of East Asia know the wide forms too."""

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
    "damage",
)
"""What scripts get of a request, in this order."""


def as_json(row: RequestRow) -> dict[str, Any]:
    """Return a request as `--json` and exports show it; docs/operating.md says what the fields mean."""
    values = row.columns()
    cost = values.pop("cost_nanousd")
    values["cost_usd"] = None if cost is None else cost / 1e9
    values["at"] = iso(row.at)
    values["damage"] = row.damage
    for name in _JSON:
        values[name] = decoded(values[name])
    return {name: values[name] for name in FIELDS}


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
    if isinstance(value, str) and value.startswith(_FORMULA):
        # A spreadsheet would take it for a formula, and clients choose some of these texts.
        return "'" + value
    return value
