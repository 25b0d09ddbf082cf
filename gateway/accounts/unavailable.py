"""Why an account has no credential to send."""

from __future__ import annotations

__all__ = ["CredentialUnavailableError"]


class CredentialUnavailableError(Exception):
    """There is no credential to send for an account now."""

    def __init__(self, message: str, *, terminal: bool = False) -> None:
        """Say why, in a sentence for people that holds no secret.

        Args:
            message: the sentence, for operators: it may name an account, a command or a setting.
            terminal: only a person can mend it.
        """
        super().__init__(message)
        self.message = message
        self.terminal = terminal

    @property
    def for_clients(self) -> str:
        """The same without what is the operator's to know."""
        if self.terminal:
            return "The gateway's account has no credential that can be used."
        return "The credential of the gateway's account cannot be renewed now."
