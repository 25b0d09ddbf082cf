"""The page about conformance says what the rules are and what was found."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.canary.conformance.card import list_rules
from gateway.canary.conformance.catalogue import RULES

PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text("utf-8")


def test_the_table_of_rules_is_what_the_command_lists() -> None:
    # gateway conformance --list --format markdown
    assert list_rules(RULES, "markdown") in PAGE


def test_the_score_cards_are_of_these_rules_and_this_gateway_keeps_them_all() -> None:
    head = "| rule | this gateway |"
    rows = PAGE[PAGE.index(head) :].split("\n\n", 1)[0].splitlines()[2:-1]
    found = [re.match(r"\| `([\w.-]+)` \| (\S+) \|", row) for row in rows]
    assert [(match[1], match[2]) for match in found if match] == [(rule.id, "pass") for rule in RULES]
