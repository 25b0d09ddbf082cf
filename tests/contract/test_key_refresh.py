"""What befalls the database of client keys while the gateway runs."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.app import run_gateway
from gateway.config import Settings
from gateway.replay.server import ReplayUpstream
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database, database_path
from gateway.store.secret import load_secret_key
from tests.contract.harness import ACCOUNT_KEY, SECRET, RecordingLedger, Served
from tests.log_watch import recent_events

LIMIT = 30
TROUBLE = "cannot read the database; what is known stays valid"


def spoil(path: Path) -> None:
    """Put in what the schema would not let in: a number where the hash of a key belongs."""
    with closing(sqlite3.connect(path)) as file, file:
        file.executescript(
            # The gateway must not read what is half done.
            "BEGIN IMMEDIATE;"
            "ALTER TABLE client_keys RENAME TO old;"
            "CREATE TABLE client_keys (id, name, digest, prefix, created_at, revoked_at, secret_id);"
            "INSERT INTO client_keys VALUES ('key_0', 'nonsense', 5, 'csg_', '2026-01-01', NULL, NULL);"
            "UPDATE revisions SET version = version + 1 WHERE topic = 'keys';"
            "COMMIT;"
        )


async def test_a_database_that_holds_nonsense_ends_neither_the_gateway_nor_its_known_keys(tmp_path: Path) -> None:
    path = database_path("", tmp_path)
    pepper = load_secret_key(SECRET, tmp_path)
    async with Database("", tmp_path) as database:
        _, key = await ClientKeyStore(database).create("contract", pepper)
    async with ReplayUpstream() as upstream:
        settings = Settings(
            listen="127.0.0.1:0",
            data_dir=str(tmp_path),
            secret_key=SECRET,
            anthropic_base_url=upstream.url,
            anthropic_api_key=ACCOUNT_KEY,
        )
        async with run_gateway(settings) as gateway:
            served = Served(gateway, upstream, RecordingLedger(), key)
            # In a thread: the gateway may be writing, and goes on while this waits.
            await asyncio.to_thread(spoil, path)
            async with asyncio.timeout(LIMIT):
                while not (found := [event for event in recent_events() if event["event"] == TROUBLE]):
                    assert (await served.stream()).status == 200
            assert "client_keys of the database holds a row" in found[0]["problem"]
            await served.assert_serves()
