"""The documents say what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "fixtures" / "README.md"])


def test_the_generated_pages_are_current() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_that_a_page_names_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))

    for line in page.read_text("utf-8").splitlines():
        for named in re.findall(r"(?:^|`|; )make ([a-z0-9-]+)", line):
            assert named in targets, f"{page.name} says make {named}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_that_a_page_names_exist(page: Path) -> None:
    known = set(re.findall(r"`(GATEWAY_[A-Z_]+)`", (ROOT / "docs" / "configuration.md").read_text("utf-8")))

    for named in re.findall(r"\bGATEWAY_[A-Z][A-Z_]+\b", page.read_text("utf-8")):
        assert named in known, f"{page.name} names {named}"


@pytest.mark.parametrize(
    "command",
    [["gateway"], *(["gateway", name] for name in ("serve", "demo", "replay", "accounts", "keys")), ["sse-fsm"]],
    ids=" ".join,
)
def test_help_shows_what_a_command_does_with_examples(command: list[str]) -> None:
    run = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:], "--help"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0
    assert "usage: " + command[0] in run.stdout
    assert len(command) == 1 or "examples:" in run.stdout
