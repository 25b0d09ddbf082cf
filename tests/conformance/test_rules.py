"""Our gateway keeps every rule, and every rule sees when it is broken."""

from __future__ import annotations

import pytest
from attrs import evolve

from gateway.canary.conformance.bench import Bench, Rule
from gateway.canary.conformance.catalogue import RULES
from gateway.canary.conformance.run import Result, check_rule
from tests.conformance.relay import Sabotage, relaying
from tests.conformance.saboteurs import SABOTEURS, end_made_up_between_blocks, on_body

pytestmark = pytest.mark.asyncio(loop_scope="module")

BY_ID = {rule.id: rule for rule in RULES}


def before(bench: Bench, url: str, *, seconds: float) -> Bench:
    """Return a bench for a relay before the gateway."""
    target = evolve(bench.target, base=f"{url}/claude")
    return evolve(bench, target=target, patience=seconds, silence=seconds)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
async def test_our_gateway_keeps_every_rule(bench: Bench, rule: Rule) -> None:
    finding = await check_rule(bench, rule)
    assert finding.result is Result.PASS, finding.seen
    assert finding.seen


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
async def test_a_relay_that_breaks_nothing_keeps_every_rule_too(bench: Bench, rule: Rule) -> None:
    gateway = bench.target.base.removesuffix("/claude")
    async with relaying(Sabotage(), gateway, bench.stage.upstream.url) as url:
        finding = await check_rule(before(bench, url, seconds=10), rule)
    assert finding.result is Result.PASS, finding.seen


@pytest.mark.parametrize("broken", SABOTEURS)
async def test_each_rule_sees_what_breaks_it(bench: Bench, broken: str) -> None:
    gateway = bench.target.base.removesuffix("/claude")
    async with relaying(SABOTEURS[broken](), gateway, bench.stage.upstream.url) as url:
        finding = await check_rule(before(bench, url, seconds=0.4), BY_ID[broken])
        control = await check_rule(before(bench, url, seconds=10), BY_ID["endpoint.count-tokens"])
        if broken == "endpoint.count-tokens":
            control = await check_rule(before(bench, url, seconds=10), BY_ID["stream.bytes"])
    assert finding.result is Result.FAIL, finding.seen
    # It is not that nothing works any more.
    assert control.result is Result.PASS, control.seen
    assert "could not be judged" not in finding.seen
    assert "no end within" not in finding.seen
    assert bench.target.key not in finding.seen


async def test_an_end_that_is_made_up_where_the_upstream_broke_off_behind_a_block_is_seen(
    bench: Bench,
) -> None:
    gateway = bench.target.base.removesuffix("/claude")
    async with relaying(on_body(end_made_up_between_blocks), gateway, bench.stage.upstream.url) as url:
        finding = await check_rule(before(bench, url, seconds=10), BY_ID["truncated.eof-after-content"])
        inside_a_block = await check_rule(before(bench, url, seconds=10), BY_ID["truncated.tool-input"])
    assert finding.result is Result.FAIL
    assert "verdict: complete" in finding.seen
    assert inside_a_block.result is Result.PASS, inside_a_block.seen


async def test_there_is_a_saboteur_for_every_rule() -> None:
    assert SABOTEURS.keys() == BY_ID.keys()
