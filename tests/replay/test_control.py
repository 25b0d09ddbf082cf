"""``/_replay``: what a person or a script in another process can see and set."""

import hashlib
import json
from typing import Any

import pytest

from gateway.replay.server import ReplayUpstream
from tests.replay.raw_client import RawResponse, ask, message


async def control(upstream: ReplayUpstream, method: str, target: str, value: Any = None) -> RawResponse:
    body = b"" if value is None else json.dumps(value).encode()
    return await ask(upstream, body, f"/_replay/{target}", method=method, usual=())


async def test_requests_are_shown_newest_last_and_without_their_secrets(upstream: ReplayUpstream) -> None:
    secret = "sk-ant-api03-very-secret-WXYZ"
    version = ("anthropic-version", "2023-06-01")
    await ask(upstream, message(), usual=[version, ("x-api-key", secret), ("Cookie", "a=secretcookie")])
    await ask(upstream, message(model="claude-haiku-5-5"), usual=[version, ("Authorization", "Bearer short")])
    await upstream.wait_for(lambda: all(record.finished for record in upstream.requests))
    shown = await control(upstream, "GET", "requests")
    assert b"secret" not in shown.body
    assert b"short" not in shown.body or b"Bearer short" not in shown.body
    first, second = shown.json()["requests"]
    assert first["credential"] == ["x-api-key", "…WXYZ"]
    assert ["x-api-key", "…WXYZ"] in first["headers"]
    assert (first["target"], first["finished"], first["model"]) == ("/v1/messages", "answered", "claude-opus-5-5")
    assert first["body_sha256"] == hashlib.sha256(upstream.requests[0].body).hexdigest()
    assert "body" not in first
    assert second["connection_id"] != first["connection_id"]
    limited = (await control(upstream, "GET", "requests?limit=1&bodies=1")).json()["requests"]
    assert [json.loads(request["body"])["model"] for request in limited] == ["claude-haiku-5-5"]


async def test_looking_leaves_no_trace_and_the_record_can_be_emptied(upstream: ReplayUpstream) -> None:
    await ask(upstream, message())
    await control(upstream, "GET", "requests")
    assert len(upstream.requests) == 1
    await control(upstream, "DELETE", "requests")
    assert upstream.requests == []


async def test_what_goes_to_the_token_endpoint_is_never_shown(upstream: ReplayUpstream) -> None:
    await ask(upstream, {"grant_type": "refresh_token", "refresh_token": "sk-ant-ort01-secret"}, "/v1/oauth/token")
    shown = await control(upstream, "GET", "requests?bodies=1")
    assert b"ort01" not in shown.body


async def test_faults_can_be_set_seen_and_cleared(upstream: ReplayUpstream) -> None:
    script = ["status:529;times=2", {"fault": "hang:event=3;seconds=0.5", "model": "claude-*", "times": "forever"}]
    rules = (await control(upstream, "POST", "faults", script)).json()["rules"]
    assert rules[0]["fault"] == [{"kind": "status", "status": 529}]
    assert (rules[0]["times"], rules[1]["times"]) == (2, "forever")
    assert (await ask(upstream, message())).status == 529
    left = (await control(upstream, "GET", "faults")).json()
    assert left["rules"][0]["times"] == 1
    assert (await control(upstream, "DELETE", "faults")).json() == {"rules": []}
    assert (await ask(upstream, message())).status == 200
    again = (await control(upstream, "POST", "faults", {"rules": left["rules"][:1]})).json()
    assert again["rules"] == left["rules"][:1]


async def test_a_bad_script_changes_nothing(upstream: ReplayUpstream) -> None:
    answer = await control(upstream, "POST", "faults", ["refuse", "explode"])
    assert answer.status == 400
    assert "no fault is called 'explode'" in answer.json()["error"]["message"]
    assert upstream.faults.rules == []
    for nonsense in (5, [5], "", {"colour": "red"}):
        assert (await control(upstream, "POST", "faults", nonsense)).status == 400


async def test_tokens_can_be_had_and_revoked(upstream: ReplayUpstream) -> None:
    pair = (await control(upstream, "POST", "tokens")).json()
    assert upstream.tokens.standing(pair["access_token"]) == "valid"
    revoked = await control(upstream, "POST", "tokens/revoke", {"token": pair["refresh_token"]})
    assert revoked.status == 200
    assert upstream.tokens.standing(pair["access_token"]) == "revoked"
    assert (await control(upstream, "POST", "tokens/revoke", {"token": "other"})).status == 404


async def test_a_pair_lives_as_long_as_was_asked_and_can_be_made_to_expire(upstream: ReplayUpstream) -> None:
    short = (await control(upstream, "POST", "tokens", {"expires_in": 60})).json()
    usual = (await control(upstream, "POST", "tokens", {})).json()
    assert (short["expires_in"], usual["expires_in"]) == (60, 3600)
    assert upstream.tokens.standing(short["access_token"]) == "valid"
    renewed = upstream.tokens.grant({"grant_type": "refresh_token", "refresh_token": short["refresh_token"]})
    assert renewed.expires_in == 60
    expired = await control(upstream, "POST", "tokens/expire", {"token": short["access_token"]})
    assert expired.json() == {"expired": True}
    assert upstream.tokens.standing(short["access_token"]) == "expired"
    assert (await control(upstream, "POST", "tokens/expire", {"token": short["refresh_token"]})).status == 404


@pytest.mark.parametrize(
    ("target", "value"),
    [
        *[("tokens", {"expires_in": value}) for value in (-1, 1.5, True, "60", 10**12, [])],
        *[("tokens", value) for value in ({"expires": 60}, [60], "60", 60)],
        *[(f"tokens/{what}", value) for what in ("expire", "revoke") for value in ({}, {"token": 1}, ["t"], "t")],
    ],
)
async def test_what_means_nothing_is_refused_and_issues_no_token(
    upstream: ReplayUpstream, target: str, value: Any
) -> None:
    answer = await control(upstream, "POST", target, value)
    assert answer.status == 400
    assert b"sk-ant-o" not in answer.body


async def test_an_unknown_control_path_says_so(upstream: ReplayUpstream) -> None:
    assert (await control(upstream, "GET", "secrets")).status == 404
    assert (await control(upstream, "GET", "requests?limit=-1")).status == 400
