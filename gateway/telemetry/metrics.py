"""The gateway's metrics: which there are, what they are labelled with, and the page that a scrape gets.

Each gateway has a registry of its own, so that several can run in one process. Labels take values from bounded
sets only: routes are templates, models are those that answered, up to a number. With several workers the values
live in files that all of them share (`share_metrics`), and whoever is asked adds them up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import define, field
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["BoundedNames", "Family", "GatewayMetrics", "files_of_metrics", "forget_gauges", "share_metrics"]

_DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_OTHER: Final = "other"
_MOST_MODELS: Final = 50
_LONGEST_NAME: Final = 80

# A model's first word comes after a tenth of a second or after minutes; beyond 12 s clients get pings, and beyond
# 20 s Claude Code warns its user.
_TO_CONTENT: Final = (0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 12, 20, 30, 60, 120, 300, 600)
_GAPS: Final = (0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300)
_DURATIONS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600)
_LAG: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5)

# How the values of several workers become one.
_SUM: Final = "livesum"
_LATEST: Final = "livemostrecent"  # of what all of them know

_ANY: Final = "max"  # the same everywhere

_FILES: Final = {
    "counter": 512 * 1024,
    "histogram": 1024 * 1024,
    f"gauge_{_SUM}": 64 * 1024,
    f"gauge_{_LATEST}": 128 * 1024,
    f"gauge_{_ANY}": 64 * 1024,
}
"""The files of one worker, by the beginning of the names that prometheus_client gives them, each with a size in
bytes that will do for all the labels that there may be."""

disable_created_metrics()

_shared: list[Path] = []
"""Where the files are, in a worker."""


def files_of_metrics(workers: int) -> dict[str, int]:
    """Return the names and sizes in bytes of the files that workers share their metrics in."""
    return {f"{kind}_{place}.db": size for kind, size in _FILES.items() for place in range(workers)}


def share_metrics(directory: Path, place: int) -> None:
    """Keep the values of this process in files; to be called before there are any metrics.

    A worker that takes the place of one that died goes on with its counts, so that sums never fall and the files
    do not become more.

    Args:
        directory: the same for all workers of a gateway, and for no others.
        place: number of this worker; no two that run at the same time have the same.
    """
    os.environ[_DIRECTORY_VARIABLE] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: place)
    _shared[:] = [directory]


def forget_gauges(directory: Path, place: int) -> None:
    """Take back what a worker that died said of its state, for nobody else can; its counts stay.

    Args:
        directory: what `share_metrics` was given.
        place: of the worker, which must have ended.
    """
    for kind in _FILES:
        if kind.startswith("gauge_"):
            # The beginning of such a file says how much of it is in use.
            with suppress(OSError), (directory / f"{kind}_{place}.db").open("r+b") as file:
                file.write(bytes(8))


@define(frozen=True)
class Family:
    """What a metric is, for its documentation."""

    name: str
    kind: str
    """counter, gauge or histogram."""
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's."""


@define
class BoundedNames:
    """Lets the first so many names through and folds all others into one, so that no label grows without bound."""

    most: int = _MOST_MODELS
    _known: set[str] = field(factory=set, init=False)

    def fold(self, name: str | None) -> str:
        """Return the name, or `other`."""
        if name is None or not name or len(name) > _LONGEST_NAME or not name.isprintable():
            return _OTHER
        if name not in self._known:
            if len(self._known) >= self.most:
                return _OTHER
            self._known.add(name)
        return name

    def known(self, name: str | None) -> str:
        """Return the name if it was let through before, or `other`."""
        return name if name is not None and name in self._known else _OTHER


