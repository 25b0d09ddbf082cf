"""`sse-fsm states`: the table that the machine runs on, for people and for documents."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sse_fsm.diagram import render

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("form", ["text", "dot", "mermaid", "markdown"])
def test_table_is_printed_in_the_form_asked_for(run: Run, form: str) -> None:
    status, output, errors = run("states", "--format", form)
    assert (status, errors) == (0, "")
    assert output == render(form).rstrip("\n") + "\n"
    assert "message_start" in output


def test_table_is_plain_text_unless_told_otherwise(run: Run) -> None:
    assert run("states") == run("states", "--format", "text")


def test_unknown_form_is_wrong_usage(run: Run) -> None:
    status, _, errors = run("states", "--format", "pdf")
    assert status == 2
    assert "invalid choice" in errors
