"""Texts and JSON values of the kinds that break parsers."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from hypothesis import strategies as st

__all__ = ["LONE_SURROGATES", "extra_fields", "json_values", "texts", "token_counts"]

LONE_SURROGATES: Final = ("\ud83d", "\ude00", "half \udfff pair")
"""Strings that JSON can carry in escaped form and UTF-8 cannot."""

_TEXTS: Final = (
    "Hello",
    "",
    " wörld, naïve",
    "日本語 😀 𝄞",
    'quote " backslash \\ slash /',
    "tab\tnewline\nreturn\rfeed\fbell\b",
    "\x00\x01\x1f\x7f",
    # Line ends to str.splitlines, but not to bytes.splitlines and not to the event stream.
    "\x85\u2028\u2029\x0b\x1c",
    "event: error\ndata: {}\n\n",
    'event: x\r\rdata: "}\r\n\r\n',
    "\\u0041 \\ud83d }}",
    "\ufeffmark",
)

_INTEGERS: Final = (0, 1, -1, 2**31, 2**53 + 1, 2**63, 2**64, 10**40)
_EXTRAS: Final[tuple[dict[str, Any] | None, ...]] = (
    {},
    {},
    {},
    {},
    {},
    {},
    {"future_field": None},
    {"future_field": {"text": 'a "deep" \\ one', "type": "ping"}},
    {"delta2": [[], {}, 2**64, -0.0, 1e-9]},
    None,
)
_EXTRA_CHOICES: Final = st.sampled_from(_EXTRAS)
_FLOATS: Final = (0.0, -0.0, 0.1, 1.5e300, 5e-324)


@cache
def texts(*, surrogates: bool = False) -> st.SearchStrategy[str]:
    """Strings for a stream: ordinary, empty, escaped, beyond ASCII, and looking like frames.

    Args:
        surrogates: also lone surrogates, which only some places may hold.
    """
    tricky = st.sampled_from((*_TEXTS, *LONE_SURROGATES) if surrogates else _TEXTS)
    return tricky | st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


@cache
def token_counts() -> st.SearchStrategy[int]:
    """Numbers of tokens, some far beyond 64 bits."""
    return st.integers(0, 300) | st.sampled_from((2**31, 2**63, 2**64, 10**40))


@cache
def json_values() -> st.SearchStrategy[Any]:
    """Small JSON values of every type."""
    leaves = st.none() | st.booleans() | st.sampled_from(_INTEGERS) | st.sampled_from(_FLOATS) | texts()
    nested = st.lists(leaves, max_size=2) | st.dictionaries(texts(), leaves, max_size=2)
    return leaves | nested | st.just([[{"a": [[]]}], {}])


@cache
def extra_fields() -> st.SearchStrategy[dict[str, Any]]:
    """Fields that no present version of the protocol knows; most often none."""
    return _extra_fields()


@st.composite
def _extra_fields(draw: st.DrawFn) -> dict[str, Any]:
    extra = draw(_EXTRA_CHOICES)
    return {"unbekanntes_Feld_ß": draw(json_values()), "x": 1} if extra is None else dict(extra)
