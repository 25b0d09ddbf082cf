"""Each row of the table of faults, proved by recorded answers through a running gateway."""

from __future__ import annotations

import pytest

from gateway.accounts.account import AccountState
from gateway.accounts.health import CONSEQUENCES, Effect
from gateway.providers.base import FaultClass
from tests.contract.harness import serving
from tests.replay.raw_client import message

SHOWN = {
    Effect.NONE: AccountState.ACTIVE,
    Effect.SCORE: AccountState.ACTIVE,
    Effect.BREAKER: AccountState.ACTIVE,
    Effect.COOL: AccountState.COOLING,
    Effect.PARK: AccountState.PARKED,
    Effect.REAUTH: AccountState.NEEDS_REAUTH,
}


@pytest.mark.parametrize("fault", FaultClass)
async def test_recorded_answers_are_of_their_class_and_do_to_the_account_what_the_table_says(
    fault: FaultClass,
) -> None:
    row = CONSEQUENCES[fault]
    assert row.fixtures
    for name in row.fixtures:
        async with serving() as served:
            stream = name.removesuffix(".sse")
            if stream != name:
                await served.ask(message(stream=True, model=f"replay-{stream}"))
            else:
                await served.ask(message(stream=True), fault=f"error:{name}")
            (record,) = served.ledger.records
            assert record.attempts[0].fault == fault.value, name
            pool = served.gateway.data_plane.messages.backend.pool
            (account,) = pool.accounts
            shown, _, reason = pool.state(account.id)
            assert shown is SHOWN[row.account], name
            assert shown is AccountState.ACTIVE or reason, name


def test_every_class_has_a_row() -> None:
    assert set(CONSEQUENCES) == set(FaultClass)
    assert set(SHOWN) == set(Effect)
