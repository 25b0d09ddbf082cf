"""What a token endpoint's answer comes to, whatever it holds."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.accounts.secrets import check_token
from gateway.accounts.token_answers import USUAL_LIFETIME, Failed, Granted, Refused, Unknown, judge

GRANT = {"access_token": "at-1", "refresh_token": "rt-2", "expires_in": 60, "token_type": "Bearer"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
members = st.dictionaries(
    st.sampled_from(
        ["access_token", "refresh_token", "expires_in", "token_type", "error", "error_description", "scope"]
    ),
    json_values | st.sampled_from(["invalid_grant", "Bearer", "at-1"]),
)


def answer(status: int, value: Any, **headers: str) -> Any:
    return judge(status, headers, json.dumps(value).encode())


@given(status=st.integers(100, 599), body=st.binary() | members.map(lambda value: json.dumps(value).encode()))
@example(status=200, body=b"[" * 100_000)
@example(status=200, body=b'{"access_token": "a", "expires_in": ' + b"9" * 400 + b"}")
@example(status=200, body=b'{"access_token": "a", "expires_in": 1e999}')
def test_any_answer_has_one_meaning_and_none_of_it_is_repeated_unchecked(status: int, body: bytes) -> None:
    outcome = judge(status, {}, body)
    match outcome:
        case Granted(access, refresh, lifetime):
            assert 200 <= status < 300
            assert check_token(access)
            assert refresh is None or check_token(refresh)
            assert 1 <= lifetime <= 366 * 86_400
        case Refused(reason) | Unknown(reason) | Failed(reason):
            assert reason.isprintable()
            assert len(reason) < 400
    # Nobody's 500 costs an account its refresh token, and nobody's broken 200 lets it be sent again.
    if status >= 500:
        assert isinstance(outcome, Failed)
    if isinstance(outcome, Failed) and status < 300:
        assert json.loads(body)["error"]


def test_a_whole_grant_is_read() -> None:
    assert answer(200, GRANT) == Granted("at-1", "rt-2", 60.0)


@pytest.mark.parametrize("absent", [None, ""])
def test_a_grant_without_a_new_refresh_token_leaves_the_old_one_valid(absent: str | None) -> None:
    assert answer(200, {**GRANT, "refresh_token": absent}) == Granted("at-1", None, 60.0)


@pytest.mark.parametrize(
    "value", [None, True, 0, -5, 0.2, "soon", "", [], {}, 10**400, 1e30, math.nan, math.inf, "nan", "9" * 500]
)
def test_an_implausible_lifetime_counts_as_the_usual_one(value: Any) -> None:
    encoded = json.dumps({**GRANT, "expires_in": value}).encode()
    outcome = judge(200, {}, encoded)
    # NaN and Infinity are no JSON.
    assert isinstance(outcome, Unknown) or outcome == Granted("at-1", "rt-2", USUAL_LIFETIME)


@pytest.mark.parametrize(("value", "seconds"), [("28800", 28_800.0), (28_800, 28_800.0), (59.5, 59.5)])
def test_a_lifetime_may_be_a_number_or_its_text(value: Any, seconds: float) -> None:
    assert answer(200, {**GRANT, "expires_in": value}).lifetime == seconds


@pytest.mark.parametrize(
    "change",
    [
        {"access_token": None},
        {"access_token": "two words"},
        {"access_token": "line\r\nx-injected: 1"},
        {"access_token": 7},
        {"access_token": "a" * 20_000},
        {"refresh_token": 7},
        {"refresh_token": "snowman ☃"},
        {"token_type": "mac"},
    ],
)
def test_a_grant_that_cannot_be_used_leaves_it_open_what_happened(change: dict[str, Any]) -> None:
    assert isinstance(answer(200, GRANT | change), Unknown)


@pytest.mark.parametrize("body", [None, b"", b"{", b"<html>", b"[]", b'"text"', b"\xff"])
def test_a_broken_200_leaves_it_open_what_happened(body: bytes | None) -> None:
    assert isinstance(judge(200, {}, body), Unknown)


@pytest.mark.parametrize(
    "body",
    [
        {"error": "invalid_grant", "error_description": "Refresh token not found or invalid"},
        {"error": "unauthorized_client"},
        {"error": {"type": "invalid_grant", "message": "Refresh token not found or invalid"}},
        {"error": {"code": "refresh_token_reused", "type": "invalid_request_error"}},
        {"type": "error", "error": {"type": "invalid_client"}},
    ],
)
def test_a_refused_grant_is_known_by_its_code_in_every_envelope(body: dict[str, Any]) -> None:
    assert isinstance(answer(400, body), Refused)
    assert isinstance(answer(401, body), Refused)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 408, 429, 500, 502, 503, 504, 529])
@pytest.mark.parametrize("body", [None, b"<html>Bad Gateway</html>", b'{"error": "temporarily_unavailable"}'])
def test_any_other_no_is_worth_another_try(status: int, body: bytes | None) -> None:
    assert isinstance(judge(status, {}, body), Failed)


def test_the_endpoints_words_are_told_unless_they_may_quote_a_token() -> None:
    told = answer(400, {"error": "invalid_grant", "error_description": "Refresh token not found"})
    assert told == Refused("the token endpoint says invalid_grant: Refresh token not found")
    quoted = f"unknown token {'x' * 60}"
    assert answer(400, {"error": "invalid_grant", "error_description": quoted}) == Refused(
        "the token endpoint says invalid_grant"
    )


def test_a_token_in_place_of_an_error_code_is_not_repeated() -> None:
    told = answer(400, {"error": "sk-ant-ort01-of-the-operator"})
    assert told == Failed("the token endpoint answered with status 400")


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("86400", 300.0), ("-1", None), ("soon", None), ("", None), ("²", None)]
)
def test_the_wait_that_an_endpoint_asks_for_is_bounded(value: str, seconds: float | None) -> None:
    assert judge(429, {"retry-after": value}, b"") == Failed(
        "the token endpoint answered with status 429", seconds
    )
