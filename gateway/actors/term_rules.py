"""What people may set for a key: how long a name may be, how large a limit, how far away an end."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from gateway.actors.terms import NANO

__all__ = [
    "LONGEST_MODEL",
    "LONGEST_NAME",
    "LONGEST_SECONDS",
    "MOST_COUNT",
    "MOST_MODELS",
    "MOST_USD",
    "checked_expiry",
    "checked_models",
    "checked_name",
    "nanousd_of",
]

LONGEST_NAME: Final = 100
MOST_COUNT: Final = 10**15
"""Of requests or tokens."""
MOST_USD: Final = 1_000_000
MOST_MODELS: Final = 50
LONGEST_MODEL: Final = 100
LONGEST_SECONDS: Final = 100 * 365 * 86_400
"""Until a key expires."""


def checked_name(text: str) -> str:
    """Return the name of a key.

    Raises:
        ValueError: it is none; the message goes on from the name of what was given.
    """
    name = text.strip()
    if not name or not name.isprintable() or len(name) > LONGEST_NAME:
        raise ValueError(f"needs 1 to {LONGEST_NAME} visible characters and no control characters")
    return name


def checked_models(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return patterns of models, each once.

    Raises:
        ValueError: there are none, too many, or one is no pattern; the message is a sentence's beginning.
    """
    models = tuple(dict.fromkeys(part.strip() for part in patterns if part.strip()))
    if not models or len(models) > MOST_MODELS:
        raise ValueError(f"give 1 to {MOST_MODELS} patterns")
    for model in models:
        if len(model) > LONGEST_MODEL or not model.isprintable():
            raise ValueError(f"a pattern has at most {LONGEST_MODEL} visible characters")
    return models


def checked_expiry(end: float, now: float) -> float:
    """Return when a key expires, in Unix seconds.

    Raises:
        ValueError: that is over, or too far away; the message goes on from the time.
    """
    if end <= now:
        raise ValueError("is over already")
    if end > now + LONGEST_SECONDS:
        raise ValueError("is more than a hundred years ahead")
    return end


def nanousd_of(amount: Decimal) -> int:
    """Return a budget in 1e-9 USD.

    Raises:
        ValueError: it is none; the message goes on from the amount.
    """
    if not amount.is_finite() or not 1 <= amount * NANO <= MOST_USD * NANO or (amount * NANO) % 1:
        raise ValueError(f"is no amount in USD from 0.000000001 to {MOST_USD}")
    return int(amount * NANO)
