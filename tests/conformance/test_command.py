"""`gateway conformance` as an operator runs it: exit status, card, and what it says when it cannot begin."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest
from attrs import define

from gateway.canary.conformance.catalogue import RULES
from gateway.cli import main
from gateway.config import load_settings
from tests.bench.processes import free_port
from tests.conformance.relay import Sabotage, relaying
from tests.conformance.saboteurs import SABOTEURS
from tests.contract.harness import serving

KEY = "sk-of-a-client-that-nobody-may-see"


@define
class Ended:
    status: int | None
    out: str
    err: str


async def conformance(*arguments: str) -> Ended:
    """Run the command in a thread of this process, with an event loop of its own."""

    def run() -> Ended:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                status = main(["conformance", *arguments])
            except SystemExit as ended:
                status = int(ended.code or 0)
        return Ended(status, out.getvalue(), err.getvalue())

    return await asyncio.to_thread(run)


async def conformance_as_a_process(*arguments: str) -> Ended:
    """Run the command as an operator does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "conformance",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode, out.decode(), err.decode())


def listening(port: int) -> list[str]:
    return ["--upstream-listen", f"127.0.0.1:{port}"]


async def test_a_gateway_that_keeps_the_rules_gets_a_card_and_status_0() -> None:
    port = free_port()
    async with serving(anthropic_base_url=f"http://127.0.0.1:{port}") as served:
        ended = await conformance_as_a_process(
            served.gateway.url,
            *("--key", served.key, "--bearer", "--name", "ours", "--format", "markdown"),
            *("--only", "stream.*", "--only", "error.4*"),
            *listening(port),
        )
    assert ended.status == 0, ended.out + ended.err
    assert "| `stream.bytes` | pass |" in ended.out
    assert "0 failed, 0 not applicable" in ended.out
    # The path below which it serves was found, and progress told.
    assert f"the gateway answers at {served.gateway.url}/claude/v1/messages" in ended.err
    assert "pass  error.429" in ended.err
    assert served.key not in ended.out + ended.err


async def test_a_relay_that_only_passes_bytes_on_gets_status_1_and_learns_what_users_would_notice() -> None:
    port = free_port()
    upstream = f"http://127.0.0.1:{port}"
    async with relaying(Sabotage(), upstream, upstream) as url:
        common = (url, "--key", KEY, "--quick", "--patience", "1", *listening(port))
        card = await conformance(*common, "--format", "json")
        only = await conformance(*common, "--only", "truncated.missing-stop")
    found: dict[str, Any] = json.loads(card.out)
    by_id = {rule["id"]: rule for rule in found["rules"]}
    assert by_id.keys() == {rule.id for rule in RULES if not rule.slow}
    failed = {id_ for id_, rule in by_id.items() if rule["result"] == "fail"}
    assert failed == {
        "stream.ends-at-stop",
        "framing.bom",
        "truncated.eof-before-content",
        "truncated.eof-after-content",
        "truncated.tool-input",
        "truncated.missing-stop",
        "broken.duplicate-start",
        "broken.block-order",
        "broken.after-stop",
        "broken.event-name",
        "broken.json",
        "broken.utf8",
    }
    assert by_id["request.credential"]["result"] == "n-a"
    assert found["counts"] == {"pass": len(by_id) - 13, "fail": 12, "n-a": 1, "unchecked": 0}
    assert (card.status, found["passed"]) == (1, False)
    assert only.status == 1
    assert "message_stop missing" in only.out
    assert f"a user would notice: {by_id['truncated.missing-stop']['notice']}" in only.out
    assert KEY not in card.out + card.err + only.out + only.err


async def test_a_gateway_that_does_not_come_is_status_2_and_a_sentence_that_says_where_to_point_it() -> None:
    port, nobody = free_port(), free_port()
    ended = await conformance(f"http://127.0.0.1:{nobody}", "--wait", "0.1", *listening(port))
    assert (ended.status, ended.out) == (2, "")
    assert f"http://127.0.0.1:{nobody} did not answer through the replay upstream" in ended.err
    assert "it refuses connections. See that it runs and listens there" in ended.err
    assert "Traceback" not in ended.err


async def test_a_gateway_that_fails_is_status_2_and_a_sentence_that_says_where_to_point_it() -> None:
    port, other = free_port(), free_port()
    async with serving(anthropic_base_url=f"http://127.0.0.1:{other}") as served:
        ended = await conformance(served.gateway.url, "--key", served.key, "--wait", "0.1", *listening(port))
    assert (ended.status, ended.out) == (2, "")
    assert f"{served.gateway.url} did not answer through the replay upstream" in ended.err
    assert f"Point the gateway's Anthropic base URL at http://127.0.0.1:{port}" in ended.err


async def test_of_a_gateway_with_another_upstream_one_answer_is_asked_for_and_nothing_more() -> None:
    async with serving() as served:
        ended = await conformance(served.gateway.url, "--key", served.key, *listening(free_port()))
        asked = [request for request in served.upstream.requests if request.path == "/v1/messages"]
    assert (ended.status, ended.out) == (2, "")
    assert "its upstream is another one; nothing more is sent" in ended.err
    assert "It said: HTTP 200, message_start" in ended.err
    assert len(asked) == 1


async def test_a_key_that_is_not_taken_is_status_2_at_once_and_said_to_be_what_is_wrong() -> None:
    port = free_port()
    async with serving(anthropic_base_url=f"http://127.0.0.1:{port}") as served:
        ended = await conformance(served.gateway.url, "--key", KEY, *listening(port))
    assert (ended.status, ended.out) == (2, "")
    assert f"{served.gateway.url} does not take the key: HTTP 401" in ended.err
    assert "--key-stdin" in ended.err
    assert KEY not in ended.err


async def test_a_port_that_is_taken_is_status_2() -> None:
    async with serving() as served:
        ended = await conformance("http://127.0.0.1:9", *listening(served.upstream.port))
    assert ended.status == 2
    assert "Address already in use; set --upstream-listen to another HOST:PORT" in ended.err


async def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    ended = await conformance("http://user:sesame-open-99@127.0.0.1:9")
    assert ended.status == 2
    assert "leave user and password out of the URL" in ended.err
    assert "sesame" not in ended.out + ended.err


def test_the_variable_with_the_key_is_not_taken_for_a_misspelt_setting() -> None:
    warnings: list[str] = []
    load_settings(environ={"GATEWAY_CONFORMANCE_KEY": "k"}, warn=warnings.append)
    assert warnings == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the URL of the gateway under test is missing"),
        (["http://127.0.0.1:9", "--only", "nothing.*"], "no rule fits nothing.*"),
        (["127.0.0.1:8787"], "is not http://HOST:PORT"),
        (["http://127.0.0.1:9", "--header", "no colon"], "--header takes NAME: VALUE"),
        (["http://127.0.0.1:9", "--patience", "0"], "is not between"),
    ],
    ids=["no-url", "no-rule", "url", "header", "patience"],
)
async def test_a_wrong_use_is_status_2_and_says_what_is_wrong(arguments: list[str], says: str) -> None:
    ended = await conformance(*arguments)
    assert ended.status == 2
    assert says in ended.err


async def test_the_rules_can_be_listed_without_a_gateway() -> None:
    ended = await conformance("--list")
    assert ended.status == 0
    assert [line.split()[0] for line in ended.out.splitlines()] == list(SABOTEURS)
