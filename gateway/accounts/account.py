"""An upstream account, and what can stand between it and a request."""

from __future__ import annotations

from enum import StrEnum

from attrs import define, field

__all__ = ["ACCOUNT_WIDE", "Account", "AccountKind", "AccountState", "Condition", "Cooldown"]

ACCOUNT_WIDE = "account"
"""The quota family of what concerns an account as a whole rather than one class of models."""


class AccountKind(StrEnum):
    """Where an account's credential comes from."""

    #: A key that is valid until somebody revokes it.
    API_KEY = "api_key"
    #: A command of the operator's that prints a key or a token.
    COMMAND = "command"
    #: Tokens of a token endpoint, renewed with a refresh token or an assertion.
    OAUTH = "oauth"
    #: The client's own credential; such an account has no state.
    PASSTHROUGH = "passthrough"


class Condition(StrEnum):
    """What traffic found out about an account that time alone does not mend."""

    OK = "ok"
    #: The credential is refused and cannot be renewed.
    NEEDS_REAUTH = "needs_reauth"
    #: The provider refuses the account for its bill or for a policy.
    PARKED = "parked"


class AccountState(StrEnum):
    """What people are shown, the strongest reason first: paused, needs_reauth, parked, cooling, active."""

    ACTIVE = "active"
    COOLING = "cooling"
    PAUSED = "paused"
    NEEDS_REAUTH = "needs_reauth"
    PARKED = "parked"


@define(frozen=True)
class Cooldown:
    """One quota family of an account has a rest."""

    account_id: str
    family: str
    """`account` for all of it, otherwise a class of models, such as `opus`."""
    until: float
    """Unix seconds."""
    since: float
    """Unix seconds."""
    fault: str
    """Class of the fault that brought it."""
    reason: str
    """One sentence for people; the upstream's own words where it gave some."""


@define(frozen=True)
class Account:
    """One credential at one provider, as the store knows it. Traffic never writes `paused_at`."""

    id: str
    name: str
    provider: str
    """`anthropic` or `openai`."""
    kind: AccountKind
    base_url: str | None = None
    """Where its requests go, without a trailing slash; None for the provider's own."""
    owner: str = ""
    """Whose account it is, in the operator's words."""
    weight: int = 1
    """Share of the requests under the strategy `weighted`."""
    priority: int = 0
    """Order under the strategy `fill_first`, the lowest first."""
    max_concurrency: int | None = None
    """Requests at a time; None for the setting's, 0 for no bound."""
    created_at: float = 0.0
    """Unix seconds; so are all times here."""
    paused_at: float | None = None
    """Since when a person keeps it out of use."""
    resumed_at: float | None = None
    """When a person last put it into use again, which voids every cool-down from before."""
    condition: Condition = Condition.OK
    condition_reason: str = ""
    """The upstream's own words, or what failed."""
    condition_since: float = 0.0
    secret: bytes | None = field(default=None, repr=False)
    """Encrypted; None where the secret lives elsewhere: in the environment, or with the client."""
    secret_version: int = 0
    """Rises with every change of the secret, so that news of an old one cannot harm a new one."""
    expires_at: float | None = None
    """When the credential expires; None for never or unknown."""
