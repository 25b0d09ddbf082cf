"""Reads a gateway's control plane as Prometheus does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from attrs import define
from prometheus_client.parser import text_string_to_metric_families

from tests.replay.raw_client import RawConnection, RawResponse

Labels = frozenset[tuple[str, str]]

LOOPBACK: Final = ("Host", "localhost")


async def ask_control(
    url: str | None,
    target: str = "/metrics",
    *,
    headers: Iterable[tuple[str, str]] = (LOOPBACK,),
    method: str = "GET",
) -> RawResponse:
    """Ask on a connection of its own; nothing is sent but these headers."""
    assert url is not None
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**25)
    connection = RawConnection(reader, writer)
    try:
        await connection.send(target, usual=headers, method=method)
        return await connection.receive(method=method)
    finally:
        await connection.close()


@define(frozen=True)
class Scrape:
    """What a scrape brought."""

    samples: Mapping[tuple[str, Labels], float]
    kinds: Mapping[str, str]
    """By the names of families."""

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of this name that have these labels."""
        wanted = labels.items()
        found = [
            value for (sample, given), value in self.samples.items() if sample == name and wanted <= set(given)
        ]
        return sum(found)

    def labels(self, name: str, label: str) -> set[str]:
        """Return the values of a label."""
        return {dict(given)[label] for sample, given in self.samples if sample == name}


def parse(page: bytes) -> Scrape:
    """Read a page of metrics."""
    samples: dict[tuple[str, Labels], float] = {}
    kinds: dict[str, str] = {}
    for family in text_string_to_metric_families(page.decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert name not in kinds, f"{name} is there twice"
        kinds[name] = family.type
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, f"{key} is there twice"
            samples[key] = sample.value
    return Scrape(samples, kinds)


async def scrape(url: str | None, token: str = "") -> Scrape:
    """Get the metrics."""
    extra = [("Authorization", f"Bearer {token}")] if token else []
    answer = await ask_control(url, headers=[LOOPBACK, *extra])
    assert answer.status == 200, answer
    return parse(answer.body)
