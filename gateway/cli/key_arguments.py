"""The options of `gateway keys` that say what a key may do."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from gateway.actors.terms import NANO, PERIODS

__all__ = ["add_terms", "grace", "terms_from"]

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_LONGEST: Final = 100 * 365 * 86_400
_NONE: Final = "none"
_MOST: Final = 10**15
_MOST_MODELS: Final = 50
_LONGEST_MODEL: Final = 100
_NUMBERS: Final = {
    "requests_per_minute": "requests that may begin in a minute",
    "tokens_per_minute": "tokens, of prompts and answers, in a minute",
    "concurrent": "requests at the same time",
}


def add_terms(parser: argparse.ArgumentParser) -> None:
    """Add the options; what is not given is not in the namespace."""
    group = parser.add_argument_group("what the key may do", "Each may be `none`, which is what a new key has.")

    def add(option: str, meta: str, kind: Any, text: str) -> None:
        group.add_argument(option, metavar=meta, type=kind, default=argparse.SUPPRESS, help=text)

    add("--expires", "30d|DATE", _expiry, "valid for so long (s, m, h, d, w), or up to the end of this day in UTC")
    add("--models", "PATTERN,…", _models, "models it may use, such as claude-haiku-*")
    for name, text in _NUMBERS.items():
        add(f"--{name.replace('_', '-')}", "N", _count, text)
    for period in PERIODS:
        add(f"--budget-usd-{period}", "USD", _usd, f"what its requests may cost in a {period}")
    for period in PERIODS:
        add(f"--budget-tokens-{period}", "N", _count, f"tokens, of prompts and answers, in a {period}")


def terms_from(args: argparse.Namespace) -> Mapping[str, Any]:
    """Return what was given, by the names of the fields of `KeyTerms` and `KeyLimits`; None for no limit."""
    given = vars(args)
    names = {"expires_at": "expires", "models": "models"} | {name: name for name in _NUMBERS}
    names |= {f"nanousd_{period}": f"budget_usd_{period}" for period in PERIODS}
    names |= {f"tokens_{period}": f"budget_tokens_{period}" for period in PERIODS}
    return {name: given[option] for name, option in names.items() if option in given}


def grace(text: str) -> float:
    """Read how long a key that is replaced stays valid; 0 for not at all."""
    if text == "0":
        return 0.0
    return _duration(text, "an hour is 1h, a day 1d, and 0 not at all")


def _duration(text: str, advice: str) -> float:
    found = _DURATION.fullmatch(text.strip())
    seconds = int(found.group(1)) * _SECONDS[found.group(2)] if found else 0
    if not 0 < seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time; {advice}")
    return float(seconds)


def _expiry(text: str) -> float | None:
    if text == _NONE:
        return None
    now = datetime.now(UTC).timestamp()
    if _DURATION.fullmatch(text.strip()):
        return now + _duration(text, "30 days are 30d")
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a length of time such as 30d nor a date such as 2027-01-31"
        ) from None
    end = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    with suppress(ValueError):
        date.fromisoformat(text.strip())  # However that is written, a date alone means the end of its day.
        end += _SECONDS["d"]
    if end <= now:
        raise argparse.ArgumentTypeError(f"{text!r} is over already")
    if end > now + _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is more than a hundred years ahead; `none` is for good")
    return end


def _models(text: str) -> tuple[str, ...] | None:
    if text == _NONE:
        return None
    models = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not models or len(models) > _MOST_MODELS:
        raise argparse.ArgumentTypeError(
            f"give 1 to {_MOST_MODELS} patterns, with commas between them, or {_NONE}"
        )
    for model in models:
        if len(model) > _LONGEST_MODEL or not model.isprintable():
            raise argparse.ArgumentTypeError(f"a pattern has at most {_LONGEST_MODEL} visible characters")
    return models


def _count(text: str) -> int | None:
    if text == _NONE:
        return None
    digits = text.replace("_", "")
    if not digits.isascii() or not digits.isdigit() or not 0 < int(digits[:20]) <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {_MOST}, nor {_NONE}")
    return int(digits)


def _usd(text: str) -> int | None:
    if text == _NONE:
        return None
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or not 1 <= amount * NANO <= 1_000_000 * NANO or (amount * NANO) % 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount in USD from 0.000000001 to 1000000, nor {_NONE}")
    return int(amount * NANO)
