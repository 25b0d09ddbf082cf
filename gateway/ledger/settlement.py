"""The end of a request: it is priced, everyone who wants to know of it is told, and its record is kept."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from gateway.ledger.record import Ledger, RecordObserver, RequestRecord
from gateway.pricing.book import PriceBook
from gateway.pricing.cost import cost_of
from gateway.pricing.usage import Usage
from gateway.telemetry.logs import exception_facts, get_logger

__all__ = ["Settlement"]

_log = get_logger(__name__)


@define(eq=False)
class Settlement:
    """Settles requests. What goes wrong here is logged, and costs no client its answer."""

    ledger: Ledger
    prices: PriceBook
    observers: Sequence[RecordObserver] = field(factory=tuple)
    counters: Sequence[RecordObserver] = field(factory=tuple)
    """Told when the record is durable: what they count can be found out from it again."""

    async def settle(self, record: RequestRecord) -> None:
        """Return when the record is durable; called exactly once per request, before its last event leaves."""
        self._price(record)
        self._tell(self.observers, record)
        try:
            await self.ledger.settle(record)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client's answer must not suffer for it
            _log.error("the record of a request was lost", request_id=record.id, **exception_facts(error))
        finally:
            self._tell(self.counters, record)

    def _tell(self, observers: Sequence[RecordObserver], record: RequestRecord) -> None:
        for observer in observers:
            try:
                observer.settled(record)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others want to know all the same
                _log.error("a defect in what follows requests", request_id=record.id, **exception_facts(error))

    def _price(self, record: RequestRecord) -> None:
        try:
            record.counts = Usage.of(record.usage)
            record.cost = cost_of(
                record.counts,
                model=record.model_served or record.model,
                prices=self.prices,
                at=record.at,
                outcome=record.outcome or "",
                stop_reason=record.stop_reason,
                had_output=record.has_output,
                refusal_category=record.refusal_category,
                provider=record.provider or "",
                route=record.route,
            )
        except Exception as error:  # noqa: BLE001 - an upstream may count in ways that nobody thought of
            _log.error("a request could not be priced", request_id=record.id, **exception_facts(error))
