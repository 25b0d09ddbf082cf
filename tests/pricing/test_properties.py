"""What holds for the cost of any usage."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.pricing.book import PriceBook
from gateway.pricing.cost import Cost, cost_of
from gateway.pricing.usage import Iteration, Usage

PRICES = PriceBook.load()
MODELS = PRICES.models()
AT = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
SMALL = 20_000
"""No prompt of four such counts comes near the size from which on some models cost more."""

counts = st.integers(0, SMALL)
any_count = st.one_of(st.none(), st.integers(0, 10**12))
models = st.sampled_from(MODELS)
cached = st.tuples(counts, counts).map(lambda pair: (sum(pair), *pair))


def usages(count: st.SearchStrategy[int] = counts) -> st.SearchStrategy[Usage]:
    def make(plain: int, out: int, read: int, writes: tuple[int, int], searches: int) -> Usage:
        return Usage(
            input_tokens=plain,
            output_tokens=out,
            cache_read_tokens=read,
            cache_write_tokens=sum(writes),
            cache_write_5m_tokens=writes[0],
            cache_write_1h_tokens=writes[1],
            web_search_requests=searches,
        )

    return st.builds(make, count, count, count, st.tuples(count, count), st.integers(0, 50))


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["fast", "us", "batch", "message", "compaction", "fallback_message", "claude-opus-5"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
    "ephemeral_5m_input_tokens",
    "ephemeral_1h_input_tokens",
    "output_tokens_details",
    "server_tool_use",
    "web_search_requests",
    "service_tier",
    "inference_geo",
    "speed",
    "iterations",
    "type",
    "model",
    "prompt_tokens",
    "total_tokens",
    "prompt_tokens_details",
]
raw_usages = st.dictionaries(st.sampled_from(FIELDS), st.dictionaries(st.sampled_from(FIELDS), junk) | junk)


def cost(usage: Usage | None, model: str = "claude-opus-5-5", **changes: Any) -> Cost:
    facts: dict[str, Any] = {"at": AT, "outcome": "complete", "stop_reason": "end_turn"}
    return cost_of(usage, model=model, prices=PRICES, **(facts | changes))


def nanousd(usage: Usage, model: str = "claude-opus-5-5", **changes: Any) -> int:
    found = cost(usage, model, **changes).nanousd
    assert found is not None
    return found


def exact(usage: Usage, model: str) -> Decimal:
    return sum((line.usd for line in cost(usage, model).lines), Decimal(0))


def plus(one: Usage, other: Usage) -> Usage:
    names = [
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "web_search_requests",
    ]
    return Usage(**{name: getattr(one, name) + getattr(other, name) for name in names})


@given(usages(st.integers(0, SMALL // 2)), usages(st.integers(0, SMALL // 2)), models)
def test_two_answers_cost_as_much_as_one_with_all_their_tokens(one: Usage, other: Usage, model: str) -> None:
    # Half the size each: together they are still short prompts.
    assert exact(one, model) + exact(other, model) == exact(plus(one, other), model)


@given(usages(st.integers(0, 10**9)), usages(st.integers(0, 10**9)), models)
def test_more_tokens_never_cost_less(one: Usage, more: Usage, model: str) -> None:
    assert nanousd(plus(one, more), model) >= nanousd(one, model)


@given(usages(st.integers(0, 10**12)), models)
def test_no_cost_is_negative_and_all_fit_into_a_column(usage: Usage, model: str) -> None:
    assert 0 <= nanousd(usage, model) < 2**63


@given(usages(), st.sampled_from(["claude-opus-5-5", "claude-opus-5", "claude-fable-5-2"]))
def test_factors_stack(usage: Usage, model: str) -> None:
    plain = evolve(usage, web_search_requests=None)
    factors = {
        "speed": ("fast", 2),
        "inference_geo": ("us", Decimal("1.1")),
        "service_tier": ("batch", Decimal("0.5")),
    }
    product = Decimal(1)
    changed = plain
    for name, (value, factor) in factors.items():
        product *= Decimal(factor)
        changed = evolve(changed, **{name: value})
        assert exact(changed, model) == exact(plain, model) * product


@given(usages(), models)
@example(Usage(input_tokens=1, output_tokens=0, inference_geo="us"), "claude-haiku-5-5")
def test_costs_are_exact_to_the_last_digit(usage: Usage, model: str) -> None:
    exact_usd = exact(usage, model)
    assert nanousd(usage, model) == round(exact_usd.scaleb(9))
    assert exact_usd == exact_usd.quantize(Decimal("1e-12"))


@given(st.lists(st.tuples(counts, counts), min_size=1, max_size=5), st.lists(models, min_size=5, max_size=5))
def test_samplings_cost_what_each_would_alone(parts: list[tuple[int, int]], names: list[str]) -> None:
    iterations = tuple(
        Iteration(type="message", model=name, input_tokens=read, output_tokens=written)
        for (read, written), name in zip(parts, names, strict=False)
    )
    together = sum((line.usd for line in cost(Usage(iterations=iterations)).lines), Decimal(0))
    alone = Decimal(0)
    for one in iterations:
        alone += exact(Usage(input_tokens=one.input_tokens, output_tokens=one.output_tokens), one.model or "")
    assert together == alone


@given(usages(), models)
def test_a_stream_that_broke_off_costs_what_was_seen(usage: Usage, model: str) -> None:
    whole, cut = cost(usage, model), cost(usage, model, outcome="truncated")
    assert (cut.nanousd, cut.is_partial, cut.note) == (whole.nanousd, True, "partial")


@given(raw_usages, models | st.text(max_size=30), st.sampled_from(["anthropic", "openai", ""]))
def test_whatever_an_upstream_says_there_is_a_cost_or_a_reason(
    raw: dict[str, Any], model: str, provider: str
) -> None:
    usage = Usage.of(raw)
    found = cost(usage, model, provider=provider)
    assert (found.nanousd is None) <= bool(found.note)
    assert found.nanousd is None or 0 <= found.nanousd < 2**63
    assert all(line.quantity > 0 and line.usd >= 0 for line in found.lines)


@given(raw_usages)
def test_what_is_stored_of_usage_costs_the_same_as_what_was_said(raw: dict[str, Any]) -> None:
    usage = Usage.of(raw)
    if usage is not None:
        assert Usage.from_columns(usage.columns()) == usage


@given(raw_usages)
def test_writes_and_their_split_always_agree(raw: dict[str, Any]) -> None:
    usage = Usage.of(raw)
    for counted in (usage, *usage.iterations) if usage is not None else ():
        if counted.cache_write_5m_tokens is not None or counted.cache_write_1h_tokens is not None:
            short, long = counted.cache_write_5m_tokens, counted.cache_write_1h_tokens
            assert (short or 0) + (long or 0) == counted.cache_write_tokens
        assert counted.total_input_tokens >= (counted.cache_write_tokens or 0)


@given(st.integers(0, 4_000_000_000), models, counts)
def test_every_time_has_one_price(at: int, model: str, tokens: int) -> None:
    price = PRICES.find(model, at)
    assert price is not None
    assert price == PRICES.find(f"{model}-20260101", at)
    rates = price.standard.rates(tokens)
    assert 0 < rates.cache_read <= rates.input < rates.output
    assert rates.input <= rates.cache_write_5m <= rates.cache_write_1h
