"""What `gateway serve` warns of before it starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.cli import main

SHARED = "postgresql://nobody@127.0.0.1:1/nothing"
"""Of a server that is not there, so that nothing is served in the end."""
LONG = "a-secret-key-that-nobody-guesses"
SHORT = "hunter2"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", ["this host's own", "set GATEWAY_SECRET_KEY to the same on all of them"]),
        (SHORT, ["is shorter than 16 characters"]),
        (f"{LONG},{SHORT}", ["is shorter than 16 characters"]),
        (LONG, []),
        (f"{LONG},{LONG}-of-old", []),
    ],
)
def test_a_secret_key_that_will_not_do_is_warned_of_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    key: str,
    words: list[str],
) -> None:
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GATEWAY_DATABASE_URL", SHARED)
    monkeypatch.setenv("GATEWAY_SECRET_KEY", key)

    assert main(["serve"]) == 1

    told = capsys.readouterr().err
    warnings = [line for line in told.splitlines() if line.startswith("gateway: warning: ")]
    assert len(warnings) == bool(words), told
    for word in words:
        assert word in warnings[0]
    assert SHORT not in told
    assert LONG not in told
