"""What people change by commands is in the audit log as what they change in the dashboard is."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pwd
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway.cli import main
from gateway.store.accounts import AccountStore
from gateway.store.audit_log import AuditEntry, AuditFilter, AuditStore
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.users import UserStore
from tests.contract.harness import SECRET
from tests.controlplane.api_client import ApiClient
from tests.controlplane.visitors import TOKEN, dashboard

KEY = "sk-ant-api03-of-an-account"
OTHER_KEY = "sk-ant-api03-of-the-same-account-later"
BROKEN = "CREATE TRIGGER broken BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'broken'); END"

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs a command that has to do well, and gives what it printed."""
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GATEWAY_SECRET_KEY", SECRET)

    def run(*words: str, typed: str = "") -> tuple[str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
        status = main(list(words))
        printed = capsys.readouterr()
        assert status == 0, printed
        return printed.out, printed.err

    return run


def in_database(directory: Path, ask: Callable[[Database], Any]) -> Any:
    async def go() -> Any:
        async with Database("", directory) as database:
            return await ask(database)

    return asyncio.run(go())


def entries(directory: Path) -> Sequence[AuditEntry]:
    return in_database(directory, lambda database: AuditStore(database).page(AuditFilter(), 100))[::-1]


async def break_audit_log(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text(BROKEN))


def test_every_change_by_a_command_is_written_down_with_who_made_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adding = ("accounts", "add", "--name", "work", "--provider", "anthropic", "--secret-stdin")
    run(*adding, "--owner", "Ada", typed=f"{KEY}\n")
    run(
        "accounts", "add", "--replace", "--name", "work", "--secret-stdin", "--weight", "3", typed=f"{OTHER_KEY}\n"
    )
    run("accounts", "pause", "work")
    run("accounts", "pause", "work")
    run("accounts", "resume", "work")
    run("accounts", "rekey")
    monkeypatch.setenv("GATEWAY_SECRET_KEY", f"{'n' * 40},{SECRET}")
    run("accounts", "rekey")
    run("accounts", "remove", "work", "--yes")
    run("accounts", "list")
    made = json.loads(run("keys", "create", "--name", "ci", "--budget-usd-day", "5", "--json")[0])
    run("keys", "limits", "ci", "--concurrent", "4", "--budget-usd-day", "none")
    run("keys", "limits", "ci")
    rotated = json.loads(run("keys", "rotate", "ci", "--grace", "1d", "--json")[0])
    run("keys", "revoke", "ci")
    run("dashboard", "link", "--name", "ana", "--role", "admin")
    run("dashboard", "remove", "ana")
    told = entries(tmp_path)
    assert [(one.action, one.target) for one in told] == [
        ("account.add", "work"),
        ("account.replace_key", "work"),
        ("account.pause", "work"),
        ("account.resume", "work"),
        ("account.rekey", ""),
        ("account.remove", "work"),
        ("key.create", "ci"),
        ("key.change", "ci"),
        ("key.rotate", "ci"),
        ("key.revoke", "ci"),
        ("user.add", "ana"),
        ("user.link", "ana"),
        ("user.remove", "ana"),
    ]
    who = f"command line ({pwd.getpwuid(os.getuid()).pw_name})"
    assert {(one.who, one.how, one.address) for one in told} == {(who, "command", socket.gethostname())}
    states = [one.states() for one in told]
    assert states[0][0] is None
    assert (states[0][1]["owner"], states[0][1]["kind"], states[0][1]["paused"]) == ("Ada", "api_key", False)
    account_id = states[0][1]["id"]
    assert states[1] == ({"weight": 1}, {"id": account_id, "weight": 3})
    assert states[2] == ({"paused": False}, {"paused": True})
    assert states[3] == ({"paused": True, "condition": "ok"}, {"cleared": ["a pause"]})
    assert states[4] == (None, {"encrypted": 1})
    assert (states[5][0]["secret_version"], states[5][1]) == (2, None)
    key = {"id": made["id"], "name": "ci"}
    assert states[6] == (None, {**key, "budget_usd_day": 5.0})
    assert states[7] == ({**key, "budget_usd_day": 5.0}, {**key, "concurrent": 4})
    prefixes = {"id": made["id"], "prefix": made["key"][:10]}, {"id": made["id"], "prefix": rotated["key"][:10]}
    assert states[8] == (prefixes[0], {**prefixes[1], "grace_seconds": 86_400.0})
    assert states[9] == ({**key, "concurrent": 4}, {"id": made["id"], "revoked": True})
    assert states[10:] == [(None, {"role": "admin"}), (None, None), ({"role": "admin"}, None)]
    whole = "".join(f"{one}" for one in told)
    assert not any(secret in whole for secret in (KEY, OTHER_KEY, made["key"], rotated["key"]))


def test_what_a_command_did_is_done_and_printed_where_it_cannot_be_written_down(run: Run, tmp_path: Path) -> None:
    run("accounts", "add", "--name", "work", "--provider", "anthropic", "--secret-stdin", typed=f"{KEY}\n")
    in_database(tmp_path, break_audit_log)
    out, err = run("keys", "create", "--name", "ci", "--json")
    assert json.loads(out)["key"].startswith("csg_")
    assert "the audit log does not have it" in err
    out, err = run("keys", "rotate", "ci", "--json")
    assert json.loads(out)["key"].startswith("csg_")
    assert "the audit log does not have it" in err
    out, err = run("accounts", "pause", "work", "--json")
    assert json.loads(out)["state"] == "paused"
    assert "the audit log does not have it" in err
    out, err = run("dashboard", "link", "--name", "ana", "--json")
    assert "/setup#" in json.loads(out)["url"]
    assert err.count("the audit log does not have it") == 2
    assert "Traceback" not in err
    assert in_database(tmp_path, lambda database: AccountStore(database).find("work")).paused_at is not None
    assert in_database(tmp_path, lambda database: UserStore(database).named("ana")) is not None


async def test_a_key_is_made_or_replaced_only_together_with_its_entry() -> None:
    async with dashboard() as place:
        api = ApiClient(place.url, TOKEN)
        status, made = await api.post("/api/v1/keys", {"name": "ci"})
        assert status == 201
        await break_audit_log(place.database)
        path = f"/api/v1/keys/{made['key']['id']}"
        store = ClientKeyStore(place.database)
        before = {key.id: key for key in await store.all()}
        for answer in (
            await api.post("/api/v1/keys", {"name": "another"}),
            await api.post(f"{path}/rotate", {"grace_seconds": 0}),
            await api.patch(path, {"concurrent": 3}),
            await api.delete(path),
        ):
            assert answer[0] == 503, answer
        assert {key.id: key for key in await store.all()} == before
