"""What the admin API is made of: endpoints that say of themselves what they take and what they give.

From what they say requests are checked (here), the OpenAPI document is written (`openapi`), and the dashboard has
its types. So the three cannot differ.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import msgspec
from aiohttp import web
from attrs import define, field

from gateway.controlplane.access import Access, Visitor
from gateway.wire.errors import SERVER_NAME, ApiError

if TYPE_CHECKING:
    from gateway.controlplane.parts import Parts

__all__ = ["Call", "Endpoint", "Routes", "answer_bytes", "endpoint"]

_MOST_BYTES: Final = 1024 * 1024
"""Of a request's body; the largest is a file of credentials."""
_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")
_SECONDS: Final = 30.0


@define(frozen=True, kw_only=True)
class Call:
    """One request to an endpoint, checked."""

    request: web.BaseRequest
    visitor: Visitor
    params: Mapping[str, str]
    """From the path, decoded."""
    query: Any = None
    """Of the type that the endpoint says."""
    body: Any = None
    """Likewise."""


@define(frozen=True, kw_only=True)
class Endpoint:
    """One method of one path."""

    method: str
    path: str
    """Parameters stand in braces: `/api/v1/accounts/{id}`."""
    handler: Callable[[Parts, Call], Awaitable[Any]]
    """Returns what `answer` says, or a whole response."""
    access: Access
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    answer: Any = None
    """Type of what comes back as JSON; None for nothing."""
    media_type: str = "application/json"
    """Of the answer; with another one the handler makes the response itself."""
    status: int = 200
    seconds: float | None = _SECONDS
    """For an answer; None where it may take any time."""
    check_csrf: bool = True
    """Whether a browser that is signed in has to show that a page of ours sent the request."""

    @property
    def name(self) -> str:
        """Name of the handler, which is the operation's id."""
        return getattr(self.handler, "__name__", "")

    @property
    def words(self) -> tuple[str, str]:
        """Its summary and its description, from the handler's docstring."""
        summary, _, rest = (inspect.getdoc(self.handler) or "").partition("\n\n")
        return " ".join(summary.split()).removesuffix("."), " ".join(rest.split())

    async def read(
        self, request: web.BaseRequest, visitor: Visitor, params: Mapping[str, str], most: int = _MOST_BYTES
    ) -> Call:
        """Check a request.

        Args:
            request: as it came.
            visitor: who sent it.
            params: from the path.
            most: bytes of its body.

        Raises:
            ApiError: it is not what the endpoint takes.
        """
        query = _read_query(request, self.query) if self.query is not None else None
        body = await _read_body(request, self.body, most) if self.body is not None else None
        return Call(request=request, visitor=visitor, params=params, query=query, body=body)

    def respond(self, value: Any) -> web.StreamResponse:
        """Make a response of what the handler returned."""
        if isinstance(value, web.StreamResponse):
            return value
        if self.answer is None:
            return web.Response(status=self.status, headers=_headers())
        return answer_bytes(msgspec.json.encode(value), self.media_type, status=self.status)


def endpoint(
    method: str,
    path: str,
    *,
    access: Access = Access.ADMIN,
    answer: Any = None,
    status: int | None = None,
    **more: Any,
) -> Callable[[Callable[[Parts, Call], Awaitable[Any]]], Endpoint]:
    """Make an endpoint of a handler; `Endpoint` says what the arguments mean.

    Without an answer its status is 204.
    """
    known = status or (204 if answer is None and "media_type" not in more else 200)

    def make(handler: Callable[[Parts, Call], Awaitable[Any]]) -> Endpoint:
        return Endpoint(
            method=method, path=path, handler=handler, access=access, answer=answer, status=known, **more
        )

    return make


def answer_bytes(
    body: bytes, media_type: str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an answer of the control plane; nobody keeps a copy of it."""
    return web.Response(
        status=status, body=body, headers={**_headers(), "content-type": media_type, **(headers or {})}
    )


def _headers() -> dict[str, str]:
    return {"cache-control": "no-store", "server": SERVER_NAME, "x-content-type-options": "nosniff"}


@define(eq=False)
class Routes:
    """Finds the endpoint of a request."""

    endpoints: Iterable[Endpoint]
    _plain: dict[str, dict[str, Endpoint]] = field(factory=dict, init=False)
    _patterns: list[tuple[re.Pattern[str], dict[str, Endpoint]]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        """Lay out the routes."""
        by_path: dict[str, dict[str, Endpoint]] = {}
        for one in self.endpoints:
            by_path.setdefault(one.path, {})[one.method] = one
        for path, methods in by_path.items():
            if "{" not in path:
                self._plain[path] = methods
                continue
            pattern = "".join(
                f"(?P<{part}>[^/]+)" if place % 2 else re.escape(part)
                for place, part in enumerate(_PARAMETER.split(path))
            )
            self._patterns.append((re.compile(pattern), methods))

    def find(self, path: str, method: str) -> tuple[Endpoint, dict[str, str]]:
        """Return the endpoint of a path as it came on the wire, and what stands for its parameters.

        Raises:
            ApiError: 404 or 405.
        """
        methods, found = self._plain.get(path), None
        if methods is None:
            for pattern, those in self._patterns:
                if found := pattern.fullmatch(path):
                    methods = those
                    break
        if methods is None:
            raise ApiError(404, "The admin API has nothing at this path; /api/v1/openapi.json lists what it has.")
        one = methods.get("GET" if method == "HEAD" else method)
        if one is None:
            allowed = ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])
            raise ApiError(405, f"Use {allowed} here.", headers={"allow": allowed})
        params = {name: unquote(value) for name, value in (found.groupdict() if found else {}).items()}
        if any("\0" in value or len(value) > 200 for value in params.values()):  # noqa: PLR2004 - no id is so long
            raise ApiError(404, "There is nothing of that name.")
        return one, params


def _read_query(request: web.BaseRequest, wanted: type[msgspec.Struct]) -> msgspec.Struct:
    given: dict[str, Any] = {}
    fields = {one.encode_name: one for one in msgspec.structs.fields(wanted)}
    for name, value in request.query.items():
        one = fields.get(name)
        if one is None:
            known = ", ".join(fields) or "none"
            raise ApiError(400, f"There is no parameter `{name[:60]}` here. There are: {known}.")
        if "\0" in value:
            raise ApiError(400, f"`{name}` must not have NUL characters in it.")
        if _takes_several(one.type):
            given.setdefault(name, []).append(value)
        elif name in given:
            raise ApiError(400, f"`{name}` is given more than once.")
        else:
            given[name] = value
    try:
        return msgspec.convert(given, wanted, strict=False, str_keys=True)
    except msgspec.ValidationError as error:
        raise ApiError(400, _complaint(error)) from None


def _takes_several(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) in (list, tuple, frozenset)


async def _read_body(request: web.BaseRequest, wanted: type[msgspec.Struct], most: int) -> msgspec.Struct:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ApiError(415, "Send JSON, with content-type: application/json.")
    body = bytearray()
    # The server gives up on who sends slowly; this keeps what it sends in bounds.
    async for part in request.content.iter_any():
        body += part
        if len(body) > most:
            raise ApiError(413, f"The body is larger than {most} bytes.", headers={"connection": "close"})
    try:
        return msgspec.json.decode(body, type=wanted)
    except msgspec.ValidationError as error:
        raise ApiError(400, _complaint(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ApiError(400, "The body is no valid JSON.") from None


def _complaint(error: msgspec.ValidationError) -> str:
    words = str(error)
    return f"{words[:300]}."
