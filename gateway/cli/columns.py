"""Tables for people: columns as wide as what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import define, field

__all__ = ["Columns"]

_GAP: Final = "  "


@define
class Columns:
    """A table that may be printed in several parts; a column never becomes narrower."""

    names: Sequence[str]
    numbers: frozenset[str] = frozenset()
    """Columns whose cells stand to the right."""
    _widths: list[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Be as wide as the names."""
        self._widths = [len(name) for name in self.names]

    def print(self, lines: Iterable[Sequence[str]], *, heading: bool = True) -> None:
        """Print lines of as many cells as there are columns."""
        cells = list(lines)
        for line in cells:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, line, strict=True)]
        for line in [self.names, *cells] if heading else cells:
            print(_GAP.join(map(self._padded, self.names, line, self._widths)).rstrip(), flush=True)

    def _padded(self, name: str, cell: str, width: int) -> str:
        return cell.rjust(width) if name in self.numbers else cell.ljust(width)
