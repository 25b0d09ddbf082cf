"""Turns samples into medians, ratios and verdicts."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

Samples = Mapping[str, Sequence[float]]
"""Values of one relay by measure, one per round."""


_WHOLE_PROCESSOR: Final = 0.9
"""Share of a processor above which nobody else can have used much of it."""


@attrs.frozen
class Spread:
    """Median and quartiles of some values."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of ``values``, which must not be empty."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, median, high)

    def __str__(self) -> str:
        """Return ``median (low-high)`` with sensible digits."""
        return f"{_short(self.median)} ({_short(self.low)}..{_short(self.high)})"


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.4g}"


@attrs.frozen
class Measure:
    """One row of the table: how a value is named and what is asked of it."""

    key: str
    title: str
    compare: str = "ratio"
    """``ratio`` to the yardstick, ``added`` to it, or ``own``: the value by itself."""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        """The target in words, or nothing."""
        unit = {"ratio": " x raw", "added": " over raw", "own": ""}[self.compare]
        if self.at_least is not None:
            return f">= {self.at_least:g}{unit}"
        return f"<= {self.at_most:g}{unit}" if self.at_most is not None else ""

    def verdict(self, value: float) -> str:
        """Return PASS or MISS, or nothing without a target."""
        if self.at_least is not None:
            return "PASS" if value >= self.at_least else "MISS"
        if self.at_most is not None:
            return "PASS" if value <= self.at_most else "MISS"
        return ""


MEASURES: Final = (
    Measure("blast_streams_per_s", "blast: streams/s", at_least=0.80),
    Measure("blast_cpu_us_per_event", "blast: CPU us/event"),
    Measure("blast_cpu_share", "blast: processors kept busy"),
    Measure("blast_first_content_p50_ms", "blast: first content p50, ms"),
    Measure("blast_first_content_p99_ms", "blast: first content p99, ms"),
    Measure("paced_cpu_us_per_event", "paced: CPU us/event", at_most=1.10),
    Measure("paced_first_content_p50_ms", "paced: first content p50, ms", "added"),
    Measure("paced_first_content_p99_ms", "paced: first content p99, ms", "added"),
    Measure("paced_delay_p50_ms", "paced: event delay p50, ms", "added"),
    Measure("paced_delay_p99_ms", "paced: event delay p99, ms", "added", at_most=1.0),
    Measure("paced_last_event_p50_ms", "paced: last event held, p50, ms", "added"),
    Measure("paced_last_event_p99_ms", "paced: last event held, p99, ms", "added", at_most=10.0),
    Measure("peak_rss_mib", "peak RSS under load, MiB"),
    Measure("start_rss_mib", "RSS after the first streams, MiB"),
    Measure("idle_kib_per_stream", "memory per open idle stream, KiB", at_most=1.3),
    Measure("big_rss_mib", "10 MB tool stream: RSS moves by, MiB", "own", at_most=16.0),
    Measure("big_mb_per_s", "10 MB tool stream: MB/s"),
)


@attrs.frozen
class Row:
    """One measure of a relay beside the yardstick's."""

    measure: Measure
    yardstick: Spread
    contender: Spread
    compared: Spread

    @property
    def verdict(self) -> str:
        """PASS, MISS or nothing."""
        return self.measure.verdict(self.compared.median)

    def as_json(self) -> dict[str, Any]:
        """Return the row as plain data."""
        spreads = {name: attrs.asdict(getattr(self, name)) for name in ("yardstick", "contender", "compared")}
        measure = {"title": self.measure.title, "compare": self.measure.compare}
        return {**measure, **spreads, "target": self.measure.target, "verdict": self.verdict}


_COMPARE: Final[Mapping[str, Callable[[float, float], float]]] = {
    "ratio": lambda own, yardstick: own / yardstick if yardstick else float("inf"),
    "added": lambda own, yardstick: own - yardstick,
    "own": lambda own, _: own,
}


def undisturbed(yardstick: Samples) -> bool:
    """Whether the yardstick, which a blast keeps busy all the time, had a processor for itself."""
    return Spread.of(yardstick["blast_cpu_share"]).low >= _WHOLE_PROCESSOR


def rows(yardstick: Samples, contender: Samples) -> list[Row]:
    """Compare round by round, so that a disturbance of the machine that both felt cancels out."""
    table = []
    for measure in MEASURES:
        theirs, own = yardstick.get(measure.key, ()), contender.get(measure.key, ())
        if not theirs or not own:
            continue
        compare = _COMPARE[measure.compare]
        compared = [compare(mine, other) for mine, other in zip(own, theirs, strict=True)]
        table.append(Row(measure, Spread.of(theirs), Spread.of(own), Spread.of(compared)))
    return table


def table(rows_: Sequence[Row], yardstick: str, contender: str) -> str:
    """Return the rows as a Markdown table, medians with quartiles in parentheses."""
    header = ("measure", yardstick, contender, f"{contender} vs {yardstick}", "target", "")
    lines = [header]
    for row in rows_:
        sign = {"ratio": " x", "added": " more", "own": ""}[row.measure.compare]
        compared = f"{_short(row.compared.median)}{sign}"
        spread = f"({_short(row.compared.low)}..{_short(row.compared.high)})"
        cells = (str(row.yardstick), str(row.contender), f"{compared} {spread}")
        lines.append((row.measure.title, *cells, row.measure.target, row.verdict))
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )
