"""`gateway accounts` as an operator types it: arguments, input and environment in; text and status out."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, field

from gateway.cli import main
from gateway.store.engine import Database
from tests import log_watch

SECRET_KEY: Final = "made-up-key-of-the-gateway-that-encrypts"
KEY: Final = "sk-ant-api03-of-the-account-that-works"
OTHER_KEY: Final = "sk-ant-api03-of-another-account"


@define
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed for scripts."""
        return json.loads(self.out)

    def rows(self) -> dict[str, str]:
        """Return the lines of its table by their first cell."""
        return {line.split("  ")[0].strip(): line for line in self.out.splitlines()[1:]}


@define
class Command:
    """The command with settings of its own."""

    monkeypatch: pytest.MonkeyPatch
    data_dir: Path
    database_url: str = ""
    secrets: set[str] = field(factory=lambda: {KEY, OTHER_KEY, SECRET_KEY})
    """What must not be seen anywhere."""

    def setenv(self, name: str, value: str) -> None:
        """Set a variable of the environment."""
        self.monkeypatch.setenv(name, value)

    def settings(self, text: str) -> str:
        """Write a settings file and return its path."""
        path = self.data_dir.parent / "gateway.toml"
        path.write_text(text, "utf-8")
        return str(path)

    def file(self, name: str, content: Any, mode: int = 0o600) -> str:
        """Write a file to be imported and return its path."""
        path = self.data_dir.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        path.chmod(mode)
        return str(path)

    def run(self, *args: str, stdin: str | bytes = b"") -> Done:
        """Run `gateway accounts …`, and see that it shows no secret."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        out, err = io.StringIO(), io.StringIO()
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = main(["accounts", *args])
            except SystemExit as stop:
                status = stop.code if isinstance(stop.code, int) else 1
        done = Done(status, out.getvalue(), err.getvalue())
        log_watch.note(done.out + done.err)
        for secret in self.secrets:
            assert secret not in done.out + done.err
        assert "Traceback" not in done.err
        return done

    async def go(self, *args: str, stdin: str | bytes = b"") -> Done:
        """Run it while an upstream runs here."""
        return await asyncio.to_thread(self.run, *args, stdin=stdin)

    async def add(self, name: str, key: str = KEY, *args: str) -> Done:
        """Add an account with an API key."""
        self.secrets.add(key)
        done = await self.go(
            "add", "--name", name, "--provider", "anthropic", "--secret-stdin", *args, stdin=f"{key}\n"
        )
        assert done.status in (0, 1), done.err
        return done

    async def state(self, name: str) -> str:
        """Return the state of an account."""
        listed = await self.go("list", "--json")
        return next(row["state"] for row in listed.json if row["name"] == name)

    def database(self) -> Database:
        """Return the database, to be opened by whoever plays the gateway."""
        return Database(self.database_url, self.data_dir)
