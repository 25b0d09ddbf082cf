"""A request as a line of a list."""

from __future__ import annotations

import msgspec

from gateway.ledger.outcomes import went_wrong
from gateway.ledger.readable import attempts_of, total_input, why
from gateway.ledger.row import RequestRow

__all__ = ["RequestView", "request_view", "usd"]


class RequestView(msgspec.Struct, kw_only=True):
    """What became of one request, in short."""

    id: str
    at: float
    """When it began."""
    route: str
    provider: str | None
    """Whose API was asked; none for what the gateway itself refused."""
    account: str | None
    """That served it."""
    tried: list[str]
    """Accounts of its attempts, in their order."""
    actor: str | None
    actor_id: str | None
    model: str | None
    """As it was asked for."""
    model_served: str | None
    stream: bool
    outcome: str | None
    status: int | None
    """HTTP status that the client got; 499 for clients that left."""
    went_wrong: bool
    """Whether that was not the client's doing."""
    stop_reason: str | None
    code: str | None
    """Of a violation of the stream protocol."""
    why: str
    """In some words, why it did not go well."""
    session: str | None
    client: str | None
    request_class: str | None
    prompt_tokens: int | None
    """All of the prompt, what was cached included."""
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    ms_to_first_byte: int | None
    ms_to_content: int | None
    longest_gap_ms: int | None
    ms: int | None
    switched: bool
    """Whether its session left the account that had its prompt cached."""
    damage: str | None
    """What of its record cannot be read, in a sentence: it is none that the gateway can have written."""


def request_view(row: RequestRow) -> RequestView:
    """Return a record as a line of a list."""
    return RequestView(
        id=row.id,
        at=row.at,
        route=row.route,
        provider=row.provider,
        account=row.account,
        tried=[str(attempt.get("account")) for attempt in attempts_of(row)],
        actor=row.actor,
        actor_id=row.actor_id,
        model=row.model,
        model_served=row.model_served,
        stream=row.stream,
        outcome=row.outcome,
        status=row.status,
        went_wrong=went_wrong(row.outcome, row.status),
        stop_reason=row.stop_reason,
        code=row.code,
        why=why(row),
        session=row.session,
        client=row.client,
        request_class=row.request_class,
        prompt_tokens=total_input(row),
        cache_read_tokens=row.cache_read_tokens,
        cache_write_tokens=row.cache_write_tokens,
        output_tokens=row.output_tokens,
        cost_usd=usd(row.cost_nanousd),
        ms_to_first_byte=row.ms_to_first_byte,
        ms_to_content=row.ms_to_content,
        longest_gap_ms=row.longest_gap_ms,
        ms=row.ms,
        switched=row.switch is not None,
        damage=row.damage,
    )


def usd(nanousd: int | None) -> float | None:
    """Return an amount in USD."""
    return None if nanousd is None else nanousd / 1e9
