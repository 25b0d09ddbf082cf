"""`gateway doctor` on a machine: each thing that keeps a gateway from serving is found before it does."""

from __future__ import annotations

import asyncio
import io
import json
import os
import resource
import socket
import sqlite3
import sys
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from attrs import define, evolve

from gateway.canary.findings import Finding, Level
from gateway.cli import main
from gateway.config import ClientAuth, OpenAIMode, Settings
from gateway.evidence import machine
from gateway.evidence.machine import look_at_machine
from tests import fresh_database
from tests.postgres import Postgres

HERE = Settings(listen="127.0.0.1:0", control_listen="127.0.0.1:0")
SECRET = "thirty-two-bytes-or-more-of-made-up-secret"


def look(settings: Settings, *, streams: int = 10) -> dict[str, Finding]:
    """Return the worst finding of each check."""
    worst: dict[str, Finding] = {}
    for finding in look_at_machine(settings, [], streams=streams):
        assert finding.level is Level.OK or finding.fix, finding
        if finding.check not in worst or worst[finding.check].level is Level.OK:
            worst[finding.check] = finding
    return worst


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return evolve(HERE, data_dir=str(tmp_path))


@contextmanager
def listening() -> Generator[tuple[int, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1], server


def files_below(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_machine_that_is_well_has_no_problem_and_is_left_as_it_was(settings: Settings, tmp_path: Path) -> None:
    found = look(settings)

    assert not [finding for finding in found.values() if finding.level is Level.PROBLEM]
    assert not list(tmp_path.iterdir())


def test_a_database_is_read_and_not_touched(settings: Settings, tmp_path: Path) -> None:
    asyncio.run(fresh_database.lay(tmp_path))
    before = files_below(tmp_path)

    assert look(settings)["database"].level is Level.OK
    assert files_below(tmp_path) == before


@pytest.mark.parametrize(
    ("statement", "level", "said"),
    [
        ("UPDATE alembic_version SET version_num = '0001'", Level.WARNING, "older version"),
        ("UPDATE alembic_version SET version_num = '9999'", Level.PROBLEM, "newer version"),
        ("PRAGMA journal_mode = DELETE", Level.WARNING, "not in WAL mode"),
        (
            "INSERT INTO refresh_leases VALUES ('a', 'elsewhere:1:x', 1, 99999999999.0, NULL)",
            Level.WARNING,
            "elsewhere",
        ),
    ],
)
def test_what_is_wrong_with_a_database_is_found(
    settings: Settings, tmp_path: Path, statement: str, level: Level, said: str
) -> None:
    asyncio.run(fresh_database.lay(tmp_path))
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as connection:
        connection.execute(statement)
        connection.commit()

    found = look(settings)["database"]

    assert found.level is level
    assert said in found.what
    assert found.fix


def test_a_file_that_is_no_database_is_a_problem(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    path.write_bytes(b"not a database" * 200)
    path.chmod(0o600)

    assert look(settings)["database"].level is Level.PROBLEM


def test_a_key_file_that_others_can_read_is_a_problem(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.write_text(SECRET)
    path.chmod(0o644)

    found = look(settings)["secret-key"]

    assert found.level is Level.PROBLEM
    assert found.fix == f"chmod 600 {path}"


def test_a_port_that_somebody_has_is_a_problem_and_says_who(settings: Settings) -> None:
    with listening() as (port, _):
        found = look(evolve(settings, listen=f"127.0.0.1:{port}"))["ports"]

    assert found.level is Level.PROBLEM
    assert f"process {os.getpid()}" in found.what


@pytest.mark.parametrize(("hard", "how"), [(4096, "ulimit -n 2100"), (2048, "hard limit")])
def test_too_few_open_files_are_a_problem_with_the_number_that_is_needed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, hard: int, how: str
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, hard))
    found = look(settings, streams=1000)["open-files"]

    assert found.level is Level.PROBLEM
    assert how in found.fix
    assert look(evolve(settings, workers=4), streams=1000)["open-files"].level is Level.OK


def test_more_workers_than_cores_are_warned_of(settings: Settings) -> None:
    assert look(evolve(settings, workers=1000))["workers"].level is Level.WARNING


def test_a_control_plane_for_all_without_a_token_is_a_problem(settings: Settings) -> None:
    open_to_all = evolve(settings, control_listen="0.0.0.0:0")

    assert look(open_to_all)["control-plane"].level is Level.PROBLEM
    assert look(evolve(open_to_all, control_token="a-token-of-some-length"))["control-plane"].level is Level.OK


@pytest.mark.parametrize(
    ("listen", "token", "level"),
    [
        ("0.0.0.0:8788", "fifteen-letters", Level.PROBLEM),
        ("0.0.0.0:8788", "sixteen-letters-", Level.OK),
        ("127.0.0.1:8788", "short", Level.OK),
    ],
)
def test_a_token_that_may_be_guessed_by_those_who_can_reach_it_is_a_problem(
    settings: Settings, listen: str, token: str, level: Level
) -> None:
    found = look(evolve(settings, control_listen=listen, control_token=token))["control-plane"]

    assert found.level is level
    assert token not in found.what + found.fix


def test_a_control_plane_that_is_off_is_no_problem(settings: Settings) -> None:
    assert look(evolve(settings, control_listen="off"))["control-plane"].level is Level.OK


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"client_auth": ClientAuth.PASSTHROUGH},
        {"openai_mode": OpenAIMode.OFF},
    ],
    ids=str,
)
def test_a_data_plane_for_all_is_warned_of(settings: Settings, changes: dict[str, object]) -> None:
    open_to_all = evolve(settings, listen="0.0.0.0:0", **changes)

    assert look(open_to_all)["data-plane"].level is Level.WARNING


