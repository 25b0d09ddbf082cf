"""What Anthropic's headers say of limits is read, and what is implausible in them is not believed."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.accounts.quota import rest_after_refusal
from gateway.providers.anthropic import AnthropicProvider
from gateway.providers.limits import LimitWindow, RateLimits

NOW = datetime(2026, 11, 22, 18, 4, tzinfo=UTC).timestamp()
ERRORS = Path(__file__).parents[2] / "fixtures" / "errors"
PROVIDER = AnthropicProvider("https://api.anthropic.com/")
UNIFIED = "anthropic-ratelimit-unified-"


def read(headers: dict[str, str], now: float = NOW) -> RateLimits:
    return PROVIDER.read_limits(CIMultiDict(headers), now)


def recorded(name: str) -> RateLimits:
    return read(json.loads((ERRORS / f"{name}.json").read_text("utf-8"))["headers"])


def windows(limits: RateLimits) -> dict[tuple[str, str], LimitWindow]:
    return {(window.name, window.family): window for window in limits.windows}


def test_limits_of_an_api_key_are_of_the_requests_own_model() -> None:
    limits = recorded("429-retry-after-60")
    reset = NOW + 60
    assert windows(limits) == {
        ("requests", ""): LimitWindow("requests", "", 1.0, reset),
        ("input-tokens", ""): LimitWindow("input-tokens", "", 1.0, reset),
        ("output-tokens", ""): LimitWindow("output-tokens", "", 1 - 79000 / 80000, reset),
        ("tokens", ""): LimitWindow("tokens", "", 1 - 79000 / 480000, reset),
    }
    assert (limits.retry_after, limits.family, limits.overage) == (60.0, None, False)


def test_a_spent_five_hour_window_concerns_the_whole_account() -> None:
    limits = recorded("429-unified-five-hour")
    assert limits.family == "account"
    assert windows(limits)["5h", "account"] == LimitWindow("5h", "account", 1.02, 1795381200.0, "rejected")
    assert windows(limits)["7d", "account"] == LimitWindow("7d", "account", 0.63, 1795824000.0, "allowed")


def test_a_spent_week_of_one_class_of_models_concerns_that_class() -> None:
    limits = recorded("429-unified-seven-day-opus")
    assert limits.family == "opus"
    assert limits.retry_after == 51811
    assert windows(limits)["7d_opus", "opus"].status == "rejected"
    assert rest_after_refusal(limits, "haiku", NOW).family == "opus"


def test_a_claim_of_several_classes_is_one_of_the_requests_own() -> None:
    limits = read(
        {
            UNIFIED + "status": "rejected",
            UNIFIED + "representative-claim": "seven_day_overage_included",
            UNIFIED + "reset": "1795824000",
            UNIFIED + "7d_oi-utilization": "1.0",
        }
    )
    assert limits.family is None
    assert windows(limits)["7d_oi", "fable"] == LimitWindow("7d_oi", "fable", 1.0, 1795824000.0, "rejected")
    assert windows(limits)["7d_oi", "mythos"].utilization == 1.0
    assert rest_after_refusal(limits, "mythos", NOW).family == "mythos"


def test_limits_of_fast_mode_are_of_fast_mode_alone() -> None:
    assert recorded("429-fast-mode").family == "fast"
    both = {"anthropic-ratelimit-tokens-limit": "10", "anthropic-ratelimit-tokens-remaining": "0"}
    fast = {"anthropic-fast-input-tokens-limit": "10", "anthropic-fast-input-tokens-remaining": "0"}
    assert read(fast).family == "fast"
    assert read({**fast, **both}).family is None


def test_billing_beyond_the_plan_is_noticed_and_its_mere_possibility_is_not() -> None:
    assert read({UNIFIED + "overage-in-use": "true"}).overage
    assert not read({UNIFIED + "overage-in-use": "false", UNIFIED + "overage-status": "rejected"}).overage
    assert not recorded("429-unified-seven-day").overage


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T18:05:00Z", NOW + 60),
        ("2026-11-22T19:05:00+01:00", NOW + 60),
        ("2026-11-22T18:05:00.5Z", NOW + 60.5),
        (f"{NOW + 60:.0f}", NOW + 60),
        (f"{(NOW + 60) * 1000:.0f}", NOW + 60),
        ("2026-11-22T18:05:00", None),
        ("2026-11-22", None),
        ("2026-11-22T18:03:00Z", None),
        (f"{NOW:.0f}", None),
        (f"{(NOW - 1) * 1000:.0f}", None),
        (f"{NOW + 367 * 86400:.0f}", None),
        ("60", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e12", None),
        ("1_795_381_200", None),
        ("".join(chr(ord(digit) + 0xFEE0) for digit in "1795381200"), None),  # full-width
        ("9" * 400, None),
        ("", None),
        ("tomorrow", None),
        ("9999-12-31T23:59:59Z", None),
    ],
)
def test_resets_are_dates_seconds_or_milliseconds_that_lie_ahead(text: str, expected: float | None) -> None:
    limits = read({UNIFIED + "5h-reset": text, UNIFIED + "5h-utilization": "0.5"})
    assert windows(limits)["5h", "account"].resets_at == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.41", 0.41),
        ("1.02", 1.02),
        ("0", 0.0),
        ("41", 41.0),  # no guessing: it is a fraction, or it is very much
        ("101", None),
        ("-0.1", None),
        ("nan", None),
        ("41%", None),
    ],
)
def test_utilization_is_a_fraction(text: str, expected: float | None) -> None:
    limits = read({UNIFIED + "5h-utilization": text, UNIFIED + "5h-status": "allowed"})
    assert windows(limits)["5h", "account"].utilization == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "8"}, 8.0),
        ({"Retry-After": " 8 "}, 8.0),
        ({"retry-after": "8", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "8", "retry-after-ms": "soon"}, 8.0),
        ({"retry-after": format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)}, 90.0),
        ({"retry-after": format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True)}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": str(367 * 86400)}, None),
        ({"retry-after": "in a minute"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], expected: float | None) -> None:
    assert read(headers).retry_after == expected


def test_a_status_that_nobody_knows_is_not_taken_for_one() -> None:
    limits = read({UNIFIED + "5h-status": "exploded", UNIFIED + "5h-utilization": "0.5"})
    assert windows(limits)["5h", "account"].status is None


def test_a_limit_without_its_remainder_says_nothing() -> None:
    assert read({"anthropic-ratelimit-tokens-limit": "100"}).windows == ()
    assert (
        read({"anthropic-ratelimit-tokens-limit": "0", "anthropic-ratelimit-tokens-remaining": "0"}).windows == ()
    )


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("claude-opus-5-5", "opus"),
        ("claude-3-5-sonnet-20241022", "sonnet"),
        ("anthropic/Claude-Haiku-4.5", "haiku"),
        ("claude-fable-5-2", "fable"),
        ("claude-mythos-5", "mythos"),
        ("something-new", "something-new"),
        ("", ""),
    ],
)
def test_models_of_a_class_share_their_limits(model: str, family: str) -> None:
    assert PROVIDER.quota_family(model) == family


def test_a_name_without_end_does_not_become_a_family_without_end() -> None:
    assert len(PROVIDER.quota_family("x" * 100_000)) == 64


NAMES = st.sampled_from(
    [
        UNIFIED + "status",
        UNIFIED + "reset",
        UNIFIED + "representative-claim",
        UNIFIED + "overage-in-use",
        *(UNIFIED + f"{window}-{what}" for window in ("5h", "7d", "7d_oi", "7d_opus", "999d_x", "overage", "oops")
          for what in ("status", "reset", "utilization", "surpassed-threshold")),
        *(f"anthropic-{kind}-{what}" for kind in ("ratelimit-requests", "ratelimit-tokens", "fast-input-tokens",
          "priority-output-tokens") for what in ("limit", "remaining", "reset")),
        "retry-after",
        "retry-after-ms",
    ]
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        ["allowed", "rejected", "five_hour", "seven_day_opus", "true", "1.0", "0", "NaN", "-1", "1e400"]
    ),
    st.floats().map(str),
    st.integers(-(10**20), 10**20).map(str),
    st.datetimes().map(lambda when: when.isoformat() + "Z"),
    st.datetimes().map(lambda when: format_datetime(when.replace(tzinfo=UTC), usegmt=True)),
    st.floats(NOW - 10, NOW + 10**7).map(lambda when: f"{when:.3f}"),
    st.integers(int(NOW) * 1000, int(NOW) * 1000 + 10**10).map(str),
)


@given(st.dictionaries(NAMES | st.text(max_size=60), VALUES, max_size=40), st.floats(0, 4e9))
def test_whatever_an_upstream_sends_nothing_implausible_comes_of_it(headers: dict[str, str], now: float) -> None:
    limits = read(headers, now)
    year = 366 * 86400
    assert limits.retry_after is None or 0 < limits.retry_after <= year
    assert len(limits.windows) <= 100
    for window in limits.windows:
        assert window.resets_at is None or now < window.resets_at <= now + year
        assert window.utilization is None or (math.isfinite(window.utilization) and 0 <= window.utilization <= 100)
        assert window.status in {None, "allowed", "allowed_warning", "rejected"}
        assert len(window.name) < 64
        assert len(window.family) < 64
    rest = rest_after_refusal(limits, "opus", now)
    assert now < rest.until <= now + 3600
