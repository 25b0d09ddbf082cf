"""`python -m gateway.canary.health`, by which engines know whether a gateway lives."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml

from gateway.canary.health import problem_of
from tests.contract.harness import serving

COMPOSE: Final = Path(__file__).parents[2] / "docs" / "deploy" / "compose.yaml"
HEALTH: Final = (sys.executable, "-m", "gateway.canary.health")


async def _run(*arguments: str, listen: str, **environ: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *HEALTH, *arguments, env={**environ, "GATEWAY_LISTEN": listen}, stdout=-1, stderr=-1
    )
    async with asyncio.timeout(30):
        _, told = await process.communicate()
    assert process.returncode is not None
    return process.returncode, told.decode()


async def test_a_gateway_that_serves_is_healthy_and_ready() -> None:
    async with serving() as served:
        listen = f"127.0.0.1:{served.gateway.port}"

        assert await _run(listen=listen) == (0, "")
        assert await _run("--ready", listen=listen) == (0, "")


async def test_a_gateway_whose_secrets_are_in_a_file_is_healthy_with_the_variables_of_docs_deploy() -> None:
    # Opening the control plane takes a token, and that is in the file.
    variables = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]["gateway"]["environment"]
    assert "GATEWAY_CONTROL_LISTEN" in variables
    async with serving() as served:
        listen = f"127.0.0.1:{served.gateway.port}"
        assert await _run(listen=listen, HOME="/nowhere", **variables) == (0, "")


async def test_a_gateway_without_an_account_lives_but_is_not_ready() -> None:
    async with serving(anthropic_api_key="") as served:
        listen = f"127.0.0.1:{served.gateway.port}"

        assert await _run(listen=listen) == (0, "")
        assert await _run("--ready", listen=listen) == (1, f"{listen}/readyz answers 503\n")


async def test_one_that_listens_on_all_interfaces_is_asked_on_this_one() -> None:
    async with serving(listen="0.0.0.0:0") as served:
        problem = await asyncio.to_thread(problem_of, environ={"GATEWAY_LISTEN": f":{served.gateway.port}"})

    assert not problem


@pytest.mark.parametrize(
    ("listen", "said"),
    [("127.0.0.1:1", "nothing answers at 127.0.0.1:1"), ("nowhere", "GATEWAY_LISTEN must be HOST:PORT")],
)
def test_what_is_wrong_is_said_in_a_sentence(listen: str, said: str) -> None:
    assert said in problem_of(environ={"GATEWAY_LISTEN": listen})
