"""From a strange stream to a file that plays it again, through the gateway and the command."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from gateway.app import run_gateway
from gateway.cli import main
from gateway.config import ClientAuth, Settings, StreamMode
from gateway.replay.server import ReplayUpstream
from sse_fsm.__main__ import main as sse_fsm
from tests.contract.harness import ACCOUNT_KEY, GATEWAY_ID, SECRET
from tests.replay.raw_client import message

FAULTS: Final = {
    "cut off": ("cut:event=6", "truncated", 1),
    "ended early": ("eof:event=6", "truncated", 1),
    "a gap in the blocks": ("skip-index:block=0", "violation", 1),
    "an error inside": ("error-event:overloaded_error;event=8", "upstream_error", 1),
    "a second start": ("duplicate-start:event=5", "violation", 1),
    "garbage": ("garbage:event=5", "violation", 1),
    "another name": ("wrong-name:event=5", "violation", 1),
}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give gateway and command one data directory."""
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


async def stream(
    directory: Path, fault: str, mode: StreamMode = StreamMode.ENFORCE, *, played: bytes | None = None
) -> str:
    """Ask a gateway for a stream that goes wrong; return the request's id."""
    async with ReplayUpstream(stream=played) as upstream:
        settings = Settings(
            listen="127.0.0.1:0",
            data_dir=str(directory),
            secret_key=SECRET,
            client_auth=ClientAuth.OFF,
            stream_mode=mode,
            anthropic_base_url=upstream.url,
            anthropic_api_key=ACCOUNT_KEY,
        )
        headers = {"x-replay-fault": fault, "anthropic-version": "2023-06-01"}
        async with (
            run_gateway(settings) as gateway,
            aiohttp.ClientSession() as session,
            session.post(
                f"{gateway.url}/claude/v1/messages", json=message(stream=True), headers=headers
            ) as answer,
        ):
            try:
                await answer.read()
            except aiohttp.ClientPayloadError:
                assert mode is StreamMode.OBSERVE
            return answer.headers[GATEWAY_ID]


@pytest.mark.parametrize("name", FAULTS)
def test_a_strange_stream_is_shown_saved_and_judged_alike(
    name: str, directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault, outcome, status = FAULTS[name]
    request_id = asyncio.run(stream(directory, fault))
    assert main(["requests", "show", request_id]) == 0
    out = capsys.readouterr().out
    assert f"-- {outcome}" in out
    assert ("-- the client's answer begins --" in out) is (
        name != "a gap in the blocks"
    )  # that comes before any content
    saved = tmp_path / "strange.sse"
    assert main(["requests", "show", request_id, "--save", str(saved)]) == 0
    assert main(["requests", "show", request_id, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert shown["timeline"]["outcome"] == outcome
    assert sse_fsm(["check", str(saved)]) == status
    judged = capsys.readouterr().out
    assert outcome in judged
    assert (shown["timeline"]["violation"] or "") in judged


def test_what_was_saved_is_played_again_and_goes_wrong_alike(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "strange.sse"
    first = asyncio.run(stream(directory, "duplicate-start:event=5"))
    assert main(["requests", "show", first, "--save", str(saved)]) == 0
    again = asyncio.run(stream(directory, "none", played=saved.read_bytes()))
    capsys.readouterr()
    assert main(["requests", "list", "--json", "--code", "duplicate_message_start"]) == 0
    assert {row["id"] for row in json.loads(capsys.readouterr().out)} == {first, again}


def test_what_is_only_watched_is_kept_too(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request_id = asyncio.run(stream(directory, "skip-index:block=0", StreamMode.OBSERVE))
    assert main(["requests", "show", request_id]) == 0
    assert "block_index_gap" in capsys.readouterr().out


def test_a_stream_that_ended_well_leaves_none_and_the_command_says_so(
    directory: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    request_id = asyncio.run(stream(directory, "none"))
    assert main(["requests", "show", request_id]) == 0
    assert "timeline" not in capsys.readouterr().out
    assert main(["requests", "show", request_id, "--save", str(tmp_path / "x")]) == 1
    assert "one is kept of streams that did not end well" in capsys.readouterr().err


def test_a_cut_stream_that_is_played_again_ends_as_one_that_was_closed(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "cut.sse"
    first = asyncio.run(stream(directory, "cut:event=6"))
    assert main(["requests", "show", first, "--save", str(saved)]) == 0
    assert main(["requests", "show", first]) == 0
    assert "the connection to the upstream broke" in capsys.readouterr().out
    again = asyncio.run(stream(directory, "none", played=saved.read_bytes()))
    assert main(["requests", "show", again]) == 0
    out = capsys.readouterr().out
    assert "truncated" in out
    assert "the upstream closed the stream" in out
