"""Whether an account works: one free request, and what its answer means for whoever looks after the account.

The list of models costs nothing at either provider (Anthropic docs, "List Models"; OpenAI API reference, "List
models"), needs a sound credential, and comes from the place that messages go to.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec
from attrs import define, field
from multidict import CIMultiDict

from gateway.accounts.account import Account, AccountKind
from gateway.accounts.credentials import CredentialManager, CredentialUnavailableError
from gateway.accounts.stored import replace_command
from gateway.providers.base import Credential, FaultClass, Provider
from gateway.wire.errors import SERVER_NAME, error_message
from gateway.wire.forbidden import CarefulResolver, ForbiddenAddressError

__all__ = ["Checker", "Finding", "Verdict"]

_PATHS: Final[Mapping[str, str]] = {"anthropic": "/v1/models?limit=1", "openai": "/v1/models"}
_CONNECT_SECONDS: Final = 8.0
_ANSWER_SECONDS: Final = 20.0
_LONGEST_ANSWER: Final = 4 * 1024 * 1024  # lists of models grow
_LONGEST_WORDS: Final = 300
_AT_A_TIME: Final = 8
_MILLISECONDS: Final = 1000
_OK: Final = 200
_FIRST_REDIRECT: Final = 300
_FIRST_ERROR: Final = 400
_FIRST_SERVER_ERROR: Final = 500
_NOT_FOUND: Final = frozenset({404, 405, 410})
_LONG_WORD: Final = re.compile(r"\b(?:sk-|csg_)\S+|[^\s/:]{40,}")
"""What may be a key, whole or with its middle left out."""


class Finding(StrEnum):
    """What a check came to."""

    #: The account works.
    OK = "ok"
    #: The credential is sound; the account's limit is used up for now.
    LIMITED = "limited"
    #: The provider does not take the credential.
    CREDENTIAL_REFUSED = "credential_refused"
    #: There is no credential to send.
    NO_CREDENTIAL = "no_credential"
    #: The provider refuses the account for its bill or for a policy.
    REFUSED = "refused"
    #: No answer came.
    UNREACHABLE = "unreachable"
    #: What answers is no API of the provider.
    WRONG_URL = "wrong_url"
    #: The provider has trouble of its own.
    PROVIDER_TROUBLE = "provider_trouble"


@define(frozen=True)
class Verdict:
    """What a check found."""

    finding: Finding
    message: str
    """One or two sentences: what it is, and what to do. Holds no secret."""
    status: int | None = None
    request_id: str | None = None
    """The provider's, for its support."""
    milliseconds: int | None = None
    secret_version: int = 0
    """Of the credential that was sent."""

    @property
    def is_good(self) -> bool:
        """Whether nobody has to do anything."""
        return self.finding in {Finding.OK, Finding.LIMITED}


@define(eq=False)
class Checker:
    """Checks accounts, a few at a time. To be used as an async context manager."""

    providers: Mapping[str, Provider]
    """By name; each with the base URL of the accounts that have none of their own."""
    credentials: CredentialManager | None = None
    """For `check`; `ask` does without."""
    answer_seconds: float = _ANSWER_SECONDS
    """For one answer, from the first attempt to connect to its last byte."""
    remedy: Callable[[Account], str] | None = None
    """Says how an account gets another credential; by default which command gives it one."""
    _session: aiohttp.ClientSession = field(init=False)
    _turns: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(_AT_A_TIME), init=False)

    async def __aenter__(self) -> Self:
        """Open a session."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=CarefulResolver()),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self._session.close()

    async def check(self, account: Account) -> Verdict:
        """Ask the provider for its models in the name of an account; never raises for what the account lacks."""
        provider = self.providers.get(account.provider)
        if provider is None or self.credentials is None:
            return Verdict(Finding.NO_CREDENTIAL, "This version of the gateway does not know its provider.")
        remedy = (self.remedy or _remedy)(account)
        async with self._turns:
            try:
                credential = await self.credentials.current(account)
                verdict = await self._ask(provider, account, credential, remedy)
                if verdict.finding is Finding.CREDENTIAL_REFUSED and self.credentials.is_renewable(account):
                    renewed = await self.credentials.renew(account, credential)
                    if renewed is not None:
                        verdict = await self._ask(provider, account, renewed, remedy)
            except CredentialUnavailableError as error:
                return Verdict(Finding.NO_CREDENTIAL, error.message)
        return verdict

    async def ask(self, account: Account, credential: Credential) -> Verdict:
        """Ask the provider with a credential that no account has yet; nothing is renewed, and nothing is stored.

        Args:
            account: what it is to be of: says the provider and the base URL.
            credential: to be sent there, and nowhere else.
        """
        provider = self.providers.get(account.provider)
        if provider is None:
            return Verdict(Finding.NO_CREDENTIAL, "This version of the gateway does not know its provider.")
        async with self._turns:
            return await self._ask(provider, account, credential, "copy it again, or make another one there")

    async def _ask(self, provider: Provider, account: Account, credential: Credential, remedy: str) -> Verdict:
        url = (account.base_url or provider.base_url).rstrip("/") + _PATHS[account.provider]
        headers: CIMultiDict[str] = CIMultiDict({"accept": "application/json", "user-agent": SERVER_NAME})
        if account.provider == "anthropic":
            headers["anthropic-version"] = "2023-06-01"
        provider.add_credential(headers, credential)
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with (
                asyncio.timeout(self.answer_seconds),
                self._session.get(url, headers=headers, allow_redirects=False) as response,
            ):
                body = await _read(response)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            return Verdict(Finding.UNREACHABLE, _unreachable(error))
        finding, message = _judge(provider, response, body, remedy)
        return Verdict(
            finding,
            message,
            response.status,
            _identifier(response.headers.get("request-id") or response.headers.get("x-request-id")),
            round((clock() - started) * _MILLISECONDS),
            credential.version,
        )


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read a body as far as it is looked into."""
    parts: list[bytes] = []
    size = 0
    while size <= _LONGEST_ANSWER and (part := await response.content.readany()):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


