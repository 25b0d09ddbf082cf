"""Examines a running gateway by the contract that Claude Code and the SDKs rely on.

Each check is a coroutine of its own and says what it needs: any upstream at all, one that does as it is told (the
replay upstream), or one that can also be asked what it got. What cannot be had is reported as not seen.

Source of the rules: Anthropic docs, "LLM gateway" and "LLM gateway protocol".
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final

import msgspec
from attrs import define, field

from gateway.canary.doctor_client import Answer, NoAnswerError, Target, open_session
from gateway.canary.findings import Finding, Level, Part
from gateway.canary.replay_control import Arrival, ReplayControl, ReplayControlError
from gateway.wire.errors import SERVER_NAME, error_message

__all__ = [
    "Check",
    "Examination",
    "Need",
    "UnexaminableError",
    "examine",
    "ok",
    "problem",
    "unseen",
    "warning",
]

PROBE: Final = "x-doctor-probe"
FAULT: Final = "x-replay-fault"
LONGEST_SILENCE: Final = 20.0
"""Seconds without a byte after which Claude Code tells its user that it is waiting."""
_PREFIX: Final = "/claude"
"""Below which a gateway of ours has the API; who gives its root means this."""
_ARRIVAL_SECONDS: Final = 2.0
_FIRST_SECONDS: Final = 15.0
_USUAL_LIMIT_SECONDS: Final = 65.0
"""Reverse proxies and load balancers give up after 60 seconds, unless they are told otherwise."""
_FALLBACK_MODEL: Final = "claude-haiku-5-5"


class UnexaminableError(Exception):
    """The gateway cannot be examined; the message says why."""

    def __init__(self, message: str, fix: str) -> None:
        """Make one.

        Args:
            message: what is in the way.
            fix: what to do about it.
        """
        super().__init__(message)
        self.fix = fix


class Need(Enum):
    """What a check needs behind the gateway."""

    ANY = auto()
    #: An upstream that fails as it is told to by a header.
    OBEDIENT = auto()
    #: One that can be asked what it got.
    WATCHED = auto()


@define(frozen=True)
class Check:
    """One thing to look at."""

    name: str
    part: Part
    need: Need
    look: Callable[[Examination], Awaitable[Sequence[Finding] | Finding]]
    rule: str
    """What should hold, for people who cannot have it looked at."""
    last: bool = False
    """Whether the others are to be over first: it may have an account of the gateway rest."""


@define
class Examination:
    """What the checks of one run share."""

    target: Target
    model: str
    obeys: bool = False
    """Whether the upstream fails as it is told to."""
    control: ReplayControl | None = None
    """Of the upstream that can be asked what it got."""
    silence_seconds: float = 0.0
    """For how long an answer that is no stream keeps silent; 0 to leave it."""
    patience_seconds: float = LONGEST_SILENCE
    """For how long a client waits for a byte of a stream."""
    in_front: str | None = None
    """Who stands between, where that can be seen."""
    clock_apart: float | None = None
    """Seconds between the clocks of this machine and of what answers, as far as can be said."""
    answers: list[Answer] = field(factory=list)
    """All that came, for what can be said of any of them."""

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Ask the gateway; see `Target.ask`."""
        answer = await self.target.ask(method, path, **options)
        self.answers.append(answer)
        return answer

    def message(self, **changes: Any) -> dict[str, Any]:
        """Return a small request; one that costs little where the upstream is the real one."""
        usual = {
            "model": self.model,
            "max_tokens": 64,
            "messages": [{"role": "user", "content": "Count from one to twelve, in words."}],
        }
        return usual | changes

    async def send(self, fault: str = "", *, stream: bool = False, **options: Any) -> Answer:
        """Send a message to be answered with a fault of the replay upstream."""
        headers = [*options.pop("headers", ()), *([(FAULT, fault)] if fault else [])]
        body = options.pop("body", None) or self.message(stream=stream)
        return await self.ask("POST", options.pop("path", "/v1/messages"), body=body, headers=headers, **options)

    async def arrival(self, nonce: str, *sha256: str) -> Arrival | None:
        """Return how a request with this value of `PROBE`, or a body with one of these hashes, arrived."""
        assert self.control is not None  # noqa: S101 - only checks that need WATCHED ask

        def is_it(arrival: Arrival) -> bool:
            return nonce in arrival.values(PROBE) or arrival.body_sha256 in sha256

        return await self.control.wait_for(is_it, _ARRIVAL_SECONDS)


