"""What Anthropic's refusals mean, and how credentials are put into requests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.accounts.health import CONSEQUENCES
from gateway.providers.anthropic import AnthropicProvider
from gateway.providers.base import Credential, FaultClass, WrongProviderError

ERRORS = Path(__file__).parents[2] / "fixtures" / "errors"
PROVIDER = AnthropicProvider("https://api.anthropic.com")
BETA = "oauth-2025-04-20"


def classify(status: int, body: object) -> FaultClass:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROVIDER.classify(status, CIMultiDict(), raw)


def says(status: int, message: str, **details: str) -> FaultClass:
    error = {"type": "some_error", "message": message, "details": details}
    return classify(status, {"type": "error", "error": error, "request_id": "req_1"})


@pytest.mark.parametrize("path", sorted(ERRORS.glob("[45]*.json")), ids=lambda path: path.stem)
def test_every_recorded_refusal_is_of_the_class_of_its_row_or_of_its_status(path: Path) -> None:
    recorded = json.loads(path.read_text("utf-8"))
    body = recorded["body_text"].encode() if "body_text" in recorded else json.dumps(recorded["body"]).encode()
    rows = [fault for fault, row in CONSEQUENCES.items() if path.stem in row.fixtures]
    found = PROVIDER.classify(recorded["status"], CIMultiDict(recorded["headers"]), body)
    if rows:
        assert rows == [found]
    elif recorded["status"] >= 500:
        assert found in {FaultClass.UPSTREAM, FaultClass.OVERLOAD}
    else:
        usual = {401: FaultClass.CREDENTIAL, 402: FaultClass.BILLING, 429: FaultClass.QUOTA}
        assert found is usual.get(recorded["status"], FaultClass.REQUEST)


@pytest.mark.parametrize(
    ("status", "message", "fault"),
    [
        (403, "OAuth token has been revoked. Please obtain a new token.", FaultClass.CREDENTIAL),
        (403, "OAuth token has expired. Please obtain a new token.", FaultClass.CREDENTIAL),
        (403, "OAuth token does not meet scope requirement user:profile", FaultClass.REQUEST),
        (403, "OAuth authentication is currently not allowed for this organization.", FaultClass.REQUEST),
        (401, "OAuth authentication is currently not supported.", FaultClass.REQUEST),
        (401, "OAuth token has expired.", FaultClass.CREDENTIAL),
        (429, "You're out of extra usage. Add more and keep going.", FaultClass.BILLING),
        # Of this request alone: everything else of the plan goes on.
        (429, "Extra usage is required for long context requests.", FaultClass.REQUEST),
        (429, "This request would exceed your account's rate limit.", FaultClass.QUOTA),
        (529, "Overloaded", FaultClass.OVERLOAD),
        (507, "?", FaultClass.UPSTREAM),
        (418, "?", FaultClass.REQUEST),
    ],
)
def test_a_refusal_is_told_by_its_status_and_its_own_message(status: int, message: str, fault: FaultClass) -> None:
    assert says(status, message) is fault


@pytest.mark.parametrize(
    "quoted",
    [
        "OAuth token has been revoked",
        "This credential is only authorized for use with Claude Code",
        "Your credit balance is too low",
        "You have reached your specified API usage limits",
        "organization_on_hold",
    ],
)
@pytest.mark.parametrize("status", [400, 403, 404])
def test_what_a_user_wrote_and_an_error_quotes_harms_no_account(status: int, quoted: str) -> None:
    assert says(status, f"messages.0.content: {quoted!r} is not valid") is FaultClass.REQUEST
    body = {"type": "error", "error": {"type": "x", "message": "no"}, "echo": quoted, "message": quoted}
    assert classify(status, body) is FaultClass.REQUEST
    assert classify(status, f"<p>{quoted}</p>".encode()) is FaultClass.REQUEST


@given(
    status=st.integers(400, 599),
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["type", "error", "message", "details", "error_code"]), inner, max_size=5
                )
            ),
            max_leaves=12,
        ).map(lambda body: json.dumps(body).encode()),
    ),
)
def test_whatever_a_body_is_a_refusal_has_a_class(status: int, body: bytes) -> None:
    found = PROVIDER.classify(status, CIMultiDict(), body)
    assert isinstance(found, FaultClass)
    if status == 403:
        assert found is not FaultClass.QUOTA


# Credentials


def added(credential: Credential, *betas: str) -> CIMultiDict[str]:
    headers = CIMultiDict([("accept", "*/*"), *(("anthropic-beta", beta) for beta in betas)])
    PROVIDER.add_credential(headers, credential)
    return headers


def test_a_key_goes_into_its_own_header_and_asks_for_no_beta() -> None:
    headers = added(Credential("anthropic", "sk-ant-api03-made-up"), "a-2026-01-01")
    assert headers["x-api-key"] == "sk-ant-api03-made-up"
    assert "authorization" not in headers
    assert headers.getall("anthropic-beta") == ["a-2026-01-01"]


@pytest.mark.parametrize(
    "betas",
    [(), ("a-2026-01-01",), ("a, b,c",), ("a", "b"), (BETA,), (f"a, {BETA}",), ("a", f"{BETA},b"), ("", "a")],
)
def test_a_token_is_a_bearer_with_its_beta_beside_the_clients_own(betas: tuple[str, ...]) -> None:
    headers = added(Credential("anthropic", "made-up", is_token=True), *betas)
    assert headers["authorization"] == "Bearer made-up"
    assert "x-api-key" not in headers
    sent = [beta.strip() for line in headers.getall("anthropic-beta") for beta in line.split(",") if beta.strip()]
    asked = [beta.strip() for line in betas for beta in line.split(",") if beta.strip()]
    assert sent == (asked if BETA in asked else [*asked, BETA])


def test_no_credential_of_another_provider_is_sent_and_no_message_has_it() -> None:
    for is_token in (True, False):
        with pytest.raises(WrongProviderError) as caught:
            added(Credential("openai", "made-up-secret", is_token=is_token))
        assert "made-up-secret" not in str(caught.value)
