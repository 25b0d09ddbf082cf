"""`/api/v1/canary`: evidence on whether this gateway serves what clients rely on, run from the dashboard."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from gateway.controlplane.access import Access
from gateway.controlplane.canary_runs import RunView
from gateway.controlplane.canary_tools import CheckView, NewRun, ToolView
from gateway.controlplane.endpoints import Call, answer_bytes, endpoint
from gateway.controlplane.parts import Parts
from gateway.wire.errors import ApiError

__all__ = ["ENDPOINTS"]


class CanaryView(msgspec.Struct, kw_only=True):
    """How far the gateway has come, and the tools that show whether it is fit for more."""

    rollout: str
    """`canary` or `promoted`."""
    rollout_approval: str
    """Who approved the promotion, when and where it is written; empty for a canary."""
    version: str
    tools: list[ToolView]


class RunList(msgspec.Struct, kw_only=True):
    """The last runs, the newest first; a restart forgets them."""

    runs: list[RunView]


class RunDetail(msgspec.Struct, kw_only=True):
    """A run with what it has found so far."""

    run: RunView
    checks: list[CheckView]
    has_markdown: bool
    """Whether there is a report to read; so it is when the run has come to a result."""
    report: dict[str, Any] | None
    """The same for programs, as the tool's command prints it; None without a result, or if it is too large."""


@endpoint("GET", "/api/v1/canary", access=Access.VIEWER, answer=CanaryView)
async def get_canary(parts: Parts, _call: Call) -> CanaryView:
    """Say how far the gateway has come, and what each tool sends if it is run."""
    settings = parts.settings
    return CanaryView(
        rollout=settings.rollout.value,
        rollout_approval=settings.rollout_approval,
        version=parts.version,
        tools=list(parts.canary.tools.describe()),
    )


@endpoint("GET", "/api/v1/canary/runs", access=Access.VIEWER, answer=RunList)
async def list_canary_runs(parts: Parts, _call: Call) -> RunList:
    """List the last 20 runs.

    They are in memory: a gateway that is started again knows none.
    """
    return RunList(runs=[run.view() for run in parts.canary.all()])


@endpoint("POST", "/api/v1/canary/runs", access=Access.ADMIN, body=NewRun, answer=RunView, status=201)
async def start_canary_run(parts: Parts, call: Call) -> RunView:
    """Run a tool.

    One of a kind at a time, and two in all. What asks this gateway gets a client key of its own, which is revoked
    at the end. How far it is comes by the live feed's topic `job`.
    """
    return (await parts.canary.start(call.body, call.visitor)).view()


@endpoint("GET", "/api/v1/canary/runs/{id}", access=Access.VIEWER, answer=RunDetail)
async def get_canary_run(parts: Parts, call: Call) -> RunDetail:
    """Show a run with what it has found so far, and at its end the report."""
    run = parts.canary.find(call.params["id"])
    verdict = run.verdict
    return RunDetail(
        run=run.view(),
        checks=run.checks,
        has_markdown=verdict is not None,
        report=verdict.report if verdict is not None else None,
    )


@endpoint("GET", "/api/v1/canary/runs/{id}/report.md", access=Access.VIEWER, media_type="text/markdown")
async def get_canary_report(parts: Parts, call: Call) -> web.Response:
    """Give the report of a run as Markdown, as the tool's command prints it."""
    run = parts.canary.find(call.params["id"])
    if run.verdict is None:
        raise ApiError(409, "This run has come to no result, so that there is no report.")
    disposition = f'attachment; filename="{run.kind}-{run.id}.md"'
    return answer_bytes(
        run.verdict.markdown.encode(errors="replace"),
        "text/markdown; charset=utf-8",
        headers={"content-disposition": disposition},
    )


@endpoint("DELETE", "/api/v1/canary/runs/{id}", access=Access.ADMIN)
async def cancel_canary_run(parts: Parts, call: Call) -> None:
    """End a run that goes on."""
    await parts.canary.cancel(parts.canary.find(call.params["id"]), call.visitor)


ENDPOINTS: Final = (
    get_canary,
    list_canary_runs,
    start_canary_run,
    get_canary_run,
    get_canary_report,
    cancel_canary_run,
)
