"""Writes the pages of this folder that are generated from code: `make docs`.

With `--check` nothing is written; the exit status says whether the pages are current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import attrs

from gateway import config
from gateway.accounts import health
from gateway.controlplane.api import ENDPOINTS
from gateway.controlplane.openapi import make_document
from gateway.controlplane.setting_views import field_docs
from gateway.providers.base import FaultClass
from gateway.telemetry.metrics import GatewayMetrics
from sse_fsm.diagram import render

_HERE: Final = Path(__file__).parent

_CONFIGURATION: Final = """\
# Configuration

Settings come from a TOML file (`--config FILE`) and from the environment, which wins. The variable of a setting
is `GATEWAY_` and its name in upper case; for one in a table the table's name and two underscores come before it.

```toml
listen = "0.0.0.0:8787"        # or GATEWAY_LISTEN

[timeouts]
drain_seconds = 120            # or GATEWAY_TIMEOUTS__DRAIN_SECONDS

[credential_commands]          # in the file only
work = ["op", "read", "op://team/anthropic/key"]
```

Unknown settings are refused in the file; in the environment they bring a warning. `GATEWAY_SMOKE_KEY`,
`GATEWAY_SMOKE_OPENAI_KEY`, `GATEWAY_COMPARE_OLD_KEY`, `GATEWAY_COMPARE_NEW_KEY` and `GATEWAY_CONFORMANCE_KEY` are
no settings but keys for the commands of [canary-tools.md](canary-tools.md) and [conformance.md](conformance.md).
`GATEWAY_REVISION` is what an image says it was built from, for `gateway --version`, and `GATEWAY_NO_DASHBOARD`,
set to 1, leaves the dashboard out of a [package that is built](dashboard.md#build-it).
Times are in seconds, above 0 unless it says otherwise, and at most 1000000. Generated from `gateway/config.py`
by `make docs`."""


_FILE_ONLY: Final = {"credential_commands"}


def configuration() -> str:
    """Return the page about settings."""
    parts = [_CONFIGURATION]
    for title, cls, prefix in (
        ("Settings", config.Settings, "GATEWAY_"),
        ("`[timeouts]`", config.Timeouts, "GATEWAY_TIMEOUTS__"),
        ("`[limits]`", config.Limits, "GATEWAY_LIMITS__"),
        ("`[routing]`", config.Routing, "GATEWAY_ROUTING__"),
        ("`[retention]`", config.Retention, "GATEWAY_RETENTION__"),
        ("`[dashboard]`", config.DashboardSettings, "GATEWAY_DASHBOARD__"),
    ):
        docs = field_docs(cls)
        parts.append(f"\n## {title}\n\n| setting | variable | default | meaning |\n|---|---|---|---|\n")
        for field in attrs.fields(cls):
            if not field.init or field.name in {"timeouts", "limits", "routing", "retention", "dashboard"}:
                continue
            variable = "" if field.name in _FILE_ONLY else f"`{prefix}{field.name.upper()}`"
            parts.append(f"| `{field.name}` | {variable} | {_default(field)} | {docs[field.name]} |\n")
    return "".join(parts)


def _default(field: attrs.Attribute) -> str:
    value = field.default
    if not isinstance(value, (str, int, float)) or value == "":
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


_FAULTS: Final = """\
# What trouble means

Before the first content of an answer every failure is put into one of these classes. The class says what becomes
of the request and what of the account; after the first content nothing is tried again. Generated from
`gateway/accounts/health.py` by `make docs`; each class is tested with the recorded answers that are named.

| class | upstream says | account | request | recorded |
|---|---|---|---|---|
"""


_FAULTS_END: Final = """\
| (none) | nothing: the client has gone | untouched | ended upstream at once, and recorded as `cancelled` | |

A success closes the breaker. It ends a rest or a `needs_reauth` only if the request was sent to find out. One
whose headers say that it was billed beyond the plan lets the account rest until the plan starts anew, unless
`use_extra_usage` is set.

A paused account is never touched by traffic. An account that is alone is asked whatever its state, so that a
gateway before one key is no worse than the key ([why](decisions/0012-a-gateway-with-one-account-always-asks.md)).
"""


def faults() -> str:
    """Return the page about fault classes."""
    parts = [_FAULTS]
    for fault, row in health.CONSEQUENCES.items():
        recorded = ", ".join(f"`{name}`" for name in row.fixtures)
        cells = (fault.value, row.upstream_says, health.EFFECTS[row.account], _request_words(fault, row), recorded)
        parts.append(f"| {' | '.join(cells)} |\n")
    parts.append(_FAULTS_END)
    return "".join(parts)


def _request_words(fault: FaultClass, row: health.Consequence) -> str:
    if not row.try_next_account:
        return "returned as it came, but a 401 becomes a 503"
    words = "next account"
    if row.most_attempts is not None:
        words = f"{row.most_attempts} attempts at the most, each on an account of its own"
    if row.backs_off:
        words += ", after a moment that doubles"
    at_last = "a 503 that blames the account" if row.hide_from_client else "as it came"
    return f"{words}; then {'a 502 or 504' if fault is FaultClass.TRANSPORT else at_last}"


_METRICS: Final = """\
# Metrics

What `/metrics` on the control plane shows, for Prometheus and whatever speaks its language;
[observability.md](observability.md) says how to have it scraped. Generated from `gateway/telemetry/metrics.py` by
`make docs`. All times are in seconds.

Labels take few values: `route` is one without ids on which a provider was asked, `model` one that has answered;
the first 50 of each are told apart, and all others are `other`. `provider` is `anthropic` or `openai`, or
`gateway` where none was asked. With several workers every scrape shows the sum over all of them, those that died
included.

| metric | type | labels | meaning |
|---|---|---|---|
"""


def metrics() -> str:
    """Return the page about metrics."""
    families = GatewayMetrics().families
    parts = [_METRICS]
    for family in families:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        parts.append(f"| `{family.name}` | {family.kind} | {labels} | {family.help} |\n")
    parts.append("\nThe upper bounds of the histograms' buckets:\n\n")
    for family in families:
        if family.buckets:
            bounds = ", ".join(f"{bound:g}" for bound in family.buckets)
            parts.append(f"- `{family.name}`: {bounds}\n")
    return "".join(parts)


def openapi() -> str:
    """Return the document of the admin API; the dashboard's types are made from it."""
    return json.dumps(make_document(ENDPOINTS, "0"), indent=1, ensure_ascii=False) + "\n"


PAGES: Final = {
    "openapi.json": openapi,
    "metrics.md": metrics,
    "fault-table.md": faults,
    "configuration.md": configuration,
    "state-machine.md": lambda: render("markdown"),
}


def main(argv: list[str]) -> int:
    """Write the pages, or check them."""
    stale = [name for name, page in PAGES.items() if _read(_HERE / name) != page()]
    if "--check" in argv:
        for name in stale:
            print(f"docs/{name} is not current; run: make docs")
        return 1 if stale else 0
    for name in stale:
        (_HERE / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
