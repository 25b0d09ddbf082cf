"""A renewal that fails costs no more than it must, and no refresh token is sent twice."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from attrs import evolve

from gateway.accounts.account import Account, AccountKind, Condition
from gateway.accounts.credentials import CredentialUnavailableError
from gateway.accounts.refresh import STEPS
from gateway.accounts.secrets import Federation, OAuthSecret
from gateway.providers.base import Credential
from gateway.store import engine
from tests import log_watch
from tests.credentials.bench import IMPATIENT, RENEWAL, TOKEN_PATH, Bench, healed, idle, on_both, seal, told
from tests.postgres import Postgres


@pytest.mark.parametrize("fault", ["status:500", "status:429", "status:400", "refuse-connections"])
async def test_while_the_token_endpoint_is_down_a_token_serves_until_it_expires(bench: Bench, fault: str) -> None:
    account, pair = await bench.add_tokens(left=20)
    if fault == "refuse-connections":
        closed = evolve(bench.secret(pair, left=20), token_url="http://127.0.0.1:9/token")
        account = await bench.add(closed)
    bench.upstream.faults.push(fault if ":" in fault else "none", path=TOKEN_PATH, times="forever")
    async with bench.manager(account) as manager:
        for _ in range(50):
            assert (await manager.current(account)).secret == pair.access_token
        assert await manager.renew(account, Credential("anthropic", "older", version=0)) is not None
        bench.shift += 30
        with pytest.raises(CredentialUnavailableError) as failure:
            await manager.current(account)
        assert not failure.value.terminal
        if fault != "refuse-connections":
            bench.upstream.faults.clear()
            await healed(manager, account)
    assert bench.conditions == []
    assert len(bench.upstream.requests) < 15


@pytest.mark.parametrize(
    "fault", ["hang:head", "hang:byte=5", "cut:byte=0", "cut:byte=30", "body:{", "body:[]", "refuse"]
)
async def test_a_refresh_token_of_which_nobody_knows_is_not_sent_again(bench: Bench, fault: str) -> None:
    account, pair = await bench.add_tokens(left=20)
    bench.upstream.faults.push(fault, path=TOKEN_PATH)
    async with bench.manager(account, refresh=IMPATIENT) as manager:
        for _ in range(20):
            assert (await manager.current(account)).secret == pair.access_token
            await asyncio.sleep(0.02)
        assert len(bench.upstream.requests) == 1
        assert bench.conditions == []
        bench.shift += 30
        with pytest.raises(CredentialUnavailableError, match="gateway accounts resume") as failure:
            await manager.current(account)
        assert failure.value.terminal
        assert [(found[0], found[1], found[3]) for found in bench.conditions] == [
            (account.id, Condition.NEEDS_REAUTH, 1)
        ]
        async with bench.manager(account) as another:
            with pytest.raises(CredentialUnavailableError):
                await another.current(account)
        await told(bench, account)
    assert len(bench.upstream.requests) == 1


@on_both
async def test_a_person_may_have_it_sent_once_more(bench: Bench) -> None:
    account, _ = await bench.add_tokens(left=-1)
    bench.upstream.faults.push("hang:head", path=TOKEN_PATH)
    async with bench.manager(account, refresh=IMPATIENT) as manager:
        with pytest.raises(CredentialUnavailableError):
            await manager.current(account)
        await told(bench, account)
        await bench.store.resume(account.id)
        row = await bench.row(account)
        manager.replace([row])
        assert (await manager.current(row)).version == 2
    assert bench.outcomes == ["granted"]


@on_both
async def test_a_refused_refresh_token_needs_a_person_at_once(bench: Bench) -> None:
    account, pair = await bench.add_tokens(left=3000)
    bench.upstream.tokens.revoke(pair.access_token)
    async with bench.manager(account) as manager:
        refused = await manager.current(account)
        assert await manager.renew(account, refused) is None
        with pytest.raises(CredentialUnavailableError, match="invalid_grant") as failure:
            await manager.current(account)
        assert failure.value.terminal
        await told(bench, account)
        assert await manager.renew(account, refused) is None
    assert [found[:2] for found in bench.conditions] == [(account.id, Condition.NEEDS_REAUTH)]
    assert bench.outcomes == ["invalid_grant"]


@on_both
async def test_a_refusal_of_a_token_that_somebody_replaced_meanwhile_harms_nobody(bench: Bench) -> None:
    account, pair = await bench.add_tokens(left=-1)
    bench.upstream.tokens.revoke(pair.access_token)
    fresh = bench.upstream.tokens.issue()

    async def step(name: str) -> None:
        if name == "answered":
            assert await bench.store.replace_secret(account.id, seal(bench, fresh), None, expected_version=1) == 2

    async with bench.manager(account, step=step) as manager:
        assert (await manager.current(account)).secret == fresh.access_token
    assert bench.conditions == []


@on_both
@pytest.mark.parametrize("where", ["answered", "connected", "leased"])
async def test_a_busy_database_costs_no_token(bench: Bench, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_BUSY_SECONDS", 0.2)
    await bench.database.close()
    await bench.database.open()
    account, pair = await bench.add_tokens(left=20)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def step(name: str) -> None:
        if name == where and not reached.is_set():
            reached.set()
            await go_on.wait()

    quick = evolve(IMPATIENT, store=0.2, sent=30.0, lease=30.0)
    async with bench.manager(step=step, refresh=quick) as manager, asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(manager.current(account))
        await reached.wait()
        async with bench.busy_database():
            go_on.set()
            credential = await waiting
            if where == "answered":
                # There is nothing to do but to use it; it is written as soon as that can be done.
                assert credential.version == 2
            else:
                assert credential.secret == pair.access_token
                assert bench.outcomes == []
        async with asyncio.timeout(10):
            while (await bench.stored(account))[0].secret_version == 1:
                await manager.current(account)
                await asyncio.sleep(0.02)
        assert (await bench.stored(account))[1].access_token == (await manager.current(account)).secret
    assert bench.outcomes == ["granted"]


async def test_tokens_that_are_refused_as_soon_as_they_are_there_are_not_renewed_in_a_loop(bench: Bench) -> None:
    account, _ = await bench.add_tokens(left=3000)
    times = evolve(RENEWAL, fresh=5.0)
    async with bench.manager(account, renewal=times) as manager:
        refused: Credential | None = await manager.current(account)
        for renewals in range(1, 3):
            assert refused is not None
            refused = await manager.renew(account, refused)
            assert refused is not None
            for _ in range(50):
                assert await manager.renew(account, refused) is None
            assert bench.outcomes == ["granted"] * renewals
            with pytest.raises(CredentialUnavailableError):
                await manager.current(account)
            bench.shift += 5.0 * 2**renewals + 0.1
            # Then it may be tried again.
            refused = await manager.current(account)
        assert bench.conditions == []


async def test_an_account_all_of_whose_tokens_are_refused_needs_a_person(bench: Bench) -> None:
    account, _ = await bench.add_tokens(left=3000)
    times = evolve(RENEWAL, fresh=5.0, sweep=1000.0)
    async with bench.manager(account, renewal=times) as manager:
        credential = await manager.current(account)
        async with asyncio.timeout(10):
            while not bench.conditions:
                renewed = await manager.renew(account, credential)
                if renewed is None:
                    bench.shift += 50
                    continue
                assert await manager.renew(account, renewed) is None
                credential = renewed
        assert len(bench.outcomes) <= 4
        with pytest.raises(CredentialUnavailableError, match="refuses every token") as failure:
            await manager.current(account)
        assert failure.value.terminal


async def test_a_federated_account_exchanges_its_assertion_until_that_works(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "assertion"
    rule = Federation(str(file), "fdrl_1", "org", "svac_1")
    account = await bench.add(OAuthSecret(bench.upstream.url + TOKEN_PATH, federation=rule))
    async with bench.manager(account, refresh=IMPATIENT) as manager:
        with pytest.raises(CredentialUnavailableError, match="assertion"):
            await manager.current(account)
        file.write_text("a.b.c")
        bench.upstream.faults.push("hang:head", path=TOKEN_PATH)
        credential = await healed(manager, account)
    assert credential.is_token
    assert (await bench.stored(account))[1].access_token == credential.secret


async def test_a_token_without_anything_to_renew_it_serves_until_it_expires(bench: Bench) -> None:
    account = await bench.add(
        OAuthSecret(bench.upstream.url + TOKEN_PATH, access_token="at-1", expires_at=bench.clock() + 20)
    )
    async with bench.manager(account) as manager:
        assert (await manager.current(account)).secret == "at-1"
        bench.shift += 30
        with pytest.raises(CredentialUnavailableError, match="no refresh token") as failure:
            await manager.current(account)
        assert failure.value.terminal


@pytest.mark.parametrize("secret", [None, b"not of this vault"])
async def test_a_secret_that_cannot_be_read_is_said_so(bench: Bench, secret: bytes | None) -> None:
    for kind in (AccountKind.OAUTH, AccountKind.COMMAND, AccountKind.API_KEY):
        account = Account("acc_x", "x", "anthropic", kind, secret=secret, secret_version=1)
        async with bench.manager(account) as manager:
            with pytest.raises(CredentialUnavailableError) as failure:
                await manager.current(account)
            assert failure.value.terminal


@on_both
@pytest.mark.parametrize("at", STEPS)
async def test_what_goes_wrong_at_any_step_leaves_an_account_that_knows_where_it_is(bench: Bench, at: str) -> None:
    account, _ = await bench.add_tokens(left=-1)
    broken = [True]

    async def step(name: str) -> None:
        if name == at and broken:
            broken.clear()
            raise RuntimeError(random.choice(["disk", "network"]))

    quick = evolve(RENEWAL, wait=2.0)
    async with bench.manager(account, step=step, renewal=quick) as manager:
        async with asyncio.timeout(20):
            while True:
                try:
                    credential = await manager.current(account)
                except CredentialUnavailableError as error:
                    if error.terminal:
                        credential = None
                        break
                    await asyncio.sleep(0.05)
                else:
                    break
    assert set(bench.outcomes) <= {"granted"}
    assert (credential is None) == (at in ("marked", "answered"))


async def test_an_account_in_doubt_renews_nothing_until_it_was_found_to_be_sound(bench: Bench) -> None:
    account, _ = await bench.add_tokens(left=-1)
    await bench.store.set_condition(account.id, Condition.NEEDS_REAUTH, "It was refused.", secret_version=1)
    async with bench.manager(await bench.row(account)) as manager:
        with pytest.raises(CredentialUnavailableError, match=r"It was refused\."):
            await manager.current(account)
        assert not bench.upstream.tokens.records
        await bench.store.set_condition(account.id, Condition.OK, "", secret_version=1)
        manager.replace([await bench.row(account)])
        assert bench.upstream.tokens.standing((await manager.current(account)).secret) == "valid"


async def test_a_token_that_is_good_by_the_clock_can_still_be_tried_while_its_account_is_in_doubt(
    bench: Bench,
) -> None:
    account, pair = await bench.add_tokens(left=3000)
    await bench.store.set_condition(account.id, Condition.NEEDS_REAUTH, "It was refused.", secret_version=1)
    async with bench.manager(await bench.row(account)) as manager:
        assert (await manager.current(account)).secret == pair.access_token


async def test_what_was_found_out_at_the_very_end_is_written_down(bench: Bench) -> None:
    account, pair = await bench.add_tokens(left=3000)
    bench.upstream.tokens.revoke(pair.access_token)
    async with bench.manager(account) as manager:
        assert await manager.renew(account, await manager.current(account)) is None
    assert (await bench.row(account)).condition is Condition.NEEDS_REAUTH


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_database_that_goes_away_before_a_token_is_written_gets_it_when_it_is_back(
    bench: Bench, postgres: Postgres
) -> None:
    account, _ = await bench.add_tokens(left=-1)

    async def step(name: str) -> None:
        if name == "answered":
            await asyncio.to_thread(postgres.stop)

    try:
        async with bench.manager(account, step=step) as manager:
            credential = await manager.current(account)
            assert bench.upstream.tokens.standing(credential.secret) == "valid"
            # It is refused before it is written: then there is nothing newer, and the refresh token stays unused.
            assert await manager.renew(account, credential) is None
            await asyncio.to_thread(postgres.start)
            await idle(manager)
    finally:
        if postgres._process is None:
            await asyncio.to_thread(postgres.start)
    row, secret = await bench.stored(account)
    assert (row.secret_version, secret.access_token) == (2, credential.secret)
    assert bench.outcomes == ["granted"]


async def test_a_token_that_cannot_be_written_until_the_end_is_not_lost_in_silence(bench: Bench) -> None:
    account, _ = await bench.add_tokens(left=-1)
    reached = asyncio.Event()

    async def step(name: str) -> None:
        if name == "answered":
            reached.set()
            await asyncio.Event().wait()

    times = evolve(RENEWAL, shutdown=0.1)
    async with bench.manager(account, step=step, renewal=times):
        await reached.wait()
    assert any(line["level"] == "error" and line["account"] == account.name for line in log_watch.recent_events())
    # Nobody sends the old one again.
    async with bench.manager(account) as manager:
        with pytest.raises(CredentialUnavailableError) as failure:
            await manager.current(account)
        assert failure.value.terminal
    assert bench.outcomes == ["granted"]
