"""Runs clients through every scenario, straight at the upstream and behind the gateway.

`python -m tests.e2e.matrix` writes what it observes to `docs/clients.md`.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Final

import structlog

from gateway.replay.answers import ANSWER
from gateway.replay.server import ReplayUpstream
from tests.e2e import claude_code
from tests.e2e.scenarios import KNOWN_WORSE, SCENARIOS, Observation, Outcome, Pair, Scenario
from tests.e2e.stage import Place, behind_gateway, direct
from tests.sdk_parity.installs import SDKS, Sdk, find_program, python_sdk, typescript_sdks

Stage = Callable[[ReplayUpstream], AbstractAsyncContextManager[Place]]

__all__ = ["CASES", "CLIENTS", "DOCUMENT", "documented", "observe"]

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "clients.md"
_HERE: Final = Path(__file__).parent
_CLAUDE: Final = "claude-code"
_AT_ONCE: Final = 2 * (os.cpu_count() or 1)
_NOT_ASKED: Final = "(always streams)"
_SDK_SECONDS: Final = 120
_KEPT_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")


def _concerns(client: str, scenario: Scenario) -> bool:
    return scenario.streamed or client != _CLAUDE


CLIENTS: Final = (_CLAUDE, *SDKS)
"""Names of the clients: Claude Code, and both official SDKs in two versions each."""
CASES: Final = [
    (client, scenario.name) for scenario in SCENARIOS.values() for client in CLIENTS if _concerns(client, scenario)
]
"""Every client with every scenario that concerns it."""


def observe(client: str, scenarios: Sequence[Scenario]) -> dict[str, Pair]:
    """Return how a client fares in each scenario, by the scenario's name.

    Raises:
        Unavailable: the client cannot be installed on this machine.
    """
    if client == _CLAUDE:
        claude = claude_code.install()
        return asyncio.run(_observe_claude_code(claude, scenarios))
    command, environ = _sdk_command(SDKS[client])
    return asyncio.run(_observe_sdk(command, environ, scenarios))


async def _observe_claude_code(claude: claude_code.ClaudeCode, scenarios: Sequence[Scenario]) -> dict[str, Pair]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def run(scenario: Scenario, stage: Stage) -> Observation:
        async with gate, stage(scenario.upstream()) as place:
            finished = await claude.run("-p", "hello", environ=claude_code.pointed_at(place))
            text = finished.output.strip()
            outcome = _outcome(text == ANSWER) if finished.status == 0 else Outcome.ERROR
            return Observation(outcome, len(place.asked), text or finished.errors)

    async with asyncio.TaskGroup() as tasks:
        running = {
            scenario.name: [tasks.create_task(run(scenario, stage)) for stage in (direct, behind_gateway)]
            for scenario in scenarios
        }
    return {name: Pair(*(task.result() for task in pair)) for name, pair in running.items()}


def _sdk_command(sdk: Sdk) -> tuple[list[str], dict[str, str]]:
    if sdk.language == "typescript":
        return [find_program("node"), str(_HERE / "ask_typescript.cjs"), str(typescript_sdks()), sdk.package], {}
    environ = {} if sdk.is_importable else {"PYTHONPATH": str(python_sdk(sdk))}
    return [sys.executable, "-W", "ignore", str(_HERE / "ask_python.py")], environ


async def _observe_sdk(
    command: list[str], environ: Mapping[str, str], scenarios: Sequence[Scenario]
) -> dict[str, Pair]:
    async with AsyncExitStack() as stack:
        places: list[Place] = []
        wanted: list[dict[str, object]] = []
        for scenario in scenarios:
            for stage in (direct, behind_gateway):
                place = await stack.enter_async_context(stage(scenario.upstream()))
                places.append(place)
                wanted.append({"base_url": place.base_url, "key": place.key, "streamed": scenario.streamed})
        kept = {name: value for name in _KEPT_ENVIRONMENT if (value := os.environ.get(name)) is not None}
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=kept | dict(environ),
        )
        try:
            async with asyncio.timeout(_SDK_SECONDS):
                output, _ = await process.communicate(json.dumps(wanted).encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        seen = [_sdk_observation(place, result) for place, result in zip(places, json.loads(output), strict=True)]
    return {
        scenario.name: Pair(straight, behind)
        for scenario, straight, behind in zip(scenarios, seen[::2], seen[1::2], strict=True)
    }


def _sdk_observation(place: Place, result: Mapping[str, str | None]) -> Observation:
    if "error" in result:
        return Observation(Outcome.ERROR, len(place.asked), result["error"] or "")
    whole = result["text"] == ANSWER and result["stop_reason"] == "end_turn"
    return Observation(_outcome(whole), len(place.asked), result["text"] or "")


def _outcome(whole: bool) -> Outcome:  # noqa: FBT001 - the only thing there is to say
    return Outcome.ANSWER if whole else Outcome.WRONG


def _cell(pair: Pair) -> str:
    return str(pair).replace(str(pair.behind), f"**{pair.behind}**") if pair.is_better else str(pair)


def documented() -> dict[tuple[str, str], str]:
    """Return the cells of the document's table, by client and scenario."""
    rows = [
        [cell.strip().replace("*", "") for cell in line.strip("|").split("|")]
        for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    heads, *body = rows
    return {
        (client, row[0]): cell
        for row in body
        for client, cell in zip(heads[1:], row[1:], strict=True)
        if cell != _NOT_ASKED
    }


def _table(observed: Mapping[str, Mapping[str, Pair]]) -> Iterable[str]:
    yield f"| the upstream | {' | '.join(observed)} |"
    yield f"|---{'|---' * len(observed)}|"
    for name in SCENARIOS:
        cells = (_cell(pairs[name]) if name in pairs else _NOT_ASKED for pairs in observed.values())
        yield f"| {name} | {' | '.join(cells)} |"


def _document(observed: Mapping[str, Mapping[str, Pair]]) -> str:
    worse = [
        f"- {known.scenario} ({', '.join(filter(re.compile(known.clients).fullmatch, CLIENTS))}): {known.reason}."
        for known in KNOWN_WORSE
    ]
    versions = f"Claude Code {claude_code.install().version} on {platform.system()} {platform.machine()}"
    return f"""# How real clients fare

What each client makes of trouble upstream, straight at the upstream and behind the gateway. A cell holds how the
run ended for its user and the number of requests that reached the upstream; `straight → behind` where they
differ, bold where the gateway does better.

- *answer*: the whole answer, and the client says so.
- *error*: the client says that something went wrong.
- *wrong*: an incomplete or altered answer that the client passes off as the whole one.

Answers are streamed except where the row says otherwise.

Versions: {versions}; the official SDKs in the versions that their
columns name. Retries: Claude Code 3 (`CLAUDE_CODE_MAX_RETRIES`, default 10), SDKs 2 (their default). The upstream
is the one of `gateway replay`. `python -m tests.e2e.matrix` repeats it all and writes this file; `make e2e` checks
that it still holds.

{chr(10).join(_table(observed))}

## Where the gateway does worse, and means to

{chr(10).join(worse)}
"""


def main() -> None:
    """Observe every client in every scenario and write the document."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    observed = {
        client: observe(client, [SCENARIOS[name] for one, name in CASES if one == client]) for client in CLIENTS
    }
    DOCUMENT.write_text(_document(observed), encoding="utf-8")


if __name__ == "__main__":
    main()
