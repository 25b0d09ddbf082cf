"""A name server that hangs holds up nobody but those who wait for the name."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from typing import Any

import pytest

from gateway.dataplane.names import HostName
from tests.replay.raw_client import LIMIT

NAME = "slow.example"
FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]


class Hanging:
    """A look-up that waits until it is let go."""

    def __init__(self) -> None:
        """Hang from the beginning."""
        self.go_on = threading.Event()
        self.asked = 0

    def __call__(self, host: str, *_: Any, **__: Any) -> list[Any]:
        assert host == NAME
        self.asked += 1
        assert self.go_on.wait(LIMIT)
        return FOUND


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Generator[Hanging]:
    lookup = Hanging()
    monkeypatch.setattr("gateway.dataplane.names.socket.getaddrinfo", lookup)
    yield lookup
    lookup.go_on.set()


async def test_many_who_ask_share_a_look_up_and_who_leaves_leaves_it_to_the_others(hanging: Hanging) -> None:
    name = HostName(NAME, 80)
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(name.addresses()) for _ in range(50)]
        await asyncio.sleep(0)
        asked[0].cancel()
        # The threads that everything else uses are free.
        await asyncio.gather(*(asyncio.to_thread(int) for _ in range(50)))
        hanging.go_on.set()
    assert all(task.result() == FOUND for task in asked[1:])
    assert hanging.asked == 1
    assert await name.addresses() == FOUND
    assert hanging.asked == 2
    name.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_is_not_looked_up(host: str) -> None:
    name = HostName(host, 80)
    (found,) = await name.addresses()
    assert found[4][:2] == (host, 80)
    name.close()


async def test_a_name_that_nobody_knows_is_an_error_for_each_who_asks() -> None:
    name = HostName("nowhere.invalid", 80)
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await name.addresses()
    name.close()
