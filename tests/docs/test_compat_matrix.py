"""docs/anthropic-compat-matrix.md says what happens: its proofs exist, nothing is missing, its lists are sent."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from attrs import define

from gateway.replay.server import ReplayUpstream
from gateway.wire.errors import STATUS_BY_TYPE, TYPE_BY_STATUS
from sse_fsm.blocks import BLOCK_TYPES, DELTA_TYPES
from sse_fsm.events import EventKind
from tests.account_path.harness import NewAccount, pooled
from tests.contract.harness import MESSAGES, Served, envelope, head, serving
from tests.replay.raw_client import message

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "anthropic-compat-matrix.md").read_text("utf-8")
FIXTURES: Final = ROOT / "fixtures"
SUPPORT: Final = {"full", "partial", "passed through", "unsupported"}
OF_THE_ACCOUNT: Final = ("anthropic-organization-id", "anthropic-ratelimit-unified-status")


@define(frozen=True)
class Row:
    """A line of one of the tables."""

    section: str
    what: str
    support: str
    how: str
    proof: str

    @property
    def names(self) -> list[str]:
        """What stands in the first column as code."""
        return re.findall(r"`([^`]+)`", self.what)


def rows() -> Iterator[Row]:
    section = ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if len(cells) == 3:  # a line whose third column is empty
            cells = [part.strip() for part in line.split("|")[1:-1]]
        if len(cells) == 4 and cells[1] != "support":
            yield Row(section, *cells)


ROWS: Final = list(rows())


def section(name: str) -> list[Row]:
    found = [row for row in ROWS if row.section == name]
    assert found, f"no table below {name}"
    return found


@cache
def defined_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_every_line_says_how_far_it_works_and_has_a_proof() -> None:
    assert len(ROWS) > 100
    for row in ROWS:
        assert row.support in SUPPORT, row
        assert "::" in row.proof, row


def test_every_proof_is_a_test_that_exists() -> None:
    proofs = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(proofs) >= len(ROWS)
    for path, name in proofs:
        assert (ROOT / path).exists(), path
        assert name in defined_in(ROOT / path), f"{path} has no {name}"


def events_of_the_corpus() -> Iterator[Mapping[str, Any]]:
    for path in sorted((FIXTURES / "streams").glob("*.sse")):
        for line in re.split(rb"\r\n|\n|\r", path.read_bytes()):
            if line.startswith(b"data:"):
                try:
                    value = json.loads(line.removeprefix(b"data:"))
                except ValueError:
                    continue
                if isinstance(value, dict):
                    yield value


def member(value: Any, *names: str) -> set[str]:
    """Return the text at a place in decoded JSON, if there is one."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return {value} if isinstance(value, str) else set()


def known_events() -> set[str]:
    known = {kind.value for kind in EventKind if kind is not EventKind.UNKNOWN}
    return known.union(*(member(event, "type") for event in events_of_the_corpus()))


def known_blocks() -> set[str]:
    found = set(BLOCK_TYPES)
    for event in events_of_the_corpus():
        found |= member(event, "content_block", "type")
    for path in (FIXTURES / "messages").glob("*.json"):
        for block in json.loads(path.read_bytes())["content"]:
            found |= member(block, "type")
    return found


def known_deltas() -> set[str]:
    found = set(DELTA_TYPES)
    for event in events_of_the_corpus():
        if event.get("type") == "content_block_delta":
            found |= member(event, "delta", "type")
    return found


def known_stop_reasons() -> set[str]:
    found = set[str]()
    for entry in tomllib.loads((FIXTURES / "manifest.toml").read_text("utf-8"))["stream"]:
        found |= member(entry, "stop_reason")
    for path in (FIXTURES / "messages").glob("*.json"):
        found |= member(json.loads(path.read_bytes()), "stop_reason")
    return found


def known_errors() -> set[str]:
    found = set(STATUS_BY_TYPE) | set(TYPE_BY_STATUS.values())
    for event in events_of_the_corpus():
        if event.get("type") == "error":
            found |= member(event, "error", "type")
    for path in (FIXTURES / "errors").glob("*.json"):
        found |= member(json.loads(path.read_bytes()).get("body"), "error", "type")
    return found


@pytest.mark.parametrize(
    ("table", "known"),
    [
        ("Events of a stream", known_events()),
        ("Content blocks", known_blocks()),
        ("Deltas", known_deltas()),
        ("Stop reasons and usage", known_stop_reasons()),
        ("Errors", known_errors()),
    ],
    ids=["events", "blocks", "deltas", "stop reasons", "errors"],
)
def test_nothing_that_the_code_or_the_corpus_knows_is_missing(table: str, known: set[str]) -> None:
    named = {name for row in section(table) for name in row.names}

    assert not known - named


