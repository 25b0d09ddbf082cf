"""Checks of what a client gets when the upstream fails: they tell the replay upstream how to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from gateway.canary.doctor import Check, Examination, Need, ok, problem, warning
from gateway.canary.doctor_client import Answer
from gateway.canary.findings import Finding, Part
from gateway.replay.fixtures import default_corpus
from sse_fsm import EventKind, Outcome

__all__ = ["CHECKS"]

_CONTRACT: Final = Part.CONTRACT
_RECORDED_ERROR: Final = "400-prompt-too-long"
_OVERLOADED: Final = 529
_UNIFIED: Final = "anthropic-ratelimit-unified-"
_AFTER_CONTENT: Final = 6
"""Events until there is content: message_start, content_block_start, ping, and three deltas."""


async def _error_bytes(examination: Examination) -> Finding:
    """Claude Code knows by the upstream's words what to do about a 400."""
    recorded = await asyncio.to_thread(default_corpus().error, _RECORDED_ERROR)
    answer = await examination.send(f"error:{_RECORDED_ERROR}")
    if answer.status == recorded.status and answer.body == recorded.body:
        return ok("error-bytes", _CONTRACT, "an error of the upstream comes back byte for byte")
    return problem(
        "error-bytes",
        _CONTRACT,
        f"an error of the upstream ({recorded.status}) comes back changed, as {answer.told}",
        "see what rewrites errors: Claude Code knows by the API's own words how to go on",
    )


async def _advice(examination: Examination) -> Sequence[Finding]:
    """Have requests refused with advice; the wait is a second, for which an account of the gateway may rest."""
    kept = await examination.send("status:400;should-retry=true")
    found = [
        ok("x-should-retry", _CONTRACT, "x-should-retry comes back as it is")
        if kept.headers.get("x-should-retry") == "true"
        else problem(
            "x-should-retry",
            _CONTRACT,
            f"x-should-retry: true comes back as {kept.headers.get('x-should-retry', 'nothing')}",
            "let this header through: it decides whether clients try again",
        )
    ]
    refused = await examination.send("status:429;retry-after=1")
    wait = refused.headers.get("retry-after", "")
    if refused.status == HTTPStatus.TOO_MANY_REQUESTS and wait.isdecimal():
        found.append(ok("retry-after", _CONTRACT, "a 429 comes back as one, with retry-after in whole seconds"))
    else:
        found.append(
            problem(
                "retry-after",
                _CONTRACT,
                f"a 429 with retry-after: 1 comes back as {refused.told} with retry-after: {wait or 'nothing'}",
                "let status and header through: Claude Code waits for whole seconds up to 60, and not for dates",
            )
        )
    return found


async def _plan_limits(examination: Examination) -> Finding:
    answer = await examination.send("unified")
    if any(name.lower().startswith(_UNIFIED) for name in answer.headers):
        return ok("plan-limits", _CONTRACT, "the limits of a subscription reach its user")
    return warning(
        "plan-limits",
        _CONTRACT,
        "no anthropic-ratelimit-unified-… header reaches a client, so none can show the limits of its plan",
        "there is nothing to do where several accounts are shared: this gateway then keeps these headers back, "
        "because the limits of an account are not those of a client. Where each client has an account of its own, "
        "let them through",
    )


async def _honest_status(examination: Examination) -> Finding:
    """Let the upstream fail inside its 200 before content, at once and after a moment of silence."""
    faults = (
        "error-event:overloaded_error;event=1",
        "hang:event=1;seconds=0.5|error-event:overloaded_error;event=1",
    )
    answers = await asyncio.gather(*(examination.send(fault, stream=True) for fault in faults))
    if all(answer.status == _OVERLOADED and answer.error is not None for answer in answers):
        return ok("honest-status", _CONTRACT, "overloaded before any content is a 529, which clients try again")
    statuses = " and ".join(str(answer.status) for answer in answers)
    return problem(
        "honest-status",
        _CONTRACT,
        f"overloaded_error as the first event of a 200 comes back as {statuses}, which SDKs do not try again",
        "let the gateway look into streams before it answers, and let its statuses through",
    )


