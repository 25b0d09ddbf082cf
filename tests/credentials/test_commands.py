"""Commands that print a credential."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.accounts.command import CommandError, read_output, run_command
from tests import log_watch

NOW = 1_800_000_000.0


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-S", "-c", code, *arguments]


async def run(code: str, *arguments: str, seconds: float = 30.0) -> bytes:
    return await run_command(python(code, *arguments), seconds=seconds)


async def test_a_command_is_run_without_a_shell_and_its_output_returned() -> None:
    assert await run("import sys; print(sys.argv[1])", "$(id) `id`; id") == b"$(id) `id`; id\n"


async def test_a_command_gets_of_the_environment_only_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SECRET_KEY", "not for commands")
    printed = await run("import json, os; print(json.dumps(dict(os.environ)))")
    # The interpreter itself may set the locale.
    assert set(json.loads(printed)) - {"LC_CTYPE"} == {"PATH", "HOME"} & set(os.environ)


async def test_a_command_that_asks_for_input_gets_none() -> None:
    assert await run("import sys; print(repr(sys.stdin.read()))") == b"''\n"


async def test_a_command_that_fails_gives_no_credential_and_its_complaint_is_not_logged() -> None:
    with pytest.raises(CommandError, match="exit code 3") as failure:
        await run("import sys; print('sk-ant-api03-secret', file=sys.stderr); sys.exit(3)")
    assert "secret" not in str(failure.value)
    (line,) = log_watch.recent_events()
    assert (line["exit_code"], line["stderr_bytes"]) == (3, 20)


async def test_a_command_that_cannot_be_started_is_said_so(tmp_path: Path) -> None:
    for argv in ([str(tmp_path / "missing")], [str(tmp_path)], ["nul\0"]):
        with pytest.raises(CommandError, match="cannot be started"):
            await run_command(argv, seconds=30)


async def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import subprocess, sys, os, time\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])\n"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(600)"
    )
    with pytest.raises(CommandError, match="did not end"):
        await run(code, str(pids), seconds=0.8)
    started = [int(pid) for pid in pids.read_text().split()]
    gone, alive = await asyncio.to_thread(psutil.wait_procs, _processes(started), 10)
    assert not alive, gone


def _processes(pids: list[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        try:
            found.append(psutil.Process(pid))
        except psutil.NoSuchProcess:
            continue
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


async def test_a_command_that_prints_without_end_is_stopped_without_filling_the_memory() -> None:
    with pytest.raises(CommandError, match="printed more"):
        await run("print('x' * 1_000_000)")
    with pytest.raises(CommandError, match="did not end"):
        await run("while True: print('x' * 10_000)", seconds=0.5)


async def test_a_caller_that_gives_up_takes_the_command_with_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run(code, str(file)))
        while not file.exists() or not file.read_text():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
        task.cancel()
    assert _processes([int(file.read_text())]) == []


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (b"sk-ant-api03-key\n", ("sk-ant-api03-key", False, None)),
        (b"  sk-ant-oat01-token", ("sk-ant-oat01-token", True, None)),
        (b'{"api_key": "k"}', ("k", False, None)),
        (b'{"token": "t", "expires_in": 60}', ("t", True, NOW + 60)),
        (b'{"access_token": "t", "expires_at": 1800000060}', ("t", True, NOW + 60)),
        (b'{"access_token": "t", "expires_at": 1800000060000}', ("t", True, NOW + 60)),
        (b'{"access_token": "t", "expires_at": "2027-01-15T08:01:00Z"}', ("t", True, NOW + 60)),
        (b'{"access_token": "t", "expires_at": "2027-01-15T08:01:00"}', ("t", True, None)),
        (b'{"access_token": "t", "expires_at": "soon"}', ("t", True, None)),
        (b'{"access_token": "t", "expires_in": 1e300}', ("t", True, None)),
    ],
)
def test_a_command_prints_a_bare_credential_or_json(
    printed: bytes, expected: tuple[str, bool, float | None]
) -> None:
    assert read_output(printed, NOW) == expected


@pytest.mark.parametrize(
    "printed",
    [b"", b"\n", b"two words", b"two\nlines", b"{", b"{}", b'{"token": null}', b'{"token": "a b"}', b"\xff\xfe"],
)
def test_whatever_else_a_command_prints_is_no_credential(printed: bytes) -> None:
    with pytest.raises(CommandError):
        read_output(printed, NOW)


def test_a_credential_that_has_expired_is_none() -> None:
    with pytest.raises(CommandError, match="expired"):
        read_output(b'{"token": "t", "expires_at": 1700000000}', NOW)


json_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())


@given(
    st.binary()
    | st.dictionaries(
        st.sampled_from(["api_key", "token", "access_token", "expires_at", "expires_in"]), json_values
    ).map(lambda value: json.dumps(value).encode())
)
@example(b'{"token": "t", "expires_in": ' + b"9" * 400 + b"}")
@example(b'{"token": "t", "expires_at": "9999-12-31T23:59:59-23:59"}')
def test_any_output_is_a_credential_that_can_be_sent_or_an_error_without_it(printed: bytes) -> None:
    try:
        secret, _, expires_at = read_output(printed, NOW)
    except CommandError as error:
        assert len(str(error)) < 150  # noqa: PT017 - not every output is one
    else:
        assert secret.isascii()
        assert secret.isprintable()
        assert " " not in secret
        assert expires_at is None or NOW < expires_at <= NOW + 366 * 86_400


def test_the_arguments_of_commands_are_not_shown() -> None:
    from gateway.accounts.command import CommandSource  # noqa: PLC0415 - beside its one use

    vault: Any = None
    source = CommandSource(vault, lambda: NOW, {"name": ["program", "hunter2"]})
    assert "hunter2" not in repr(source)
