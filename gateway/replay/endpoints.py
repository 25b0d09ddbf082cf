"""The API's paths: who may ask, what is checked, and what is answered."""

import asyncio
from typing import Any, Literal
from urllib.parse import parse_qsl

import attrs
import msgspec
from aiohttp import web

from gateway.replay import models, validation
from gateway.replay.delivery import Answer
from gateway.replay.errors import ApiError, named
from gateway.replay.events import split_events
from gateway.replay.fixtures import Corpus, ErrorFixture, UnknownFixtureError
from gateway.replay.headers import identity, rate_limits, unified_limits
from gateway.replay.journal import ReceivedRequest
from gateway.replay.tokens import ACCESS_PREFIX, GrantError, TokenAuthority
from gateway.replay.tool_loop import Wishes, compose

_OAUTH_BETA = "oauth-2025-04-20"
_FIXTURE_MODEL = "replay-"
_BYTES_PER_TOKEN = 4


@attrs.define
class Endpoints:
    """Answers requests as the API would; knows nothing of faults and of the wire."""

    tokens: TokenAuthority
    corpus: Corpus
    api_keys: set[str] | None
    stream: bytes | None = None
    """Played wherever no fixture is asked for."""

    async def answer(self, request: web.BaseRequest, record: ReceivedRequest) -> Answer:
        """Return the answer to a request; raises ``ApiError`` for what the API refuses."""
        path = request.path
        match request.method, path:
            case ("HEAD" | "GET", "/api/hello"):
                return json_answer({"message": "hello"}, record)
            case "POST", "/v1/oauth/token":
                return self._grant(request, record)
        if not path.startswith("/v1/"):
            raise ApiError(404, "Not found")
        oauth = self._authenticate(request)
        version = validation.check_version(request.headers)
        match request.method, path:
            case "POST", "/v1/messages":
                return await self._messages(request, record, version, oauth=oauth)
            case "POST", "/v1/messages/count_tokens":
                body = validation.decode_body(record.body, request.headers.get("content-encoding"))
                validation.check_message(body, version, counting=True)
                record.model = body["model"]
                return json_answer({"input_tokens": _count(record.body)}, record)
            case "GET", "/v1/models":
                return json_answer(models.list_models(request.query), record)
            case "GET", _ if path.startswith("/v1/models/"):
                return json_answer(models.find_model(path.removeprefix("/v1/models/")), record)
            case _, "/v1/messages" | "/v1/messages/count_tokens" | "/v1/models" | "/v1/oauth/token":
                raise ApiError(405, "Method Not Allowed")
        raise ApiError(404, "Not found")

    def _authenticate(self, request: web.BaseRequest) -> bool:
        """Judge the credential; return whether it is an OAuth token. ``x-api-key`` wins over a bearer."""
        key = request.headers.get("x-api-key")
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if key is None and scheme.lower() != "bearer":
            raise named("missing_key")
        secret = (bearer if key is None else key).strip()
        known = self.api_keys is None or secret in self.api_keys
        if key is not None or not secret.startswith(ACCESS_PREFIX):
            if not secret or not known:
                raise named("invalid_bearer" if key is None else "invalid_key")
            return False
        if not any(_OAUTH_BETA in betas for betas in request.headers.getall("anthropic-beta", [])):
            raise named("oauth_beta_missing")
        match self.tokens.standing(secret):
            case "expired":
                raise named("oauth_expired")
            case "revoked":
                raise named("oauth_revoked")
            case "unknown" if not known:
                raise named("invalid_bearer")
        return True

    async def _messages(
        self, request: web.BaseRequest, record: ReceivedRequest, version: str, *, oauth: bool
    ) -> Answer:
        body = validation.decode_body(record.body, request.headers.get("content-encoding"))
        if isinstance(body.get("model"), str):
            record.model = body["model"]
        validation.check_message(body, version)
        streamed = body.get("stream", False)
        headers = [*identity(record.request_id), *(unified_limits() if oauth else rate_limits())]
        if streamed:
            headers.append(("Content-Type", "text/event-stream; charset=utf-8"))
            headers.append(("Cache-Control", "no-cache"))
        else:
            headers.append(("Content-Type", "application/json"))
        model = body["model"]
        fixture = request.headers.get("x-replay-stream") or (
            model.removeprefix(_FIXTURE_MODEL) if model.startswith(_FIXTURE_MODEL) else None
        )
        if fixture is not None:
            content = await self._fixture("stream" if streamed else "message", fixture)
            return Answer(200, headers, list(split_events(content)) if streamed else [content], streamed)
        if streamed and self.stream is not None:
            return Answer(200, headers, list(split_events(self.stream)), streamed)
        reply = compose(body, _count(record.body), _wishes(request))
        return Answer(200, headers, reply.as_events() if streamed else [reply.as_json()], streamed)

    async def _fixture(self, kind: Literal["stream", "message"], name: str) -> bytes:
        kept = self.corpus.kept(kind, name)
        if kept is not None:
            return kept
        try:
            return await asyncio.to_thread(self.corpus.read, kind, name)
        except UnknownFixtureError as error:
            raise ApiError(404, f"replay: {error}") from None

    def _grant(self, request: web.BaseRequest, record: ReceivedRequest) -> Answer:
        try:
            pair = self.tokens.grant(_form(request, record.body))
        except GrantError as error:
            refusal = {"error": error.code, "error_description": error.description}
            return json_answer(refusal, record, status=400)
        return json_answer(pair.as_json(), record)


def json_answer(value: Any, record: ReceivedRequest, status: int = 200) -> Answer:
    """Return a JSON answer with the headers that every answer carries."""
    headers = [*identity(record.request_id), ("Content-Type", "application/json")]
    return Answer(status, headers, [msgspec.json.encode(value)])


def error_answer(error: ApiError | ErrorFixture, request_id: str) -> Answer:
    """Return an error as an answer; a recorded one keeps its body and its headers."""
    body = error.body(request_id) if isinstance(error, ApiError) else error.body
    given = {name.lower() for name, _ in error.headers}
    usual = [*identity(request_id), ("Content-Type", "application/json")]
    headers = [pair for pair in usual if pair[0].lower() not in given]
    return Answer(error.status, [*headers, *error.headers], [body])


def whole_number(request: web.BaseRequest, header: str) -> int | None:
    """Return a request header as a number, ``None`` without it; raises ``ApiError`` (400)."""
    text = request.headers.get(header)
    if text is None:
        return None
    if not text.isdecimal():
        raise ApiError(400, f"{header}: a whole number is needed, not {text!r}")
    return int(text)


def _wishes(request: web.BaseRequest) -> Wishes:
    return Wishes(
        tokens=whole_number(request, "x-replay-tokens"),
        delta_bytes=whole_number(request, "x-replay-delta-bytes"),
        tool=request.headers.get("x-replay-tool"),
    )


def _count(body: bytes) -> int:
    return max(1, len(body) // _BYTES_PER_TOKEN)


def _form(request: web.BaseRequest, body: bytes) -> dict[str, str]:
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode("utf-8", "replace")))
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    if not isinstance(value, dict):
        return {}
    return {name: text for name, text in value.items() if isinstance(text, str)}