async def _truncation(examination: Examination) -> Finding:
    faults = (f"cut:event={_AFTER_CONTENT}", f"eof:event={_AFTER_CONTENT}")
    answers = await asyncio.gather(*(examination.send(fault, stream=True) for fault in faults))
    if all(map(_says_broken, answers)):
        return ok("truncation", _CONTRACT, "a stream that the upstream cuts ends in one error event")
    return problem(
        "truncation",
        _CONTRACT,
        "a stream that the upstream cuts ends as if it were complete",
        "set GATEWAY_STREAM_MODE=enforce; and see that nothing in front of the gateway ends responses early",
    )


def _says_broken(answer: Answer) -> bool:
    events, verdict = answer.judged()
    return verdict.outcome is Outcome.UPSTREAM_ERROR and events[-1].kind is EventKind.ERROR


async def _nothing_after_stop(examination: Examination) -> Finding:
    answer = await examination.send("after-stop", stream=True)
    _, verdict = answer.judged()
    if verdict.outcome is Outcome.COMPLETE and verdict.violation is None and answer.text.count(b"too late") == 0:
        return ok("after-stop", _CONTRACT, "nothing comes behind message_stop")
    return problem(
        "after-stop",
        _CONTRACT,
        "what the upstream sends behind message_stop reaches the client, and some add it to the message",
        "set GATEWAY_STREAM_MODE=enforce",
    )


async def _pings(examination: Examination) -> Sequence[Finding]:
    """Keep the upstream silent before content and inside a block, until the gateway says something."""
    patience = examination.patience_seconds
    early, late = await asyncio.gather(
        examination.send("hang:event=1", stream=True, seconds=patience, until=_streams_bytes),
        examination.send(
            f"hang:event={_AFTER_CONTENT}",
            stream=True,
            seconds=2 * patience,
            silence=patience,
            until=_has_ping_after_content,
        ),
        return_exceptions=True,
    )
    found = []
    for check, what, answer in (
        ("first-ping", "before any content", early),
        ("pings", "in the middle of a stream", late),
    ):
        if isinstance(answer, Answer) and answer.ended == "left":
            at = answer.pieces[-1].at
            found.append(ok(check, _CONTRACT, f"an upstream silent {what} brings a ping, {at:.1f} s in"))
            continue
        if isinstance(answer, Answer) and answer.status != HTTPStatus.OK:
            instead = f"is answered with {answer.told}"
        elif isinstance(answer, Answer) and answer.ended != "silent":
            instead = "ends the stream"
        else:
            instead = f"leaves the client without a byte for {patience:g} s"
        found.append(
            problem(
                check,
                _CONTRACT,
                f"an upstream silent {what} {instead}",
                "set GATEWAY_TIMEOUTS__COMMIT_DEADLINE_SECONDS and GATEWAY_TIMEOUTS__PING_INTERVAL_SECONDS below "
                "20, and see that nothing in front of the gateway buffers",
            )
        )
    return found


def _streams_bytes(answer: Answer) -> bool:
    # The page of somebody who gave up is no sign that the stream goes on.
    return answer.status == HTTPStatus.OK and bool(answer.pieces)


def _has_ping_after_content(answer: Answer) -> bool:
    before, delta, after = answer.text.rpartition(b"event: content_block_delta")
    del before
    return bool(delta) and b"event: ping" in after


CHECKS: Final = (
    Check("error-bytes", _CONTRACT, Need.OBEDIENT, _error_bytes, "errors come back byte for byte"),
    Check("advice", _CONTRACT, Need.OBEDIENT, _advice, "x-should-retry and retry-after come back", last=True),
    Check("plan-limits", _CONTRACT, Need.OBEDIENT, _plan_limits, "anthropic-ratelimit-unified-… come back"),
    Check("honest-status", _CONTRACT, Need.OBEDIENT, _honest_status, "overloaded before content is a 529"),
    Check("truncation", _CONTRACT, Need.OBEDIENT, _truncation, "a stream that is cut says so"),
    Check("after-stop", _CONTRACT, Need.OBEDIENT, _nothing_after_stop, "nothing comes behind message_stop"),
    Check("pings", _CONTRACT, Need.OBEDIENT, _pings, "silence brings pings within 20 s"),
)
"""In the order in which they are told."""
