"""The admin API is what its OpenAPI document says, for requests that are as they should be and for all others."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import schemathesis
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events

from gateway.controlplane.access import Role
from gateway.controlplane.api import ENDPOINTS
from gateway.controlplane.openapi import make_document
from gateway.store.users import UserStore
from tests.controlplane.api_client import ApiClient
from tests.dashboard.site import TOKEN, gateway_site
from tests.replay.raw_client import LIMIT

DOCUMENT: Final = make_document(ENDPOINTS, "0")
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
LEFT_OUT: Final = (
    # It never ends; tests of the live feed read it.
    {"include-path": "/api/v1/live", "enabled": False},
    # Each starts a program; tests of the canary page do.
    {"include-name": "POST /api/v1/canary/runs", "enabled": False},
    # Its events are what it says: not JSON of one kind.
    {
        "include-path": "/api/v1/requests/{id}/skeleton.sse",
        "checks": {"response_schema_conformance": {"enabled": False}},
    },
    # They take what /api/v1/requests and /api/v1/usage take, where every bound is tried.
    *(
        {"include-path": path, "phases": {"coverage": {"enabled": False}}}
        for path in ("/api/v1/requests/count", "/api/v1/requests.csv", "/api/v1/usage.csv")
    ),
)
EXAMPLES: Final = 100 if os.environ.get("HYPOTHESIS_PROFILE") == "property" else 3


@contextmanager
def serving_elsewhere() -> Generator[str]:
    """Run a gateway on a loop in a thread, for a client that blocks; give its control plane's URL."""
    started, urls, failures = threading.Event(), list[str](), list[BaseException]()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with gateway_site() as site:
            await UserStore(site.database).add("Vera", Role.VIEWER)
            urls.append(site.url)
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            failures.append(error)
        finally:
            started.set()
            loop.close()

    thread = threading.Thread(target=run, name="gateway")
    thread.start()
    try:
        assert started.wait(LIMIT)
        if urls:
            yield urls[0]
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join()
    assert not failures, failures


def complaints(finished: events.ScenarioFinished) -> Iterator[str]:
    """Yield what is wrong, with the request that shows it."""
    for case_id, checks in finished.recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                command = finished.recorder.cases[case_id].value.as_curl_command()
                failure = check.failure_info.failure
                yield f"{finished.label}: {failure.title}\n{failure.message[:1000]}\n{command[:1000]}"


@pytest.mark.timeout(600)
def test_every_answer_is_as_described_and_nothing_that_is_not_described_is_taken() -> None:
    with serving_elsewhere() as url:
        config = SchemathesisConfig.from_dict(
            {
                "base-url": url,
                "headers": {"authorization": f"Bearer {TOKEN}"},
                "seed": 1,
                "continue-on-failure": True,
                "request-timeout": LIMIT,
                "cache": {"enabled": False},
                "generation": {
                    "mode": "all",
                    "max-examples": EXAMPLES,
                    "deterministic": True,
                    "no-shrink": True,
                    "database": "none",
                },
                "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
                "phases": {
                    "examples": {"enabled": False},
                    "stateful": {"enabled": False},
                    # Other methods are refused before anything of an operation is looked at.
                    "coverage": {"unexpected-methods": []},
                },
                "operations": list(LEFT_OUT),
            }
        )
        schema = schemathesis.openapi.from_dict(DOCUMENT, config=config)
        found: dict[str, None] = {}
        answered: Counter[str] = Counter()
        for event in engine.from_schema(schema).execute():
            assert not isinstance(event, events.FatalError), event.exception
            if isinstance(event, events.NonFatalError):
                found[f"{event.label}: {event.value}"] = None
            elif isinstance(event, events.ScenarioFinished):
                found.update(dict.fromkeys(complaints(event)))
                answered[str(event.label)] += len(event.recorder.interactions)
    assert not found, "\n\n".join(found)
    left_out = sum(not one.get("enabled", True) for one in LEFT_OUT)
    assert len([label for label in answered if " /api/" in label]) == len(ENDPOINTS) - left_out
    assert min(answered.values()) > 0


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path.replace("{id}", "acc_team").replace("{code}", "x"), operation


async def test_who_has_not_signed_in_is_told_nothing_but_what_is_everybodys() -> None:
    async with gateway_site(traffic=False) as site:
        client = ApiClient(site.url)
        for method, path, operation in operations():
            answer = await client.ask(method, path, {} if "requestBody" in operation else None)
            if operation["security"]:
                assert answer.status == 401, (method, path, answer.body)
            else:
                assert "session" in path or path.endswith("openapi.json"), path


async def test_who_may_only_look_changes_nothing() -> None:
    async with gateway_site(traffic=False) as site:
        client = ApiClient(site.url)
        token = await site.sign_in_token(Role.VIEWER)
        answer = await client.ask("POST", "/api/v1/session/link", {"token": token})
        headers = {
            "cookie": answer.headers["set-cookie"].partition(";")[0],
            "origin": site.url,
            "x-csrf-token": answer.json["csrf_token"],
        }
        for method, path, operation in operations():
            if "For admins." not in operation.get("description", ""):
                # What a viewer changes is the viewer's own.
                assert method == "GET" or "/session" in path, (method, path)
                continue
            refused = await client.ask(method, path, {} if "requestBody" in operation else None, headers=headers)
            assert refused.status == 403, (method, path, refused.body)
