"""``gateway replay`` as a process of its own."""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.cli import replay
from gateway.replay.server import ReplayUpstream
from tests.replay.raw_client import LIMIT, ask, connected, message

ROOT = Path(__file__).parents[2]
START = (
    "import argparse, sys; from gateway.cli import replay; "
    "parser = argparse.ArgumentParser(prog='gateway'); replay.add_parser(parser.add_subparsers()); "
    "arguments = parser.parse_args(); sys.exit(arguments.run(arguments))"
)


@asynccontextmanager
async def started(*arguments: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        START,
        "replay",
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def upstream_of(process: asyncio.subprocess.Process) -> ReplayUpstream:
    """Return where the process listens, in the form that the raw client takes."""
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT):
        line = (await process.stdout.readline()).decode()
    assert line.startswith("replay upstream listening on http://127.0.0.1:")
    return ReplayUpstream(port=int(line.rsplit(":", 1)[1]))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_prints_its_url_serves_and_ends_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "faults.txt"
    script.write_text("status:529\n")
    async with started("--listen", "127.0.0.1:0", "--faults", str(script)) as process:
        upstream = await upstream_of(process)
        assert (await ask(upstream, message())).status == 529
        assert (await ask(upstream, message())).status == 200
        process.send_signal(number)
        async with asyncio.timeout(LIMIT):
            _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def test_a_running_stream_may_finish_after_the_signal() -> None:
    async with started("--listen", "127.0.0.1:0") as process:
        upstream = await upstream_of(process)
        async with connected(upstream) as connection:
            await connection.send(
                body=message(stream=True), headers=[("x-replay-fault", "hang:event=3;seconds=0.3")]
            )
            await connection.head()
            process.send_signal(signal.SIGTERM)
            await connection.until(b"event: message_stop")
        async with asyncio.timeout(LIMIT):
            await process.communicate()
    assert process.returncode == 0


async def test_a_key_given_is_the_only_one_taken() -> None:
    async with started("--listen", "127.0.0.1:0", "--api-key", "right") as process:
        upstream = await upstream_of(process)
        assert (await ask(upstream, message())).json()["error"]["message"] == "invalid x-api-key"


async def test_a_port_in_use_is_one_sentence_and_exit_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with started("--listen", address) as process:
            async with asyncio.timeout(LIMIT):
                _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode() == (
        f"gateway replay: cannot listen on {address}: Address already in use. "
        "Choose another with --listen HOST:PORT.\n"
    )


async def test_a_bad_fault_script_is_one_sentence_and_exit_1(tmp_path: Path) -> None:
    script = tmp_path / "faults.txt"
    script.write_text("explode\n")
    async with started("--faults", str(script)) as process:
        async with asyncio.timeout(LIMIT):
            _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith(
        f"gateway replay: the fault script cannot be used: {script}: no fault is called"
    )
    assert errors.count(b"\n") == 1


def test_help_lists_every_fault_and_examples() -> None:
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    replay.add_parser(subparsers)
    text = subparsers.choices["replay"].format_help()
    assert "error-event" in text
    assert "--tokens-per-second 60" in text


@pytest.mark.parametrize("address", ["8790", "host:", "host:70000", "host:x"])
def test_an_address_that_is_none_is_refused(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    replay.add_parser(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["replay", "--listen", address])
    assert "is not HOST:PORT" in capsys.readouterr().err
