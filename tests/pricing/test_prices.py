"""Whose prices are used: the price list, the library, the corrections, the operator's own."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.pricing.book import CORRECTIONS, OVERRIDE, PriceBook
from gateway.pricing.cache_loss import price_of_cache_lost
from gateway.pricing.model_price import ModelPrice, Rates, plain_name
from gateway.pricing.price_file import PricesError, parse_prices, read_prices
from gateway.pricing.price_library import LIBRARY, Library

PRICES = PriceBook.load()
NOW = datetime(2026, 11, 20, tzinfo=UTC)
LIST = tomllib.loads((Path(__file__).parent / "price_list.toml").read_text())


def listed() -> Iterator[tuple[str, datetime, int, Rates]]:
    """Yield what the price list says: model, when, size of the prompt, rates."""
    for model, prices in LIST["prices"].items():
        yield model, NOW, 1, rates(prices)
    for row in LIST["changed"]:
        yield row["model"], row.get("at", NOW), row.get("prompt", 1), rates(row["prices"])


def rates(prices: list[str]) -> Rates:
    given, output, short, long, read = (Decimal(price) for price in prices)
    return Rates(input=given, output=output, cache_write_5m=short, cache_write_1h=long, cache_read=read)


def find(model: str, at: datetime = NOW, *, prices: PriceBook = PRICES, provider: str = "anthropic") -> ModelPrice:
    price = prices.find(model, at.timestamp(), provider)
    assert price is not None
    return price


def written(tmp_path: Path, text: str) -> PriceBook:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    return PriceBook.load(file)


@pytest.mark.parametrize(("model", "at", "prompt", "expected"), list(listed()), ids=str)
def test_models_cost_what_the_price_list_says(model: str, at: datetime, prompt: int, expected: Rates) -> None:
    assert find(model, at).standard.rates(prompt) == expected


def test_the_library_and_the_price_list_differ_where_the_corrections_say_so_and_nowhere_else() -> None:
    library = Library()
    table = {}
    for model, at, prompt, expected in listed():
        found = library.find("anthropic", model, at)
        theirs = None if found is None else found.standard.rates(prompt)
        if theirs != expected:
            table[model] = f"{model:24}{at:%Y-%m-%d}{prompt:>8}  {_short(expected):24}  {_short(theirs)}"
    sys.stdout.write("\n".join([f"{'model':24}at{'prompt':>16}  {'price list':24}  library", *table.values(), ""]))
    assert set(table) == {model for model, at, prompt, _ in listed() if find(model, at).source == CORRECTIONS}
    documented = (Path(__file__).parents[2] / "docs" / "cost-and-usage.md").read_text()
    for model in table:
        assert f"| `{model}` |" in documented, f"docs/cost-and-usage.md does not say what is used for {model}"


def _short(found: Rates | None) -> str:
    if found is None:
        return "none"
    return f"{found.input} {found.output} {found.cache_write_5m} {found.cache_write_1h} {found.cache_read}"


def test_every_correction_is_still_needed() -> None:
    library = Library()
    for name in ("claude-mythos-5-1", "claude-mythos-5", "claude-mythos-preview", "claude-haiku-3-5"):
        assert library.find("anthropic", name, NOW) is None
    before = datetime(2026, 10, 6, tzinfo=UTC)
    found = library.find("anthropic", "claude-sonnet-5-5", before)
    assert found is not None
    assert found.standard.base.cache_read == Decimal("0.1")


@pytest.mark.parametrize(
    "model", ["claude-opus-5-5", "claude-opus-5", "claude-opus-4-8", "claude-fable-5-2", "claude-mythos-5-2"]
)
def test_fast_mode_costs_twice_as_much(model: str) -> None:
    assert find(model).speeds == {"fast": Decimal(2)}


def test_batches_cost_half_as_the_library_says_too() -> None:
    library, compared = Library(), 0
    for model in PRICES.models():
        found = library.find("anthropic", model, NOW)
        theirs = None if found is None else found.service_tiers.get("batch")
        if theirs is not None:
            compared += 1
            assert find(model).schedule("batch") == theirs, model
    assert compared > 10


def test_a_model_is_found_with_its_date_without_it_and_as_latest() -> None:
    expected = find("claude-haiku-4-5")
    for name in (
        "claude-haiku-4-5-20251001",
        "claude-haiku-4-5@20251001",
        "claude-haiku-4-5-latest",
        " Claude-Haiku-4-5 ",
    ):
        assert find(name).standard == expected.standard


@pytest.mark.parametrize(
    "model",
    ["claude-opus-4-10", "claude-opus-5-5-x", "claude-opus", "claude", "", "x" * 1000, "claude-haiku-4-5-2025"],
)
def test_a_model_that_nobody_names_has_no_price(model: str) -> None:
    assert PRICES.find(model, NOW.timestamp()) is None


def test_a_model_of_another_provider_has_no_price() -> None:
    assert PRICES.find("gpt-5.4", NOW.timestamp()) is None
    assert PRICES.find("claude-opus-5", NOW.timestamp(), "openai") is None
    assert PRICES.find("claude-opus-5", NOW.timestamp(), "") is None


@pytest.mark.parametrize("at", [float("inf"), float("nan"), 1e30, -1e30])
def test_a_time_that_is_none_has_no_price(at: float) -> None:
    assert PRICES.find("claude-opus-5", at) is None


def test_where_a_price_is_from_can_be_told(tmp_path: Path) -> None:
    own = written(tmp_path, '[[price]]\nmodel = "claude-opus-5"\ninput = 1\noutput = 2\n')
    assert find("claude-opus-5-5").source == LIBRARY
    assert find("claude-mythos-5").source == CORRECTIONS
    assert find("claude-opus-5", prices=own).source == OVERRIDE


def test_the_operators_price_wins_over_both(tmp_path: Path) -> None:
    own = written(
        tmp_path,
        """
