"""Places on the control plane: whoever takes many of them leaves some to everybody else, and to probes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import DashboardSettings
from gateway.controlplane.shares import Shares
from gateway.controlplane.sign_in.addresses import Networks, network_of
from tests.controlplane.visitors import Place, dashboard
from tests.observability.scraping import ask_control
from tests.replay.raw_client import LIMIT

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

BEGUN: Final = b"GET /assets/app.js HTTP/1.1\r\nhost: gateway\r\n"
"""Of a request head that does not come to its end."""


async def connect(place: Place, address: str) -> Connection:
    where = urlsplit(place.url)
    return await asyncio.open_connection(where.hostname, where.port, local_addr=(address, 0))


@asynccontextmanager
async def crowd(place: Place, addresses: Sequence[str], sent: bytes = BEGUN) -> AsyncGenerator[list[Connection]]:
    """Open a connection from each of some addresses that sends a little and waits; give them."""
    opened: list[Connection] = []
    try:
        for address in addresses:
            connection = await connect(place, address)
            opened.append(connection)
            with suppress(ConnectionError):
                connection[1].write(sent)
                await connection[1].drain()
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def turned_away(opened: Sequence[Connection], number: int) -> None:
    """Wait until so many of some connections are closed."""

    async def closed(reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            await reader.read()

    waiting = {asyncio.ensure_future(closed(reader)) for reader, _ in opened}
    try:
        async with asyncio.timeout(LIMIT):
            while len(opened) - len(waiting) < number:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def page_of(place: Place, address: str) -> int:
    """Open the dashboard from an address, with a connection of its own, and return the status."""
    return (await place.browser(address=address).ask("GET", "/")).status


async def test_two_hundred_slow_connections_of_one_address_keep_nobody_else_out() -> None:
    async with dashboard() as place:
        ana = await place.add("ana")
        ana.address = "127.0.0.3"
        async with crowd(place, ["127.0.0.2"] * 200) as opened:
            await turned_away(opened, 100)
            assert await page_of(place, "127.0.0.3") == 200
            assert await page_of(place, "127.0.0.1") == 200
            assert (await ana.get("/api/v1/overview"))[0] == 200
            assert (await ask_control(place.url, "/healthz")).status == 200
        # What they had is free again.
        async with asyncio.timeout(LIMIT):
            while True:
                with suppress(aiohttp.ClientError):
                    if await page_of(place, "127.0.0.2") == 200:
                        break
                await asyncio.sleep(0.01)


async def test_slow_connections_of_very_many_addresses_leave_probes_of_this_machine_alone() -> None:
    addresses = [f"127.0.{number // 200 + 1}.{number % 200 + 2}" for number in range(200)]
    async with dashboard() as place, crowd(place, addresses) as opened:
        await turned_away(opened, 50)
        for _ in range(3):
            assert (await ask_control(place.url, "/healthz")).status == 200
            assert await page_of(place, "127.0.0.1") == 200


async def test_who_sends_slowly_through_a_proxy_keeps_neither_others_behind_it_out_nor_probes() -> None:
    behind = DashboardSettings(trusted_networks=["127.0.0.5"])
    async with dashboard(dashboard=behind) as place:
        await place.add("ana")
        slow = (
            b"POST /api/v1/session HTTP/1.1\r\nhost: gateway\r\nx-forwarded-for: 192.0.2.1\r\n"
            b"content-type: application/json\r\ncontent-length: 60\r\n\r\n{"
        )
        async with crowd(place, ["127.0.0.5"] * 140, slow) as opened:
            await turned_away(opened, 100)
            other = place.browser(address="127.0.0.5", headers={"x-forwarded-for": "192.0.2.2"})
            assert (await other.sign_in()).status == 200
            assert (await ask_control(place.url, "/healthz")).status == 200


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=300))
def test_nobody_has_more_places_than_are_free_and_none_is_lost(steps: list[tuple[bool, int]]) -> None:
    shares, held = Shares(20, Networks(["192.0.2.1"]), 4), dict.fromkeys(range(1, 13), 0)
    for comes, number in steps:
        address, in_all = f"192.0.2.{number}", sum(held.values())
        if not comes:
            if held[number]:
                shares.give_back(address)
                held[number] -= 1
        elif shares.take(address):
            held[number] += 1
            assert number == 1 or held[number] <= 20 - in_all
        else:
            assert in_all >= 24 if number == 1 else held[number] >= 20 - in_all
    assert sum(held.values()) <= 24


def test_an_address_is_the_network_that_one_household_has() -> None:
    assert network_of("2001:db8:0:1:2:3:4:5") == network_of("2001:db8:0:1::9%eth0") == "2001:db8:0:1::/64"
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("no address") == "no address"
    assert "::ffff:10.0.0.9" in Networks(["10.0.0.0/24"])
    assert "fe80::1%eth0" in Networks(["fe80::/64"])
    assert "" not in Networks(["10.0.0.0/24"])
