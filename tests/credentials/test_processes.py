"""Processes that share accounts: slow, killed anywhere, with clocks that disagree; the endpoint is the judge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import define
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from gateway.accounts.account import Account
from gateway.accounts.refresh import STEPS
from gateway.replay.server import ReplayUpstream
from gateway.replay.tokens import TokenPair
from gateway.store.engine import Database
from tests.credentials.bench import TOKEN_PATH, Bench
from tests.credentials.child import Job, Report
from tests.credentials.crew import SIZE, Crew

SENT = ("marked", "answered")
"""Who dies here may have sent a refresh token and takes the new one with it."""

DOOMED = {"lease": 0.5, "sent": 0.7}
"""What the dead leave behind has to expire soon."""
HASTY = {**DOOMED, "answer": 0.4}

few = settings(
    max_examples=max(6, settings().max_examples // 10),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crew(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    on_postgres = request.param == "postgresql"
    url = request.getfixturevalue("postgres").create_database() if on_postgres else ""
    with Crew(url, tmp_path_factory.mktemp("crew")) as started:
        yield started


@define
class Stage:
    """A token endpoint and an account of it, for one example."""

    crew: Crew
    bench: Bench
    account: Account
    pair: TokenPair

    @classmethod
    @asynccontextmanager
    async def of(cls, crew: Crew, *, left: float) -> AsyncGenerator[Stage]:
        """Set up an account whose token expires in `left` seconds."""
        async with ReplayUpstream() as upstream, Database(crew.database_url, crew.directory) as database:
            bench = Bench(upstream, database)
            yield cls(crew, bench, *await bench.add_tokens(left=left))

    async def do(self, *befalls: dict[str, Any]) -> list[Report | None]:
        """Have processes use the account."""
        return await self.crew.do([Job(self.account.id, **befall) for befall in befalls])

    async def ask_again(self) -> Report:
        """Have a process that nothing befalls use the account, until it is clear what has become of it."""
        async with asyncio.timeout(20):
            while True:
                (report,) = await self.do(DOOMED)
                assert report is not None
                if report.secret or report.terminal:
                    return report

    def is_good(self, secret: str) -> bool:
        """Whether the upstream takes a token."""
        return self.bench.upstream.tokens.standing(secret) == "valid"

    def check_the_judge(self) -> None:
        """Check that no refresh token came twice."""
        assert set(self.bench.outcomes) <= {"granted"}
        assert self.is_good(self.pair.access_token)


patient = st.fixed_dictionaries(
    {"seed": st.integers(0, 2**32), "skew": st.floats(-20, 20), "pause": st.sampled_from([0.0, 0.01, 0.05])}
)
befallen = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32),
        "skew": st.sampled_from([0.0, 0.0, 5.0, -5.0, 100_000.0, -100_000.0]),
        "pause": st.sampled_from([0.0, 0.02, 0.1]),
        "renewals": st.integers(0, 2),
        "kill_at": st.none() | st.sampled_from(STEPS),
        "kill_after": st.none() | st.floats(0.0, 0.3),
    }
)
trouble = st.sampled_from(["none", "none", "status:500", "hang:head", "hang:byte=9", "cut:byte=0", "body:{"])


@few
@given(befalls=st.lists(patient, min_size=SIZE, max_size=SIZE))
def test_whoever_is_first_renews_a_token_for_all(crew: Crew, befalls: list[dict[str, Any]]) -> None:
    async def run() -> None:
        async with Stage.of(crew, left=-100) as stage:
            reports = await stage.do(*befalls)
            assert stage.bench.outcomes == ["granted"]
            assert {report.version for report in reports if report} == {2}
            (secret,) = {report.secret for report in reports if report}
            assert stage.is_good(secret)

    asyncio.run(run())


@few
@given(befalls=st.lists(patient, min_size=SIZE, max_size=SIZE), renewals=st.integers(1, 2))
def test_refused_tokens_are_renewed_one_after_the_other(
    crew: Crew, befalls: list[dict[str, Any]], renewals: int
) -> None:
    async def run() -> None:
        async with Stage.of(crew, left=3000) as stage:
            reports = await stage.do(*(befall | {"renewals": renewals} for befall in befalls))
            grants = len(stage.bench.outcomes)
            assert renewals <= grants <= renewals * SIZE
            versions = {report.version for report in reports if report}
            # Each process saw its tokens refused, and ends with one that came later.
            assert min(versions) > renewals
            assert max(versions) == 1 + grants
            stage.check_the_judge()

    asyncio.run(run())


@few
@given(befalls=st.lists(befallen, min_size=SIZE, max_size=SIZE), faults=st.lists(trouble, max_size=3))
@example(befalls=[{}] * SIZE, faults=["cut:byte=0"])
@example(befalls=[{"kill_at": step} for step in STEPS], faults=[])
@example(befalls=[{"kill_at": step, "skew": 100_000.0} for step in reversed(STEPS)], faults=["none", "cut:byte=0"])
def test_no_refresh_token_is_sent_twice_whoever_dies_where(
    crew: Crew, befalls: list[dict[str, Any]], faults: list[str]
) -> None:
    async def run() -> None:
        async with Stage.of(crew, left=-1) as stage:
            for fault in faults:
                stage.bench.upstream.faults.push(fault, path=TOKEN_PATH)
            await stage.do(*(HASTY | befall for befall in befalls))
            stage.check_the_judge()
            stage.bench.upstream.faults.clear()
            last = await stage.ask_again()
            stage.check_the_judge()
            assert last.terminal or stage.is_good(last.secret)

    asyncio.run(run())


@pytest.mark.parametrize("step", STEPS)
def test_a_death_at_any_step_loses_a_token_only_where_that_cannot_be_helped(crew: Crew, step: str) -> None:
    async def run() -> None:
        async with Stage.of(crew, left=-1) as stage:
            dead, *_ = await stage.do({**DOOMED, "kill_at": step})
            assert dead is None
            last = await stage.ask_again()
            stage.check_the_judge()
            assert bool(last.secret) == (step not in SENT)
            assert len(stage.bench.outcomes) == (0 if step == "marked" else 1)
            if last.secret:
                assert stage.is_good(last.secret)
            else:
                assert "gateway accounts resume" in last.problem

    asyncio.run(run())
