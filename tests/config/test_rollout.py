"""A gateway is a canary until somebody has approved in writing that it is more, and says which it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import main
from gateway.config import Rollout, SettingsError, load_settings
from gateway.replay.server import ReplayUpstream
from tests.contract.harness import serving
from tests.faults.gateway_process import serving_process

APPROVAL = "J. Doe, 2026-11-23, OPS-1234"


def test_a_gateway_is_a_canary_unless_it_is_said_to_be_more() -> None:
    settings = load_settings(None, {})

    assert settings.rollout is Rollout.CANARY
    assert settings.rollout_approval == ""


@pytest.mark.parametrize("environ", [{}, {"GATEWAY_ROLLOUT_APPROVAL": ""}, {"GATEWAY_ROLLOUT_APPROVAL": " \t"}])
def test_a_promotion_that_nobody_has_approved_in_writing_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {"GATEWAY_ROLLOUT": "promoted", **environ})

    assert "set GATEWAY_ROLLOUT_APPROVAL to who gave it" in str(caught.value)
    assert "docs/anthropic-rollout.md" in str(caught.value)


def test_a_gateway_that_is_promoted_without_approval_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('rollout = "promoted"\n', "utf-8")

    assert main(["serve", "--config", str(file)]) == 1
    assert "takes a written approval" in capsys.readouterr().err


def test_a_promotion_with_its_approval_is_accepted_and_taken_back_by_one_setting(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(f'rollout = "promoted"\nrollout_approval = " {APPROVAL} "\n', "utf-8")

    promoted = load_settings(file, {})
    back = load_settings(file, {"GATEWAY_ROLLOUT": "canary"})

    assert (promoted.rollout, promoted.rollout_approval) == (Rollout.PROMOTED, APPROVAL)
    assert (back.rollout, back.rollout_approval) == (Rollout.CANARY, APPROVAL)


@pytest.mark.parametrize("text", ["two\nlines", "x" * 501, "bell\a"])
def test_an_approval_is_one_line(text: str) -> None:
    with pytest.raises(SettingsError, match="GATEWAY_ROLLOUT_APPROVAL must be one line"):
        load_settings(None, {"GATEWAY_ROLLOUT_APPROVAL": text})


@pytest.mark.parametrize("rollout", list(Rollout))
async def test_readiness_and_the_greeting_say_how_far_the_gateway_has_come(rollout: Rollout) -> None:
    async with serving(rollout=rollout, rollout_approval=APPROVAL) as served:
        ready = await served.ask(target="/readyz", usual=())
        hello = await served.ask(target="/claude", usual=())

    assert ready.json() == {"status": "ready", "rollout": rollout.value}
    assert hello.json() == {"message": "hello", "rollout": rollout.value}


async def test_the_log_says_at_the_start_who_has_approved_a_promotion() -> None:
    approved = {"ROLLOUT": "promoted", "ROLLOUT_APPROVAL": APPROVAL}
    async with ReplayUpstream() as upstream:
        async with serving_process(upstream.url, **approved) as promoted:
            (line,) = promoted.named("gateway is ready")
        async with serving_process(upstream.url) as canary:
            (usual,) = canary.named("gateway is ready")
            warned = [event for event in canary.events if event["level"] == "warning"]

    assert (line["rollout"], line["approval"]) == ("promoted", APPROVAL)
    assert usual["rollout"] == "canary"
    assert "approval" not in usual
    assert warned == []
