"""What the admin API tells of requests: lists, counts, one in full, timelines, files."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shlex
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest

from gateway.ledger.outcomes import OUTCOMES, went_wrong
from gateway.ledger.record import AttemptRecord, RequestRecord, SwitchRecord
from gateway.ledger.row import RequestRow
from gateway.pricing.cost import Cost
from gateway.pricing.usage import Iteration, Usage
from gateway.store.request_totals import RequestTotals
from gateway.store.requests import RequestStore
from sse_fsm import VIOLATIONS
from sse_fsm.__main__ import main as sse_fsm
from tests.contract.harness import GATEWAY_ID, MESSAGES
from tests.controlplane.api_client import ApiClient
from tests.dashboard.site import GatewaySite, gateway_site
from tests.ledger.writing import make_record
from tests.replay.raw_client import message

LIST: Final = "/api/v1/requests"
AT: Final = 1_790_000_000.123456
"""After the last price change that there is."""
OVERLOADED: Final = AttemptRecord("red", "overload", 529, 7, 2)


@asynccontextmanager
async def api() -> AsyncGenerator[tuple[GatewaySite, ApiClient]]:
    """Run a gateway without any traffic yet, with a client of its admin API."""
    async with gateway_site(traffic=False) as site:
        yield site, ApiClient(site.url, site.token)


async def put(site: GatewaySite, records: Iterable[RequestRecord]) -> None:
    rows = [RequestRow.of(record) for record in records]
    timelines = [columns for row in rows if (columns := row.timeline_columns()) is not None]
    await RequestStore(site.database).insert([row.columns() for row in rows], timelines)


async def listed(client: ApiClient, **wanted: Any) -> list[str]:
    status, answer = await client.get(f"{LIST}?{urlencode(wanted, doseq=True)}")
    assert status == 200, answer
    return [one["id"] for one in answer["requests"]]


async def test_requests_are_found_by_all_that_they_can_be_told_apart_by() -> None:
    served = AttemptRecord("green", None, 200, 12, 9)
    async with api() as (site, client):
        await put(
            site,
            [
                make_record(0, at=AT, session="5f1c", stop_reason="end_turn", actor="O'Brien & söhne"),
                make_record(
                    1, at=AT - 10, account="green", attempts=[OVERLOADED, served], model="claude-haiku-5-5"
                ),
                make_record(2, at=AT - 20, outcome="violation", code="block_index_gap"),
                make_record(3, at=AT - 30, outcome="refused", status=529, account=None, attempts=[OVERLOADED]),
                make_record(4, at=AT - 40, outcome="refused", status=400, provider="openai", route="POST /v1/x"),
            ],
        )
        everything = ["req_0", "req_1", "req_2", "req_3", "req_4"]
        for wanted, expected in (
            ({}, everything),
            ({"since": AT - 20, "until": AT}, ["req_1", "req_2"]),
            ({"provider": "openai"}, ["req_4"]),
            ({"account": "green"}, ["req_1"]),
            ({"tried": "red"}, ["req_1", "req_3"]),
            ({"actor": "O'Brien & söhne"}, ["req_0"]),
            ({"model": "claude-haiku-*"}, ["req_1"]),
            ({"outcome": ["violation", "refused"]}, ["req_2", "req_3", "req_4"]),
            ({"went_wrong": "true"}, ["req_2", "req_3"]),
            ({"stop_reason": "end_turn"}, ["req_0"]),
            ({"session": "5f1c"}, ["req_0"]),
            ({"route": "POST /v1/x"}, ["req_4"]),
            ({"status": 529}, ["req_3"]),
            ({"code": "block_index_gap"}, ["req_2"]),
            ({"session": "' OR 1=1 --"}, []),
            ({"model": "%"}, []),
            ({"since": AT, "until": AT - 1}, []),
        ):
            assert await listed(client, **wanted) == expected, wanted
            status, count = await client.get(f"{LIST}/count?{urlencode(wanted, doseq=True)}")
            assert (status, count) == (200, {"number": len(expected), "is_exact": True}), wanted


async def test_a_query_that_makes_no_sense_is_refused_in_a_sentence() -> None:
    async with api() as (_, client):
        for query in (
            "limit=0",
            "limit=501",
            "limit=x",
            "after=",
            "after=nonsense",
            "after=1_a'b",
            "since=nan",
            "until=inf",
            "since=-1",
            "outcome=well",
            "status=99",
            "session=",
            "session=a&session=b",
            "model=%00",
            "model=" + "x" * 201,
            "colour=red",
        ):
            for path in (LIST, f"{LIST}/count", f"{LIST}.csv"):
                status, answer = await client.get(f"{path}?{query}")
                assert (status, answer["error"]["type"]) == (400, "invalid_request_error"), (path, query)
                assert answer["error"]["message"]


async def test_pages_show_each_request_once_while_new_ones_come_in() -> None:
    async with api() as (site, client):
        # Several at the same moment are told apart by their ids.
        await put(site, [make_record(number, at=AT - number // 4) for number in range(40)])
        found: list[str] = []
        after = ""
        for turn in range(20):
            status, answer = await client.get(f"{LIST}?limit=7{after}")
            assert status == 200
            found += [one["id"] for one in answer["requests"]]
            await put(site, [make_record(100 + turn, at=AT + 1 + turn)])
            if answer["after"] is None:
                break
            after = f"&after={quote(answer['after'])}"
        assert len(found) == 40
        assert set(found) == {f"req_{number}" for number in range(40)}


async def test_all_that_is_known_of_a_request_is_shown() -> None:
    async with api() as (site, client):
        counts = Usage(
            input_tokens=1_000_000,
            output_tokens=100_000,
            cache_read_tokens=0,
            cache_write_tokens=200_000,
            cache_write_1h_tokens=200_000,
            cache_write_5m_tokens=0,
            web_search_requests=2,
            inference_geo="us",
            iterations=(Iteration(type="message", input_tokens=1_000_000, output_tokens=100_000),),
        )
        record = make_record(
            0,
            at=AT,
            attempts=[OVERLOADED, AttemptRecord("green", None, 200, 12, 9)],
            account="green",
            upstream_request_id="req_011Upstream",
            model_served="claude-opus-5-5",
            counts=counts,
            cost=Cost(nanousd=1),
            switch=SwitchRecord("red", "failed", 1200, 0.0042),
            notes=("message_stop was missing",),
            outcome="repaired",
        )
        await put(site, [record])
        for request_id in ("req_0", "req_011Upstream"):
            status, shown = await client.get(f"{LIST}/{request_id}")
            assert status == 200
        assert shown["request"]["tried"] == ["red", "green"]
        assert [(one["account"], one["fault"], one["began_ms"], one["ms"]) for one in shown["attempts"]] == [
            ("red", "overload", 2, 7),
            ("green", None, 9, 12),
        ]
        assert "529" in shown["attempts"][0]["fault_means"]
        assert shown["switch"] == {"account": "red", "reason": "failed", "cached_tokens": 1200, "usd": 0.0042}
        assert shown["usage"]["web_searches"] == 2
        assert shown["usage"]["samplings"][0]["output_tokens"] == 100_000
        assert shown["notes"] == ["message_stop was missing"]
        cost = shown["cost"]
        assert cost["usd"] == 1e-9
        assert sum(line["usd"] for line in cost["lines"]) == pytest.approx(cost["now_usd"])
        for line in cost["lines"]:
            unit = line["list_usd"]
            for factor in line["factors"]:
                unit *= factor["value"]
            assert unit == pytest.approx(line["unit_usd"])
            assert line["quantity"] / line["per"] * line["unit_usd"] == pytest.approx(line["usd"])
        assert {line["kind"] for line in cost["lines"]} >= {"input", "output", "web_searches"}
        assert any(factor["what"] == "inference in us" for line in cost["lines"] for factor in line["factors"])


async def test_an_id_that_is_not_known_is_answered_with_what_that_may_mean() -> None:
    async with api() as (_, client):
        for hostile in ("req_none", "..", "%2e%2e%2fetc", "'--", "%F0%9F%92%A5", "<b>", "a" * 200):
            for more in ("", "/timeline", "/skeleton.sse"):
                status, answer = await client.get(f"{LIST}/{hostile}{more}")
                assert status == 404, (hostile, answer)
        assert "90 days" in answer["error"]["message"]


async def test_a_stream_that_broke_is_explained_and_can_be_taken_home(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with api() as (site, client):
        broken = (await site.stream(fault="duplicate-start:event=5")).header(GATEWAY_ID)
        fine = (await site.stream()).header(GATEWAY_ID)
        failed = (await site.stream(fault="error-event:overloaded_error;event=6")).header(GATEWAY_ID)
        refused = (await site.stream(fault="status:400")).header(GATEWAY_ID)
        no_stream = (await site.ask(message())).header(GATEWAY_ID)
        await site.settled()
        _, shown = await client.get(f"{LIST}/{broken}")
        violation = shown["violation"]
        assert (violation["code"], violation["rule"]["found_in"]) == ("duplicate_message_start", "order")
        assert violation["event_number"] == 6
        assert violation["byte"] > 0
        _, answer = await client.get(f"{LIST}/{broken}/timeline")
        timeline = answer["timeline"]
        assert timeline["entries"][0]["event"] == "message_start"
        assert any(entry["event"] == "committed" for entry in timeline["entries"])
        assert timeline["broken"].startswith("event: message_start\n")
        skeleton = await client.ask("GET", f"{LIST}/{broken}/skeleton.sse")
        assert skeleton.headers["content-type"] == "text/event-stream"
        assert skeleton.headers["content-disposition"] == f'attachment; filename="{broken}.sse"'
        saved = tmp_path / "strange.sse"
        await asyncio.to_thread(saved.write_bytes, skeleton.body)
        assert await asyncio.to_thread(sse_fsm, ["check", str(saved)]) == 1
        assert "duplicate_message_start" in capsys.readouterr().out
        for request_id, why_not in ((no_stream, "it was no stream"), (refused, "nothing had streamed")):
            _, answer = await client.get(f"{LIST}/{request_id}/timeline")
            assert answer["timeline"] is None
            assert why_not in answer["why_not"]
        _, answer = await client.get(f"{LIST}/{failed}")
        assert (answer["reason"], answer["request"]["why"]) == ("overloaded_error", "overloaded_error")
        _, answer = await client.get(f"{LIST}/{fine}/timeline")
        assert answer["timeline"] is None
        assert "streams that did not end well" in answer["why_not"]
        status, answer = await client.get(f"{LIST}/{fine}/skeleton.sse")
        assert status == 404
        assert "streams that did not end well" in answer["error"]["message"]


async def test_what_a_command_copies_is_what_runs() -> None:
    hostile = "x'; touch /tmp/owned; echo '$(id) `id` \"!! \n ${HOME}"
    async with api() as (site, client):
        await put(
            site,
            [
                make_record(0, route="POST /v1/messages", model=hostile, api_version="a'b;$(id)"),
                make_record(1, route="POST /v1/messages/count_tokens", stream=False),
                make_record(2, route="POST /v1/chat/completions", provider="openai", model=hostile),
                make_record(3, route="GET /v1/models/{id}", stream=False),
                make_record(4, route="POST (unknown path)", provider=None),
                make_record(5, route="POST /claude-sdk/v1/messages"),
                make_record(6, api_version="2023\x9b\u202e"),
            ],
        )
        found = [(await client.get(f"{LIST}/req_{number}"))[1]["curl"] for number in range(7)]
        words = [shlex.split(command) if command else [] for command in found]
        base = site.gateway.url
        assert [line[:3] if "-N" in line[:2] else line[:2] for line in words] == [
            ["curl", "-N", base + MESSAGES],
            ["curl", base + MESSAGES + "/count_tokens"],
            ["curl", "-N", base + "/v1/chat/completions"],
            ["curl", base + "/claude/v1/models/MODEL"],
            [],
            ["curl", "-N", base + "/claude-sdk/v1/messages"],
            ["curl", "-N", base + MESSAGES],
        ]
        assert all((command or "").isascii() for command in found)
        assert json.loads(words[0][-1]) | {"messages": []} == {
            "model": hostile,
            "stream": True,
            "max_tokens": 64,
            "messages": [],
        }
        assert json.loads(words[2][-1])["model"] == hostile
        assert set(json.loads(words[1][-1])) == {"model", "messages"}
        # What a shell makes of it, in which `echo` stands for curl.
        shell = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", (found[0] or "").replace("curl", "printf '%s\\0'", 1), stdout=asyncio.subprocess.PIPE
        )
        printed = (await shell.communicate())[0].decode().split("\0")
        assert "x-api-key: " in printed
        assert "anthropic-version: a'b;$(id)" in printed
        assert json.loads(printed[-2])["model"] == hostile


async def test_a_copied_command_is_served() -> None:
    async with api() as (site, client):
        first = (await site.stream()).header(GATEWAY_ID)
        await site.settled()
        _, shown = await client.get(f"{LIST}/{first}")
        curl = await asyncio.create_subprocess_shell(
            shown["curl"].replace("curl", "curl -s", 1),
            stdout=asyncio.subprocess.PIPE,
            env={"GATEWAY_KEY": site.key, "PATH": "/usr/bin:/bin"},
        )
        out, _ = await curl.communicate()
        assert b"event: message_stop" in out


async def test_a_file_for_a_spreadsheet_has_all_that_is_wanted_and_no_formula() -> None:
    formulas = ["=1+1", "+1", "-1", "@x", "\tx", '=HYPERLINK("http://x","y")', "\n=1", "\uff1d1+1"]
    async with api() as (site, client):
        records = [make_record(number, at=AT - number, client=text) for number, text in enumerate(formulas)]
        await put(site, [*records, *(make_record(number, at=AT - number) for number in range(8, 600))])
        answer = await client.ask("GET", f"{LIST}.csv?since={AT - 550}")
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"].startswith('attachment; filename="requests-20')
        assert answer.headers["x-content-type-options"] == "nosniff"
        rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
        assert [row["id"] for row in rows] == [f"req_{number}" for number in range(551)]
        assert [row["client"] for row in rows[:8]] == ["'" + text for text in formulas]
        assert (
            len(list(csv.reader(io.StringIO((await client.ask("GET", f"{LIST}.csv?model=x")).body.decode())))) == 1
        )
        head = await client.ask("HEAD", f"{LIST}.csv")
        assert (head.status, head.body) == (200, b"")


async def test_what_can_be_asked_for_is_known() -> None:
    async with api() as (site, client):
        now = site.database.clock()
        await put(
            site,
            [
                make_record(0, at=now, account="green", stop_reason="end_turn"),
                make_record(1, at=now, model="claude-haiku-5-5", outcome="violation", code="block_index_gap"),
            ],
        )
        while await RequestTotals(site.database).sum_up(100):
            pass
        status, facets = await client.get("/api/v1/facets")
        assert status == 200
        assert {"green", "Team plan"} <= set(facets["accounts"])
        assert facets["models"] == ["claude-haiku-5-5", "claude-opus-5-5"]
        assert facets["providers"] == ["anthropic"]
        assert facets["stop_reasons"] == ["end_turn"]
        assert {actor["name"] for actor in facets["actors"]} == {"Ana's laptop", "nightly builds"}
        assert facets["outcomes"] == list(OUTCOMES)
        assert facets["codes"] == list(VIOLATIONS)


async def test_rules_are_explained_by_their_codes() -> None:
    async with api() as (_, client):
        _, answer = await client.get("/api/v1/violations")
        assert {rule["code"] for rule in answer["rules"]} == set(VIOLATIONS)
        assert all(rule["meaning"].endswith(".") for rule in answer["rules"])
        _, rule = await client.get("/api/v1/violations/invalid_json")
        assert (rule["found_in"], rule["meaning"]) == ("payload", "The data of an event does not parse as JSON.")
        status, _ = await client.get("/api/v1/violations/none")
        assert status == 404


async def test_what_went_wrong_is_the_same_in_the_list_and_in_the_filter() -> None:
    ends = [(outcome, status) for outcome in OUTCOMES for status in (None, 200, 400, 404, 429, 499, 500, 529)]
    async with api() as (site, client):
        records = [
            make_record(number, outcome=outcome, status=status) for number, (outcome, status) in enumerate(ends)
        ]
        await put(site, records)
        wrong = {f"req_{number}" for number, (outcome, status) in enumerate(ends) if went_wrong(outcome, status)}
        assert set(await listed(client, went_wrong="true", limit=500)) == wrong
        _, answer = await client.get(f"{LIST}?limit=500")
        assert {one["id"] for one in answer["requests"] if one["went_wrong"]} == wrong


async def test_whoever_has_not_signed_in_is_told_nothing() -> None:
    async with api() as (site, client):
        await put(site, [make_record(0, session="secret-session")])
        client.token = ""
        for path in ("", "/count", "/req_0", "/req_0/timeline", "/req_0/skeleton.sse", ".csv"):
            answer = await client.ask("GET", LIST + path)
            assert answer.status == 401
            assert b"secret-session" not in answer.body


async def test_slow_downloads_of_long_files_keep_nobody_from_the_rest() -> None:
    async with api() as (site, client), AsyncExitStack() as stack:
        await put(site, (make_record(number, at=AT - number, notes=["x" * 20_000]) for number in range(1_500)))
        host, _, port = site.url.removeprefix("http://").rpartition(":")
        head = f"GET {LIST}.csv HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {site.token}\r\n\r\n"
        for _ in range(4):
            reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
            stack.push_async_callback(writer.wait_closed)
            stack.callback(writer.close)
            writer.write(head.encode())
            assert b" 200 " in await reader.readuntil(b"\r\n")
        refused = await client.ask("GET", f"{LIST}.csv")
        assert (refused.status, refused.headers.get("retry-after")) == (503, "30")
        assert len(await listed(client, limit=1)) == 1
        await stack.aclose()
        async with asyncio.timeout(20):
            while (await client.ask("GET", f"{LIST}.csv?session=none")).status == 503:
                pass
