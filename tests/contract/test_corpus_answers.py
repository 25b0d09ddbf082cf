"""The golden answers that are no streams: messages, models, token counts and errors, byte for byte."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.config import ClientAuth
from gateway.replay.fixtures import default_corpus
from tests.contract.canned import canned, canned_answer
from tests.contract.harness import Served, envelope, serving
from tests.replay.raw_client import RawResponse, message

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIXTURES: Final = Path(__file__).parents[2] / "fixtures"
MANIFEST: Final[dict[str, list[dict[str, Any]]]] = tomllib.loads((FIXTURES / "manifest.toml").read_text())
OF_THE_ACCOUNT: Final = "The upstream does not accept the gateway's credential"
HOP_BY_HOP: Final = {"connection", "transfer-encoding", "content-length", "keep-alive"}


def each(kind: str) -> Any:
    entries = MANIFEST[kind]
    assert entries
    return pytest.mark.parametrize("entry", entries, ids=[entry["name"] for entry in entries])


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    return [without_nulls(member) for member in value] if isinstance(value, list) else value


@each("message")
async def test_a_message_arrives_byte_for_byte(served: Served, entry: dict[str, Any]) -> None:
    answer = await served.ask(message(model=f"replay-{entry['name']}"))
    assert (answer.status, answer.ended) == (200, "complete")
    assert answer.header("content-type") == "application/json"
    assert answer.body == default_corpus().read("message", entry["name"])
    record = served.ledger.of(answer)
    assert (record.outcome, record.status, record.stream) == ("complete", 200, False)
    assert record.bytes_in == record.bytes_out == len(answer.body)


@each("model")
async def test_models_and_token_counts_arrive_byte_for_byte(entry: dict[str, Any]) -> None:
    body = (FIXTURES / entry["file"]).read_bytes()
    counting = entry["kind"] == "count_tokens"
    async with canned(canned_answer(body)) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.ask(message() if counting else b"", f"/claude{entry['path']}")
    assert (answer.status, answer.ended) == (200, "complete")
    assert answer.body == body
    method = "POST" if counting else "GET"
    assert upstream.requests[0].startswith(f"{method} {entry['path']} HTTP/1.1\r\n".encode())


def is_about_the_account(entry: dict[str, Any], body: bytes) -> bool:
    """Whether an error says that the gateway's own credential is not accepted."""
    return entry["status"] == 401 or (entry["status"] == 403 and b"OAuth token has" in body)


def check_unchanged(answer: RawResponse, recorded: dict[str, Any]) -> None:
    assert answer.status == recorded["status"]
    assert answer.ended == "complete"
    for name, value in recorded["headers"].items():
        if name.lower() not in HOP_BY_HOP:
            assert answer.values(name.lower()) == [value], name
    if "body_text" in recorded:
        assert answer.body == recorded["body_text"].encode()
    else:
        assert answer.json() == recorded["body"]


@each("error")
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "message"])
async def test_an_error_of_the_upstream_arrives_byte_for_byte(
    served: Served, entry: dict[str, Any], *, stream: bool
) -> None:
    recorded = json.loads((FIXTURES / entry["file"]).read_bytes())
    answer = await served.ask(message(stream=stream), fault=f"error:{entry['name']}")
    sent = default_corpus().error(entry["name"]).body
    record = served.ledger.of(answer)
    assert record.status == answer.status
    if is_about_the_account(entry, sent):
        error = envelope(answer, 503, "api_error")
        assert error["message"].startswith(OF_THE_ACCOUNT)
        assert answer.header("x-should-retry") == "false"
        for secret in (sent, recorded["headers"].get("request-id", "-").encode()):
            assert secret not in answer.body
        assert "anthropic-organization-id" not in {name.lower() for name, _ in answer.headers}
    elif recorded["status"] == 200 and stream:
        # Under status 200 a client would take it for an empty stream.
        envelope(answer, 502, "api_error")
    elif recorded["status"] == 200 and "html" in recorded["headers"]["content-type"]:
        envelope(answer, 502, "api_error")
    else:
        check_unchanged(answer, recorded)
        assert answer.body == sent
        if recorded["status"] != 200:
            assert record.outcome == "refused"


@pytest.mark.parametrize("name", [entry["name"] for entry in MANIFEST["error"] if entry["status"] in (401, 403)])
async def test_with_its_own_credential_a_client_gets_the_upstreams_401_and_403_as_they_came(name: str) -> None:
    recorded = json.loads((FIXTURES / "errors" / f"{name}.json").read_bytes())
    async with serving(client_auth=ClientAuth.PASSTHROUGH) as served:
        answer = await served.ask(message(stream=True), fault=f"error:{name}")
        check_unchanged(answer, recorded)
        assert answer.body == default_corpus().error(name).body
        assert served.upstream.requests[0].credential == ("x-api-key", served.key)


async def test_an_answer_without_request_id_and_server_is_not_given_those_of_the_http_library() -> None:
    refusal = canned_answer(b"busy", "503 Busy", [("retry-after", "7"), ("content-type", "text/plain")])
    async with canned(refusal) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.ask(message())
    assert (answer.status, answer.body, answer.header("retry-after")) == (503, b"busy", "7")
    assert answer.values("content-type") == ["text/plain"]
    assert answer.header("request-id") is None
    assert answer.values("server") == ["claude-stream-gateway"]


@pytest.mark.parametrize(("kind", "status"), [("overloaded_error", 529), ("invalid_request_error", 400)])
async def test_an_error_envelope_under_status_200_gets_the_status_of_its_type(kind: str, status: int) -> None:
    body = json.dumps({"type": "error", "error": {"type": kind, "message": "no"}}).encode()
    async with canned(canned_answer(body)) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.ask(message())
        assert envelope(answer, status, kind) == {"type": kind, "message": "no"}
        assert served.ledger.of(answer).outcome == "refused"


async def test_an_authentication_error_under_status_200_is_not_shown_as_the_clients() -> None:
    body = b'{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}'
    async with canned(canned_answer(body)) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.ask(message())
    envelope(answer, 502, "api_error")
    assert b"invalid" not in answer.body


@pytest.mark.parametrize(("words", "quoted"), [("invalid x-api-key", "invalid x-api-key."), ("Gone.", "Gone.")])
async def test_an_upstreams_words_end_before_the_gateways_begin(words: str, quoted: str) -> None:
    body = json.dumps({"type": "error", "error": {"type": "authentication_error", "message": words}}).encode()
    refusal = canned_answer(body, "401 Unauthorized")
    async with canned(refusal) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.ask(message())
    told = envelope(answer, 503, "api_error")["message"]
    assert f"it says: {quoted} Your own key is fine; " in told


async def test_an_error_event_without_any_request_id_still_comes_with_one() -> None:
    event = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    answer_bytes = canned_answer(event, headers=[("content-type", "text/event-stream")])
    async with canned(answer_bytes) as upstream, serving(anthropic_base_url=upstream.url) as served:
        answer = await served.stream()
    envelope(answer, 529, "overloaded_error")


@pytest.mark.parametrize(
    "status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "304 Not Modified"]
)
async def test_a_redirect_is_neither_followed_nor_passed_on(status: str) -> None:
    headers = [("location", "/elsewhere"), ("content-type", "text/html")]
    async with canned(canned_answer(b"", status, headers)) as upstream:
        async with serving(anthropic_base_url=upstream.url) as served:
            for body, target in ((message(), "/claude/v1/messages"), (b"", "/claude/v1/models?limit=1000")):
                answer = await served.ask(body, target)
                envelope(answer, 502, "api_error")
                assert answer.header("location") is None
        assert len(upstream.requests) == 2
