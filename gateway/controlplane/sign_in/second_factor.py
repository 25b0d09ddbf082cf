"""The second factor: codes of an authenticator app (RFC 6238), and codes on paper that stand in for it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import Final

import pyotp

__all__ = [
    "is_recovery_code",
    "new_recovery_codes",
    "new_secret",
    "provisioning_uri",
    "recovery_digest",
    "step_of",
]

_STEP_SECONDS: Final = 30
_STEPS_OFF: Final = 1
"""A clock may be this far off, either way."""
_CODES: Final = 10
_GROUP: Final = 4
_ISSUER: Final = "Claude Stream Gateway"
_NO_LETTERS: Final = re.compile(r"[^a-z2-7]", re.ASCII)
_RECOVERY: Final = 16  # characters: 80 bits


def new_secret() -> str:
    """Return a secret for an authenticator app, in base 32."""
    return pyotp.random_base32()


def provisioning_uri(secret: str, name: str, place: str) -> str:
    """Return what an authenticator app reads from a QR code.

    Args:
        secret: as made.
        name: of the user.
        place: tells this gateway from others in the list of the app.
    """
    return pyotp.TOTP(secret).provisioning_uri(name=f"{name}@{place}" if place else name, issuer_name=_ISSUER)


def step_of(secret: str, code: str, now: float, used: int) -> int | None:
    """Return the step whose code this is; None if it is none that can be taken now.

    Args:
        secret: of the user.
        code: as typed.
        now: Unix seconds.
        used: the last step whose code was taken: neither that one nor those before are taken again.
    """
    typed = "".join(code.split()).encode(errors="replace")
    totp, step = pyotp.TOTP(secret), int(now // _STEP_SECONDS)
    for offset in (0, -_STEPS_OFF, _STEPS_OFF):
        if step + offset > used and hmac.compare_digest(totp.generate_otp(step + offset).encode(), typed):
            return step + offset
    return None


def new_recovery_codes() -> Sequence[str]:
    """Return codes for the day when the app is lost, as people write them down."""
    return [_grouped(base64.b32encode(secrets.token_bytes(10)).decode().lower()) for _ in range(_CODES)]


def is_recovery_code(code: str) -> bool:
    """Return whether something typed may be a code on paper rather than one of an app."""
    return len(_plain(code)) == _RECOVERY


def recovery_digest(code: str) -> str:
    """Return what is stored of such a code, which is random."""
    return hashlib.blake2b(_plain(code).encode(), digest_size=16, person=b"recovery code").hexdigest()


def _plain(code: str) -> str:
    return _NO_LETTERS.sub("", code.lower())


def _grouped(code: str) -> str:
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))
