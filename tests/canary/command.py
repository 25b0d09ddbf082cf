"""`gateway smoke` and `gateway compare` as somebody types them, and a look at what they print."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, field

from gateway.cli import main
from tests import log_watch

LIMIT: Final = 60
GATEWAY: Final = Path(sys.executable).with_name("gateway")
_FENCE: Final = re.compile(r"^(`{3,})(\w*)$")


@define
class Done:
    """How a command ended."""

    status: int | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def rows(self, column: int = 0) -> dict[str, list[str]]:
        """Return the rows of the tables by one of their cells."""
        return {row[column]: row for table in tables(self.out) for row in table}


@define
class Command:
    """Runs the command in this process, and sees that it shows no secret."""

    monkeypatch: pytest.MonkeyPatch
    secrets: set[str] = field(factory=set)

    async def run(self, *args: str, stdin: str = "") -> Done:
        """Run it while servers run here."""
        return await asyncio.to_thread(self._run, args, stdin)

    def _run(self, args: tuple[str, ...], stdin: str) -> Done:
        out, err = io.StringIO(), io.StringIO()
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = main(args)
            except SystemExit as stop:
                status = stop.code if isinstance(stop.code, int) else 1
        return self.seen(Done(status, out.getvalue(), err.getvalue()))

    async def type(self, *args: str, stdin: str = "", env: dict[str, str] | None = None) -> Done:
        """Run the installed command in a process of its own."""
        process = await asyncio.create_subprocess_exec(
            str(GATEWAY),
            *args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
            | (env or {}),
        )
        try:
            async with asyncio.timeout(LIMIT):
                out, err = await process.communicate(stdin.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return self.seen(Done(process.returncode, out.decode(), err.decode()))

    def seen(self, done: Done) -> Done:
        """Check what must not be in any output."""
        assert "Traceback" not in done.err, done.err
        printed = done.out + done.err
        for secret in self.secrets:
            assert secret not in printed
            assert secret[:10] not in printed, "the beginning of a secret is shown"
            assert secret[-10:] not in printed, "the end of a secret is shown"
        assert not log_watch.CREDENTIAL.search(printed)
        return done


def headings(markdown: str) -> list[str]:
    """Return the headings outside of fenced blocks."""
    return [line for line in _prose(markdown) if line.startswith("#")]


def tables(markdown: str) -> Iterator[list[list[str]]]:
    """Yield the rows of each table, and check that it is one."""
    rows: list[list[str]] = []
    for line in [*_prose(markdown), ""]:
        if line.startswith("|"):
            assert line.endswith("|"), line
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line[1:-1])])
        elif rows:
            head, rule, *body = rows
            assert set(rule) == {"---"}
            assert all(len(row) == len(head) == len(rule) for row in body), rows
            yield body
            rows = []


def check_markdown(markdown: str) -> None:
    """Check that what opens is closed, in the right order, and that nobody's text is taken for markup."""
    opened = 0
    for line in _prose(markdown):
        if line.startswith("<details>"):
            assert re.fullmatch(r"<details><summary>[^<]*</summary>", line), line
            opened += 1
            assert opened == 1, "one inside another"
        elif line == "</details>":
            opened -= 1
        else:
            assert not re.search(r"(?<!\\)<", line), line
    assert opened == 0
    assert list(tables(markdown))


def _prose(markdown: str) -> list[str]:
    """Return the lines outside of fenced blocks; check that each block ends."""
    prose: list[str] = []
    fence = ""
    for line in markdown.splitlines():
        match = _FENCE.fullmatch(line)
        if fence:
            if line == fence:
                fence = ""
        elif match:
            fence = match[1]
        else:
            prose.append(line)
    assert not fence, "a fenced block does not end"
    return prose