_TROUBLES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (
        aiohttp.ClientConnectorDNSError,
        "The name of the host cannot be resolved. See the base URL and the name server.",
    ),
    (
        aiohttp.ClientConnectorCertificateError,
        "The host's certificate is not valid. See the base URL, and this machine's clock and authorities.",
    ),
    (aiohttp.ClientSSLError, "There is no TLS to be had there. See the scheme and the port of the base URL."),
    (aiohttp.ClientConnectorError, "The connection is refused. See the base URL, and what is between."),
    (TimeoutError, "No answer came in time. See the base URL, and what is between; or try again."),
    (aiohttp.ClientResponseError, "What answers there does not speak HTTP. See the base URL."),
)
"""What is said of each kind of trouble, the finer kinds first. What an exception says itself may hold the URL."""
_FORBIDDEN: Final = (
    "The name of the host leads to an address by which a machine talks to its cloud or its neighbours, which no "
    "provider has. See the base URL and the name server."
)


def _unreachable(error: BaseException) -> str:
    if isinstance(getattr(error, "os_error", None), ForbiddenAddressError):
        return _FORBIDDEN
    for kind, message in _TROUBLES:
        if isinstance(error, kind):
            return message
    return f"The connection was closed without an answer ({type(error).__name__}). See the base URL, or try again."


def _judge(provider: Provider, response: aiohttp.ClientResponse, body: bytes, remedy: str) -> tuple[Finding, str]:
    status = response.status
    answer = _decode(body)
    if status == _OK and isinstance(answer, dict) and isinstance(answer.get("data"), list):
        return Finding.OK, "It works."
    if (wrong := _wrong_place(response, answer)) is not None:
        return (
            Finding.WRONG_URL,
            f"{wrong} (status {status}). See the base URL, which {provider.name} has to answer.",
        )
    fault = provider.classify(status, response.headers, body)
    message = _MESSAGES[fault].format(status=status, words=_words(body, answer), remedy=remedy)
    return _FINDINGS[fault], message


def _remedy(account: Account) -> str:
    """Say how an account gets another credential."""
    if account.secret is None:
        return "set another GATEWAY_ANTHROPIC_API_KEY, and restart the gateway"
    if account.kind is AccountKind.COMMAND:
        return "see what the account's command prints"
    return f"`{replace_command(account)}` gives the account another one"


def _wrong_place(response: aiohttp.ClientResponse, answer: Any) -> str | None:
    """Say what it is that answers, if it is no API of a provider; its own faults aside."""
    status = response.status
    if status >= _FIRST_SERVER_ERROR:
        return None
    if "html" in response.headers.get("content-type", "").lower():
        return "A web page answers"
    if _FIRST_REDIRECT <= status < _FIRST_ERROR:
        return "What answers there leads to another address"
    if status < _FIRST_ERROR or answer is None:
        return "What answers there is no list of models"
    return "There is no list of models" if status in _NOT_FOUND else None


_FINDINGS: Final[Mapping[FaultClass, Finding]] = {
    FaultClass.TRANSPORT: Finding.UNREACHABLE,
    FaultClass.CREDENTIAL: Finding.CREDENTIAL_REFUSED,
    FaultClass.REQUEST: Finding.REFUSED,
    FaultClass.QUOTA: Finding.LIMITED,
    FaultClass.BILLING: Finding.REFUSED,
    FaultClass.UPSTREAM: Finding.PROVIDER_TROUBLE,
    FaultClass.OVERLOAD: Finding.PROVIDER_TROUBLE,
}
_MESSAGES: Final[Mapping[FaultClass, str]] = {
    FaultClass.TRANSPORT: "The connection failed (status {status}).",
    FaultClass.CREDENTIAL: (
        "The provider does not take the credential (status {status}){words}. See that it was not revoked; "
        "{remedy}."
    ),
    FaultClass.REQUEST: "The provider refuses (status {status}){words}. See what the credential may be used for.",
    FaultClass.QUOTA: "It works, but its limit is used up for now (status {status}){words}.",
    FaultClass.BILLING: (
        "The provider refuses the account for its bill or a policy (status {status}){words}. Settle that with the "
        "provider, then resume the account."
    ),
    FaultClass.UPSTREAM: "The provider has trouble of its own (status {status}){words}. Try again later.",
    FaultClass.OVERLOAD: "The provider has no capacity now (status {status}){words}. Try again later.",
}


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _words(body: bytes, answer: Any) -> str:
    """Return the provider's own words, without anything that may be a key."""
    message = error_message(body)
    if not message and isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        found = answer["error"].get("message")
        message = found if isinstance(found, str) else ""
    line = " ".join("".join(c if c.isprintable() else " " for c in message[:_LONGEST_WORDS]).split())
    line = _LONG_WORD.sub("…", line).rstrip(".")
    return f': "{line}"' if line else ""


def _identifier(text: str | None) -> str | None:
    return text if text and text.isascii() and text.isprintable() and len(text) <= 100 else None  # noqa: PLR2004 - for one line
