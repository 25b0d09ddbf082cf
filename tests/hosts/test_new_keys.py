"""A key that was made a moment ago is good wherever it is used first."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil

from gateway.replay.server import ReplayUpstream
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.secret import load_secret_key
from tests.contract.harness import SECRET
from tests.faults.gateway_process import serving_process


async def test_a_key_that_was_just_made_is_known_to_every_worker_with_its_first_request() -> None:
    async with ReplayUpstream() as upstream, serving_process(upstream.url, WORKERS="2") as running:
        directory = Path(psutil.Process(running.pid).environ()["GATEWAY_DATA_DIR"])
        pepper = await asyncio.to_thread(load_secret_key, SECRET, directory)
        async with Database("", directory) as database:
            keys = ClientKeyStore(database)
            # Which of the workers takes a connection the kernel says.
            for number in range(3):
                stored, running.key = await keys.create(f"laptop{number}", pepper)
                assert (await running.ask()).status == 200
                _, running.key = await keys.rotate(stored.id, pepper, grace_seconds=0, is_id=True)
                assert (await running.ask()).status == 200
        running.key = "csg_" + "x" * 43
        answer = await running.ask()
        assert answer.status == 401
        assert b"does not know that key" in answer.body
