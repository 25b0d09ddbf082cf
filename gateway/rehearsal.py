"""`python -m gateway.rehearsal`: the score card of a gateway of this build, whose upstream fails on purpose.

Gateway, upstream and client are made for the run, on loopback and in this one process; what they know is gone with
it. Nothing that was asked of the gateway which started it gets here but whether the slow rules are wanted.
"""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
from datetime import UTC, datetime
from typing import Final

from gateway.app import run_gateway
from gateway.canary.client import CannotRunError
from gateway.canary.conformance.bench import Bench, Target
from gateway.canary.conformance.card import ScoreCard
from gateway.canary.conformance.catalogue import FIXTURES, select
from gateway.canary.conformance.run import Finding, Result, check_all, find_gateway
from gateway.canary.conformance.stage import Stage
from gateway.config import OpenAIMode, Settings, Timeouts
from gateway.evidence.messages import ConformanceOrder, Order
from gateway.evidence.voice import Voice, attend
from gateway.replay.server import ReplayUpstream
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database
from gateway.store.secret import load_secret_key
from gateway.telemetry.version import program_version
from gateway.workers import run_event_loop

_MODEL: Final = "claude-sonnet-4-5"
_PREFIX: Final = "/claude"
_START_SECONDS: Final = 20.0
_RECOVERY_SECONDS: Final = 30.0
_DRAIN_SECONDS: Final = 0.5
_LEVELS: Final = {
    Result.PASS: "ok",
    Result.FAIL: "problem",
    Result.NOT_APPLICABLE: "unseen",
    Result.UNCHECKED: "unseen",
}


def _directory() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="gateway-rehearsal-")
    except OSError as error:
        raise CannotRunError(
            f"there is no place for the files of a second gateway ({error.strerror or error}); let the gateway "
            "write to /tmp, or set TMPDIR"
        ) from None


async def _work(order: Order, voice: Voice) -> None:
    if not isinstance(order, ConformanceOrder):
        raise CannotRunError("this is run by gateway.evidence.child")
    rules = select([], quick=order.quick)
    voice.expect(len(rules))
    with _directory() as directory:
        async with ReplayUpstream() as upstream:
            settings = Settings(
                listen="127.0.0.1:0",
                control_listen="off",
                data_dir=directory,
                secret_key=secrets.token_hex(32),
                anthropic_base_url=upstream.url,
                anthropic_api_key="sk-ant-rehearsal",
                openai_mode=OpenAIMode.OFF,
                timeouts=Timeouts(drain_seconds=_DRAIN_SECONDS),
            )
            async with Database.of(settings) as database:
                pepper = load_secret_key(settings.secret_key, settings.data_path)
                _, key = await ClientKeyStore(database).create("rehearsal", pepper)
            async with run_gateway(settings) as gateway:
                stage = Stage(upstream, _MODEL)
                await stage.load(FIXTURES)
                bench = Bench(Target(gateway.url, key, model=_MODEL), stage)
                await find_gateway(bench, (_PREFIX,), wait=_START_SECONDS, tell=lambda _: None)
                findings = await check_all(
                    bench,
                    rules,
                    recovery=_RECOVERY_SECONDS,
                    tell=lambda _: None,
                    done=lambda finding: _tell(voice, finding),
                )
    version = program_version()
    card = ScoreCard(f"claude-stream-gateway {version}", version, datetime.now(UTC), findings)
    voice.done(card.summary, card.as_markdown() + "\n", json.loads(card.as_json()), passed=card.passed)


def _tell(voice: Voice, finding: Finding) -> None:
    rule = finding.rule
    failed = finding.result is Result.FAIL
    voice.check(
        rule.id,
        _LEVELS[finding.result],
        finding.seen if finding.result is not Result.PASS else rule.sentence,
        fix=f"{rule.why} A user would notice: {rule.notice}" if failed else "",
        ms=round(finding.seconds * 1000),
    )


if __name__ == "__main__":
    sys.exit(attend(_work, run_event_loop))
