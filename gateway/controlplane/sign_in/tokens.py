"""Secrets that the gateway makes for browsers and links; of each it keeps but a digest."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

__all__ = ["TOKEN", "digest_of", "new_token"]

TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
"""What each looks like."""


def new_token() -> str:
    """Return 256 random bits."""
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """Return what is stored of a token. It is random, so a plain hash gives nothing of it away."""
    return hashlib.blake2b(token.encode(errors="replace"), digest_size=32, person=b"dashboard token").hexdigest()
