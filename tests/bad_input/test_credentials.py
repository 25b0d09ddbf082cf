"""Who is let in, and what everybody else is told."""

from __future__ import annotations

import pytest

from gateway.actors.keys import KEY_PREFIX
from tests.bad_input.checks import BODY, CLOSE, HOST, LENGTH, VERSION, refused
from tests.contract.harness import MESSAGES, Served, head

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSED = {
    "none": [],
    "empty key": ["x-api-key:"],
    "blank key": ["x-api-key:   "],
    "wrong key": [f"x-api-key: {KEY_PREFIX}wrong"],
    "the upstream account's kind of key": ["x-api-key: sk-ant-api03-wrong"],
    "key with something behind it": ["x-api-key: {key}x"],
    "part of the key": ["x-api-key: {half}"],
    "key in capitals": ["x-api-key: {upper}"],
    "empty bearer": ["Authorization: Bearer"],
    "blank bearer": ["Authorization: Bearer   "],
    "wrong bearer": ["Authorization: Bearer wrong"],
    "basic": ["Authorization: Basic {key}"],
    "no scheme": ["Authorization: {key}"],
    "two schemes": ["Authorization: Bearer Bearer {key}"],
    "two keys in one line": ["x-api-key: {key}, {key}"],
    "bytes that are no UTF-8": ["x-api-key: {key}\udcff"],
    "only in the query": [],
    "only in a cookie": ["Cookie: x-api-key={key}"],
    "only as proxy authorization": ["Proxy-Authorization: Bearer {key}"],
}
CONTRADICTING = {
    "key and another bearer": ["x-api-key: {key}", "Authorization: Bearer other"],
    "bearer and another key": ["x-api-key: other", "Authorization: Bearer {key}"],
    "two different keys": ["x-api-key: {key}", "x-api-key: other"],
    "two different bearers": ["Authorization: Bearer {key}", "Authorization: Bearer other"],
}


@pytest.mark.parametrize("lines", CONTRADICTING.values(), ids=CONTRADICTING)
async def test_credentials_that_contradict_each_other_are_refused_though_one_is_valid(
    served: Served, lines: list[str]
) -> None:
    for order in (lines, lines[::-1]):
        filled = [line.format(key=served.key) for line in order]
        request = head(MESSAGES, HOST, VERSION, CLOSE, LENGTH, *filled) + BODY
        error = await refused(served, await served.raw(request), 401, "authentication_error")
        assert "different credentials" in error["message"]
        served.upstream.journal.clear()


@pytest.mark.parametrize("lines", REFUSED.values(), ids=REFUSED)
async def test_a_request_without_one_valid_credential_is_refused(served: Served, lines: list[str]) -> None:
    key = served.key
    filled = [
        line.format(key=key, half=key[:-1], upper=key.upper()).encode("utf-8", "surrogateescape") for line in lines
    ]
    request = head(f"{MESSAGES}?x-api-key={key}", HOST, VERSION, CLOSE, LENGTH, *filled) + BODY
    answers = await served.raw(request)
    error = await refused(served, answers, 401, "authentication_error")
    assert key not in error["message"]
    assert answers[0].header("www-authenticate") is None


@pytest.mark.parametrize("target", [MESSAGES, f"{MESSAGES}/count_tokens"])
async def test_a_body_is_not_asked_for_before_the_credential_is_known(served: Served, target: str) -> None:
    async with served.connect() as connection:
        lines = [HOST, VERSION, "Content-Length: 30000000", "Expect: 100-continue"]
        connection.writer.write(head(target, *lines))
        answer = await connection.receive()
    await refused(served, [answer], 401, "authentication_error")


async def test_a_credential_beside_an_empty_one_counts(served: Served) -> None:
    answer = await served.stream(usual=[*served.usual, ("authorization", "Bearer ")])
    assert answer.status == 200


async def test_what_is_refused_is_recorded_without_the_key(served: Served) -> None:
    await served.stream(usual=[("x-api-key", "sk-ant-secret-of-somebody")])
    (record,) = served.ledger.records
    assert (record.outcome, record.status, record.actor) == ("rejected", 401, "unknown")
    assert "sk-ant" not in repr(record)
