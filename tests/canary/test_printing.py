"""What the tools print: no secrets, no markup of others, and events as they came however they were cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.canary.masking import MASK, Masker
from gateway.canary.streams import StreamReading
from gateway.canary.trace import cell, fence, table, trimmed
from gateway.config import load_settings
from gateway.replay.fixtures import default_corpus
from sse_fsm import EndReason, Outcome
from tests.canary.command import tables

LETTERS = st.sampled_from("abcXYZ019_-")
SECRETS = st.text(LETTERS, min_size=10, max_size=60)


@given(SECRETS, st.lists(st.tuples(st.text(max_size=12), st.integers(0, 50), st.integers(10, 60))))
def test_no_ten_characters_of_a_secret_are_shown(secret: str, parts: list[tuple[str, int, int]]) -> None:
    text = "".join(before + secret[start : start + size] for before, start, size in parts)
    shown = Masker([secret])(text)
    assert not any(secret[at : at + 10] in shown for at in range(len(secret) - 9))


@given(st.text())
def test_what_is_no_secret_is_shown_as_it_is(text: str) -> None:
    assert Masker(["secret-of-the-client", "any", ""])(text) == text


@given(st.text())
def test_a_cell_commands_no_terminal_and_is_of_bounded_length(text: str) -> None:
    shown = cell(text * 100)
    assert shown.isprintable()
    assert len(shown) <= 25_000


def test_headers_of_credentials_and_of_organisations_are_not_shown() -> None:
    mask = Masker()
    for name in ("X-Api-Key", "Authorization", "Cookie", "x-goog-api-key", "anthropic-organization-id"):
        assert mask.header(name, "anything") == MASK
    assert mask.header("anthropic-ratelimit-tokens-limit", "4000") == "4000"
    assert mask.header("x-note", "Bearer abcdefghijkl") == MASK


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), min_size=1))
def test_a_table_stays_one_whatever_is_in_its_cells(rows: list[list[str]]) -> None:
    (found,) = tables(table(("one", "two"), rows))
    assert len(found) == len(rows)
    assert all("\n" not in cell(value) for row in rows for value in row)


@given(st.text("`ab\n"))
def test_a_fenced_block_ends_where_it_should(text: str) -> None:
    first, *inside, last = fence(text).split("\n")
    assert first == last + "text"
    assert last not in inside
    assert "\n".join(inside) == text


@given(st.binary(max_size=20_000))
def test_a_body_is_trimmed_to_what_can_be_read(body: bytes) -> None:
    shown = trimmed(body, Masker(), longest=300)
    assert len(shown) < 600
    assert all(char.isprintable() or char == "\n" for char in shown)


@given(
    st.lists(st.integers(1, 4000), max_size=12),
    st.sampled_from(["text-documented-order", "tool-use", "framing-crlf"]),
)
def test_a_stream_reads_the_same_however_it_is_cut(cuts: list[int], name: str) -> None:
    stream = default_corpus().read("stream", name)
    readings = []
    for places in ([], sorted(cuts)):
        reading = StreamReading()
        for number, (start, end) in enumerate(zip([0, *places], [*places, len(stream)], strict=True)):
            reading.feed(stream[start:end], at=float(number))
        assert reading.is_over
        assert reading.finish(EndReason.EOF).outcome is Outcome.COMPLETE
        readings.append(reading)
    whole, cut = readings
    assert [event.shape for event in whole.events] == [event.shape for event in cut.events]
    assert whole.message == cut.message
    assert list(whole.gaps()) == []
    assert all(gap > 0 for gap in cut.gaps())


def test_the_variables_of_the_commands_are_not_taken_for_misspelt_settings() -> None:
    warnings: list[str] = []
    load_settings(environ={"GATEWAY_SMOKE_KEY": "k", "GATEWAY_COMPARE_OLD_KEY": "k"}, warn=warnings.append)
    assert warnings == []
