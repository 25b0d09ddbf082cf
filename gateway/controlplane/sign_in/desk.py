"""Where people sign in: by name and password, by a link, and with a second factor if they have one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from aiohttp import web
from attrs import define, field
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.accounts.vault import Vault, VaultError
from gateway.config import Settings
from gateway.controlplane.access import AuditTrail, Role, Visitor
from gateway.controlplane.changes import user_added
from gateway.controlplane.gate import DoorKeeper
from gateway.controlplane.sign_in import second_factor
from gateway.controlplane.sign_in.attempts import PASSWORD, Attempts
from gateway.controlplane.sign_in.names import BadNameError, tidy_name
from gateway.controlplane.sign_in.passwords import Passwords, check_password
from gateway.controlplane.sign_in.tokens import TOKEN, digest_of
from gateway.store.audit_log import BEGUN, AuditStore, Change
from gateway.store.errors import StoreError
from gateway.store.user_links import Link, LinkStore, Purpose
from gateway.store.users import NameTakenError, User, UserStore, name_key
from gateway.telemetry.logs import get_logger
from gateway.wire.errors import ApiError

__all__ = ["CODE_NEEDED", "Desk", "Entry", "Typed"]

_log = get_logger(__name__)

CODE_NEEDED: Final = "code_needed"
"""Type of the error that asks for the second factor."""
_LINK: Final = "link"
_OWN: Final = "own"
"""Of somebody who is signed in already."""
_STALE: Final = (
    "This link is not good any more: it was used, a newer one took its place, or it is too old. Ask an admin for "
    "another one, or run `gateway dashboard link` where the gateway runs."
)


@define(frozen=True)
class Typed:
    """What somebody typed."""

    name: str = ""
    password: str = field(default="", repr=False)
    code: str = field(default="", repr=False)
    """Second factor, or one on paper; empty for none."""


@define(frozen=True)
class Entry:
    """A browser that has just been signed in."""

    visitor: Visitor
    cookie: str = field(repr=False)
    """Header `set-cookie`."""


@define(eq=False, kw_only=True)
class Desk:
    """Signs people in, and looks after how they do."""

    settings: Settings
    vault: Vault = field(repr=False)
    users: UserStore
    links: LinkStore
    keeper: DoorKeeper
    attempts: Attempts
    audit: AuditTrail
    entries: AuditStore
    """What `audit` wrote."""
    passwords: Passwords = field(factory=Passwords)

    async def by_password(self, request: web.BaseRequest, visitor: Visitor, typed: Typed) -> Entry:
        """Sign somebody in.

        Args:
            request: that asks for it.
            visitor: who sent it.
            typed: by whoever wants to sign in.

        Raises:
            ApiError: 401, 403, 429 or 503.
        """
        self._check_that_sessions_last(request)
        address, key = visitor.address, name_key(typed.name)
        self.attempts.take(PASSWORD, address, key)
        try:
            user = await self.users.named(typed.name)
            right = await self.passwords.matches(user.password if user is not None else None, typed.password)
        except (ApiError, StoreError):
            # The database is away, or others wait too: nobody learned anything.
            self.attempts.give_back(PASSWORD, address, key)
            raise
        if user is None or not right:
            # A name that nobody has may be a password in the wrong field.
            await self._refused(visitor, user, PASSWORD)
            raise ApiError(401, "The name or the password is wrong.", headers={"www-authenticate": "Bearer"})
        try:
            await self.check_code(user, typed.code)
        except ApiError as error:
            if error.kind != CODE_NEEDED:
                await self._refused(visitor, user, "code")
            else:
                # Half of a sign-in is no failure.
                self.attempts.succeeded(PASSWORD, address)
            raise
        self.attempts.succeeded(PASSWORD, address, key)
        entry = await self._let_in(request, visitor, user, PASSWORD)
        if user.password is not None and self.passwords.is_outdated(user.password):
            # If others keep all turns taken, the next time.
            with suppress(ApiError):
                await self.users.rehash(user, await self.passwords.hash(typed.password))
        return entry

    async def check_code(self, user: User, code: str) -> None:
        """Check the second factor of a user, if there is one; a code is good once.

        Raises:
            ApiError: 401; of type `code_needed` where none was given.
        """
        if user.totp is None:
            return
        if not code.strip():
            raise ApiError(401, "Enter the code that your authenticator app shows.", kind=CODE_NEEDED)
        if second_factor.is_recovery_code(code):
            digest = second_factor.recovery_digest(code)
            if digest in user.recovery_digests and await self.users.use_recovery(user, digest):
                return
        else:
            secret = self._secret(user.totp)
            step = second_factor.step_of(secret, code, self.users.database.clock(), user.totp_step)
            if step is not None and await self.users.use_step(user.id, step):
                return
        raise ApiError(
            401,
            "That code is wrong, or was used already: each is good once, and for about a minute. Is the clock of "
            "your phone right?",
        )

    async def look_at_link(self, visitor: Visitor, token: str) -> tuple[Link, User | None]:
        """Return what a link is for, and whose it is.

        Raises:
            ApiError: 404 or 429.
        """
        self.attempts.take(_LINK, visitor.address)
        found = await self.links.find(digest_of(token)) if TOKEN.fullmatch(token) else None
        link, user = found if found is not None else (None, None)
        if link is None or (link.user_id is not None and user is None):
            raise ApiError(404, _STALE)
        self.attempts.succeeded(_LINK, visitor.address)
        return link, user

    async def by_link(self, request: web.BaseRequest, visitor: Visitor, token: str, typed: Typed) -> Entry:
        """Use up a link, set the password it is for, and sign its user in.

        Args:
            request: that asks for it.
            visitor: who sent it.
            token: of the link.
            typed: a name where the link leaves the choice, a password where it is for that, and a code where the
                user has a second factor.

        Raises:
            ApiError: 400, 401, 403, 404, 409, 429 or 503.
        """
        self._check_that_sessions_last(request)
        link, user = await self.look_at_link(visitor, token)
        name, hashed = typed.name, None
        if link.purpose is Purpose.SET_PASSWORD:
            if user is not None:
                name = user.name
            else:
                try:
                    name = tidy_name(name)
                except BadNameError as error:
                    raise ApiError(400, str(error)) from None
            check_password(typed.password, name)
            if user is not None and user.totp is not None:
                # Apart from attempts without a link, by which strangers would keep out who has one.
                self.attempts.take(_LINK, visitor.address, name_key(user.name))
                await self.check_code(user, typed.code)
                self.attempts.succeeded(_LINK, visitor.address, name_key(user.name))
            hashed = await self.passwords.hash(typed.password)
        try:
            user = await self.links.redeem(link.digest, name, hashed)
        except NameTakenError:
            raise ApiError(409, "Somebody has that name already; choose another one.") from None
        if user is None:
            raise ApiError(404, _STALE)
        self.keeper.sessions.forget(user_id=user.id)
        entry = await self._let_in(request, visitor, user, _LINK)
        if link.user_id is None:
            await self.audit.note(entry.visitor, user_added(user))
        elif hashed is not None:
            await self.audit.write(entry.visitor, "user.password", user.name)
        return entry

    async def change_password(self, visitor: Visitor, user: User, current: str, new: str) -> None:
        """Give a user another password; all sessions but the visitor's end.

        Raises:
            ApiError: 400, 403, 429 or 503.
        """
        await self._prove(visitor, user, current)
        check_password(new, user.name)
        await self.users.set_password(user.id, await self.passwords.hash(new), visitor.session_id)
        self.keeper.sessions.forget(user_id=user.id)
        await self.audit.write(visitor, "user.password", user.name)

    async def offer_totp(
        self, visitor: Visitor, user: User, password: str, request: web.BaseRequest
    ) -> tuple[str, str]:
        """Begin with a second factor; return its secret and what a QR code holds.

        Raises:
            ApiError: 403, 409, 429 or 503.
        """
        if user.totp is not None:
            raise ApiError(409, "There is a second factor already; remove it first.")
        await self._prove(visitor, user, password)
        secret = second_factor.new_secret()
        await self.users.offer_totp(user.id, self.vault.encrypt(secret.encode()))
        return secret, second_factor.provisioning_uri(secret, user.name, self.keeper.place.authority(request)[0])

    async def confirm_totp(self, visitor: Visitor, user: User, code: str) -> Sequence[str]:
        """Make the second factor that was begun count; return codes that stand in for it.

        Raises:
            ApiError: 400, 409 or 429.
        """
        if user.totp_offered is None:
            raise ApiError(409, "No second factor was begun, or it was confirmed already; begin anew.")
        key = name_key(user.name)
        self.attempts.take(_OWN, visitor.address, key)
        secret = self._secret(user.totp_offered)
        step = second_factor.step_of(secret, code, self.users.database.clock(), 0)
        if step is None:
            raise ApiError(400, "That code is wrong. Is the clock of your phone right?")
        self.attempts.succeeded(_OWN, visitor.address, key)
        codes = second_factor.new_recovery_codes()

        async def note(connection: AsyncConnection) -> None:
            # With it or not at all: the codes are shown once.
            await self.audit.note(visitor, Change("user.totp_add", user.name), within=connection)

        if not await self.users.confirm_totp(user, step, map(second_factor.recovery_digest, codes), note):
            raise ApiError(409, "Another second factor was begun meanwhile; confirm that one.")
        return codes

    async def remove_totp(self, visitor: Visitor, user: User, password: str, code: str) -> None:
        """Do without a second factor.

        Raises:
            ApiError: 403, 409, 429 or 503.
        """
        if user.totp is None:
            raise ApiError(409, "There is no second factor.")
        await self._prove(visitor, user, password)
        key = name_key(user.name)
        self.attempts.take(_OWN, visitor.address, key)
        try:
            await self.check_code(user, code)
        except ApiError:
            raise ApiError(403, "That code is wrong, or was used already; each is good once.") from None
        self.attempts.succeeded(_OWN, visitor.address, key)
        await self.users.remove_totp(user.id)
        await self.audit.write(visitor, "user.totp_remove", user.name)

    async def _prove(self, visitor: Visitor, user: User, password: str) -> None:
        """See that it is the user who sits before the browser.

        Raises:
            ApiError: 403, 429 or 503.
        """
        if user.password is None:
            return
        key = name_key(user.name)
        self.attempts.take(_OWN, visitor.address, key)
        if not await self.passwords.matches(user.password, password):
            await self._refused(visitor, user, PASSWORD)
            raise ApiError(403, "That is not your password.")
        self.attempts.succeeded(_OWN, visitor.address, key)

    def _check_that_sessions_last(self, request: web.BaseRequest) -> None:
        """Refuse where the browser would be signed out at once, before a link is used up for that.

        Raises:
            ApiError: 403.
        """
        place = self.keeper.place
        if place.loses_sessions(request):
            raise ApiError(
                403,
                f"This page came by http, and browsers keep the session for https alone. Open {place.public_url} "
                "instead.",
            )

    async def _let_in(self, request: web.BaseRequest, visitor: Visitor, user: User, how: str) -> Entry:
        keeper = self.keeper
        if visitor.session_id is not None:
            await keeper.sessions.end(visitor.session_id)
        begun = await keeper.sessions.begin(user, visitor.address, request.headers.get("user-agent", ""))
        if begun is None:
            raise ApiError(401, "That user has just been removed, or got another password.")
        session, token = begun
        visitor = Visitor(
            name=user.name,
            role=Role(user.role),
            how=how,
            address=visitor.address,
            user_id=user.id,
            session_id=session.id,
        )
        # However they came: by a link, they are to get on with their password from here.
        self.attempts.know(name_key(user.name), visitor.address)
        await self.audit.write(visitor, BEGUN, user.name)
        return Entry(visitor, keeper.cookie.set(request, token, keeper.seconds))

    def _secret(self, encrypted: bytes) -> str:
        try:
            return self.vault.decrypt(encrypted).decode()
        except VaultError:
            raise ApiError(
                503,
                "The second factor cannot be read: it was encrypted with another secret key of the gateway. Put "
                "that one back, or run `gateway dashboard reset-totp NAME` where the gateway runs.",
            ) from None

    async def _refused(self, visitor: Visitor, user: User | None, what: str) -> None:
        name = user.name if user is not None else ""
        _log.warning("somebody could not sign in", user=name or "(unknown)", wrong=what, address=visitor.address)
        await self.audit.refused(Visitor(how=PASSWORD, address=visitor.address), name)
