"""Behind the gateway clients fare as well as straight at a faulty upstream, or better."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.e2e.matrix import CASES, documented
from tests.e2e.scenarios import KNOWN_WORSE, Pair

Observed = Callable[[str], Mapping[str, Pair]]


@pytest.mark.parametrize(("client", "scenario"), CASES)
def test_no_client_fares_worse_behind_the_gateway(client: str, scenario: str, observed: Observed) -> None:
    pair = observed(client)[scenario]
    seen = f"{pair}\nstraight: {pair.straight.detail}\nbehind: {pair.behind.detail}"
    known = [row.reason for row in KNOWN_WORSE if row.explains(client, scenario)]
    assert pair.is_worse == bool(known), f"{seen}\n{known}"
    # How many times a client asks straight at an upstream that cuts connections depends on how much of a stream
    # it had read by then; what the gateway makes of it does not.
    *_, behind = documented()[client, scenario].split(" → ")
    assert behind == str(pair.behind), f"docs/clients.md says something else: {seen}"


def test_the_document_has_a_cell_for_each_client_in_each_scenario() -> None:
    assert list(documented()) == CASES
