"""What happens now, told to whoever watches."""

from __future__ import annotations

from typing import Any

from attrs import define

__all__ = ["LiveHub"]


@define(eq=False)
class LiveHub:
    """Tells all viewers what happens; nobody waits for any of them."""

    def publish(self, topic: str, data: Any) -> None:
        """Tell all viewers.

        Args:
            topic: name of the event.
            data: JSON, without secrets.
        """

    def changed(self, what: str) -> None:
        """Tell all viewers that a list has changed: `accounts`, `keys`, `settings` or `users`."""
        self.publish("changed", {"what": what})
