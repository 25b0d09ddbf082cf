"""The official SDKs work through the gateway in every way that applications use them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from gateway.ledger.record import RequestRecord
from gateway.replay.answers import ANSWER, words
from gateway.replay.journal import ReceivedRequest
from gateway.replay.models import CATALOGUE
from gateway.replay.server import ReplayUpstream
from tests.e2e.conftest import give_up
from tests.e2e.stage import UPSTREAM_KEY, Place, behind_gateway
from tests.sdk_parity.installs import SDKS, Sdk, Unavailable, find_program, python_sdk, typescript_sdks

HERE = Path(__file__).parent
RUN_SECONDS = 120
FAULTS = {
    "claude-limited-once": ("status:429;retry-after=1", 1),
    "claude-overloaded-once": ("status:529", 1),
    "claude-overloaded": ("status:529", 9),
}
STREAM_EVENTS = [
    "message_start",
    "content_block_start",
    *["content_block_delta"] * len(words(ANSWER)),
    "content_block_stop",
    "message_delta",
    "message_stop",
]


@define(frozen=True)
class Exercised:
    """What one SDK reported, and what was seen of it on the other side."""

    sdk: Sdk
    report: Mapping[str, Any]
    requests: list[ReceivedRequest]
    records: list[RequestRecord]
    key: str

    def asked_for(self, model: str) -> list[ReceivedRequest]:
        """Return the requests that named a model."""
        return [request for request in self.requests if request.model == model]


def command(sdk: Sdk) -> tuple[list[str], dict[str, str]]:
    if sdk.language == "typescript":
        driver = str(HERE / "exercise_typescript.cjs")
        return [find_program("node"), driver, str(typescript_sdks()), sdk.package], {}
    environ = {} if sdk.is_importable else {"PYTHONPATH": str(python_sdk(sdk))}
    return [sys.executable, "-W", "ignore", str(HERE / "exercise_python.py")], environ


async def drive(sdk: Sdk, place: Place) -> dict[str, Any]:
    arguments, environ = command(sdk)
    kept = {name: value for name in ("PATH", "HOME", "LANG") if (value := os.environ.get(name)) is not None}
    process = await asyncio.create_subprocess_exec(
        *arguments,
        place.base_url,
        place.key,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=kept | environ,
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return json.loads(output)


async def exercise(sdk: Sdk) -> Exercised:
    upstream = ReplayUpstream()
    for model, (fault, times) in FAULTS.items():
        upstream.faults.push(fault, model=model, times=times)
    async with behind_gateway(upstream) as place:
        report = await drive(sdk, place)
        await upstream.wait_for(lambda: all(request.finished for request in upstream.requests))
        return Exercised(sdk, report, upstream.requests, place.records, place.key)


@cache
def exercised(name: str) -> Exercised:
    return asyncio.run(exercise(SDKS[name]))


@pytest.fixture(params=list(SDKS))
def used(request: pytest.FixtureRequest) -> Exercised:
    try:
        return exercised(request.param)
    except Unavailable as reason:
        give_up(f"{request.param}: {reason}")


python_only = pytest.mark.parametrize(
    "used", [name for name, sdk in SDKS.items() if sdk.language == "python"], indirect=True
)


def test_whole_messages(used: Exercised) -> None:
    answer = used.report["create"]
    assert (answer["text"], answer["stop_reason"]) == (ANSWER, "end_turn")
    assert answer["request_id"] in {request.request_id for request in used.requests}


def test_the_stream_helper(used: Exercised) -> None:
    answer = used.report["stream_helper"]
    assert answer["pieces"] == list(words(ANSWER))
    assert (answer["text"], answer["output_tokens"]) == (ANSWER, len(words(ANSWER)))


def test_every_event_of_a_stream(used: Exercised) -> None:
    # The SDKs keep pings to themselves.
    assert used.report["plain_stream"] == STREAM_EVENTS


@python_only
def test_lines_of_a_stream_as_they_are(used: Exercised) -> None:
    with_ping = [*STREAM_EVENTS[:2], "ping", *STREAM_EVENTS[2:]]
    assert used.report["streaming_response"] == [f"event: {kind}" for kind in with_ping]


def test_raw_responses_show_the_upstreams_headers_and_our_id(used: Exercised) -> None:
    raw = used.report["raw_response"]
    assert (raw["status"], raw["text"]) == (200, ANSWER)
    assert raw["headers"]["request-id"] in {request.request_id for request in used.requests}
    assert raw["headers"]["x-gateway-request-id"] in {record.id for record in used.records}
    assert "anthropic-ratelimit-requests-remaining" in raw["headers"]


def test_counting_tokens(used: Exercised) -> None:
    assert used.report["count_tokens"] > 0


def test_thirty_counts_at_once(used: Exercised) -> None:
    many = used.report["asynchronous"]["counts"] if used.sdk.language == "python" else None
    counts = many or used.report["count_tokens_burst"]
    assert counts == [counts[0]] * 30
    assert counts[0] > 0


def test_models_page_by_page(used: Exercised) -> None:
    everything = [model["id"] for model in CATALOGUE]
    assert used.report["list_models"] == everything
    assert len([request for request in used.requests if "after_id=" in request.query]) >= len(everything) // 5


def test_one_model_by_alias(used: Exercised) -> None:
    assert used.report["retrieve_model"] == "claude-opus-4-5-20251101"


def test_a_tool_loop(used: Exercised) -> None:
    loop = used.report["tool_loop"]
    assert (loop["stop_reason"], loop["input"]) == ("tool_use", {"city": "replay"})
    assert loop["text"] == "The tool answered: 21 degrees"


@python_only
def test_a_tool_loop_that_the_sdk_runs(used: Exercised) -> None:
    assert used.report["tool_runner"] == "The tool answered: in replay: 21 degrees"


def test_the_beta_interface_keeps_its_betas_and_its_query(used: Exercised) -> None:
    assert used.report["beta"] == ANSWER
    (request,) = used.asked_for("claude-beta")
    betas = (request.header("anthropic-beta") or "").split(",")
    assert sorted(betas) == ["files-api-2025-04-14", "made-up-2026-01-01"]
    # Only the majors before these add it.
    assert request.query == ("beta=true" if used.sdk.version.startswith("0.") else "")


def test_a_key_is_taken_as_either_credential_or_as_both(used: Exercised) -> None:
    # As `api_key` the majors before these send x-api-key and these a bearer token; that works or nothing does.
    assert used.report["auth_token"] == ANSWER
    if used.sdk.language == "python":
        assert used.report["both_credentials"] == ANSWER


def test_the_upstream_gets_the_gateways_credential_and_the_sdks_own_headers(used: Exercised) -> None:
    assert {request.credential for request in used.requests} == {("x-api-key", UPSTREAM_KEY)}
    assert not any(used.key in value for request in used.requests for _, value in request.headers)
    assert {request.header("x-stainless-package-version") for request in used.requests} == {used.sdk.version}
    version = "2023-06-01" if used.sdk.version.startswith("0.") else "2026-10-21"
    assert {request.header("anthropic-version") for request in used.requests} == {version}


def test_a_key_that_the_gateway_does_not_know_fails_at_once(used: Exercised) -> None:
    error = used.report["wrong_key"]
    assert (error["class"], error["status"], error["type"]) == ("AuthenticationError", 401, "authentication_error")
    assert "gateway keys create" in error["message"]
    assert [record.id for record in used.records if record.status == 401] == [error["request_id"]]


def test_a_refusal_arrives_as_the_upstream_put_it(used: Exercised) -> None:
    error = used.report["refused"]
    assert (error["class"], error["status"], error["type"]) == ("PermissionDeniedError", 403, "permission_error")
    assert error["message"] == "Not for you"
    assert error["request_id"] in {request.request_id for request in used.requests}


def test_rate_limits_and_overloads_that_end_are_waited_out(used: Exercised) -> None:
    assert used.report["retried"] == [ANSWER, ANSWER]
    limited = used.asked_for("claude-limited-once")
    assert len(limited) == 2
    assert limited[1].at - limited[0].at >= 1, "retry-after was not heard"
    assert len(used.asked_for("claude-overloaded-once")) == 2


def test_an_overload_that_does_not_end_is_reported(used: Exercised) -> None:
    error = used.report["overloaded"]
    assert (error["status"], error["type"]) == (529, "overloaded_error")
    assert len(used.asked_for("claude-overloaded")) == 2


def test_an_error_in_the_middle_of_a_stream_is_raised(used: Exercised) -> None:
    assert used.report["error_in_stream"]["type"] == "overloaded_error"


@python_only
def test_many_streams_at_once(used: Exercised) -> None:
    together = used.report["asynchronous"]
    assert together["streams"] == [ANSWER] * 10
    assert together["message"] == ANSWER
    assert together["models"] == [model["id"] for model in CATALOGUE]


def test_an_abort_reaches_the_upstream_and_the_record(used: Exercised) -> None:
    assert used.report["abort"] == ("The" if used.sdk.language == "python" else "APIUserAbortError")
    assert [request.finished for request in used.asked_for("claude-aborted")] == ["client_gone"]
    assert [record.outcome for record in used.records if record.model == "claude-aborted"] == ["cancelled"]
