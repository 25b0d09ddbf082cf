"""OAuth tokens: rotation, expiry, and what reuse of a refresh token does."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.replay.server import ReplayUpstream
from gateway.replay.tokens import ASSERTION_GRANT, TokenPair
from tests.replay.raw_client import RawResponse, ask, message

JSON = (("content-type", "application/json"), ("anthropic-beta", "oauth-2025-04-20"))
REVOKED = "OAuth token has been revoked. Please obtain a new token."
EXPIRED = "OAuth token has expired. Please obtain a new token or refresh your existing token."


async def refresh(upstream: ReplayUpstream, token: str | None) -> RawResponse:
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "of-the-operator"}
    return await ask(upstream, form, "/v1/oauth/token", usual=JSON)


async def use(upstream: ReplayUpstream, token: str, *betas: str) -> RawResponse:
    headers = [("Authorization", f"Bearer {token}"), ("anthropic-version", "2023-06-01")]
    headers += [("anthropic-beta", beta) for beta in betas or ("a-2025-01-01,oauth-2025-04-20",)]
    return await ask(upstream, message(stream=True), usual=headers)


def wording(answer: RawResponse) -> tuple[int, str]:
    return answer.status, answer.json()["error"]["message"]


@pytest.fixture
def pair(upstream: ReplayUpstream) -> TokenPair:
    return upstream.tokens.issue()


def refresh_token(pair: TokenPair) -> str:
    assert pair.refresh_token is not None
    return pair.refresh_token


async def test_an_issued_token_opens_the_api_and_shows_unified_limits(
    upstream: ReplayUpstream, pair: TokenPair
) -> None:
    answer = await use(upstream, pair.access_token)
    assert answer.status == 200
    assert answer.header("anthropic-ratelimit-unified-status") == "allowed"
    assert answer.header("anthropic-ratelimit-requests-limit") is None


async def test_the_beta_may_stand_anywhere_but_must_be_there(upstream: ReplayUpstream, pair: TokenPair) -> None:
    assert (await use(upstream, pair.access_token, "a-2025-01-01", "oauth-2025-04-20")).status == 200
    refused = await use(upstream, pair.access_token, "a-2025-01-01")
    assert wording(refused) == (401, "OAuth authentication is currently not supported.")


async def test_a_refresh_hands_out_a_new_pair_of_the_settable_lifetime(
    upstream: ReplayUpstream, pair: TokenPair
) -> None:
    upstream.tokens.expires_in = 77
    answer = (await refresh(upstream, pair.refresh_token)).json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 77)
    assert answer["access_token"].startswith("sk-ant-oat01-")
    assert answer["refresh_token"].startswith("sk-ant-ort01-")
    assert answer["refresh_token"] != pair.refresh_token
    assert (await use(upstream, answer["access_token"])).status == 200
    assert (await use(upstream, pair.access_token)).status == 200


async def test_a_form_is_taken_as_well_as_json(upstream: ReplayUpstream, pair: TokenPair) -> None:
    form = urlencode({"grant_type": "refresh_token", "refresh_token": refresh_token(pair)}).encode()
    headers = [("content-type", "application/x-www-form-urlencoded")]
    assert (await ask(upstream, form, "/v1/oauth/token", usual=headers)).status == 200


async def test_reuse_of_a_refresh_token_revokes_the_whole_family(
    upstream: ReplayUpstream, pair: TokenPair
) -> None:
    stranger = upstream.tokens.issue()
    second = (await refresh(upstream, pair.refresh_token)).json()
    reused = await refresh(upstream, pair.refresh_token)
    assert (reused.status, reused.json()["error"]) == (400, "invalid_grant")
    for token in (pair.access_token, second["access_token"]):
        assert wording(await use(upstream, token)) == (403, REVOKED)
    assert (await refresh(upstream, second["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await use(upstream, stranger.access_token)).status == 200
    assert [(record.outcome, record.family) for record in upstream.tokens.records] == [
        ("granted", pair.family),
        ("invalid_grant", pair.family),
        ("invalid_grant", pair.family),
    ]
    assert {record.client_id for record in upstream.tokens.records} == {"of-the-operator"}


async def test_an_expired_token_is_told_so(upstream: ReplayUpstream, pair: TokenPair) -> None:
    upstream.tokens.expire(pair.access_token)
    assert wording(await use(upstream, pair.access_token)) == (401, EXPIRED)


async def test_a_token_lives_as_long_as_it_says() -> None:
    now = 1000.0
    async with ReplayUpstream() as upstream:
        upstream.tokens.clock = lambda: now
        token = upstream.tokens.issue().access_token
        now += 3599
        assert (await use(upstream, token)).status == 200
        now += 1
        assert wording(await use(upstream, token)) == (401, EXPIRED)


async def test_a_revoked_token_is_told_so_and_cannot_be_refreshed(
    upstream: ReplayUpstream, pair: TokenPair
) -> None:
    upstream.tokens.revoke(pair.access_token)
    assert wording(await use(upstream, pair.access_token)) == (403, REVOKED)
    assert (await refresh(upstream, pair.refresh_token)).status == 400


async def test_a_token_of_nobody_passes_only_where_any_credential_does(upstream: ReplayUpstream) -> None:
    assert (await use(upstream, "sk-ant-oat01-of-nobody")).status == 200
    async with ReplayUpstream(api_keys={"key"}) as strict:
        assert wording(await use(strict, "sk-ant-oat01-of-nobody")) == (401, "Invalid bearer token")
        assert (await use(strict, strict.tokens.issue().access_token)).status == 200


async def test_an_assertion_buys_an_access_token_without_a_refresh_token(upstream: ReplayUpstream) -> None:
    form = {"grant_type": ASSERTION_GRANT, "assertion": "a.b.c"}
    answer = (await ask(upstream, form, "/v1/oauth/token", usual=JSON)).json()
    assert "refresh_token" not in answer
    assert (await use(upstream, answer["access_token"])).status == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": ASSERTION_GRANT}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "sk-ant-ort01-unknown"}, "invalid_grant"),
        ("not an object", "unsupported_grant_type"),
    ],
)
async def test_a_bad_grant_is_refused_by_its_oauth_code(upstream: ReplayUpstream, form: Any, error: str) -> None:
    answer = await ask(upstream, json.dumps(form).encode(), "/v1/oauth/token", usual=JSON)
    assert (answer.status, answer.json()["error"]) == (400, error)


async def test_the_token_endpoint_can_be_made_to_fail(upstream: ReplayUpstream, pair: TokenPair) -> None:
    upstream.faults.push("status:503", path="/v1/oauth/token")
    assert (await refresh(upstream, pair.refresh_token)).status == 503
    assert (await refresh(upstream, pair.refresh_token)).status == 200


async def test_a_refresh_token_that_does_not_rotate_stays_valid(upstream: ReplayUpstream, pair: TokenPair) -> None:
    upstream.tokens.rotates = False
    for _ in range(2):
        answer = (await refresh(upstream, pair.refresh_token)).json()
        assert "refresh_token" not in answer
        assert (await use(upstream, answer["access_token"])).status == 200


async def test_a_grant_may_take_effect_though_its_answer_says_nothing_of_it(
    upstream: ReplayUpstream, pair: TokenPair
) -> None:
    upstream.faults.push("body:{", path="/v1/oauth/token")
    answer = await refresh(upstream, pair.refresh_token)
    assert (answer.status, answer.body) == (200, b"{")
    assert [record.outcome for record in upstream.tokens.records] == ["granted"]
