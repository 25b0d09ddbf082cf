"""`/api/v1/overview`: the last hour, and how the gateway is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from gateway.controlplane.access import Access
from gateway.controlplane.endpoints import Call, endpoint
from gateway.controlplane.health import HealthView
from gateway.controlplane.parts import Parts
from gateway.ledger.totals import SPANS, percentile
from gateway.store.request_queries import TotalsFilter

__all__ = ["ENDPOINTS"]

_SPAN: Final = SPANS[0]
_SPANS: Final = 12
_NANO: Final = 1e-9


class OverviewQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is summed."""

    provider: Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern=r"^[a-z0-9_-]+$")] | None = None


class HourSums(msgspec.Struct, kw_only=True):
    """What an hour's requests add up to."""

    requests: int
    errors: int
    """Requests that went wrong, and not by their client's doing."""
    cost_usd: float
    unpriced: int
    """Requests whose cost is not known."""
    prompt_tokens: int
    """What was read from a cache, or written to one, included."""
    output_tokens: int
    cached_share: float | None
    """Share of the prompts that was read from a cache."""
    first_content_p50_ms: float | None
    """Until the first content of an answer: half of the requests had it by then."""
    first_content_p95_ms: float | None


class ProviderSums(msgspec.Struct, kw_only=True):
    """The hour of one provider."""

    provider: str
    sums: HourSums


class OverviewSeries(msgspec.Struct, kw_only=True):
    """The hour in spans of five minutes; the last one is not over."""

    starts: list[int]
    requests: list[int]
    errors: list[int]
    cost_usd: list[float]
    output_tokens: list[int]
    cached_share: list[float | None]
    first_content_p50_ms: list[float | None]
    first_content_p95_ms: list[float | None]


class Overview(msgspec.Struct, kw_only=True):
    """The last hour, and how the gateway is now."""

    since: float
    """Where the hour begins, which is between 55 and 60 minutes long. Its sums are two seconds old at most."""
    span_seconds: int
    sums: HourSums
    series: OverviewSeries
    providers: list[ProviderSums]
    health: HealthView


@endpoint("GET", "/api/v1/overview", access=Access.VIEWER, query=OverviewQuery, answer=Overview)
async def get_overview(parts: Parts, call: Call) -> Overview:
    """Add up the last hour, and say how the gateway is."""
    provider = call.query.provider
    first = (int(datetime.now(UTC).timestamp()) // _SPAN - _SPANS + 1) * _SPAN
    until = first + _SPANS * _SPAN
    wanted = TotalsFilter(provider=provider)
    by = ("start", "provider")
    totals = await parts.requests.totals(_SPAN, first, until, by=by, wanted=wanted)
    times = await parts.requests.latencies("first_content", _SPAN, first, until, by=by, wanted=wanted)
    wrong = await parts.requests.wrong_by_span(_SPAN, first, _SPANS, provider=provider)
    hour = _Hour(first, totals, times, wrong)
    names = sorted({str(row["provider"]) for row in totals} | set(wrong))
    files = parts.workers
    reports = [] if files is None else await asyncio.to_thread(files.read)
    return Overview(
        since=first,
        span_seconds=_SPAN,
        sums=hour.sums(),
        series=hour.series(),
        providers=[ProviderSums(provider=name, sums=hour.sums(provider=name)) for name in names if name],
        health=await parts.vitals.look(
            (report.health for report in reports), are_all=files is None or files.has_all(reports)
        ),
    )


class _Hour:
    def __init__(
        self,
        first: int,
        totals: Sequence[Mapping[str, Any]],
        times: Mapping[tuple[Any, ...], Mapping[int, int]],
        wrong: Mapping[str, Sequence[int]],
    ) -> None:
        self._totals, self._times, self._wrong = totals, times, wrong
        self._starts = [first + _SPAN * number for number in range(_SPANS)]

    def sums(self, *, start: int | None = None, provider: str | None = None) -> HourSums:
        """Add up all of it, a span, or what one provider has of it."""

        def counts(group: tuple[int, str]) -> bool:
            return (start is None or group[0] == start) and (provider is None or group[1] == provider)

        rows = [row for row in self._totals if counts((row["start"], row["provider"]))]
        written = _add(rows, "cache_write_5m_tokens") + _add(rows, "cache_write_1h_tokens")
        read = _add(rows, "cache_read_tokens")
        prompt = _add(rows, "input_tokens") + written + read
        buckets: Counter[int] = Counter()
        for (begin, name), found in self._times.items():
            if counts((begin, name)):
                buckets.update(found)
        wrong = [numbers for name, numbers in self._wrong.items() if provider is None or name == provider]
        if start is not None:
            place = self._starts.index(start)
            wrong = [numbers[place : place + 1] for numbers in wrong]
        return HourSums(
            requests=_add(rows, "requests"),
            errors=sum(map(sum, wrong)),
            cost_usd=_add(rows, "cost_nanousd") * _NANO,
            unpriced=_add(rows, "unpriced"),
            prompt_tokens=prompt,
            output_tokens=_add(rows, "output_tokens"),
            cached_share=round(read / prompt, 4) if prompt else None,
            first_content_p50_ms=percentile(buckets, 0.5),
            first_content_p95_ms=percentile(buckets, 0.95),
        )

    def series(self) -> OverviewSeries:
        """Return the spans one by one."""
        spans = [self.sums(start=start) for start in self._starts]
        names = [name for name in OverviewSeries.__struct_fields__ if name != "starts"]
        return OverviewSeries(
            starts=self._starts, **{name: [getattr(one, name) for one in spans] for name in names}
        )


def _add(rows: Iterable[Mapping[str, Any]], name: str) -> int:
    return sum(row[name] for row in rows)


ENDPOINTS: Final = (get_overview,)
