"""What a request may use, before it is sent, and what it has used, when it is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.actors.keys import Actor
from gateway.actors.limits import Wanted
from gateway.actors.refusals import not_counted, unpriced
from gateway.actors.use import Reservation, Spent
from gateway.ledger.record import RequestRecord
from gateway.wire.requests import ANY_MODEL

__all__ = ["Price", "estimate", "spent_of"]

_BYTES_PER_TOKEN: Final = 4
_MOST_TOKENS: Final = 10**9
"""Of one request that are believed."""
_MOST_NANOUSD: Final = 10**15

Price = Callable[[str, int, int], int | None]
"""What a request costs at most: model, input tokens, output tokens → 1e-9 USD, or None where nobody knows."""


def estimate(actor: Actor, wanted: Wanted, now: float, price: Price) -> Reservation:
    """Return what a request may use: a token for four bytes of its body, and all of `max_tokens`.

    Args:
        actor: whose key it has.
        wanted: what it asks for.
        now: Unix seconds of the database's clock.
        price: asked only where there is a budget in USD.

    Raises:
        ApiError: 403, what it uses cannot be seen or priced, and the key's limits are about that.
    """
    limits, nanousd = actor.terms.limits, 0
    if limits.is_of_use and not wanted.is_counted:
        raise not_counted(actor)
    given = min(wanted.body_bytes // _BYTES_PER_TOKEN, _MOST_TOKENS)
    made = min(max(wanted.max_tokens, 0), _MOST_TOKENS)
    for model in wanted.models if limits.is_in_money else ():
        if model == ANY_MODEL:
            continue
        cost = price(model, given, made)
        if cost is None:
            raise unpriced(actor, model)
        nanousd = max(nanousd, min(cost, _MOST_NANOUSD))
    return Reservation(wanted.request_id, actor.id, now, given + made, nanousd, limits.tokens_per_minute)


def spent_of(record: RequestRecord) -> Spent:
    """Return what a request used, as its row in the ledger has it."""
    counts, cost = record.counts, record.cost
    tokens = 0 if counts is None else counts.total_input_tokens + (counts.output_tokens or 0)
    return Spent(1, tokens, 0 if cost is None else cost.nanousd or 0)
