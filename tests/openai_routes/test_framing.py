"""Where a message ends is found alike however its bytes are cut, and nowhere else than another reader finds it."""

from __future__ import annotations

from itertools import pairwise

import h11
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.replay.openai_exchanges import RecordedExchange, recorded_exchanges
from gateway.wire.http1 import Chunked, FramingError, RequestHead, request_head_end
from gateway.wire.http1_exchange import Exchange

LONGEST = 1 << 18
EXCHANGES = [exchange for exchange in recorded_exchanges() if exchange.fill == 0]
REQUESTS = [exchange.request("x") for exchange in EXCHANGES]

names = st.from_regex(r"\A[A-Za-z][A-Za-z0-9-]{0,8}\Z").map(str.encode)
values = st.from_regex(r"\A[!-~]([ -~]{0,10}[!-~])?\Z").map(str.encode)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> bytes:
    """Draw a body in chunks, with extensions, sizes in any spelling, and trailers."""
    out = []
    for data in draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6)):
        size = draw(st.sampled_from([b"%x", b"%X", b"0%x", b"000%x"])) % len(data)
        out += [size, draw(st.sampled_from([b"", b";a", b";a=b", b' ; a="b c"'])), b"\r\n", data, b"\r\n"]
    out.append(draw(st.sampled_from([b"0", b"000", b"0;last"])) + b"\r\n")
    out += [b"%b: %b\r\n" % pair for pair in draw(st.lists(st.tuples(names, values), max_size=3))]
    return b"".join([*out, b"\r\n"])


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut bytes into pieces."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


@given(chunked_bodies(), st.binary(max_size=30), st.lists(st.integers(0, 10_000), max_size=20))
def test_a_chunked_body_ends_in_the_same_place_however_it_is_cut(
    body: bytes, behind: bytes, cuts: list[int]
) -> None:
    followed, taken = Chunked(), 0
    for piece in pieces(body + behind, cuts):
        end = followed.take(piece)
        taken += end
        if end < len(piece):
            break
    assert followed.done
    assert taken == len(body)


@given(st.sampled_from(EXCHANGES), st.lists(st.integers(0, 10_000), max_size=20))
def test_an_answer_goes_on_whole_however_it_is_cut(recorded: RecordedExchange, cuts: list[int]) -> None:
    answer = recorded.answer()
    request = recorded.request("x")
    head = RequestHead.parse(request[: request_head_end(request)])
    followed = Exchange.begin(head, LONGEST)
    passed = b"".join(followed.take_answer(piece) for piece in pieces(answer, cuts))
    assert passed == answer
    assert followed.ends_with_connection is (recorded.framing == "close")
    assert followed.ends_with_connection or (followed.response is not None and followed.response.done)
    assert not followed.excess
    if not followed.ends_with_connection:
        assert followed.take_answer(b"more") == b""
        assert followed.excess


def ends_here(data: bytes) -> int | None:
    """Return where the first request in these bytes ends for us; None if it does not, or is refused."""
    end = request_head_end(data)
    if not end:
        return None
    try:
        body = RequestHead.parse(data[:end]).body()
        end = body.take(data, end)
    except FramingError:
        return None
    return end if body.done else None


def ends_elsewhere(data: bytes) -> int | None:
    """Return where it ends for h11; None if it does not, or is refused."""
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    reader.receive_data(data)
    try:
        while not isinstance(event := reader.next_event(), h11.EndOfMessage):
            if event in (h11.NEED_DATA, h11.PAUSED):
                return None
    except h11.RemoteProtocolError:
        return None
    return len(data) - len(reader.trailing_data[0])


INSERTED = [
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"\x00",
    b":",
    b",",
    b"0",
    b"\r\nContent-Length: 5",
    b"\r\nTransfer-Encoding: chunked",
    b"\r\nTransfer-Encoding: identity",
    b"\r\n\r\n",
    b"GET /v1/x HTTP/1.1\r\nHost: x\r\n\r\n",
]
damage = st.lists(st.tuples(st.integers(0, 5_000), st.sampled_from(INSERTED), st.integers(0, 3)), max_size=4)


@given(st.sampled_from(REQUESTS), damage)
@example(REQUESTS[0], [(0, b"\r\n", 0)])
def test_a_damaged_request_never_ends_elsewhere_than_another_reader_thinks(
    request: bytes, changes: list[tuple[int, bytes, int]]
) -> None:
    data = request
    for at, inserted, dropped in changes:
        place = at % (len(data) + 1)
        data = data[:place] + inserted + data[place + dropped :]
    data += b"GET /v1/next HTTP/1.1\r\nHost: x\r\n\r\n"
    ours, theirs = ends_here(data), ends_elsewhere(data)
    assert ours is None or theirs is None or ours == theirs