[[price]]
model = "claude-mythos-5"
input = "9"
output = "45.5"

[[price]]
model = "claude-opus-5-5"
input = 3.6
output = 18
cache_read = 0.18
""",
    )
    assert find("claude-mythos-5", prices=own).standard.base == rates(["9", "45.5", "11.25", "18", "0.9"])
    assert find("claude-opus-5-5", prices=own).standard.base == rates(["3.6", "18", "4.5", "7.2", "0.18"])
    # What the file does not say stays: fast mode, places, batches, searches.
    price = find("claude-opus-5-5-20260901", prices=own)
    assert price.speeds == {"fast": Decimal(2)}
    assert price.geos == {"us": Decimal("1.1")}
    batch = price.schedule("batch")
    assert batch is not None
    assert batch.base.input == Decimal("1.8")
    assert price.web_search == Decimal("0.01")


def test_a_price_holds_from_a_day_until_another(tmp_path: Path) -> None:
    own = written(
        tmp_path,
        """
[[price]]
model = "claude-opus-5"
from = 2026-12-01
until = 2027-01-01
input = 4
output = 20

[[price]]
model = "claude-opus-5"
from = 2026-12-24
until = 2026-12-27
input = 1
output = 5
""",
    )
    days = {
        "2026-11-30": 5,
        "2026-12-01": 4,
        "2026-12-23": 4,
        "2026-12-24": 1,
        "2026-12-26": 1,
        "2026-12-27": 4,
        "2027-01-01": 5,
    }
    for day, expected in days.items():
        at = datetime.fromisoformat(day).replace(tzinfo=UTC)
        assert find("claude-opus-5", at, prices=own).standard.base.input == expected, day


def test_a_file_can_change_parts_of_a_price(tmp_path: Path) -> None:
    own = written(
        tmp_path,
        """
[[price]]
model = "claude-haiku-5-5"
fast = 3
geo = { us = 1.2, eu = "1.15" }
service_tier = { batch = 0.4, flex = 0.7 }
web_searches_per_1000 = 8

[[price]]
model = "claude-sonnet-5"
above = [{ tokens = 200000, input = 4, output = 15 }, { tokens = 50000, cache_read = 0.3 }]
""",
    )
    price = find("claude-haiku-5-5", prices=own)
    assert (price.source, price.standard) == (LIBRARY, find("claude-haiku-5-5").standard)
    assert price.speeds == {"fast": Decimal(3)}
    assert price.geos == {"us": Decimal("1.2"), "eu": Decimal("1.15")}
    assert price.web_search == Decimal("0.008")
    for tier, factor in (("batch", "0.4"), ("flex", "0.7")):
        schedule = price.schedule(tier)
        assert schedule is not None
        assert schedule.rates(200_000).input == Decimal("0.5") * Decimal(factor)
    long = find("claude-sonnet-5", prices=own)
    assert long.source == OVERRIDE
    assert long.standard.rates(50_000) == rates(["2", "10", "2.5", "4", "0.2"])
    assert long.standard.rates(50_001) == rates(["2", "10", "2.5", "4", "0.3"])
    assert long.standard.rates(200_001) == rates(["4", "15", "5", "8", "0.4"])


def test_a_file_can_price_a_model_that_nobody_knows(tmp_path: Path) -> None:
    own = written(
        tmp_path,
        """
[[price]]
model = "claude-saga-9"
input = 20
output = 100

[[price]]
model = "local-model"
provider = "openai"
input = 1
output = 2

