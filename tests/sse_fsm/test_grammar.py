"""The state machine accepts the grammar, all of it and nothing else, and calls each violation by its name."""

from __future__ import annotations

import copy
import itertools

from sse_fsm import VIOLATIONS, Frame, ProtocolViolation, StreamMachine
from sse_fsm.violations import OrderViolation
from tests.sse_fsm.grammar import ALPHABET, FRAMES, ORDER_CODES, PLACES, judge, judges

LENGTH = 8


def test_every_sequence_of_up_to_eight_events_is_judged_by_the_grammar() -> None:
    """Each word whose beginning is legal is tried; behind a violation there is nothing left to judge."""
    frontier: list[tuple[str, StreamMachine]] = [("", StreamMachine())]
    seen: set[str] = set()
    words = 0
    for length in range(1, LENGTH + 1):
        longer: list[tuple[str, StreamMachine]] = []
        for word, machine in frontier:
            for letter in ALPHABET:
                # The machine keeps no mutable thing that it changes in place: a shallow copy is another machine.
                following = copy.copy(machine)
                found = verdict_on(FRAMES[letter], following)
                assert found == judge(word + letter), word + letter
                assert following.events == length
                seen.add(found)
                words += 1
                if found == "legal" and length < LENGTH:
                    longer.append((word + letter, following))
        frontier = longer
    assert seen == {"legal", *ORDER_CODES}
    assert words > 100_000


def verdict_on(frame: Frame, machine: StreamMachine) -> str:
    """Let a machine judge the next event: `legal`, or the violation's code."""
    try:
        machine.receive(frame)
    except ProtocolViolation as violation:
        return violation.code
    return "legal"


def test_the_grammar_knows_every_violation_of_order() -> None:
    assert {code for code, rule in VIOLATIONS.items() if issubclass(rule, OrderViolation)} == ORDER_CODES


def test_the_grammar_never_has_two_answers() -> None:
    for word in map("".join, itertools.product(ALPHABET, repeat=4)):
        assert len(judges(word)) <= 1, word
    assert set(PLACES) < set(dir(StreamMachine().state.__class__))
