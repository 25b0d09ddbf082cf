"""What ends a command early."""

from __future__ import annotations

__all__ = ["CommandError"]


class CommandError(Exception):
    """The command cannot go on; the message says why and what to do."""
