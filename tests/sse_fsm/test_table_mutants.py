"""Each cell of the transition table matters: no wrong table passes for the right one.

The oracle is the grammar of `grammar.py`, which does not know the table. For a mutated cell it is asked about the
words that lead through this cell, and about each event behind it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from sse_fsm import TRANSITIONS, EventKind, State, StreamMachine
from sse_fsm.machine import Transitions
from sse_fsm.violations import OrderViolation
from tests.sse_fsm.grammar import ALPHABET, FRAMES, KINDS, PLACES, judge
from tests.sse_fsm.test_grammar import verdict_on

# Ways to come to each place: with no block, one and two behind it, and in either kind of block.
BEGINNINGS = (
    "",
    "s",
    "sac",
    "sacbd",
    "sa",
    "sA",
    "sacb",
    "sAcB",
    "sm",
    "sacm",
    "sme",
    "sacme",
    "x",
    "sx",
    "sax",
    "smx",
)
Mutant = tuple[State, EventKind, State | type[OrderViolation] | None]


def test_every_mutant_of_the_transition_table_is_killed() -> None:
    tried, survivors = 0, []
    for state, kind, cell in mutants():
        tried += 1
        if all(is_judged_rightly(word, mutated(state, kind, cell)) for word in words(state, kind)):
            survivors.append((state.name, kind.value, getattr(cell, "__name__", cell)))

    assert survivors == []
    assert tried > 900


def test_the_words_that_kill_mutants_are_judged_rightly_by_the_table_as_it_is() -> None:
    for state, kind in itertools.product(TRANSITIONS, EventKind):
        asked = list(words(state, kind))

        assert len(asked) > len(ALPHABET)
        assert all(is_judged_rightly(word, TRANSITIONS) for word in asked)


def mutants() -> Iterator[Mutant]:
    """For each cell: deleted, turned to every other state, and to every other violation of order."""
    targets: list[State | type[OrderViolation] | None] = [None, *State, *OrderViolation.__subclasses__()]
    for state, row in TRANSITIONS.items():
        for kind, cell in row.items():
            yield from ((state, kind, target) for target in targets if target is not cell)


def mutated(state: State, kind: EventKind, cell: State | type[OrderViolation] | None) -> Transitions:
    """Return the table with one cell changed, or taken out where `cell` is None."""
    row = {k: c for k, c in TRANSITIONS[state].items() if k is not kind}
    return {**TRANSITIONS, state: row if cell is None else {**row, kind: cell}}


def words(state: State, kind: EventKind) -> Iterator[str]:
    """Yield words that come to the place that `state` stands for, then have an event of this kind, then any."""
    place = re.compile(PLACES[state.name])
    for beginning in BEGINNINGS:
        if place.fullmatch(beginning):
            for letter in KINDS[kind]:
                yield beginning + letter
                yield from (beginning + letter + behind for behind in ALPHABET)


def is_judged_rightly(word: str, table: Transitions) -> bool:
    """Whether a machine with this table says of each event what the grammar says of it."""
    machine = StreamMachine(table)
    for length, letter in enumerate(word, 1):
        try:
            found = verdict_on(FRAMES[letter], machine)
        except KeyError:
            return False
        if found != judge(word[:length]):
            return False
        if found != "legal":
            return True
    return True
