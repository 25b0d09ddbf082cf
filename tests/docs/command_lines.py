"""Finds commands of ours in Markdown pages, and tells whether the command line's parser would take them."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from gateway.cli import make_parser
from sse_fsm.__main__ import _parser as make_sse_fsm_parser

__all__ = ["in_blocks", "in_text", "trouble", "vocabulary"]

_FENCE: Final = re.compile(r"^([ \t]*)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_STANDS_FOR: Final = {"URL": "http://127.0.0.1:8787/claude", "N": "1", "SECONDS": "1"}
_OURS: Final = frozenset({"gateway", "sse-fsm"})
_BEFORE: Final = frozenset({"watch", "sudo", "exec", "time", "nohup", "$"})
_BETWEEN: Final = frozenset({"|", "||", "&&", ";", "&", "(", ")", "<", ">", ">>", "2>", "$("})


def in_blocks(page: str) -> Iterator[str]:
    """Give the lines of all fenced blocks that begin with a command of ours, as far as the command goes."""
    for _, language, block in _FENCE.findall(page):
        if language in ("", "sh", "bash", "console", "shell"):
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                yield from _commands(line)


def in_text(page: str) -> Iterator[str]:
    """Give what stands as code in running text and begins with a command of ours."""
    for code in _CODE.findall(_FENCE.sub("", page)):
        yield from _commands(code)


def _commands(line: str) -> Iterator[str]:
    text = re.sub(r"\$\(|`|\)", " ; ", line)
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return
    command: list[str] = []
    for word in [*words, ";"]:
        if word in _BETWEEN:
            if command and command[0] in _OURS and len(command) > 1:
                yield shlex.join(command)
            command = []
        elif command or not (word in _BEFORE or re.fullmatch(r"[A-Z_]+=.*", word)):
            command.append(word.rpartition("/")[2] if not command else word)


@cache
def _parsers() -> Mapping[str, argparse.ArgumentParser]:
    return {"gateway": make_parser(), "sse-fsm": make_sse_fsm_parser()}


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _walk(words: list[str]) -> tuple[argparse.ArgumentParser, list[str], str]:
    """Follow the names of subcommands; return the last parser, what is left, and a name that there is not."""
    parser, rest = _parsers()[words[0]], words[1:]
    while rest and (below := _subparsers(parser)):
        if rest[0].startswith("-"):
            break
        if rest[0] not in below:
            return parser, rest, rest[0]
        parser, rest = below[rest[0]], rest[1:]
    return parser, rest, ""


def vocabulary() -> set[str]:
    """Return all commands with their subcommands, such as `gateway keys create`."""
    found = set[str]()

    def add(name: str, parser: argparse.ArgumentParser) -> None:
        found.add(name)
        for word, below in _subparsers(parser).items():
            add(f"{name} {word}", below)

    for name, parser in _parsers().items():
        add(name, parser)
    return found


def trouble(command: str, *, whole: bool) -> str:
    """Return what the parser would say against a command; empty for nothing.

    Args:
        command: as it stands in a page.
        whole: whether it can be run as it stands; otherwise names and options alone are looked at.
    """
    words = [_STANDS_FOR.get(word, word) for word in shlex.split(command) if word not in ("…", "...")]
    parser, rest, unknown = _walk(words)
    if unknown and not (unknown.isupper() or "|" in unknown or "…" in unknown):
        return f"there is no {unknown}"
    options = {name for action in parser._actions for name in action.option_strings}
    for word in rest:
        if word.startswith("--") and (name := word.partition("=")[0].rstrip(",.")) not in options:
            return f"there is no option {name}"
    if not whole or not rest or "…" in command or "--help" in words or "--version" in words:
        return ""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            _parsers()[words[0]].parse_args(words[1:])
        except SystemExit:
            return said.getvalue().strip().rpartition("\n")[2]
    return ""
