"""`gateway dashboard`, and the links that `gateway serve` and `gateway demo` print."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from gateway.cli import main
from gateway.cli.setup_link import print_setup_link
from gateway.config import Settings
from gateway.store.engine import Database, Opening
from gateway.store.users import UserStore
from tests import fresh_database, log_watch
from tests.contract.harness import SECRET
from tests.controlplane.visitors import PASSWORD, Browser, dashboard
from tests.replay.raw_client import LIMIT

GATEWAY: Final = Path(sys.executable).parent / "gateway"
LINK: Final = re.compile(r"(http://\S+)/(setup|sign-in)#([\w-]{43})\b")


@pytest.fixture
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GATEWAY_SECRET_KEY", SECRET)


@pytest.mark.usefixtures("_settings")
def test_people_are_let_in_listed_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> tuple[int, str]:
        status = main(["dashboard", *words])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    assert run("users") == (0, "There are no users yet. Let somebody in: gateway dashboard link\n")
    status, said = run("link", "--role", "viewer")
    assert (status, "has to be an admin" in said) == (1, True)
    status, said = run("link")
    assert (status, LINK.search(said) is not None, "works once" in said) == (0, True, True)
    assert "For the first user" in said
    status, said = run("link", "--name", " Ana ", "--json")
    made = json.loads(said)
    assert made["url"].startswith("http://127.0.0.1:8788/setup#")
    assert (made["name"], made["role"], made["is_new"]) == ("Ana", "admin", True)
    assert run("link", "--name", "ana", "--role", "viewer")[0] == 1
    assert run("link", "--name", "bob\nby")[0] == 1
    status, said = run("link", "--name", "Bob", "--role", "viewer")
    assert (status, "For Bob, a new user: viewer. Not meant?" in said) == (0, True)
    assert "For Bob, viewer, who has not chosen a password yet." in run("link", "--name", "bob")[1]
    status, said = run("users")
    assert [line.split()[:2] for line in said.splitlines()[1:]] == [["Ana", "admin"], ["Bob", "viewer"]]
    (ana, bob) = json.loads(run("users", "--json")[1])
    assert (ana["name"], ana["role"], ana["has_password"], ana["last_seen_at"]) == ("Ana", "admin", False, None)
    assert run("reset-totp", "ana") == (1, "gateway: Ana has no second factor\n")
    status, said = run("remove", "ANA")
    assert (status, "Ana is removed." in said, "Nobody can sign in" in said) == (0, True, True)
    assert run("remove", "ana") == (1, "gateway: there is no user 'ana'; see `gateway dashboard users`\n")
    assert [user["id"] for user in json.loads(run("users", "--json")[1])] == [bob["id"]]


@pytest.mark.usefixtures("_settings")
def test_without_a_dashboard_there_is_no_link_to_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_CONTROL_LISTEN", "off")
    assert main(["dashboard", "link"]) == 1
    assert "GATEWAY_CONTROL_LISTEN is off" in capsys.readouterr().err
    monkeypatch.setenv("GATEWAY_CONTROL_LISTEN", "0.0.0.0:9000")
    monkeypatch.setenv("GATEWAY_CONTROL_TOKEN", "t" * 16)
    assert main(["dashboard", "link"]) == 0
    assert capsys.readouterr().out.startswith("http://127.0.0.1:9000/setup#")
    monkeypatch.setenv("GATEWAY_DASHBOARD__PUBLIC_URL", "https://gateway.example/")
    assert main(["dashboard", "link"]) == 0
    assert capsys.readouterr().out.startswith("https://gateway.example/setup#")


@pytest.mark.usefixtures("_settings")
async def test_a_running_gateway_takes_over_what_the_command_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with dashboard() as place:
        ana = await place.add("ana")
        monkeypatch.setenv("GATEWAY_DATA_DIR", str(place.database.data_dir))
        monkeypatch.setenv("GATEWAY_CONTROL_LISTEN", place.url.removeprefix("http://"))
        assert await asyncio.to_thread(main, ["dashboard", "link", "--name", "bob", "--role", "viewer"]) == 0
        link = LINK.search(capsys.readouterr().out)
        assert link is not None
        bob = Browser(link[1])
        status, _ = await bob.post("/api/v1/session/link", {"token": link[3], "password": PASSWORD})
        assert (status, (await bob.session())["user"]["role"]) == (200, "viewer")
        assert await asyncio.to_thread(main, ["dashboard", "remove", "bob"]) == 0
        async with asyncio.timeout(LIMIT):
            while (await bob.get("/api/v1/users"))[0] != 401:  # noqa: ASYNC110 - it looks every two seconds
                await asyncio.sleep(0.1)
        entries = [entry for entry in (await ana.get("/api/v1/audit"))[1]["entries"] if entry["how"] == "command"]
        assert [entry["action"] for entry in entries] == ["user.remove", "user.link", "user.add"]


async def test_serve_prints_a_link_until_somebody_has_a_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await fresh_database.lay(tmp_path)
    async with _started("serve", tmp_path, "gateway is ready") as printed:
        (link,) = LINK.findall(printed)
        assert link[1] == "setup"
        # To the terminal, and not through the log.
        assert all(link[2] not in line for line in printed.splitlines() if line.startswith("{"))
        settings = Settings(data_dir=str(tmp_path))
        await print_setup_link(settings)
        # Another start makes another one, and then the first is good no more.
        anew = LINK.search(capsys.readouterr().err)
        assert anew is not None
        browser, use = Browser(link[0]), {"name": "ana", "password": PASSWORD}
        assert (await browser.post("/api/v1/session/link", {"token": link[2], **use}))[0] == 404
        status, seen = await browser.post("/api/v1/session/link", {"token": anew[3], **use})
        assert (status, seen["user"]["role"]) == (200, "admin")
    await print_setup_link(settings)
    assert capsys.readouterr().err == ""


async def test_demo_prints_a_link_that_signs_in_and_takes_its_user_along_when_it_ends(tmp_path: Path) -> None:
    await fresh_database.lay(tmp_path)
    async with Database("", tmp_path) as database:
        await UserStore(database).add("demo", "viewer")
    async with _started("demo", tmp_path, "Press Ctrl-C") as printed:
        (link,) = LINK.findall(printed)
        assert link[1] == "sign-in"
        browser = Browser(link[0])
        status, seen = await browser.post("/api/v1/session/link", {"token": link[2]})
        assert (status, seen["user"]["role"], seen["user"]["how"]) == (200, "admin", "link")
        # A user of that name was there, and is not taken for it.
        assert seen["user"]["name"] != "demo"
    async with Database("", tmp_path, Opening.EXISTING) as database:
        assert [user.name for user in await UserStore(database).all()] == ["demo"]


@asynccontextmanager
async def _started(command: str, directory: Path, until: str) -> AsyncGenerator[str]:
    """Run a gateway; give what it printed until a line with these words."""
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
        "GATEWAY_DATA_DIR": str(directory),
        "GATEWAY_SECRET_KEY": SECRET,
        "GATEWAY_LISTEN": "127.0.0.1:0",
        "GATEWAY_CONTROL_LISTEN": "127.0.0.1:0",
        "GATEWAY_TIMEOUTS__DRAIN_SECONDS": "0.2",
    }
    process = await asyncio.create_subprocess_exec(
        GATEWAY,
        command,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    printed = b""
    try:
        async with asyncio.timeout(LIMIT):
            while until.encode() not in printed:
                line = await process.stdout.readline()
                assert line, printed
                printed += line
        # `demo` prints its own key, to be pasted.
        log_watch.note(b"\n".join(line for line in printed.splitlines() if line.startswith(b"{")))
        yield printed.decode()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT):
            await process.communicate()
