"""Why an account has no credential to send."""

from __future__ import annotations

__all__ = ["CredentialUnavailableError"]


class CredentialUnavailableError(Exception):
    """There is no credential to send for an account now."""

    def __init__(self, message: str, *, terminal: bool = False) -> None:
        """Say why, in a sentence for people that holds no secret.

        Args:
            message: the sentence.
            terminal: only a person can mend it.
        """
        super().__init__(message)
        self.message = message
        self.terminal = terminal
