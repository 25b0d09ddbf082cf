"""New requests as they come to an end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from attrs import define, evolve, field

from gateway.ledger.row import RequestRow
from gateway.store.request_queries import Cursor, RequestFilter, RequestQueries

__all__ = ["Follower"]

_LATE: Final = 120.0
"""Seconds by which a record may come late, or a clock be wrong."""
_PAGE: Final = 500
_MOST_PAGES: Final = 8


@define
class Follower:
    """Finds requests that have ended since the last look.

    A request is written down when it ends, under the time at which it began. So what is looked for is not what
    comes behind a place in the list, but what ended lately and has not been seen. Of the newest 40 000 requests
    that is: one that ran for longer than these took to come in is missed.
    """

    queries: RequestQueries
    wanted: RequestFilter
    longest_seconds: float
    """That a request can take."""
    _seen: dict[str, float] = field(factory=dict, init=False)
    """Ends of requests by their ids, in Unix seconds."""

    def pass_over(self, rows: list[RequestRow]) -> None:
        """Count requests as seen."""
        self._seen |= {row.id: _end(row) for row in rows}

    async def look(self) -> list[RequestRow]:
        """Return those that have not been seen, in the order in which they ended.

        Raises:
            StoreError: the database cannot be used.
        """
        since = datetime.now(UTC).timestamp() - _LATE
        self._seen = {request_id: end for request_id, end in self._seen.items() if end >= since}
        began = max(since - self.longest_seconds, self.wanted.since or 0.0)
        wanted = evolve(self.wanted, ended_since=since, since=began)
        found: list[RequestRow] = []
        after: Cursor | None = None
        for _ in range(_MOST_PAGES):
            page = await self.queries.page(wanted, limit=_PAGE, after=after)
            found += [row for row in page.rows if row.id not in self._seen]
            after = page.after
            if after is None:
                break
        self.pass_over(found)
        return sorted(found, key=_end)


def _end(row: RequestRow) -> float:
    return row.at + (row.ms or 0) / 1000
