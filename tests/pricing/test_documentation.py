"""docs/cost-and-usage.md: its examples are cases that are tested, and its file of prices can be used."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from attrs import fields

from gateway.pricing.book import PriceBook
from gateway.pricing.cost import Note
from gateway.pricing.price_file import PriceEntry
from tests.pricing.golden import CASES

PAGE = (Path(__file__).parents[2] / "docs" / "cost-and-usage.md").read_text("utf-8")


def rows_under(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("\\*", "*") for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_each_rule_of_the_page_is_a_case_with_its_sum_cost_and_note() -> None:
    cases = {case.name: case for case in CASES}
    rows = rows_under("The rules")
    assert len(rows) > 30
    for rule, name, worked_out, usd, note in rows:
        case = cases[name]
        assert (worked_out or None, usd or None) == (case.sum, case.usd), rule
        assert note.strip("`") == (case.note or ""), rule


def test_every_note_is_explained() -> None:
    explained = set(re.findall(r"`([^`]+)`", "".join(row[0] for row in rows_under("Why a cost is not known"))))
    notes = {value for name, value in vars(Note).items() if name.isupper()}
    assert explained == notes


def test_the_file_of_prices_of_the_page_can_be_used_and_shows_every_setting(tmp_path: Path) -> None:
    [example] = re.findall(r"```\n(\[\[price\]\].*?)```", PAGE, re.DOTALL)
    file = tmp_path / "prices.toml"
    file.write_text(example)
    price = PriceBook.load(file).find("claude-opus-5-5", datetime(2027, 1, 1, tzinfo=UTC).timestamp())
    assert price is not None
    assert (price.source, str(price.standard.base.input)) == ("override", "3.60")
    shown = {name for entry in tomllib.loads(example)["price"] for name in entry}
    settings = {field.name for field in fields(PriceEntry)}
    assert shown == {"from" if name == "since" else name for name in settings}