def ok(check: str, part: Part, what: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(part, check, Level.OK, what)


def warning(check: str, part: Part, what: str, fix: str = "") -> Finding:
    """Return a finding that somebody should know of."""
    return Finding(part, check, Level.WARNING, what, fix)


def problem(check: str, part: Part, what: str, fix: str) -> Finding:
    """Return a finding that something does not work."""
    return Finding(part, check, Level.PROBLEM, what, fix)


def unseen(check: str, part: Part, what: str, fix: str = "") -> Finding:
    """Return a finding that nothing can be said."""
    return Finding(part, check, Level.UNSEEN, what, fix)


async def examine(
    checks: Sequence[Check],
    afterwards: Callable[[Examination], Sequence[Finding]],
    *,
    base_url: str,
    key: str,
    upstream: str = "",
    model: str = "",
    silence_seconds: float | None = None,
    patience_seconds: float = LONGEST_SILENCE,
    say: Callable[[str], None] = lambda _: None,
    done: Callable[[Sequence[Finding]], None] = lambda _: None,
) -> list[Finding]:
    """Examine a gateway: all checks at once, for some of them have to wait.

    Args:
        checks: what to look at.
        afterwards: says what can be said of all answers together.
        base_url: what clients have as base URL, such as http://127.0.0.1:8787/claude.
        key: a client's key.
        upstream: base URL of the replay upstream behind the gateway, if that is what is there.
        model: to be asked; by default the smallest that the gateway lists.
        silence_seconds: for how long an answer is kept back, to find time limits; by default 65 where somebody
            stands in front of the gateway, and 0, not at all, otherwise.
        patience_seconds: for how long a client waits for a byte of a stream.
        say: told of what takes long.
        done: told what each check has found, as soon as it has.

    Raises:
        UnexaminableError: nothing answers, or the key is refused.
    """
    async with open_session() as session:
        target = Target(session, base_url.rstrip("/"), key)
        control = ReplayControl(session, upstream.rstrip("/")) if upstream else None
        examination = await _prepare(target, control, model)
        if any(answer.is_redirect for answer in examination.answers):
            # Of what is elsewhere nothing can be said.
            return list(afterwards(examination))
        if silence_seconds is None:
            silence_seconds = _USUAL_LIMIT_SECONDS if examination.in_front else 0.0
        if examination.obeys:
            examination.silence_seconds = silence_seconds
            examination.patience_seconds = patience_seconds
            longest = max(patience_seconds, silence_seconds)
            say(f"the upstream is kept silent to see what the gateway does then; up to {longest:g} seconds")
        found: dict[str, Sequence[Finding]] = {}

        async def look(check: Check) -> None:
            found[check.name] = await _look(check, examination)
            done(found[check.name])

        for last in (False, True):
            async with asyncio.TaskGroup() as tasks:
                for check in checks:
                    if check.last is last:
                        tasks.create_task(look(check))
    return [*(finding for check in checks for finding in found[check.name]), *afterwards(examination)]


async def _look(check: Check, examination: Examination) -> Sequence[Finding]:
    if (check.need is Need.OBEDIENT and not examination.obeys) or (
        check.need is Need.WATCHED and examination.control is None
    ):
        return [_out_of_sight(check, examination)]
    try:
        found = await check.look(examination)
    except NoAnswerError as error:
        return [
            problem(
                check.name,
                check.part,
                f"{check.rule}: {error}",
                "see the logs of the gateway, and of what stands in front of it, for this time",
            )
        ]
    except ReplayControlError as error:
        return [unseen(check.name, check.part, f"{check.rule}: {error}")]
    return [found] if isinstance(found, Finding) else found


def _out_of_sight(check: Check, examination: Examination) -> Finding:
    if examination.control is not None:
        how = f"let the header {FAULT} through to the upstream"
    elif examination.obeys:
        how = "name the replay upstream with --upstream URL"
    else:
        how = "put the replay upstream behind a gateway with these settings, or run gateway conformance"
    return unseen(check.name, check.part, f"{check.rule}: cannot be seen from here", how)


async def _prepare(target: Target, control: ReplayControl | None, model: str) -> Examination:
    """See that somebody answers and lets us in, and what is behind.

    Raises:
        UnexaminableError: says what is in the way.
    """
    try:
        hello = await _greet(target)
        if hello.status != HTTPStatus.OK and not target.base.endswith(_PREFIX):
            below = target.at(target.base + _PREFIX)
            answer = await _greet(below)
            if answer.status == HTTPStatus.OK:
                target, hello = below, answer
        clock_apart = _clock_apart(hello)
        listed = await target.ask("GET", "/v1/models?limit=1000", seconds=_FIRST_SECONDS)
    except NoAnswerError as error:
        raise UnexaminableError(
            f"{target.base} cannot be examined: {error}",
            "see that the gateway is started, and that the base URL has the host and port of its GATEWAY_LISTEN, "
            "or those of the proxy in front",
        ) from None
    if listed.status == HTTPStatus.UNAUTHORIZED and listed.error is not None:
        raise UnexaminableError(
            f"{target.base} refuses the key: {listed.told}",
            "see that it is a client's key of this very gateway: `gateway keys list` has those that there are",
        )
    examination = Examination(
        target,
        model or _smallest(listed) or _FALLBACK_MODEL,
        in_front=_in_front(hello),
        clock_apart=clock_apart,
        answers=[hello, listed],
    )
    if not listed.is_redirect:
        await _look_behind(examination, control)
    return examination


async def _greet(target: Target) -> Answer:
    return await target.ask("HEAD", "/api/hello", credential="none", seconds=_FIRST_SECONDS)


async def _look_behind(examination: Examination, control: ReplayControl | None) -> None:
    """Find out what the upstream is good for.

    Raises:
        UnexaminableError: it is not the one that `control` asks.
    """
    nonce = secrets.token_hex(8)
    counted = {"model": examination.model, "messages": [{"role": "user", "content": f"hi {nonce}"}]}
    headers = [(FAULT, f"status:400;message=doctor-{nonce}"), (PROBE, nonce)]
    # Counting is free where the upstream is the real one, which knows nothing of the header.
    asked = {"/v1/messages/count_tokens": msgspec.json.encode(counted)}
    if control is not None:
        asked["/v1/messages"] = msgspec.json.encode(counted | {"max_tokens": 1})
    for path, body in asked.items():
        try:
            answer = await examination.target.ask("POST", path, body=body, headers=headers)
        except NoAnswerError:
            continue
        examination.obeys = error_message(answer.text) == f"doctor-{nonce}"
        if examination.obeys:
            break
    if control is None:
        return
    examination.control = control
    try:
        hashes = {hashlib.sha256(body).hexdigest() for body in asked.values()}
        arrived = await examination.arrival(nonce, *hashes)
    except ReplayControlError as error:
        raise UnexaminableError(
            f"--upstream: {error}", "give the address of the replay upstream behind the gateway, or leave it out"
        ) from None
    if arrived is None:
        raise UnexaminableError(
            f"--upstream: what {examination.target.base} was asked did not reach {control.url}; it has another "
            "upstream, or changes all of a request",
            "give the address of the replay upstream behind the gateway, or leave it out",
        )


def _smallest(listed: Answer) -> str:
    """Return the id of a model that costs little."""
    ids = model_ids(listed)
    return next((name for name in ids if "haiku" in name), ids[0] if ids else "")


def model_ids(listed: Answer) -> list[str]:
    """Return the ids in a list of models."""
    value = listed.json()
    data = value.get("data") if isinstance(value, dict) else None
    entries = data if isinstance(data, list) else []
    return [one["id"] for one in entries if isinstance(one, dict) and isinstance(one.get("id"), str)]


def _in_front(hello: Answer) -> str | None:
    """Return who put its name on an answer that the gateway gives by itself."""
    if via := hello.headers.get("via"):
        return via
    server = hello.headers.get("server", "")
    return None if server == SERVER_NAME else server or "something without a name"


def _clock_apart(answer: Answer) -> float | None:
    """Compare the clock of this machine with the date of an answer that has just come."""
    try:
        told = parsedate_to_datetime(answer.headers.get("date", ""))
        return abs((told - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
