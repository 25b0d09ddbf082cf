"""The table of cases, `golden.toml`."""

from __future__ import annotations

import ast
import operator
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from attrs import define

__all__ = ["CASES", "Case", "evaluate"]

_OPERATORS: Final[Mapping[type[ast.operator], Callable[[Decimal, Decimal], Decimal]]] = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
}


@define(frozen=True, kw_only=True)
class Case:
    """Usage, and what it costs."""

    name: str
    usage: Mapping[str, Any]
    model: str | None = None
    provider: str = "anthropic"
    route: str = "POST /v1/messages"
    at: datetime = datetime(2026, 11, 20, tzinfo=UTC)
    outcome: str = "complete"
    stop_reason: str = "end_turn"
    had_output: bool | None = None
    refusal_category: str | None = None
    fallback_categories: Sequence[str] = ()
    note: str | None = None
    sum: str | None = None
    usd: str | None = None

    @property
    def nanousd(self) -> int | None:
        """What it costs, in 1e-9 USD."""
        if self.usd is None:
            return None
        exact = Decimal(self.usd).scaleb(9)
        assert exact == int(exact)
        return int(exact)


def evaluate(text: str) -> Decimal:
    """Work out a sum of products."""

    def value(node: ast.expr) -> Decimal:
        if isinstance(node, ast.BinOp):
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        assert isinstance(node, ast.Constant)
        return Decimal(ast.unparse(node))

    return value(ast.parse(text.strip(), mode="eval").body)


def _cases() -> list[Case]:
    document = tomllib.loads((Path(__file__).parent / "golden.toml").read_text())
    return [Case(**case) for case in document["case"]]


CASES: Final = _cases()