def test_every_block_and_delta_that_is_full_is_in_a_stream_that_arrives() -> None:
    """Otherwise the proof that is named for it would prove nothing."""
    complete = [
        (FIXTURES / entry["file"]).read_bytes()
        for entry in tomllib.loads((FIXTURES / "manifest.toml").read_text("utf-8"))["stream"]
        if entry["verdict"] == "complete"
    ]
    played = b"\n".join(complete)
    for row in section("Content blocks") + section("Deltas"):
        for name in row.names:
            assert re.search(rb'"type":\s*"' + name.encode() + b'"', played), name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncGenerator[Served]:
    async with serving() as running:
        yield running


on_the_wire = pytest.mark.asyncio(loop_scope="module")


@on_the_wire
async def test_what_is_unsupported_is_refused_in_the_envelope(served: Served) -> None:
    refused = [row.names[0] for row in section("Endpoints") if row.support == "unsupported"]
    assert len(refused) > 10
    before = len(served.upstream.requests)
    for name in refused:
        method, path = name.split(" ")
        target = "/claude" + re.sub(r"\{\w+\}", "of_some_id", path)
        body = message() if method == "POST" else b""
        answer = await served.ask(body, target, method=method)
        told = envelope(answer, 404, "not_found_error")["message"]
        assert f"does not serve {path.split('/{')[0].removesuffix('/users').removesuffix('/token')}" in told, name
        assert answer.header("x-should-retry") == "false"
    assert len(served.upstream.requests) == before


@on_the_wire
async def test_what_is_supported_is_there(served: Served) -> None:
    for row in section("Endpoints"):
        method, path = row.names[0].split(" ")
        if row.support == "full":
            target = "/claude" + path.replace("{model_id}", "claude-opus-5-5")
            body = message() if method == "POST" else b""
            answer = await served.ask(body, target, method=method)
            assert answer.status == 200, row


def betas() -> Sequence[str]:
    found = [
        name for row in section("Betas") for name in re.findall(r"`([a-z0-9-]+-20\d\d-?\d\d-?\d\d)`", row.how)
    ]
    assert len(found) == len(set(found)) > 50
    return found


@on_the_wire
async def test_every_beta_passes_verbatim(served: Served) -> None:
    every = betas()
    half = len(every) // 2
    lines = [",".join(every[:half]), ", ".join(every[half:])]
    answer = await served.ask(message(), headers=[("anthropic-beta", line) for line in lines])

    assert answer.status == 200
    assert served.upstream.requests[-1].header_values("anthropic-beta") == lines


@on_the_wire
async def test_headers_that_pass_do(served: Served) -> None:
    names = [
        name
        for row in section("Request headers")
        if row.support == "passed through"
        for name in row.names
        if name not in ("anthropic-version", "user-agent")
    ]
    assert len(names) > 8
    sent = [(name, f"value-of-{name}") for name in names]
    answer = await served.ask(message(), headers=sent)

    assert answer.status == 200
    for name, value in sent:
        assert served.upstream.requests[-1].header_values(name) == [value]


@on_the_wire
async def test_every_parameter_reaches_the_upstream_as_it_is(served: Served) -> None:
    names = [name for row in section("Parameters") for name in row.names]
    more = {name: {"of": [name, 1.50, None]} for name in names if name not in message()}
    body = json.dumps(message(stream=False) | {k: v for k, v in more.items() if k != "stream"}).encode()
    assert len(more) > 20

    lines = [f"x-api-key: {served.key}", "anthropic-version: 2023-06-01", f"content-length: {len(body)}"]
    (answer,) = await served.raw(head(MESSAGES, "host: gateway", *lines, "connection: close") + body)

    assert answer.status == 200
    assert served.upstream.requests[-1].body == body


@on_the_wire
async def test_limits_of_any_family_pass(served: Served) -> None:
    for name in ("anthropic-priority-input-tokens-remaining", "anthropic-fast-output-tokens-limit"):
        answer = await served.stream(fault=f"header:{name}=4000")
        assert answer.header(name) == "4000"


async def test_what_tells_of_an_account_stays_inside_where_several_serve() -> None:
    first, second = NewAccount("first"), NewAccount("second")
    async with (
        ReplayUpstream(api_keys={first.key, second.key}) as upstream,
        pooled(first, upstream=upstream) as one,
        pooled(first, second, upstream=upstream) as several,
    ):
        for stream in (True, False):
            shown = await one.ask(message(stream=stream), fault="unified")
            kept = await several.ask(message(stream=stream), fault="unified")
            assert all(shown.header(name) for name in OF_THE_ACCOUNT)
            assert not any(kept.header(name) for name in OF_THE_ACCOUNT)
