"""The canary tools, run by the admin API: what is found, what is sent, and what is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from attrs import define

from gateway.canary.conformance.catalogue import select
from gateway.config import ClientAuth, DashboardSettings
from gateway.controlplane.access import Role, Visitor
from gateway.controlplane.audit import AuditLog
from gateway.controlplane.canary_runs import MOST_KEPT, CanaryRuns
from gateway.controlplane.canary_tools import DoctorRun, Kind, NewRun, PlanView, ToolView, Verdict, Watch
from gateway.controlplane.check_keys import CHECK_KEY_NAME, CheckKeys
from gateway.controlplane.live import LiveHub
from gateway.evidence import process as tool
from gateway.replay.server import ReplayUpstream
from gateway.store.audit_log import AuditStore
from gateway.store.client_keys import ClientKeyStore
from gateway.wire.errors import ApiError
from sse_fsm.machine import TRANSITIONS, State
from tests import answer_watch
from tests.contract.harness import Served, serving
from tests.controlplane.api_client import ApiClient
from tests.controlplane.feed_reader import FeedReader, watching
from tests.dashboard.site import TOKEN, GatewaySite, gateway_site
from tests.replay.raw_client import LIMIT

RUNS = "/api/v1/canary/runs"
OLD_KEY = "a-key-to-what-serves-now"


@define
class Operator:
    """Who looks at a gateway, and watches what happens."""

    served: Served
    api: ApiClient
    feed: FeedReader

    async def start(self, kind: str, **options: Any) -> dict[str, Any]:
        """Start a run."""
        status, run = await self.api.post(RUNS, {"kind": kind, **options})
        assert status == 201, run
        return run

    async def end_of(self, run: dict[str, Any]) -> dict[str, Any]:
        """Return a run with what it has found, as soon as it is over."""
        await self.feed.until("job", lambda job: job["id"] == run["id"] and job["state"] != "running")
        status, found = await self.api.get(f"{RUNS}/{run['id']}")
        assert status == 200
        return found

    def spent(self, run: dict[str, Any]) -> int:
        """Return how many requests of a run a model has answered."""
        records = [record for record in self.served.ledger.records if record.actor_id == run["key_id"]]
        return sum(bool(record.usage) and "output_tokens" in record.usage for record in records)

    async def report(self, run: dict[str, Any]) -> str:
        """Return the report of a run."""
        answer = await self.api.ask("GET", f"{RUNS}/{run['id']}/report.md")
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
        assert run["id"] in answer.headers["content-disposition"]
        return answer.body.decode()


@asynccontextmanager
async def operating(**options: Any) -> AsyncGenerator[Operator]:
    quick = {"ping_interval_seconds": 0.3, "commit_deadline_seconds": 2.5}
    async with (
        serving(control=True, control_token=TOKEN, timeouts=quick, **options) as served,
        watching(served.gateway.control_url, TOKEN, "?topics=job") as feed,
    ):
        yield Operator(served, ApiClient(served.gateway.control_url or "", TOKEN), feed)


async def check_keys(operator: Operator) -> list[dict[str, Any]]:
    """Return the keys that runs have made."""
    _, answer = await operator.api.get("/api/v1/keys")
    return [key for key in answer["keys"] if key["name"] == CHECK_KEY_NAME]


def processes_of_tools() -> list[int]:
    """Return the children of this process that run a tool."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_text("utf-8", "replace")
            parent = int((path.parent / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid() and ("gateway.evidence" in command or "gateway.rehearsal" in command):
            found.append(int(path.parent.name))
    return found


def states_of(found: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["level"] for check in found["checks"]}


async def test_smoke_finds_what_the_command_finds_with_a_key_of_its_own_that_is_gone_afterwards() -> None:
    async with operating() as operator:
        _, canary = await operator.api.get("/api/v1/canary")
        (smoke,) = [tool for tool in canary["tools"] if tool["kind"] == "smoke"]
        plan = smoke["plans"][0]
        run = await operator.start("smoke", streams=plan["choice"])
        found = await operator.end_of(run)

        over = found["run"]
        assert over["state"] == "passed", found["checks"]
        assert over["done"] == over["total"] == len(found["checks"])
        assert (over["counts"]["problem"], over["counts"]["unseen"]) == (0, 3)
        assert found["report"]["verdict"] == "pass"
        assert {check["name"] for check in found["report"]["checks"]} == set(states_of(found))
        assert (await operator.report(run)).startswith("# Canary smoke: PASS\n")

        # What was announced is what was sent, by a key that nobody can use any more.
        (key,) = await check_keys(operator)
        assert (key["id"], key["state"]) == (over["key_id"], "revoked")
        assert operator.spent(over) == plan["requests"]
        _, trail = await operator.api.get("/api/v1/audit")
        actions = [one["action"] for one in trail["entries"]][::-1]
        assert actions == ["canary.run", "key.create", "key.revoke"]


async def test_the_doctor_looks_at_the_machine_and_at_the_gateway() -> None:
    async with operating(upstream=ReplayUpstream(tokens_per_second=200)) as operator:
        found = await operator.end_of(await operator.start("doctor"))
        assert found["run"]["state"] == "passed", found["checks"]
        states = states_of(found)
        assert states.keys() >= {"open-files", "database", "stream", "truncation", "cancel", "clock"}
        assert "ports" not in states
        assert set(states.values()) <= {"ok", "unseen"}
        assert found["run"]["done"] == found["run"]["total"]
        assert "what Claude Code and the SDKs rely on" in await operator.report(found["run"])


async def test_old_and_new_are_compared_by_a_key_that_is_neither_kept_nor_shown() -> None:
    answer_watch.keep(OLD_KEY)
    async with ReplayUpstream(api_keys={OLD_KEY}) as old:
        settings = DashboardSettings(baseline_url=old.url)
        async with operating(dashboard=settings) as operator:
            run = await operator.start("compare", old_key=OLD_KEY, rounds=1)
            found = await operator.end_of(run)
            assert found["run"]["options"] == {"model": "", "rounds": 1}
            assert found["run"]["state"] == "passed", found["run"]["summary"]
            assert found["run"]["done"] == found["run"]["total"] == len(found["checks"])
            assert f"old: `{old.url}`" in await operator.report(run)

            refused = await operator.end_of(await operator.start("compare", old_key="another-key", rounds=1))
            assert refused["run"]["state"] == "stuck"
            assert "does not take the old key" in refused["run"]["summary"]
            status, answer = await operator.api.get(f"{RUNS}/{refused['run']['id']}/report.md")
            assert status == 409, answer
            assert {key["state"] for key in await check_keys(operator)} == {"revoked"}


async def test_a_key_is_not_shown_by_a_run_whose_server_says_it_back_as_it_refuses_it() -> None:
    answer_watch.keep(OLD_KEY)

    async def refuse(request: web.BaseRequest) -> web.Response:
        error = {"type": "authentication_error", "message": f"no such key: {request.headers.get('x-api-key')}"}
        return web.json_response({"type": "error", "error": error}, status=401)

    runner = web.ServerRunner(web.Server(refuse))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        settings = DashboardSettings(baseline_url=f"http://127.0.0.1:{site.port}")
        async with operating(dashboard=settings) as operator:
            found = await operator.end_of(await operator.start("compare", old_key=OLD_KEY, rounds=1))
            assert found["run"]["state"] == "stuck"
            assert "(authentication_error: no such key: (masked))" in found["run"]["summary"]
    finally:
        await runner.cleanup()


async def test_the_score_card_is_that_of_this_build_and_two_runs_go_on_at_a_time_but_no_third() -> None:
    async with operating() as operator:
        card = await operator.start("conformance", quick=True)
        smoke = await operator.start("smoke", big_bodies=False, streams=1)
        for kind, why in (
            ("smoke", "A run of smoke is going on"),
            ("doctor", "Conformance and smoke are running"),
        ):
            status, refused = await operator.api.post(RUNS, {"kind": kind})
            assert (status, why in refused["error"]["message"]) == (409, True), refused
        ended = {}
        while len(ended) < 2:
            job = await operator.feed.until("job", lambda job: job["state"] != "running")
            ended[job["id"]] = job["state"]
        assert ended == {card["id"]: "passed", smoke["id"]: "passed"}
        _, found = await operator.api.get(f"{RUNS}/{card['id']}")
        assert [check["name"] for check in found["checks"]] == [rule.id for rule in select([], quick=True)]
        assert found["report"]["counts"]["pass"] == found["run"]["total"]
        assert found["run"]["key_id"] is None
        # Nothing of it came here.
        assert not any("onformance" in str(record.client) for record in operator.served.ledger.records)
        _, listed = await operator.api.get(RUNS)
        assert [run["id"] for run in listed["runs"]] == [smoke["id"], card["id"]]


async def test_a_run_that_is_cancelled_ends_at_once_and_leaves_nothing_behind() -> None:
    async with operating() as operator:
        operator.served.upstream.faults.push("hang:head")
        run = await operator.start("smoke")
        await operator.served.upstream.wait_for(lambda: operator.served.upstream.open_streams > 0)
        (process,) = processes_of_tools()
        assert os.getpriority(os.PRIO_PROCESS, process) > os.getpriority(os.PRIO_PROCESS, 0)
        assert await operator.api.delete(f"{RUNS}/{run['id']}") == (204, None)
        found = await operator.end_of(run)
        assert found["run"]["state"] == "cancelled"
        assert processes_of_tools() == []
        assert [key["state"] for key in await check_keys(operator)] == ["revoked"]
        status, refused = await operator.api.delete(f"{RUNS}/{run['id']}")
        assert (status, refused["error"]["message"]) == (409, "This run is over already.")


async def test_who_cancels_a_run_twice_leaves_no_process_behind_even_one_that_does_not_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tool, "_STOP_SECONDS", 0.3)
    async with operating() as operator:
        operator.served.upstream.faults.push("hang:head")
        run = await operator.start("smoke")
        await operator.served.upstream.wait_for(lambda: operator.served.upstream.open_streams > 0)
        (process,) = processes_of_tools()
        os.kill(process, signal.SIGSTOP)
        cancel = partial(operator.api.delete, f"{RUNS}/{run['id']}")
        assert await asyncio.gather(cancel(), cancel()) == [(204, None), (204, None)]
        assert processes_of_tools() == []
        assert (await operator.end_of(run))["run"]["state"] == "cancelled"


async def test_a_process_that_dies_ends_its_run_with_a_reason() -> None:
    async with operating() as operator:
        operator.served.upstream.faults.push("hang:head")
        run = await operator.start("smoke")
        await operator.served.upstream.wait_for(lambda: operator.served.upstream.open_streams > 0)
        (process,) = processes_of_tools()
        os.kill(process, 9)
        found = await operator.end_of(run)
        assert found["run"]["state"] == "stuck"
        assert "ended with status -9" in found["run"]["summary"]
        assert [key["state"] for key in await check_keys(operator)] == ["revoked"]


async def test_a_gateway_that_is_stopped_ends_its_runs_revokes_their_keys_and_forgets_them() -> None:
    async with gateway_site(traffic=False) as site:
        site.upstream.faults.push("hang:head")
        api = ApiClient(site.url, TOKEN)
        status, run = await api.post(RUNS, {"kind": "smoke"})
        assert status == 201
        await site.upstream.wait_for(lambda: site.upstream.open_streams > 0)
        async with asyncio.timeout(LIMIT):
            await site.stop()
        assert processes_of_tools() == []
        (key,) = [key for key in await ClientKeyStore(site.database).all() if key.name == CHECK_KEY_NAME]
        assert key.revoked_at is not None
        # Had the gateway been killed, the key would end by itself.
        assert key.terms.expires_at is not None
        assert key.terms.expires_at - site.database.clock() < 20 * 60
        await site.start()
        assert await api.get(RUNS) == (200, {"runs": []})
        assert (await api.get(f"{RUNS}/{run['id']}"))[0] == 404


async def test_what_cannot_be_run_here_is_said_with_what_to_do_instead() -> None:
    async with operating(client_auth=ClientAuth.PASSTHROUGH) as operator:
        _, canary = await operator.api.get("/api/v1/canary")
        obstacles = {tool["kind"]: tool["obstacle"] for tool in canary["tools"]}
        assert obstacles["conformance"] == ""
        for kind in ("smoke", "doctor"):
            assert f"gateway {kind}" in obstacles[kind]
            status, refused = await operator.api.post(RUNS, {"kind": kind})
            assert (status, refused["error"]["message"]) == (409, obstacles[kind])
    async with operating(client_auth=ClientAuth.OFF) as operator:
        _, canary = await operator.api.get("/api/v1/canary")
        notes = {tool["kind"]: tool["note"] for tool in canary["tools"]}
        obstacles = {tool["kind"]: tool["obstacle"] for tool in canary["tools"]}
        assert "client_auth = off" in notes["smoke"]
        assert "GATEWAY_DASHBOARD__BASELINE_URL" in obstacles["compare"]
        found = await operator.end_of(await operator.start("smoke", big_bodies=False, streams=1))
        failed = {name for name, level in states_of(found).items() if level == "problem"}
        assert failed == {"error: no key", "error: wrong key"}
        assert found["run"]["key_id"] is None


async def test_the_machine_is_the_table_and_violations_are_counted_with_examples() -> None:
    async with gateway_site() as site:
        api = ApiClient(site.url, TOKEN)
        for fault in ("wrong-name:ping;event=4", "duplicate-start:event=5"):
            await site.stream(fault=fault)
        await site.settled()
        _, machine = await api.get("/api/v1/machine")
        told = {
            (edge["source"], event): edge["target"] for edge in machine["edges"] for event in edge["events"]
        } | {(one["state"], event): one["code"] for one in machine["refusals"] for event in one["events"]}
        table = {
            (state.name, kind.value): cell.name if isinstance(cell, State) else cell.code
            for state, row in TRANSITIONS.items()
            for kind, cell in row.items()
        }
        assert told == table
        assert [one["name"] for one in machine["states"]] == [state.name for state in State]

        _, broken = await api.get("/api/v1/machine/violations")
        counted = {one["code"]: (one["count"], len(one["examples"])) for one in broken["rules"]}
        assert counted == {"duplicate_message_start": (2, 2), "name_type_mismatch": (1, 1)}
        assert broken["is_exact"]
        newest = broken["rules"][0]["examples"][0]
        assert (await api.get(f"/api/v1/requests/{newest['id']}"))[0] == 200
        assert newest["at"] >= broken["rules"][0]["examples"][1]["at"]
        assert broken["rules"][0]["rule"]["meaning"]
        _, none = await api.get(f"/api/v1/machine/violations?since={newest['at'] + 1}")
        assert none["rules"] == []


@define
class BriefTools:
    """Tools that have nothing to look at."""

    def describe(self) -> Sequence[ToolView]:
        plan = PlanView(choice=0, requests=0, baseline_requests=0, input_tokens=0, most_output_tokens=0, seconds=0)
        tool = ToolView(kind=Kind.DOCTOR, target="", upstream="", spends=False, obstacle="", note="", plans=[plan])
        return [tool]

    async def run(self, wanted: NewRun, key: str, watch: Watch) -> Verdict:
        assert isinstance(wanted, DoctorRun)
        if wanted.model == "a-defect":
            raise ZeroDivisionError
        watch.say(key)
        return Verdict(passed=True, summary="nothing", markdown="", report=None)


@define(eq=False)
class SlowAuditLog(AuditLog):
    """Lets something happen before it goes on from what it wrote down."""

    meanwhile: Callable[[], Awaitable[object]]

    async def write(self, *args: Any, **named: Any) -> None:
        """Write it down, and then wait."""
        await super().write(*args, **named)
        await self.meanwhile()


def brief_runs(
    site: GatewaySite, tasks: asyncio.TaskGroup, meanwhile: Callable[[], Awaitable[object]] | None = None
) -> CanaryRuns:
    store = AuditStore(site.database)
    trail = AuditLog(store) if meanwhile is None else SlowAuditLog(store, meanwhile)
    keys = CheckKeys(ClientKeyStore(site.database), b"pepper", trail, tasks, site.settled, lambda: None)
    return CanaryRuns(
        BriefTools(), keys, takes_keys=False, database=site.database, audit=trail, live=LiveHub(), tasks=tasks
    )


async def test_a_run_that_is_asked_for_as_the_gateway_is_told_to_stop_does_not_begin() -> None:
    stopping = asyncio.Event()

    async def stop() -> None:
        stopping.set()
        await asyncio.wait({ending})

    async with gateway_site(traffic=False) as site, asyncio.TaskGroup() as tasks:
        runs = brief_runs(site, tasks, stop)
        ending = tasks.create_task(runs.end_with(stopping))
        with pytest.raises(ApiError, match="being stopped") as refused:
            await runs.start(DoctorRun(), Visitor(name="Ana", role=Role.ADMIN))
        assert refused.value.status == 503
        assert not runs.all()


async def test_the_last_runs_are_remembered_and_a_defect_of_one_is_its_own() -> None:
    async with gateway_site(traffic=False) as site, asyncio.TaskGroup() as tasks:
        runs = brief_runs(site, tasks)
        visitor = Visitor(name="Ana", role=Role.ADMIN)
        started = []
        for number in range(MOST_KEPT + 3):
            run = await runs.start(DoctorRun(model=f"model-{number}"), visitor)
            assert run.task is not None
            await asyncio.wait({run.task})
            assert run.task is None
            started.append(run.id)
        assert [run.id for run in runs.all()] == started[::-1][:MOST_KEPT]
        defective = await runs.start(DoctorRun(model="a-defect"), visitor)
        assert defective.task is not None
        await asyncio.wait({defective.task})
        assert defective.view().state == "stuck"
        assert "defect" in defective.view().summary