def test_sqlite_on_a_network_file_system_is_a_problem(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_file_system", lambda _: "nfs4")

    assert look(settings)["data-directory"].level is Level.PROBLEM


def test_credentials_without_tls_and_a_proxy_that_is_not_used_are_warned_of(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hidden@proxy.example:3128")
    found = look(evolve(settings, anthropic_base_url="http://upstream.example/api"))

    assert found["upstream-tls"].level is Level.WARNING
    assert found["outgoing-proxy"].level is Level.WARNING
    assert "hidden" not in found["outgoing-proxy"].what


def test_a_postgresql_is_read_and_its_secret_key_asked_after(
    settings: Settings, postgres: Postgres, migrated: str
) -> None:
    url = postgres.restore(migrated)
    found = look(evolve(settings, database_url=url))

    assert found["database"].level is Level.OK
    assert found["secret-key"].level is Level.WARNING
    assert look(evolve(settings, database_url=url, secret_key=SECRET))["secret-key"].level is Level.OK


def test_a_postgresql_without_tables_is_left_without(settings: Settings, postgres: Postgres) -> None:
    url = postgres.create_database()

    assert look(evolve(settings, database_url=url))["database"].level is Level.OK
    assert "is empty" in look(evolve(settings, database_url=url))["database"].what


def test_a_postgresql_that_is_away_is_a_problem_and_its_password_is_not_told(settings: Settings) -> None:
    found = look(evolve(settings, database_url="postgresql://me:a-password-of-mine@127.0.0.1:1/none"))["database"]

    assert found.level is Level.PROBLEM
    assert "a-password-of-mine" not in found.what


@define
class Run:
    """What the command printed, and how it ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    def run(*arguments: str, stdin: str = "", **environment: str) -> Run:
        usual = {"GATEWAY_DATA_DIR": str(tmp_path), "GATEWAY_LISTEN": "127.0.0.1:0"}
        for name, value in (usual | environment).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        try:
            status = main(["doctor", *arguments])
        except SystemExit as left:
            status = int(left.code or 0)
        printed = capsys.readouterr()
        return Run(status, printed.out, printed.err)

    return run


def test_the_report_for_programs_names_variables_that_only_look_like_settings(doctor: Callable[..., Run]) -> None:
    run = doctor("--json", GATEWAY_LISTENN="x")

    report = json.loads(run.out)
    warned = [finding for finding in report["findings"] if finding["level"] == "warning"]
    assert any("did you mean GATEWAY_LISTEN?" in finding["what"] for finding in warned)
    assert set(report["counts"]) == {"ok", "warning", "problem", "unseen"}


def test_settings_that_cannot_be_used_are_a_problem(doctor: Callable[..., Run]) -> None:
    run = doctor(GATEWAY_WORKERS="many")

    assert run.status == 1
    assert "PROBLEM" in run.out
    assert "GATEWAY_WORKERS" in run.out
    assert "→" in run.out


NOWHERE = ("--base-url", "http://127.0.0.1:1/claude")


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_report_on_a_gateway_that_is_not_there_says_that_it_was_not_looked_at(
    doctor: Callable[..., Run], form: tuple[str, ...]
) -> None:
    run = doctor(*NOWHERE, "--key-stdin", *form, stdin="csg_made-up-and-secret\n")

    assert run.status == 2
    for printed in (run.out, run.err):
        assert "http://127.0.0.1:1/claude cannot be examined: no connection" in printed
        assert printed.count("of its GATEWAY_LISTEN, or those") == 1
    assert "the gateway was not looked at" in run.out


def test_a_report_says_whose_settings_this_machine_was_looked_at_with(
    doctor: Callable[..., Run], tmp_path: Path
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("workers = 1\n")

    from_variables, from_file = doctor(), doctor("--config", str(file))

    told = "(GATEWAY_DATA_DIR, GATEWAY_LISTEN)"
    assert f"this machine, with the settings of this shell {told}\n" in from_variables.out
    assert f"with the settings of this shell ({file}, GATEWAY_DATA_DIR, GATEWAY_LISTEN)\n" in from_file.out


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        ((*NOWHERE, "--key", "csg_made-up-and-secret"), ""),
        ((*NOWHERE, "--key-stdin"), "csg_made-up-and-secret\n"),
        ((*NOWHERE, "--key-stdin"), "\n"),
        (("--key", "csg_made-up-and-secret"), ""),
        (NOWHERE, ""),
        (("--base-url", "ftp://127.0.0.1/claude", "--key", "csg_made-up-and-secret"), ""),
        (("--silence", "-1"), ""),
        (("--streams", "0"), ""),
    ],
    ids=str,
)
def test_what_cannot_be_examined_ends_with_status_2_and_repeats_no_key(
    doctor: Callable[..., Run], arguments: tuple[str, ...], stdin: str
) -> None:
    run = doctor(*arguments, stdin=stdin)

    assert run.status == 2
    assert run.err
    assert "csg_made-up-and-secret" not in run.out + run.err
