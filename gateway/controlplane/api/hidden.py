"""Bodies and answers that hold a secret."""

from __future__ import annotations

import msgspec

__all__ = ["Hidden"]


class Hidden(msgspec.Struct):
    """Shows nothing of what it holds where Python shows objects, as in a traceback."""

    def __repr__(self) -> str:
        """Return the name alone."""
        return f"<{type(self).__name__}>"
