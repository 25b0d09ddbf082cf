"""The options of `gateway keys` that say what a key may do."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from gateway.actors.term_rules import LONGEST_SECONDS, MOST_COUNT, checked_expiry, checked_models, nanousd_of
from gateway.actors.terms import PERIODS

__all__ = ["add_terms", "grace", "terms_from"]

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_NONE: Final = "none"
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
    if not 0 < seconds <= LONGEST_SECONDS:
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
    try:
        return checked_expiry(end, now)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}; `{_NONE}` is for good") from None


def _models(text: str) -> tuple[str, ...] | None:
    if text == _NONE:
        return None
    try:
        return checked_models(text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, with commas between them, or {_NONE}") from None


def _count(text: str) -> int | None:
    if text == _NONE:
        return None
    digits = text.replace("_", "")
    if not digits.isascii() or not digits.isdigit() or not 0 < int(digits[:20]) <= MOST_COUNT:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {MOST_COUNT}, nor {_NONE}")
    return int(digits)


def _usd(text: str) -> int | None:
    if text == _NONE:
        return None
    try:
        return nanousd_of(Decimal(text.removeprefix("$")))
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount in USD, nor {_NONE}") from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}, nor {_NONE}") from None
