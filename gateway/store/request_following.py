"""New requests as they come to an end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from attrs import define, field

from gateway.ledger.row import RequestRow
from gateway.store.request_queries import RequestFilter, RequestQueries

__all__ = ["Follower"]

_LATE: Final = 120.0
"""Seconds by which a record may come late, or a clock be wrong."""
_USUALLY_LATE: Final = 15.0
_THOROUGH: Final = 10
"""Each so many looks one goes back as far as a record may be late."""
_MOST: Final = 50_000
"""Requests of one look."""
_PAGE: Final = 500


@define
class Follower:
    """Finds requests that have ended since the last look.

    Nothing numbers them in the order in which they come to be seen. So what is looked for is what ended lately and
    has not been seen: what was written down more than two minutes after its end is missed.
    """

    queries: RequestQueries
    wanted: RequestFilter
    left_out: bool = field(default=False, init=False)
    """Whether there were too many at the last look, or it came too long after the one before."""
    _seen: dict[str, float] = field(factory=dict, init=False)
    """Ends of requests by their ids, in Unix seconds."""
    _looks: int = field(default=0, init=False)
    _looked_at: float = field(default=0.0, init=False)

    def pass_over(self, rows: list[RequestRow]) -> None:
        """Count requests as seen."""
        self._seen |= {row.id: row.ended_at for row in rows if row.ended_at is not None}

    async def look(self, *, only_count: bool = False) -> list[RequestRow]:
        """Return those that have not been seen, in the order in which they ended.

        Args:
            only_count: count them as seen, and return none.

        Raises:
            StoreError: the database cannot be used; the next look finds what this one would have.
        """
        now = datetime.now(UTC).timestamp()
        is_thorough = self._looks % _THOROUGH == 0
        since = now - _LATE if is_thorough else max(now - _LATE, min(now, self._looked_at) - _USUALLY_LATE)
        ended = await self.queries.ended_since(self.wanted, since, most=_MOST)
        fresh = [] if only_count else [request_id for request_id in ended if request_id not in self._seen]
        found: list[RequestRow] = []
        for start in range(0, len(fresh), _PAGE):
            found += await self.queries.by_ids(fresh[start : start + _PAGE])
        self.left_out = len(ended) == _MOST or (self._looks > 0 and now - self._looked_at > _LATE)
        self._looks += 1
        self._looked_at = now
        self._seen = {request_id: end for request_id, end in self._seen.items() if end >= now - _LATE} | ended
        return sorted(found, key=lambda row: row.ended_at or row.at)
