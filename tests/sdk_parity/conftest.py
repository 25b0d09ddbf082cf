"""The real SDKs, each asked once per session for the final message of every stream."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Never

import pytest
from attrs import define

from tests.sdk_parity.installs import SDKS, Unavailable
from tests.sdk_parity.playback import Stream, play
from tests.sdk_parity.rare_streams import RARE_STREAMS
from tests.sdk_parity.tool_inputs import TOOL_INPUTS

FIXTURES: Final = Path(__file__).parents[2] / "fixtures"
BETA: Final = "@beta"


def _complete_streams() -> dict[str, Stream]:
    """Return the corpus's complete streams, for their own interface and for the beta one, and the rare ones."""
    with (FIXTURES / "manifest.toml").open("rb") as file:
        entries = [entry for entry in tomllib.load(file)["stream"] if entry["verdict"] == "complete"]
    streams = {}
    for entry in entries:
        body = (FIXTURES / entry["file"]).read_bytes()
        streams[entry["name"]] = Stream(body, entry["beta"])
        if not entry["beta"]:
            streams[entry["name"] + BETA] = Stream(body, beta=True)
    return streams | RARE_STREAMS


CORPUS: Final = _complete_streams()


@define(frozen=True)
class Played:
    """What one SDK made of all streams."""

    sdk: str
    results: Mapping[str, Mapping[str, Any]]


def _give_up(reason: str) -> Never:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session", params=list(SDKS))
def played(request: pytest.FixtureRequest) -> Played:
    """Give what one SDK returns, or raises, for every stream of the corpus and every tool input."""
    sdk = SDKS[request.param]
    inputs = {name: Stream(tool_input.stream()) for name, tool_input in TOOL_INPUTS.items()}
    try:
        return Played(sdk.name, play(sdk, CORPUS | inputs))
    except Unavailable as reason:
        _give_up(f"{sdk.name}: {reason}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that ask for a `stream` or a `tool_input` once for each."""
    for name, values in (("stream", CORPUS), ("tool_input", TOOL_INPUTS)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, list(values))


@pytest.fixture(scope="session")
def corpus() -> Mapping[str, Stream]:
    """Give every complete stream by name; with `@beta` behind it for the beta interface."""
    return CORPUS