class GatewayMetrics:
    """All metrics of one gateway. Setting and counting takes microseconds and never waits."""

    def __init__(self) -> None:
        """Make them, at zero."""
        self.registry = CollectorRegistry()
        self.families: list[Family] = []
        self._make_requests()
        self._make_use()
        self._make_accounts()
        self._make_process()

    def _make_requests(self) -> None:
        self.requests = self._counter(
            "gateway_requests_total", "Requests that are over.", ("provider", "route", "outcome")
        )
        self.attempts = self._counter(
            "gateway_attempts_total",
            "Attempts at upstream accounts by fault class; `ok` where there was an answer with content, "
            "`unfinished` where the client left before.",
            ("provider", "class"),
        )
        self.violations = self._counter(
            "gateway_violations_total",
            "Streams that broke a rule of the protocol, by its code (docs/state-machine.md).",
            ("provider", "code"),
        )
        self.switches = self._counter(
            "gateway_session_switches_total",
            "Sessions that left the account that had their prompt cached.",
            ("provider",),
        )
        self.first_byte = self._histogram(
            "gateway_time_to_first_byte_seconds",
            "From a request's arrival to the head of its answer.",
            ("route",),
            _TO_CONTENT,
        )
        self.content = self._histogram(
            "gateway_time_to_content_seconds",
            "From a request's arrival to the first content of a stream.",
            ("provider", "model"),
            _TO_CONTENT,
        )
        self.gaps = self._histogram(
            "gateway_longest_gap_seconds",
            "Longest silence of the upstream in a stream, after its content began.",
            ("provider",),
            _GAPS,
        )
        self.durations = self._histogram(
            "gateway_request_duration_seconds",
            "From a request's arrival to the last event of its answer.",
            ("route", "stream"),
            _DURATIONS,
        )

    def _make_use(self) -> None:
        self.tokens = self._counter(
            "gateway_tokens_total",
            "Tokens by kind: `input` (not read from a cache, nor written to one), `output` (thinking included), "
            "`cache_read`, `cache_write_5m`, `cache_write_1h`.",
            ("provider", "model", "kind"),
        )
        self.thinking_tokens = self._counter(
            "gateway_thinking_tokens_total",
            "Output tokens that were thinking, where the upstream says so; part of `output`.",
            ("provider", "model"),
        )
        self.server_tool_uses = self._counter(
            "gateway_server_tool_uses_total", "Uses of tools that the provider runs.", ("provider", "tool")
        )
        self.cost = self._counter(
            "gateway_cost_usd_total", "What requests cost, in USD (docs/cost-and-usage.md).", ("provider", "model")
        )
        self.unpriced = self._counter(
            "gateway_unpriced_requests_total", "Requests whose cost is not known.", ("provider", "model")
        )

    def _make_accounts(self) -> None:
        self.accounts = self._gauge(
            "gateway_accounts", "Upstream accounts by state.", ("provider", "state"), mode=_LATEST
        )
        self.limit_used = self._gauge(
            "gateway_limit_utilization_ratio",
            "Used share of a limit, 1 for all of it: of the account that has used least of it, and of the one "
            "that has used most.",
            ("provider", "window", "of"),
            mode=_LATEST,
        )
        self.refreshes = self._counter(
            "gateway_credential_refreshes_total",
            "Renewals of credentials by result: `renewed`, `postponed`, `lost`, `impossible`.",
            ("provider", "result"),
        )
        self.in_flight = self._gauge(
            "gateway_requests_in_flight", "Requests that have a place on an account.", ("provider",), mode=_SUM
        )
        self.queue = self._gauge(
            "gateway_queue_length", "Requests that wait for a place on an account.", ("provider",), mode=_SUM
        )
        self.streams = self._gauge(
            "gateway_streams_open", "Answers on their way to a client.", ("provider",), mode=_SUM
        )
        self.forwarded = self._gauge(
            "gateway_forwarded_connections",
            "Connections below `/v1` that are joined with one to an existing proxy (docs/openai-routes.md).",
            mode=_SUM,
        )

    def _make_process(self) -> None:
        self.ledger_rows = self._counter(
            "gateway_ledger_rows_total",
            "Records of requests by what became of them: `written` at once, `spooled` because the database was "
            "away, `replayed` from the spool, `refused` by the database, `lost`.",
            ("fate",),
        )
        self.ledger_waiting = self._gauge(
            "gateway_ledger_rows_waiting", "Records that are not durable yet; answers wait for them.", mode=_SUM
        )
        self.ledger_spool = self._gauge(
            "gateway_ledger_spool_bytes",
            "Size of the files in which records wait for the database, those of all workers.",
            mode=_LATEST,
        )
        self.ledger_away = self._gauge(
            "gateway_ledger_database_away", "Workers whose database does not take records.", mode=_SUM
        )
        self.loop_lag = self._histogram(
            "gateway_event_loop_lag_seconds",
            "How late the event loop wakes a task that sleeps half a second: how long it was busy with one thing.",
            (),
            _LAG,
        )
        self.log_lines_dropped = self._counter(
            "gateway_log_lines_dropped_total", "Log lines that were dropped because nobody took them off."
        )
        self.draining = self._gauge("gateway_draining", "Workers that take no new requests any more.", mode=_SUM)
        self.workers = self._gauge("gateway_workers", "Processes that serve.", mode=_SUM)
        self.build = self._gauge(
            "gateway_build_info",
            "Always 1; the labels say what runs.",
            ("version", "python", "rollout"),
            mode=_ANY,
        )

    def _counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        self.families.append(Family(name, "counter", tuple(labels), text))
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str] = (), *, mode: str) -> Gauge:
        self.families.append(Family(name, "gauge", tuple(labels), text))
        # ty: the modes are a Literal of the library's own.
        return Gauge(name, text, labels, registry=self.registry, multiprocess_mode=mode)  # ty: ignore[invalid-argument-type]

    def _histogram(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
        self.families.append(Family(name, "histogram", tuple(labels), text, tuple(buckets)))
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)

    def page(self, accept: str) -> tuple[bytes, str]:
        """Return what a scrape gets, and its content type; takes milliseconds, so it is for a thread.

        Args:
            accept: the request's header, which says whether it understands OpenMetrics.
        """
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):
            # A version that is none.
            encode, content_type = choose_encoder("")
        registry = self.registry
        if _shared:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(_shared[0]))
        return encode(registry), content_type
