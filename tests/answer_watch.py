"""A pytest plug-in: a test fails if any answer of a control plane in its process has a secret in it.

It looks at what the control plane answers, whoever asks: tests of the API, and the browsers of tests of the
dashboard. Secrets are what has their form, and what a test says is one.
"""

from __future__ import annotations

import base64
import re
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import pytest
from aiohttp import web

from gateway.controlplane.server import ControlPlane

__all__ = ["keep", "keeping", "search"]

_FORMS: Final = re.compile(rb"sk-ant-[\w-]{16,}|csg_[\w-]{20,}|(?i:bearer) [\w.-]{16,}")
"""Upstream keys, whole client keys (their first ten characters may be shown), credentials in their header."""
_GIVEN: Final = re.compile(r"/api/v1/keys(?:/[^/]+/[a-z]+)?")
"""Where a key of a client is shown, once: when it is made."""
_SHORTEST: Final = 12

_secrets: set[bytes] = set()
_findings: deque[str] = deque(maxlen=100)
_asked: ContextVar[web.BaseRequest | None] = ContextVar("asked", default=None)


def keep(*values: str) -> None:
    """Say that no answer may have these in it, nor their usual spellings."""
    for value in values:
        if len(value) >= _SHORTEST:
            data = value.encode()
            _secrets.update({data, data.hex().encode(), base64.b64encode(data).rstrip(b"=")})


@contextmanager
def keeping(*values: str) -> Generator[list[str]]:
    """Do so for as long as the context lasts; give what was found, which fails no test."""
    found: list[str] = []
    before = set(_secrets)
    keep(*values)
    try:
        yield found
    finally:
        _secrets.intersection_update(before)
        found.extend(_findings)
        _findings.clear()


def search(body: bytes) -> Iterator[str]:
    """Yield the beginnings of what must not be in an answer."""
    for found in _FORMS.findall(body):
        yield f"{found[:9].decode()}…"
    for secret in _secrets:
        if secret in body:
            yield f"{secret[:6].decode()}…"


def _look(body: bytes, where: str) -> None:
    """Look at a part of an answer; what is found is told when the test is over."""
    _findings.extend(f"{where}: {found}" for found in search(body))


def pytest_configure() -> None:
    """Look over the shoulder of every control plane."""
    handle, write = ControlPlane.handle, web.StreamResponse.write

    async def watched(self: ControlPlane, request: web.BaseRequest) -> web.StreamResponse:
        token = _asked.set(request)
        try:
            response = await handle(self, request)
        finally:
            _asked.reset(token)
        _look_at(request, response)
        return response

    async def written(self: web.StreamResponse, data: Any) -> None:
        if (request := _asked.get()) is not None:
            _look(bytes(data), f"{request.method} {request.rel_url.raw_path}")
        await write(self, data)

    ControlPlane.handle = watched
    web.StreamResponse.write = written


def _look_at(request: web.BaseRequest, response: web.StreamResponse) -> None:
    path = request.rel_url.raw_path
    where = f"{request.method} {path}"
    for name, value in response.headers.items():
        if name.lower() != "set-cookie":
            _look(value.encode(errors="replace"), f"{where}, header {name}")
    body = response.body if isinstance(response, web.Response) else None
    shows_a_new_key = request.method == "POST" and _GIVEN.fullmatch(path)
    if isinstance(body, bytes | bytearray) and "content-encoding" not in response.headers and not shows_a_new_key:
        _look(bytes(body), where)


def pytest_runtest_setup() -> None:
    """Begin a test with nothing found."""
    _findings.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is over if an answer had a secret in it."""
    report = yield
    if _findings and call.when in {"call", "teardown"} and report.passed:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: secrets in answers of the control plane:\n" + "\n".join(set(_findings))
        _findings.clear()
    return report
