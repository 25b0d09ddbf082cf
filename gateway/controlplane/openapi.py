"""The OpenAPI document of the admin API, written from what its endpoints say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from gateway.controlplane.access import Access
from gateway.controlplane.endpoints import Endpoint

__all__ = ["make_document"]

_REFERENCE: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")
_WORDS: Final = {
    Access.OPEN: "",
    Access.VIEWER: "For everybody who has signed in.",
    Access.ADMIN: "For admins.",
}


class ErrorDetail(msgspec.Struct):
    """What went wrong."""

    type: str
    message: str


class ErrorAnswer(msgspec.Struct):
    """The answer to a request that could not be served, in the form of the Anthropic API's errors."""

    type: str
    error: ErrorDetail
    request_id: str


def make_document(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
    """Return the document, as OpenAPI 3.1.

    Args:
        endpoints: of the API.
        version: of the gateway.
    """
    known = tuple(endpoints)
    types: list[Any] = [ErrorAnswer]
    for one in known:
        types += [kind for kind in (one.body, one.answer) if kind is not None]
        if one.query is not None:
            types += [part.type for part in msgspec.structs.fields(one.query)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    by_type = {_key(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for one in known:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Claude Stream Gateway: admin API",
            "version": version,
            "description": "What the dashboard is made of. Times are Unix seconds, costs are in USD.",
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "GATEWAY_CONTROL_TOKEN"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "gateway_session",
                    "description": "Set by signing in; by https its name begins with `__Host-`, otherwise it ends "
                    "in `_` and the port. Changes take the header `x-csrf-token` too.",
                },
            },
        },
    }


def _operation(one: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    summary, description = one.words
    more = " ".join(part for part in (description, _WORDS[one.access]) if part)
    operation: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.path.removeprefix("/api/v1/").partition("/")[0].partition(".")[0]],
        "summary": summary,
        "parameters": [*_path_parameters(one.path), *_query_parameters(one, schemas)],
        "responses": {str(one.status): _answer(one, schemas), "default": _failure(schemas)},
        "security": [] if one.access is Access.OPEN else [{"token": []}, {"session": []}],
    }
    if more:
        operation["description"] = more
    if one.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[_key(one.body)]}},
        }
    return operation


def _path_parameters(path: str) -> Sequence[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        }
        for name in _PARAMETER.findall(path)
    ]


def _query_parameters(one: Endpoint, schemas: dict[str, Any]) -> Iterable[dict[str, Any]]:
    if one.query is None:
        return
    for part in msgspec.structs.fields(one.query):
        schema = dict(schemas[_key(part.type)])
        if not part.required and part.default is not msgspec.NODEFAULT and part.default is not None:
            schema["default"] = msgspec.to_builtins(part.default)
        parameter = {"name": part.encode_name, "in": "query", "required": part.required, "schema": schema}
        if (words := schema.pop("description", None)) is not None:
            parameter["description"] = words
        yield parameter


def _answer(one: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    words = "As asked for." if one.status != 204 else "Done."  # noqa: PLR2004 - No Content
    if one.answer is None and one.media_type == "application/json":
        return {"description": words}
    schema = schemas[_key(one.answer)] if one.answer is not None else {"type": "string"}
    return {"description": words, "content": {one.media_type: {"schema": schema}}}


def _failure(schemas: dict[str, Any]) -> dict[str, Any]:
    schema = schemas[_key(ErrorAnswer)]
    return {
        "description": "It could not be served; the message says why.",
        "content": {"application/json": {"schema": schema}},
    }


def _key(kind: Any) -> str:
    return repr(kind)
