"""No rule stops the others, and what is shown holds no key."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from gateway.canary.client import CannotRunError
from gateway.canary.conformance.bench import Bench, Failed, NotApplicable, Rule, Target
from gateway.canary.conformance.card import FORMATS, ScoreCard
from gateway.canary.conformance.catalogue import RULES, select
from gateway.canary.conformance.judging import Seen, events_of, without_pings
from gateway.canary.conformance.run import Finding, Result, check_all, find_gateway
from sse_fsm.encoding import PING
from sse_fsm.strategies import ValidStream, valid_streams
from tests.conformance.relay import Request, Response, Sabotage, relaying
from tests.conformance.saboteurs import json_answer

on_module_loop = pytest.mark.asyncio(loop_scope="module")


async def _hangs(_: Bench) -> str:
    await asyncio.get_running_loop().create_future()
    return "never"


async def _crashes(_: Bench) -> str:
    raise ZeroDivisionError


async def _tells_the_key(bench: Bench) -> str:
    raise Failed(f"the answer was {bench.target.key} | <b>")


async def _does_not_apply(_: Bench) -> str:
    raise NotApplicable("not here")


async def _is_well(_: Bench) -> str:
    return "well"


def rule(check: object, *, harmful: bool = False) -> Rule:
    name = getattr(check, "__name__", "").strip("_")
    texts = {"why": "because", "behind": "a test", "notice": "something"}
    return Rule(f"test.{name}", "It holds.", check=check, seconds=0.05, harmful=harmful, **texts)  # ty: ignore[invalid-argument-type]


CHECKS = (_hangs, _crashes, _tells_the_key, _does_not_apply, _is_well)


@on_module_loop
async def test_a_rule_that_hangs_or_crashes_never_stops_the_others(bench: Bench) -> None:
    told: list[str] = []
    findings = await check_all(bench, [rule(check) for check in CHECKS], recovery=10, tell=told.append)
    results = [finding.result.value for finding in findings]
    assert results == ["fail", "fail", "fail", "n-a", "pass"]
    assert findings[0].seen == "no end within 0.05 s"
    assert "ZeroDivisionError" in findings[1].seen
    assert len(told) == len(findings)
    card = ScoreCard("it", "1", datetime.now(UTC), findings)
    assert not card.passed
    for write in FORMATS.values():
        assert bench.target.key not in write(card)
    assert "the answer was (masked) \\| &lt;b>" in card.as_markdown()
    assert json.loads(card.as_json())["counts"] == {"pass": 1, "fail": 3, "n-a": 1, "unchecked": 0}


@on_module_loop
async def test_rules_behind_one_that_put_the_gateway_off_for_good_do_not_fail_but_the_run_does(
    bench: Bench,
) -> None:
    rules = (*select(["error.500"], quick=True), rule(_is_well), rule(_is_well))
    gateway = bench.target.base.removesuffix("/claude")
    asked: list[Request] = []

    def out_of_use_after_two(request: Request) -> Response | None:
        asked.append(request)
        return json_answer(503, {"type": "error", "error": {"type": "api_error"}}) if len(asked) > 2 else None

    sabotage = Sabotage(request=out_of_use_after_two)
    async with relaying(sabotage, gateway, bench.stage.upstream.url) as url:
        away = evolve(bench, target=evolve(bench.target, base=f"{url}/claude"))
        findings = await check_all(away, rules, recovery=0.01, tell=lambda _: None)
    assert [finding.result.value for finding in findings] == ["pass", "unchecked", "unchecked"]
    assert "since error.500 the gateway has not answered a good request" in findings[1].seen
    card = ScoreCard("it", "1", datetime.now(UTC), findings)
    assert not card.passed
    assert "1 passed, 0 failed, 0 not applicable, 2 not checked" in card.as_text()
    assert "| `test.is_well` | **unchecked** |" in card.as_markdown()


@on_module_loop
async def test_who_is_more_patient_with_each_answer_is_so_with_the_whole_rule(bench: Bench) -> None:
    (finding,) = await check_all(evolve(bench, patience=20), [rule(_hangs)], recovery=10, tell=lambda _: None)
    assert finding.seen == "no end within 0.1 s"


def test_no_rule_ends_before_all_its_answers_may_have_come_as_slowly_as_is_allowed(bench: Bench) -> None:
    most_answers = 9  # inband.no-splice has them
    assert min(rule.seconds for rule in RULES) >= most_answers * bench.patience


@on_module_loop
async def test_a_gateway_that_refuses_the_key_is_told_apart_from_one_with_another_upstream(bench: Bench) -> None:
    url = bench.target.base.removesuffix("/claude")
    refused = evolve(bench, target=evolve(bench.target, base=url, key="wrong"))
    with pytest.raises(CannotRunError, match="HTTP 401"):
        await find_gateway(refused, ("", "/claude", "/nowhere"), wait=0.01, tell=lambda _: None)


@on_module_loop
async def test_the_path_below_which_a_gateway_serves_is_found(bench: Bench) -> None:
    url = bench.target.base.removesuffix("/claude")
    unknown = evolve(bench, target=evolve(bench.target, base=url))
    await find_gateway(unknown, ("", "/nowhere", "/claude"), wait=10, tell=lambda _: None)
    assert unknown.target.base == bench.target.base


def test_every_rule_says_what_it_is_about_in_sentences() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    for one in RULES:
        assert one.id.count(".") == 1
        assert one.sentence.endswith(".")
        assert one.why.endswith(".")
        assert one.notice
        assert one.behind


def test_a_quick_run_leaves_out_what_waits() -> None:
    assert {one.id for one in set(RULES) - set(select([], quick=True))} == {
        "silence.before-content",
        "silence.mid-stream",
    }


def test_a_target_does_not_show_its_key() -> None:
    assert "secret" not in repr(Target("http://x", "secret", headers=(("x-secret", "secret"),)))


def test_a_card_of_nothing_that_passed_is_no_success() -> None:
    finding = Finding(rule(_does_not_apply), Result.NOT_APPLICABLE, "not here")
    assert not ScoreCard("it", "1", datetime.now(UTC), [finding]).passed


@given(valid_streams(), st.data())
def test_pings_and_comments_between_events_change_nothing_that_is_compared(
    stream: ValidStream, data: st.DataObject
) -> None:
    pieces = [piece.raw for piece in stream.pieces]
    places = data.draw(st.lists(st.integers(0, len(pieces)), max_size=4))
    whole = b"".join(pieces)
    more = list(pieces)
    for place in sorted(places, reverse=True):
        more.insert(place, data.draw(st.sampled_from([PING, b": kept alive\n\n"])))
    changed = b"".join(more)
    assert events_of(changed) == events_of(whole)
    assert without_pings(changed) == without_pings(whole)


@given(valid_streams(), st.data())
def test_a_valid_stream_is_complete_and_none_of_its_beginnings_is(
    stream: ValidStream, data: st.DataObject
) -> None:
    body = b"".join(piece.raw for piece in stream.pieces)
    headers = [("Content-Type", "text/event-stream")]
    assert Seen(200, headers, body).complete
    stop = body.rindex(b"message_stop")
    cut = body[: data.draw(st.integers(0, stop))]
    assert not Seen(200, headers, cut).complete
    assert not Seen(200, headers, cut).says_broken
    assert Seen(200, headers, cut, "cut").says_broken
    assert str(Seen(200, headers, cut))
