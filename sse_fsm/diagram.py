"""The state machine as a drawing, a table and a page: all of it read from `TRANSITIONS` and the violations.

`docs/state-machine.md` is `render("markdown")`; write it anew with
`python -m sse_fsm states --format markdown > docs/state-machine.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from sse_fsm.events import EventKind
from sse_fsm.machine import TRANSITIONS, State
from sse_fsm.violations import VIOLATIONS, ProtocolViolation

__all__ = ["FORMATS", "MEANINGS", "moves_from", "refusals_in", "render"]

MEANINGS: Final[Mapping[State, str]] = {
    State.AWAIT_START: "Nothing but pings and unknown events so far.",
    State.BETWEEN_BLOCKS: "The message has begun and no block is open.",
    State.IN_BLOCK: "A content block is open.",
    State.ENDING: "`message_delta` has closed the content.",
    State.STOPPED: "`message_stop` was seen: the message is complete.",
    State.FAILED: "The upstream ended the stream with `event: error`.",
    State.VIOLATED: "A rule was broken: nothing has a meaning any more.",
}
"""What each state means, as Markdown."""
_FIRST: Final = State.AWAIT_START
_LAST: Final = (State.STOPPED, State.FAILED, State.VIOLATED)

_INTRODUCTION: Final = """\
# The state machine of a Messages stream

Written from the table in `sse_fsm/machine.py` by `sse-fsm states --format markdown`; a test keeps it true.

An event goes through three questions, and the first that it fails is its violation. Is it a usable event
(framing)? Is it, looked at alone, what its name promises (payload)? May it come here (order)? A stream's first
violation is final."""

_NUMBERS: Final = """\
Three rules depend on numbers and names inside the events and are asked after the table has allowed an event:

- `content_block_start` must have the number of blocks so far as its `index` (`block_index_gap`,
  `block_index_reused`);
- `content_block_delta` and `content_block_stop` must name the open block (`block_index_mismatch`);
- a known delta type must fit the open block, where its type is known too (`delta_type_mismatch`), and the block
  must have begun with the string that the delta is appended to (`missing_field`).

When the input ends in `ENDING` and a stop reason is known, only `message_stop` is missing: the guard adds it and
the stream counts as repaired. Everywhere else before `STOPPED` and `FAILED` the stream is truncated, and the
guard ends it with one error event."""


def render(form: str = "text") -> str:
    """Return the state machine in one of `FORMATS`, with a line end behind the last line.

    Raises:
        KeyError: there is no such format.
    """
    return FORMATS[form]()


def moves_from(state: State) -> dict[State, list[EventKind]]:
    """Return the next states that `state` may lead to, with the events that lead there."""
    found: dict[State, list[EventKind]] = {}
    for kind, cell in TRANSITIONS.get(state, {}).items():
        if isinstance(cell, State):
            found.setdefault(cell, []).append(kind)
    return found


def refusals_in(state: State) -> dict[type[ProtocolViolation], list[EventKind]]:
    """Return the violations that events are in `state`, with these events."""
    found: dict[type[ProtocolViolation], list[EventKind]] = {}
    for kind, cell in TRANSITIONS.get(state, {}).items():
        if not isinstance(cell, State):
            found.setdefault(cell, []).append(kind)
    return found


def _edges() -> Iterator[tuple[State, State, str]]:
    for state in State:
        for target, kinds in moves_from(state).items():
            yield state, target, ", ".join(kinds)


def _mermaid() -> str:
    lines = ["stateDiagram-v2", f"    [*] --> {_FIRST.name}"]
    lines += [f"    {state.name} --> {target.name}: {kinds}" for state, target, kinds in _edges()]
    lines += [f"    {state.name} --> VIOLATED: any other event" for state in State if refusals_in(state)]
    lines += [f"    {state.name} --> [*]" for state in _LAST]
    return "\n".join(lines) + "\n"


def _dot() -> str:
    lines = ["digraph messages_stream {", "    rankdir=LR;", "    node [shape=box, style=rounded];"]
    lines += [f"    {state.name} [peripheries=2];" for state in _LAST]
    lines += [f'    {state.name} -> {target.name} [label="{kinds}"];' for state, target, kinds in _edges()]
    lines += [
        f'    {state.name} -> VIOLATED [label="any other event", style=dashed];'
        for state in State
        if refusals_in(state)
    ]
    return "\n".join([*lines, "}"]) + "\n"


def _text() -> str:
    lines: list[str] = []
    for state in State:
        lines += ["", f"{state.name}: {MEANINGS[state].replace('`', '')}"]
        for target, kinds in moves_from(state).items():
            verb = "stays" if target is state else f"-> {target.name}"
            lines.append(f"    {verb:<38}{', '.join(kinds)}")
        for violation, kinds in refusals_in(state).items():
            lines.append(f"    !! {violation.code:<35}{_list(kinds)}")
    return "\n".join(lines[1:]) + "\n"


def _list(kinds: list[EventKind]) -> str:
    return "any event" if len(kinds) == len(EventKind) else ", ".join(kinds)


def _markdown() -> str:
    parts = [
        _INTRODUCTION,
        "## States",
        _table(("state", "meaning"), ((f"`{state.name}`", MEANINGS[state]) for state in State)),
        f"```mermaid\n{_mermaid()}```",
        "## What may come when",
        "In each cell the next state, or the code of the violation that the event is.",
        _table(
            ("event", *(f"`{state.name}`" for state in TRANSITIONS)),
            ((f"`{kind}`", *(_cell(state, kind) for state in TRANSITIONS)) for kind in EventKind),
        ),
        "`unknown` is any event name that the protocol does not know yet. In `VIOLATED` nothing is judged.",
        _NUMBERS,
        "## Violations",
        "Codes are stable: never renamed, never given a second meaning.",
        _table(
            ("code", "found in", "meaning"),
            ((f"`{code}`", violation.found_in, violation.meaning()) for code, violation in VIOLATIONS.items()),
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _cell(state: State, kind: EventKind) -> str:
    cell = TRANSITIONS[state][kind]
    return f"**{cell.name}**" if isinstance(cell, State) else f"`{cell.code}`"


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


FORMATS: Final[Mapping[str, Callable[[], str]]] = {
    "text": _text,
    "markdown": _markdown,
    "mermaid": _mermaid,
    "dot": _dot,
}
"""The formats by name: plain text, a Markdown page, a Mermaid drawing, a Graphviz drawing."""
