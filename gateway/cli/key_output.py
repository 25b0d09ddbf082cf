"""Client keys as people and scripts are shown them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from attrs import define

from gateway.actors.keys import Actor, StoredKey
from gateway.actors.periods import period_end, shown_time
from gateway.actors.refusals import shown_usd
from gateway.actors.report import report_of
from gateway.actors.terms import PERIODS, KeyLimits
from gateway.actors.use import KeyUse

__all__ = ["ShownKey", "key_as_json", "key_as_text"]

_NOTES: Final = {
    "older": "  (made with an older secret key: replace it before that is taken away)",
    "missing": "  (of no use: made with a secret key that is not configured here)",
}


@define(frozen=True)
class ShownKey:
    """A key with what is known of it."""

    key: StoredKey
    use: KeyUse
    now: float
    """Unix seconds of the database's clock."""
    secret_key: str | None = None
    """What has become of the secret key that it was made with: `current`, `older`, `missing`; None for unknown."""

    @property
    def state(self) -> str:
        """Whether it opens anything, and since when not."""
        if self.key.revoked_at:
            return f"revoked {self.key.revoked_at}"
        end = self.key.terms.expires_at
        return "expired" if end is not None and end <= self.now else "valid"


def key_as_json(shown: ShownKey) -> dict[str, Any]:
    """Return what `--json` prints of a key; docs/keys.md describes it."""
    key = shown.key
    end = key.terms.expires_at
    report = report_of(Actor(key.id, key.name, key.terms, end), shown.use, shown.now)
    about = report["key"]
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
        "secret_key": shown.secret_key,
        "expires_at": about["valid_until"],
        "models": about["models"],
        "last_used_at": _iso(shown.use.last_used_at),
        **{name: report[name] for name in ("rates", "periods", "total", "reserved")},
    }


def key_as_text(shown: ShownKey) -> Iterator[str]:
    """Yield the lines of a list: one for the key, and one for each thing that there is to say of it."""
    key, use, now = shown.key, shown.use, shown.now
    note = "" if key.revoked_at else _NOTES.get(shown.secret_key or "", "")
    yield f"{key.id}  {key.prefix}…  {key.created_at}  {shown.state:<8}  {key.name}{note}"
    if key.revoked_at:
        return
    yield from (f"    {line}" for line in _facts(key, use, now))


def _facts(key: StoredKey, use: KeyUse, now: float) -> Iterator[str]:
    use.roll(now)
    limits = key.terms.limits
    if use.last_used_at:
        yield f"last used {shown_time(use.last_used_at)}"
    if key.terms.expires_at is not None:
        yield f"expires {shown_time(key.terms.expires_at)}"
    for former in key.former:
        if former.valid_until > now:
            yield f"the key before it is valid until {shown_time(former.valid_until)}"
    if key.terms.models:
        yield f"models: {', '.join(key.terms.models)}"
    if limits.concurrent is not None:
        yield f"at the same time: {use.running} of {limits.concurrent}"
    for name, words in (
        ("requests_per_minute", "requests per minute"),
        ("tokens_per_minute", "tokens per minute"),
    ):
        allowed = getattr(limits, name)
        if allowed is not None:
            yield f"{words}: {use.used_of_minute(limits, name, now)} of {allowed}"
    yield from _budgets(limits, use, now)


def _budgets(limits: KeyLimits, use: KeyUse, now: float) -> Iterator[str]:
    for name in PERIODS:
        spent, resets = use.period(name).spent, shown_time(period_end(name, now))
        usd, tokens = limits.budget("nanousd", name), limits.budget("tokens", name)
        if usd is not None:
            yield f"USD per {name}: {shown_usd(spent.nanousd)} of {shown_usd(usd)}, resets {resets}"
        if tokens is not None:
            yield f"tokens per {name}: {spent.tokens} of {tokens}, resets {resets}"


def _iso(at: float) -> str | None:
    return shown_time(at).replace(" UTC", "Z").replace(" ", "T") if at else None
