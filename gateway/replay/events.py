"""Splitting a recorded stream into its events without changing a byte of it."""

import re
from functools import lru_cache

# Two line ends in a row; each is taken whole, so that the CR LF of one line is not counted twice.
_BLANK_LINE = re.compile(rb"(?:(?>\r\n|\n|\r)){2}")


@lru_cache(maxsize=32)
def split_events(stream: bytes) -> tuple[bytes, ...]:
    """Return the events of a stream, each with its blank line; joined they are the stream again.

    What follows the last blank line is the last element, if there is any.
    Remembered for the last few streams, since the same ones are played again and again.
    """
    ends = [match.end() for match in _BLANK_LINE.finditer(stream)]
    if not ends or ends[-1] < len(stream):
        ends.append(len(stream))
    starts = [0, *ends[:-1]]
    return tuple(stream[start:end] for start, end in zip(starts, ends, strict=True) if end > start)
