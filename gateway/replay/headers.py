"""Response headers as the Anthropic API sends them: identity, limits, infrastructure.

Names and formats are those of the API documentation, pages "Errors" and "Rate limits"; the ``unified`` family
belongs to subscription tokens, is undocumented, and follows public recordings.
"""

import secrets
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache

ORGANIZATION_ID = "5f0d3c1e-7b52-4a0e-9d6b-2c7f5e8a1b90"

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

Headers = list[tuple[str, str]]


def new_id(prefix: str) -> str:
    """Return an identifier in the API's style, such as ``req_011C…`` or ``msg_01…``."""
    number = secrets.randbits(117)
    digits = []
    for _ in range(20):
        number, digit = divmod(number, 58)
        digits.append(_BASE58[digit])
    return f"{prefix}_01{''.join(digits)}"


def identity(request_id: str) -> Headers:
    """Return the headers that every answer carries, whatever its status."""
    return [
        ("Date", http_date()),
        ("request-id", request_id),
        ("anthropic-organization-id", ORGANIZATION_ID),
        ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
        ("via", "1.1 google"),
        ("cf-cache-status", "DYNAMIC"),
        ("X-Robots-Tag", "none"),
        ("Server", "cloudflare"),
        ("CF-RAY", f"{secrets.token_hex(8)}-FRA"),
    ]


def http_date(ahead: float = 0) -> str:
    """Return the time ``ahead`` seconds from now in the form of RFC 9110, section 5.6.7."""
    return _http_date(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=int(ahead)))


@lru_cache(maxsize=16)
def _http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def rate_limits() -> Headers:
    """Return the rate-limit family that answers to API keys carry; resets are RFC 3339."""
    return list(_rate_limits(datetime.now(UTC).replace(microsecond=0)))


@lru_cache(maxsize=4)
def _rate_limits(now: datetime) -> tuple[tuple[str, str], ...]:
    reset = (now + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    limits = {
        "requests": (4_000, 3_999),
        "input-tokens": (2_000_000, 1_998_000),
        "output-tokens": (400_000, 399_000),
        "tokens": (2_400_000, 2_397_000),
    }
    return tuple(
        (f"anthropic-ratelimit-{family}-{field}", value)
        for family, (limit, remaining) in limits.items()
        for field, value in (("limit", str(limit)), ("remaining", str(remaining)), ("reset", reset))
    )


def unified_limits(*, rejected: bool = False) -> Headers:
    """Return the family that answers to subscription tokens carry; resets are Unix seconds."""
    now = datetime.now(UTC)
    five_hours = str(int((now + timedelta(hours=3)).timestamp()))
    week = str(int((now + timedelta(days=4)).timestamp()))
    status = "rejected" if rejected else "allowed"
    return [
        (f"anthropic-ratelimit-unified-{name}", value)
        for name, value in (
            ("status", status),
            ("reset", five_hours),
            ("representative-claim", "five_hour"),
            ("5h-status", status),
            ("5h-reset", five_hours),
            ("5h-utilization", "1.02" if rejected else "0.12"),
            ("7d-status", "allowed"),
            ("7d-reset", week),
            ("7d-utilization", "0.31"),
            ("fallback", "available"),
            ("fallback-percentage", "0.5"),
            ("overage-status", "rejected"),
            ("overage-disabled-reason", "org_level_disabled"),
        )
    ]
