"""The page about the states says what the table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from sse_fsm import TRANSITIONS, VIOLATIONS, EventKind, State
from sse_fsm.diagram import FORMATS, render

PAGE = Path(__file__).parents[2] / "docs" / "state-machine.md"


def test_the_page_about_the_states_is_current() -> None:
    assert PAGE.read_text("utf-8") == render("markdown"), (
        "write it anew: python -m sse_fsm states --format markdown > docs/state-machine.md"
    )


def test_the_page_names_every_state_event_and_violation_with_its_meaning() -> None:
    page = render("markdown")

    for name in [*(state.name for state in State), *EventKind, *VIOLATIONS]:
        assert f"`{name}`" in page
    for violation in VIOLATIONS.values():
        assert violation.__doc__ is not None
        assert " ".join(violation.__doc__.split()) in page


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_shows_every_way_from_state_to_state(form: str) -> None:
    text = render(form)

    assert text.endswith("\n")
    assert text == text.lstrip()
    for state, row in TRANSITIONS.items():
        assert state.name in text
        assert all(kind in text for kind, cell in row.items() if isinstance(cell, State))


def test_the_drawings_have_exactly_the_tables_edges() -> None:
    edges = {
        (s.name, cell.name) for s, row in TRANSITIONS.items() for cell in row.values() if isinstance(cell, State)
    }
    edges |= {(s.name, "VIOLATED") for s in TRANSITIONS}

    mermaid = {tuple(line.split(":")[0].split(" --> ")) for line in render("mermaid").split("\n    ")[1:]}
    dot = {tuple(line.split(" [")[0].split(" -> ")) for line in render("dot").split("\n    ") if "->" in line}

    assert {edge for edge in mermaid if "[*]" not in "".join(edge)} == edges
    assert dot == edges


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(KeyError):
        render("png")
