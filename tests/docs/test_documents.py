"""The documents say what the code does."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from gateway.cli import main as gateway_main
from gateway.config import load_settings
from sse_fsm.__main__ import main as sse_fsm_main
from tests.docs.command_lines import in_blocks, in_text, trouble, vocabulary

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "fixtures" / "README.md"])
PATH = re.compile(r"`((?:gateway|sse_fsm|tests|docs|fixtures)/[\w./-]+\.(?:py|md|toml|json|yaml|cfg|conf))\b")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_the_generated_pages_are_current() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr


def anchors(page: Path) -> set[str]:
    """Return what can stand behind a # in a link to a page: its headings, as they are spelt in addresses."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = set[str]()
    for heading in re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = sum(1 for known in found if re.fullmatch(re.escape(slug) + r"(-\d+)?", known))
        found.add(f"{slug}-{number}" if number else slug)
    return found


@each_page
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}"


def test_every_page_can_be_found_from_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {
        (index.parent / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)", index.read_text("utf-8"))
    }
    folders = {path for path in linked if path.is_dir()}
    for page in PAGES:
        if (ROOT / "docs") in page.parents and page != index:
            assert page in linked or folders & set(page.parents), f"{page.name} is not in docs/README.md"


@each_page
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:gateway|sse_fsm|tests|docs|fixtures)/[\w./-]+\.(?:py|md|toml|json|yaml|cfg|conf))\b",
        page.read_text("utf-8"),
    )
    for path in named:
        assert (ROOT / path).exists(), f"{page.name} names {path}"


@each_page
def test_commands_that_a_page_shows_are_understood(page: Path) -> None:
    text = page.read_text("utf-8")
    for command in in_blocks(text):
        assert not (said := trouble(command, whole=True)), f"{page.name}: {command}: {said}"
    for command in in_text(text):
        assert not (said := trouble(command, whole=False)), f"{page.name}: {command}: {said}"


@pytest.mark.parametrize(
    "command",
    [
        "gateway serv",
        "gateway keys make --name x",
        "gateway keys create --nam x",
        "gateway doctor --base-url http://127.0.0.1:8787/claude --keys k",
        "sse-fsm look FILE",
    ],
)
def test_commands_that_there_are_not_would_be_noticed(command: str) -> None:
    assert list(in_blocks(f"```\n{command}\n```")) == [command]
    assert trouble(command, whole=True)
    assert trouble(command, whole=False)


@each_page
def test_programs_that_a_page_shows_can_be_read(page: Path) -> None:
    text = page.read_text("utf-8")
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        ast.parse(block)
    for block in re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        json.loads(block)


@pytest.mark.parametrize(
    "words",
    [
        "does not know that key",
        "carry different credentials",
        "No account of this gateway can be used",
        "This gateway has no account",
        "There is nothing at",
        "broke the connection before any content",
        "is in use already",
        "no upstream account is of use",
        "draining",
        "others can read the key file",
        "the database was made by a newer version",
        "another process has been writing to it for too long",
        "This link is not good any more",
        "This came from a page that is not the dashboard's own",
        "That is not the gateway's GATEWAY_CONTROL_TOKEN",
        "who you are, but not in one header",
        "The proxy in front must send on the Host",
        "Too many pages watch this gateway already",
        "Too many attempts to sign in",
        "The second factor cannot be read",
    ],
)
def test_what_troubleshooting_quotes_is_what_the_gateway_says(words: str) -> None:
    assert words in (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    assert any(words in said for said in everything_said())


@cache
def everything_said() -> tuple[str, ...]:
    """Return all text of the gateway's code; parts of one text are one."""
    return tuple(
        node.value
        for path in (ROOT / "gateway").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@each_page
def test_settings_files_that_a_page_shows_can_be_used(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(
        re.findall(r"^```toml\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    ):
        named = re.match(r"# ([\w.-]+\.toml)\b", block)
        if named is not None and named[1] != "gateway.toml":
            continue  # another program's, or another of ours
        path = tmp_path / f"{number}.toml"
        path.write_text(block, "utf-8")
        load_settings(path, environ={})


@each_page
def test_make_targets_that_a_page_names_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))

    for line in page.read_text("utf-8").splitlines():
        for named in re.findall(r"(?:^|`|; )make ([a-z0-9-]+)", line):
            assert named in targets, f"{page.name} says make {named}"


@each_page
def test_settings_that_a_page_names_exist(page: Path) -> None:
    known = set(re.findall(r"`(GATEWAY_[A-Z_]+)`", (ROOT / "docs" / "configuration.md").read_text("utf-8")))

    for named in re.findall(r"\bGATEWAY_[A-Z][A-Z_]+\b", page.read_text("utf-8")):
        assert named in known, f"{page.name} names {named}"


@pytest.mark.parametrize("command", sorted(vocabulary()))
def test_help_shows_what_a_command_does_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = command.split()
    main = {"gateway": gateway_main, "sse-fsm": sse_fsm_main}[program]
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])

    printed = capsys.readouterr().out
    assert not left.value.code
    assert "usage: " + command in printed
    assert program != "gateway" or len(words) != 1 or "examples:" in printed
