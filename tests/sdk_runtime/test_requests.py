"""What the local runtime cannot carry is refused by name; nothing is dropped."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from gateway.dataplane.sdk_gate import _checked
from gateway.dataplane.sdk_requests import CARRIED, REFUSED, Conversation, read_sdk_request
from gateway.wire.errors import ApiError, encode_json
from tests.contract.harness import Served, envelope
from tests.sdk_runtime.asking import ask, question, runtimes, sdk_serving

PAGE = Path(__file__).parents[2] / "docs" / "sdk-transport.md"
USER = {"role": "user", "content": "Hello"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served() -> AsyncIterator[Served]:
    """Return a gateway that the tests of this module share; none of them gets as far as a runtime."""
    async with sdk_serving() as running:
        yield running


CANNOT: dict[str, tuple[dict[str, Any], str]] = {
    **{name: ({name: value}, name) for name, value in dict.fromkeys(REFUSED, 1).items()},
    "unknown": ({"cwd": "/"}, "cwd"),
    "permission": ({"permission_mode": "bypassPermissions"}, "permission_mode"),
    "thinking": ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
    "metadata": ({"metadata": {"user_id": "a", "other": 1}}, "metadata.other"),
    "image": ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages.0.content.0"),
    "breakpoint": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]}]},
        "messages.0.content.0.cache_control",
    ),
    "empty text": ({"messages": [{"role": "user", "content": " \n"}]}, "messages.0.content"),
    "no messages": ({"messages": []}, "messages"),
    "prefill": ({"messages": [USER, {"role": "assistant", "content": "Well,"}]}, "messages.1"),
    "two in a row": ({"messages": [USER, USER]}, "messages.1.role"),
    "system turn": ({"messages": [{"role": "system", "content": "a"}]}, "messages.0.role"),
    "earlier turns": ({"messages": [USER, {"role": "assistant", "content": "Hi"}, USER]}, "messages"),
    "two system blocks": ({"system": [{"type": "text", "text": text} for text in "ab"]}, "system"),
    "alias": ({"model": "opus"}, "model"),
    "suffix": ({"model": "claude-opus-5-5[1m]"}, "model"),
    "option": ({"model": "--dangerously-skip-permissions"}, "model"),
    "path": ({"model": "claude-../../etc/passwd"}, "model"),
    "line": ({"model": "claude-haiku-4-5\n--version"}, "model"),
    "no tokens": ({"max_tokens": 0}, "max_tokens"),
    "fraction": ({"max_tokens": 1.5}, "max_tokens"),
    "stream": ({"stream": "yes"}, "stream"),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CANNOT)
async def test_what_cannot_be_carried_is_refused_by_name(served: Served, case: str) -> None:
    fields, name = CANNOT[case]
    error = envelope(await ask(served, question(**fields)), 400, "invalid_request_error")
    assert error["message"].startswith(f"{name}:"), error["message"]
    assert not runtimes()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("header", "query", "name"),
    [
        (("anthropic-beta", "context-1m-2025-08-07"), "", "anthropic-beta"),
        (("anthropic-version", "2023-01-01"), "", "anthropic-version"),
        (("x-other", "1"), "?beta=true", "query"),
    ],
)
async def test_so_are_headers_and_queries(served: Served, header: tuple[str, str], query: str, name: str) -> None:
    usual = [(key, value) for key, value in served.usual if key != header[0]]
    answer = await served.ask(question(), f"/claude-sdk/v1/messages{query}", usual=[*usual, header])
    error = envelope(answer, 400, "invalid_request_error")
    assert error["message"].startswith(f"{name}:"), error["message"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"model":"claude-x","messages":["\\ud800"]}', b"[" * 100_000]
)
async def test_a_body_that_is_no_request_is_refused(served: Served, body: bytes) -> None:
    answer = await served.ask(body, "/claude-sdk/v1/messages", method="POST")
    envelope(answer, 400, "invalid_request_error")


def test_the_guide_lists_exactly_what_is_carried_and_what_is_not() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE))
    assert rows == {**{name: f"carried: {text}" for name, text in CARRIED.items()}, **REFUSED}


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_blocks = st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": st.text(max_size=5)}) | _json, max_size=3
)
_turns = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": st.text() | _blocks | _json}
    ),
    max_size=4,
)


@given(
    st.fixed_dictionaries(
        {"model": st.just("claude-haiku-4-5") | _json, "max_tokens": st.integers() | _json, "messages": _turns},
        optional=dict.fromkeys(("system", "stream", "metadata", "thinking", *REFUSED, "other"), _json),
    )
)
def test_whatever_comes_is_carried_or_refused(fields: dict[str, Any]) -> None:
    try:
        request = read_sdk_request(encode_json(fields), {}, "")
    except ApiError:
        return
    assert set(fields) <= set(CARRIED)
    last = fields["messages"][-1]["content"]
    texts = [last] if isinstance(last, str) else [block["text"] for block in last]
    assert (request.model, list(request.texts)) == (fields["model"], texts)


SENT: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 32000,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello", "cache_control": {}}]}],
    "system": [{"type": "text", "text": "The runtime's own."}, {"type": "text", "text": "Be brief."}],
    "tools": [],
    "stream": True,
}
ALTERED: dict[str, list[Any]] = {
    "model": ["claude-haiku-5", None],
    "messages": [[], [USER, USER], [{"role": "user", "content": "Hallo"}], [{"role": "user", "content": [IMAGE]}]],
    "system": ["Be", [], [{"type": "text", "text": "Be brief. And tell everything."}]],
    "tools": [[{"name": "Bash"}]],
    "stream": [False, None],
}


def test_the_gate_lets_through_what_was_asked_for_with_the_clients_bound_on_tokens() -> None:
    asked = read_sdk_request(encode_json(question(max_tokens=7, system="Be brief.")), {}, "")
    assert json.loads(_checked(bytearray(encode_json(SENT)), asked)) == {**SENT, "max_tokens": 7}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in ALTERED for value in ALTERED[name]])
def test_the_gate_refuses_what_the_runtime_would_ask_instead(name: str, value: Any) -> None:
    asked = read_sdk_request(encode_json(question(system="Be brief.")), {}, "")
    with pytest.raises(ApiError) as refused:
        _checked(bytearray(encode_json({**SENT, name: value})), asked)
    assert refused.value.status == 400
    assert refused.value.message.startswith(f"{name}: ")


def test_conversations_are_told_apart_by_every_word_and_role() -> None:
    start = Conversation()
    said = start.then("user", ["a", "b"])
    different = [
        start,
        said,
        start.then("user", ["ab"]),
        start.then("assistant", ["ab"]),
        said.then("user", ["a"]),
    ]
    assert len({conversation.digest for conversation in different}) == len(different)
    assert start.then("assistant", ["a", "b"]) == start.then("assistant", ["ab"])
