"""The fast path for runs of deltas gives what the slow path gives, on everything."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_fsm import EventKind, Frame, JudgedEvent, StreamGuard, encode_event
from sse_fsm.encoding import PING
from sse_fsm.strategies import chunkings
from sse_fsm.strategies.values import texts
from tests.sse_fsm.driving import SMALL, run_guard
from tests.sse_fsm.test_any_bytes import damaged_bytes
from tests.sse_fsm.test_chunking import ANY_STREAM

BLOCKS = {
    "text": ({"type": "text", "text": ""}, "text_delta", "text"),
    "text without text": ({"type": "text"}, "text_delta", "text"),
    "thinking": ({"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking"),
    "thinking without thinking": ({"type": "thinking", "thinking": None}, "thinking_delta", "thinking"),
    "tool_use": ({"type": "tool_use", "id": "t", "name": "n", "input": {}}, "input_json_delta", "partial_json"),
    "server_tool_use": ({"type": "server_tool_use", "id": "t", "input": {}}, "input_json_delta", "partial_json"),
    "mcp_tool_use": ({"type": "mcp_tool_use", "id": "t", "input": {}}, "input_json_delta", "partial_json"),
    "compaction": ({"type": "compaction", "content": None}, "text_delta", "text"),
    "unknown": ({"type": "future_block"}, "text_delta", "text"),
}
START = encode_event({"type": "message_start", "message": {"content": [], "usage": {}}})
END = b"".join(
    map(
        encode_event,
        [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ],
    )
)

ANOTHER_EVENT = (
    b'"}}\n\nevent: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"'
)

# What may stand inside the string of a delta, legal or not.
INSIDE = (
    b"",
    b"Hello, world",
    "é 日本 😀 \u2028".encode(),
    rb"\"\\\/\b\f\n\r\t",
    rb"\u00e9\uD7FF\ue000\uFFFF",
    rb"\ud83d\ude00",
    rb"\ud83d",
    rb"\uDE00",
    rb"\u12",
    rb"\u12G4",
    rb"\x41",
    rb"\U0041",
    b"\\",
    b'"',
    b'\\\\"',
    b"\n",
    b"\r",
    b"\n\n",
    b"\t",
    b"\x00",
    b"\x1f",
    b"\x7f",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xe2\x80\xa8",
    b"}",
    ANOTHER_EVENT,
)

# Near misses: each takes a delta in the API's own spelling and changes one thing about it.
CHANGES: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "space after a colon": (b'"index":0', b'"index": 0'),
    "space before a colon": (b'"index":0', b'"index" :0'),
    "two spaces": (b'"delta":{', b'"delta":  {'),
    "tab": (b'"delta":{', b'"delta":\t{'),
    "all spaces": (b'":', b'": '),
    "padding inside": (b'"}}', b'"    }}'),
    "padding outside": (b'"}}', b'"}     }'),
    "padding behind": (b'"}}\n', b'"}}   \n'),
    "tab as padding": (b'"}}', b'"}\t}'),
    "another index": (b'"index":0', b'"index":1'),
    "longer index": (b'"index":0', b'"index":00'),
    "negative index": (b'"index":0', b'"index":-0'),
    "index as float": (b'"index":0', b'"index":0.0'),
    "index as text": (b'"index":0', b'"index":"0"'),
    "index twice": (b'"index":0', b'"index":0,"index":1'),
    "type twice": (b'"index":0', b'"index":0,"type":"ping"'),
    "delta twice": (b'"index":0', b'"index":0,"delta":null'),
    "more fields": (b'"}}', b'","future":1}}'),
    "more fields behind": (b'"}}', b'"},"future":1}'),
    "no comma": (b',"index"', b'"index"'),
    "trailing comma": (b'"}}', b'"},}'),
    "one brace less": (b'"}}', b'"}'),
    "one brace more": (b'"}}', b'"}}}'),
    "unknown delta": (b'_delta",', b'_delta2",'),
    "another delta": (b'_delta","', b'_other","'),
    "escaped key": (b'"index"', b'"\\u0069ndex"'),
    "escaped name": (b'content_block_delta"', b'content_block_\\u0064elta"'),
    "event name with space": (b"event: content_block_delta\n", b"event: content_block_delta \n"),
    "event name of a ping": (b"event: content_block_delta\n", b"event: ping\n"),
    "no space in event line": (b"event: ", b"event:"),
    "two spaces in event line": (b"event: ", b"event:  "),
    "no space in data line": (b"data: ", b"data:"),
    "two spaces in data line": (b"data: ", b"data:  "),
    "CR LF": (b"\n", b"\r\n"),
    "CR": (b"\n", b"\r"),
    "CR in the blank line": (b"}\n\n", b"}\r\n\n"),
    "CR behind the blank line": (b"}\n\n", b"}\n\n\r"),
    "three line ends": (b"}\n\n", b"}\n\n\n"),
    "one line end": (b"}\n\n", b"}\n"),
    "comment inside": (b"\ndata", b"\n: comment\ndata"),
    "comment behind": (b"}\n\n", b"}\n\n: comment\n"),
    "id line": (b"\ndata", b"\nid: 1\ndata"),
    "second data line": (b"}\n\n", b"}\ndata: \n\n"),
    "broken second data line": (b"}\n\n", b"}\ndata: }\n\n"),
    "BOM before": (b"event: ", b"\xef\xbb\xbfevent: "),
    "NUL": (b'"index"', b'"in\x00dex"'),
    "ping behind": (b"}\n\n", b'}\n\nevent: ping\ndata: {"type": "ping"}\n\n'),
}


def streams_of(block: str, inside: bytes, change: tuple[bytes, bytes], count: int, between: bytes = b"") -> bytes:
    """Write a stream of deltas; one, in the middle, holds `inside` and has the change made to it."""
    start, kind, field = BLOCKS[block]
    begin = encode_event({"type": "content_block_start", "index": 0, "content_block": start})
    plain = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"%b","%b":"%b"}}\n\n'
    )
    ordinary = plain % (kind.encode(), field.encode(), b"x")
    changed = (plain % (kind.encode(), field.encode(), inside)).replace(*change)
    return START + begin + ordinary * count + between + changed + between + ordinary * count + END


def assert_same(stream: bytes, chunks: list[bytes], bound: int | None = None) -> None:
    fast = run_guard(chunks, max_event_bytes=bound)
    slow = run_guard([stream], max_event_bytes=bound, observed=True)
    assert fast.observable == slow.observable


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("block", BLOCKS)
def test_nearly_ordinary_deltas_are_judged_alike_on_both_paths(block: str, change: str) -> None:
    for inside in INSIDE:
        stream = streams_of(block, inside, CHANGES[change], 2)
        at = stream.find(b"content_block_delta")
        assert_same(stream, [stream])
        assert_same(stream, [stream[: at - 7], stream[at - 7 :]])
        # Behind an event of another kind the fast path is tried anew.
        pinged = streams_of(block, inside, CHANGES[change], 2, PING)
        assert_same(pinged, [pinged])


@given(
    st.builds(
        streams_of,
        st.sampled_from(list(BLOCKS)),
        st.sampled_from(INSIDE) | st.lists(st.sampled_from(INSIDE), max_size=3).map(b"".join),
        st.sampled_from(list(CHANGES.values())),
        st.integers(0, 4),
        st.sampled_from((b"", PING, b": comment\n")),
    ),
    st.sampled_from((None, SMALL)),
    st.data(),
)
def test_nearly_ordinary_deltas_are_judged_alike_however_they_are_cut(
    stream: bytes, bound: int | None, data: st.DataObject
) -> None:
    assert_same(stream, data.draw(chunkings(stream)), bound)
    assert_same(stream, stream.splitlines(keepends=True), bound)
    assert_same(stream, re.split(rb"(?<=\n\n)", stream), bound)


@given(ANY_STREAM | damaged_bytes(), st.sampled_from((None, SMALL)), st.data())
@example(START + b"data: x", None, None)
def test_any_stream_is_judged_alike_on_both_paths(
    stream: bytes, bound: int | None, data: st.DataObject | None
) -> None:
    assert_same(stream, [stream] if data is None else data.draw(chunkings(stream)), bound)


HEAD = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"'
)
OPEN = START + encode_event(
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
)
TAIL = b'x"}}\n\n'


@st.composite
def shredded_runs(draw: st.DrawFn) -> bytes:
    """Put a run of deltas together from whole and cut heads and tails, or splice one with itself."""
    if draw(st.booleans()):
        at = st.integers(0, len(HEAD))
        pieces = st.one_of(
            st.just(HEAD + TAIL),
            at.map(lambda n: HEAD[:n]),
            at.map(lambda n: HEAD[n:]),
            st.sampled_from(
                (HEAD, TAIL, b"\n\n", b"\n", b'"}}\n\n', b'"', b"}", b"x", b"x" * len(HEAD), b"\r", b"\xff")
            ),
        )
        return b"".join(draw(st.lists(pieces, max_size=8)))
    run = (HEAD + TAIL) * draw(st.integers(1, 5))
    for _ in range(draw(st.integers(1, 3))):
        start, end, to = (draw(st.integers(0, len(run))) for _ in range(3))
        run = run[:to] + run[start:end] + run[to:] if draw(st.booleans()) else run[:start] + run[end:]
    return run


@given(shredded_runs(), st.data())
@example(HEAD + TAIL + b"\n\n" + HEAD[:-2] + b':"}}\n\n' + HEAD + TAIL, None)
@example(HEAD + TAIL + b"x" * len(HEAD) + TAIL + HEAD + TAIL, None)
@example(HEAD + TAIL + b"\n" * 3 + b"x" * (len(HEAD) - 3) + TAIL + HEAD + TAIL, None)
@example(HEAD + TAIL + HEAD[2:] + b"xx" + TAIL, None)
def test_shredded_runs_of_deltas_are_judged_alike_on_both_paths(run: bytes, data: st.DataObject | None) -> None:
    for stream in (OPEN + run + END, OPEN + HEAD + TAIL + run + END):
        assert_same(stream, [stream])
        assert_same(stream, [OPEN, stream[len(OPEN) : -len(END)], END])
        if data is not None:
            assert_same(stream, data.draw(chunkings(stream)))


@given(texts(surrogates=True), st.booleans())
def test_any_text_is_passed_alike_on_both_paths(text: str, ascii_only: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
    inside = json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode(errors="ignore")
    for block in ("text", "thinking", "tool_use"):
        stream = streams_of(block, inside, (b"", b""), 1)
        assert_same(stream, [stream])


@pytest.mark.parametrize(
    "pending",
    [
        b"id: 1\n",
        b"event: ping\n",
        b"data: {\n",
        b": half a comment",
        b"event: ping\ndata: {}\n",
        b"event: ping\r\ndata: {}\r\n\r",
        b": comment\r",
        b"\r",
        b"\n",
        b"x",
    ],
)
def test_a_delta_behind_an_unfinished_event_is_judged_as_its_rest(pending: bytes) -> None:
    """A chunk that is a delta to the byte is none where something else was still open."""
    delta = HEAD + TAIL
    for behind in (delta, b"\n" + delta, delta[:9], TAIL):
        chunks = [OPEN, delta, pending, delta, behind, delta, END]
        assert_same(b"".join(chunks), chunks)


@pytest.mark.parametrize("over", [0, 1])
def test_runs_obey_the_bound_on_one_event_and_not_on_many(over: int) -> None:
    delta = HEAD + b"x" * 400 + TAIL
    bound = len(delta) - over
    chunks = [OPEN, delta, delta * 3, delta + delta[:10], delta[10:], END]

    run = run_guard(chunks, max_event_bytes=bound)

    assert_same(b"".join(chunks), chunks, bound)
    assert run.verdict.code == ("event_too_large" if over else None)


@pytest.mark.parametrize("spaced", [False, True], ids=["as the API writes", "with spaces"])
@pytest.mark.parametrize(
    "inside", [b"Hello", "é 日本 😀".encode(), rb"a \"b\" \u00e9\n"], ids=["ascii", "utf-8", "escapes"]
)
@pytest.mark.parametrize("block", ["text", "thinking", "tool_use", "server_tool_use", "mcp_tool_use"])
def test_ordinary_deltas_do_go_the_fast_path(block: str, inside: bytes, spaced: bool) -> None:  # noqa: FBT001 - a parameter
    """A run of deltas makes no object: the machine counts them and never sees them."""
    start, kind, field = BLOCKS[block]
    opening = {"type": "content_block_start", "index": 0, "content_block": start}
    delta = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"%b","%b":"%b"}}\n\n'
    ) % (kind.encode(), field.encode(), inside)
    opened = encode_event(opening)
    if spaced:
        opened = b"event: content_block_start\ndata: " + json.dumps(opening).encode() + b"\n\n"
        text = re.sub(rb'(?<=["0-9])([:,])(?=["{0-9])', rb"\1 ", delta.split(b"data: ")[1].replace(inside, b"@"))
        delta = b"event: content_block_delta\ndata: " + text.replace(b"@", inside)
    # All in one chunk; then each in its own; then two and a half; then with something between.
    cut = [delta * 2 + delta[:30], delta[30:] + delta * 47]
    for deltas in ([delta * 50], [delta] * 50, cut, [delta * 25 + PING + delta * 25]):
        guard = StreamGuard()
        seen: list[EventKind] = []
        receive = guard.machine.receive

        def watched(frame: Frame, receive: Any = receive, seen: Any = seen) -> JudgedEvent:
            judged = receive(frame)
            seen.append(judged.kind)
            return judged

        guard.machine.receive = watched
        buffered: list[bytes] = []
        buffer = guard._decoder.feed

        def buffering(chunk: bytes, buffer: Any = buffer, buffered: Any = buffered) -> None:
            buffered.append(chunk)
            buffer(chunk)

        guard._decoder.feed = buffering
        for chunk in [START, opened, *deltas, END]:
            guard.feed(chunk)

        # A chunk of nothing but deltas is not even buffered; an event that was cut is judged by itself.
        assert buffered == [START, opened, *(chunk for chunk in deltas if chunk.replace(delta, b"")), END]
        assert seen.count(EventKind.CONTENT_BLOCK_DELTA) == (deltas is cut)
        assert guard.machine.events == 5 + 50 + (PING in deltas[0])
        assert guard.finish()[1].outcome == "complete"