[[price]]
model = "claude-other-1"
fast = 2
""",
    )
    assert find("claude-saga-9-20270101", prices=own).standard.base == rates(["20", "100", "25", "40", "2"])
    local = find("local-model", prices=own, provider="openai")
    assert local.standard.base == rates(["1", "2", "1", "1", "1"])
    assert (local.geos, local.service_tiers) == ({}, {})
    # Without rates there is nothing that could be twice as much.
    assert own.find("claude-other-1", NOW.timestamp()) is None
    assert {"claude-saga-9", "claude-opus-5"} <= set(own.models())


def test_a_dated_name_in_a_file_means_that_version_alone(tmp_path: Path) -> None:
    own = written(tmp_path, '[[price]]\nmodel = "claude-haiku-4-5-20251001"\ninput = 2\noutput = 3\n')
    assert find("claude-haiku-4-5-20251001", prices=own).standard.base.input == 2
    assert find("claude-haiku-4-5", prices=own).standard.base.input == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[price]\n", "no TOML"),
        ("[price]\nmodel = 'a'\n", "prices are tables [[price]]"),
        ("prices = 3\n", "'prices' is unknown"),
        ("price = [3]\n", "number 1: a value of another kind"),
        ("[[price]]\ninput = 1\n", "model: is missing"),
        ("[[price]]\nmodel = 3\n", "must be a text"),
        ("[[price]]\nmodel = ' a'\n", "model must be a name"),
        ("[[price]]\nmodel = 'a'\ninput = 1\n", "input and output are given both or not at all"),
        ("[[price]]\nmodel = 'a'\ninput = -1\noutput = 1\n", "must be from 0"),
        ("[[price]]\nmodel = 'a'\ninput = 'dear'\noutput = 1\n", "must be a number, not 'dear'"),
        ("[[price]]\nmodel = 'a'\ninput = true\noutput = 1\n", "must be a number"),
        ("[[price]]\nmodel = 'a'\ninput = nan\noutput = 1\n", "must be from 0"),
        ("[[price]]\nmodel = 'a'\ninput = 1e-30\noutput = 1\n", "at most 12 digits"),
        ("[[price]]\nmodel = 'a'\nfrom = 'today'\n", "from: must be a date"),
        ("[[price]]\nmodel = 'a'\nfrom = 2026-02-01\nuntil = 2026-02-01\n", "from must be before until"),
        ("[[price]]\nmodel = 'a'\nspeed = 2\n", "speed: unknown"),
        ("[[price]]\nmodel = 'a'\nabove = [{ input = 1 }]\n", "above[0].tokens: is missing"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_sentence(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(PricesError) as raised:
        PriceBook.load(file)
    message = str(raised.value)
    assert complaint in message
    assert str(file) in message
    assert "\n" not in message


def test_a_file_that_is_not_there_or_no_text_or_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PricesError, match="cannot be read"):
        read_prices(tmp_path / "none.toml")
    file = tmp_path / "prices.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(PricesError, match="not UTF-8"):
        read_prices(file)
    file.write_bytes(b"#" * 2_000_000)
    with pytest.raises(PricesError, match="more than"):
        read_prices(file)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert parse_prices("") == ()
    assert find("claude-opus-5", prices=written(tmp_path, "")) == find("claude-opus-5")


def test_a_name_loses_its_date_and_nothing_else() -> None:
    names: dict[str, Any] = {
        "claude-opus-4-5-20251101": "claude-opus-4-5",
        "claude-opus-4-5@20251101": "claude-opus-4-5",
        "gpt-5.4-2026-03-05": "gpt-5.4",
        "claude-3-5-haiku-latest": "claude-3-5-haiku",
        "claude-opus-4-5": "claude-opus-4-5",
        "20251101": "20251101",
    }
    assert {name: plain_name(name) for name in names} == names


def test_a_lost_cache_costs_what_writing_costs_more_than_reading() -> None:
    at = NOW.timestamp()
    # 100000 * (5 - 0.20) = 480000
    assert price_of_cache_lost("claude-opus-5-5", 100_000, prices=PRICES, at=at) == pytest.approx(0.48)
    # 200000 * (0.625 - 0.05) = 115000: a long prompt of Haiku 5.5
    assert price_of_cache_lost("claude-haiku-5-5", 200_000, prices=PRICES, at=at) == pytest.approx(0.115)
    assert price_of_cache_lost("claude-saga-9", 1000, prices=PRICES, at=at) is None


def test_prices_are_had_without_any_network() -> None:
    program = """
import sys
def refuse(event, _):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise OSError("no network here")
sys.addaudithook(refuse)
from gateway.pricing.book import PriceBook
print(PriceBook.load().find("claude-opus-5-5", 1795000000).standard.base.input)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (run.stdout.strip(), run.stderr) == ("4", "")
