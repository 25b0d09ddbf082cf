"""OAuth tokens as the API's token endpoint hands them out: short-lived, with single-use refresh tokens.

A refresh token that comes a second time revokes every token of its family, as RFC 6819, section 5.2.2.3,
advises; answers follow RFC 6749, sections 5.1 and 5.2.
"""

import secrets
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Literal

import attrs

REFRESH_GRANT = "refresh_token"
ASSERTION_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

ACCESS_PREFIX = "sk-ant-oat01-"
REFRESH_PREFIX = "sk-ant-ort01-"
_RECORDS_KEPT = 10_000
_TOKENS_KEPT = 100_000

Standing = Literal["valid", "expired", "revoked", "unknown"]


@attrs.frozen
class TokenPair:
    """What one grant yields; ``refresh_token`` is ``None`` for an assertion grant."""

    access_token: str
    refresh_token: str | None
    expires_in: int
    family: int

    def as_json(self) -> dict[str, str | int]:
        """Return the token endpoint's answer."""
        answer: dict[str, str | int] = {"token_type": "Bearer", "access_token": self.access_token}
        if self.refresh_token is not None:
            answer["refresh_token"] = self.refresh_token
        return {**answer, "expires_in": self.expires_in, "scope": "user:inference user:profile"}


@attrs.frozen
class TokenRecord:
    """One call of the token endpoint, as the authority judged it; ``at`` is monotonic seconds."""

    grant_type: str
    outcome: str
    family: int | None
    client_id: str | None
    at: float


class GrantError(Exception):
    """A grant that was refused; ``code`` is the error code of RFC 6749, section 5.2."""

    def __init__(self, code: str, description: str) -> None:
        """Keep the code and a sentence for people."""
        super().__init__(description)
        self.code = code
        self.description = description


@attrs.define
class _Access:
    family: int
    expires_at: float


@attrs.define
class _Refresh:
    family: int
    expires_in: int | None
    used: bool = False


@attrs.define(eq=False)
class TokenAuthority:
    """Issues, rotates, expires and revokes tokens; ``expires_in`` (seconds) may be changed at any time.

    With ``rotates`` off a refresh token stays valid, and answers bring no new one.
    """

    expires_in: int = 3600
    rotates: bool = True
    clock: Callable[[], float] = monotonic
    records: deque[TokenRecord] = attrs.field(factory=lambda: deque(maxlen=_RECORDS_KEPT), init=False)
    _access: dict[str, _Access] = attrs.field(factory=dict, init=False)
    _refresh: dict[str, _Refresh] = attrs.field(factory=dict, init=False)
    _revoked: set[int] = attrs.field(factory=set, init=False)
    _families: int = attrs.field(default=0, init=False)

    def issue(
        self, *, family: int | None = None, refreshable: bool = True, expires_in: int | None = None
    ) -> TokenPair:
        """Return a new pair, of a new family unless one is given.

        ``expires_in`` is for this pair and those that it is renewed to.
        """
        lifetime = self.expires_in if expires_in is None else expires_in
        if family is None:
            self._families += 1
            family = self._families
        access = ACCESS_PREFIX + secrets.token_urlsafe(48)
        self._access[access] = _Access(family, self.clock() + lifetime)
        refresh = REFRESH_PREFIX + secrets.token_urlsafe(48) if refreshable else None
        if refresh is not None:
            self._refresh[refresh] = _Refresh(family, expires_in)
        for kept in (self._access, self._refresh):
            while len(kept) > _TOKENS_KEPT:
                del kept[next(iter(kept))]
        return TokenPair(access, refresh, lifetime, family)

    def grant(self, form: Mapping[str, str]) -> TokenPair:
        """Serve one call of the token endpoint and record it; raises ``GrantError``."""
        grant_type = form.get("grant_type", "")
        family = None
        outcome = "granted"
        try:
            pair = self._grant(grant_type, form)
            family = pair.family
        except GrantError as error:
            outcome = error.code
            known = self._refresh.get(form.get("refresh_token", ""))
            family = known.family if known else None
            raise
        else:
            return pair
        finally:
            self.records.append(TokenRecord(grant_type, outcome, family, form.get("client_id"), self.clock()))

    def _grant(self, grant_type: str, form: Mapping[str, str]) -> TokenPair:
        if grant_type == ASSERTION_GRANT:
            if not form.get("assertion"):
                raise GrantError("invalid_request", "assertion is required")
            return self.issue(refreshable=False)
        if grant_type != REFRESH_GRANT:
            raise GrantError("unsupported_grant_type", f"Unsupported grant type: {grant_type or 'none'}")
        if not form.get("refresh_token"):
            raise GrantError("invalid_request", "refresh_token is required")
        refresh = self._refresh.get(form["refresh_token"])
        if refresh is None or refresh.family in self._revoked:
            raise GrantError("invalid_grant", "Refresh token not found or invalid")
        if refresh.used:
            self.revoke_family(refresh.family)
            raise GrantError("invalid_grant", "Refresh token was used before; its family is revoked")
        refresh.used = self.rotates
        return self.issue(family=refresh.family, refreshable=self.rotates, expires_in=refresh.expires_in)

    def standing(self, access_token: str) -> Standing:
        """Say whether an access token may be used now; ``unknown`` for one not issued here."""
        access = self._access.get(access_token)
        if access is None:
            return "unknown"
        if access.family in self._revoked:
            return "revoked"
        return "valid" if self.clock() < access.expires_at else "expired"

    def expire(self, access_token: str) -> None:
        """Make an access token expire now; raises ``KeyError`` for one not issued here."""
        self._access[access_token].expires_at = self.clock()

    def revoke_family(self, family: int) -> None:
        """Revoke every token that descends from the same first grant."""
        self._revoked.add(family)

    def revoke(self, token: str) -> None:
        """Revoke the family of an access or refresh token; raises ``KeyError`` for one not issued here."""
        entry = self._access.get(token) or self._refresh[token]
        self.revoke_family(entry.family)
