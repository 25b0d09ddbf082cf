"""Canary smoke: every part of the contract once, with evidence of what came."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from typing import Any, Final

from attrs import define, evolve, field

from gateway.canary import expectations, prompts, smoke_openai, smoke_stream
from gateway.canary.checks import CheckResult, Result, Tokens, judged, not_checked
from gateway.canary.client import CanaryClient, CannotRunError, Ending, Exchange, Key, Request, Target

__all__ = ["SmokeOptions", "SmokeReport", "run_smoke"]

_MEBIBYTE: Final = 1024 * 1024
_PROMPT: Final = "Reply with the single word: ok"
_UNKNOWN_MODEL: Final = "claude-nope-smoke"
_LONGER_PROMPT: Final = "Count from one to twenty in words, nothing else."
_OK: Final = 200
_REFUSED: Final = 401
_MOST_SILENT: Final = 2
"""Answers in a row that do not come in time, after which no more are asked for."""
_BYTES_PER_TOKEN: Final = 4
"""By which the replay upstream counts."""
_QUESTION_TOKENS: Final = 15
_TOOL_TOKENS: Final = 600
_OTHER_CHECKS: Final = 18
"""Beside those of large bodies and of streams side by side."""
_AUTHENTICATION: Final = ("authentication_error",)
_INVALID: Final = ("invalid_request_error",)
_NOT_FOUND: Final = ("not_found_error",)


@define(frozen=True)
class SmokeOptions:
    """What to check and how."""

    model: str = ""
    """Empty for a cheap one of the list of models."""
    max_tokens: int = 128
    parallel: tuple[int, ...] = (1, 4, 16)
    big_bodies: tuple[int, ...] = (1, 31)
    """In MiB; empty for none."""
    openai: smoke_openai.OpenAISide = field(factory=smoke_openai.OpenAISide)

    @property
    def checks(self) -> int:
        """How many checks a run makes, those that it has to leave out included."""
        return _OTHER_CHECKS + len(self.big_bodies) + len(self.parallel)

    @property
    def paid_requests(self) -> int:
        """How many requests have a model answer."""
        return 4 + sum(self.parallel) + self.openai.paid_requests

    @property
    def estimated_input_tokens(self) -> int:
        """About how many tokens the questions have, all in all."""
        return self.paid_requests * _QUESTION_TOKENS + 2 * _TOOL_TOKENS

    @property
    def most_output_tokens(self) -> int:
        """How many tokens the answers can have, all in all."""
        return self.paid_requests * self.max_tokens


@define
class SmokeReport:
    """What a run has found."""

    base_url: str
    model: str
    options: SmokeOptions
    checks: list[CheckResult]
    tokens: Tokens
    server: str
    """What the answers say that they come from."""

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and something was checked."""
        results = {check.result for check in self.checks}
        return Result.FAIL not in results and Result.PASS in results

    def count(self, result: Result) -> int:
        """Return how many checks came to this."""
        return sum(check.result is result for check in self.checks)


async def run_smoke(
    client: CanaryClient,
    target: Target,
    options: SmokeOptions,
    done: Callable[[CheckResult], None] = lambda _: None,
) -> SmokeReport:
    """Make all checks, one after the other.

    Args:
        client: to ask with.
        target: the gateway; one of ours may be given by its root.
        options: what to check.
        done: told of each check when it is over.

    Raises:
        CannotRunError: nothing can be connected with, or the key is refused.
    """
    target = evolve(target, base_url=await prompts.find_claude(client, target))
    run = _Run(client, target, options, done)
    await run.all()
    servers = {one.header("server") for check in run.results for one in check.exchanges}
    server = ", ".join(sorted(name for name in servers if name)) or "not told"
    return SmokeReport(target.base_url, run.model, options, run.results, run.tokens, server)


class _SilentError(Exception):
    """Answers do not come in time."""


@define(eq=False)
class _Run:
    client: CanaryClient
    target: Target
    options: SmokeOptions
    done: Callable[[CheckResult], None]
    model: str = ""
    results: list[CheckResult] = field(factory=list)
    tokens: Tokens = field(factory=Tokens)
    is_replayed: bool = False
    """Whether the replay upstream answers in the end, and does as it is told by a header."""
    _silent: int = 0

    async def all(self) -> None:
        try:
            await self._all()
        except _SilentError:
            why = f"{_MOST_SILENT} answers in a row did not come in time; nothing more was sent"
            self._tell(not_checked("all else", "what each check says", why))

    async def _all(self) -> None:
        await self._models()
        self.is_replayed = smoke_stream.is_told_by(await self._send(smoke_stream.told_to_fail(self.model)))
        await self._check(self._count)
        await self._check(self._message)
        await self._check(self._stream)
        await self._tool()
        await self._errors()
        for size in self.options.big_bodies:
            self._keep(await self._big_body(size))
        for number in self.options.parallel:
            self._keep(await self._parallel(number))
        asked = [exchange for check in self.results for exchange in check.exchanges]
        expected = "of its own for each answer"
        self._keep(judged("request-id", expected, [], smoke_stream.problems_of_ids(asked)))
        for check in await smoke_openai.check_openai(
            self.client, self.target, self.options.openai, self.options.max_tokens
        ):
            self._keep(check)

    async def _send(self, request: Request) -> Exchange:
        # Once it has answered, one that cannot be connected with is a finding and no reason to give up.
        send = self.client.try_send if self.results else self.client.send
        exchange = await send(self.target, request)
        self.tokens.add(exchange.message)
        self._silent = self._silent + 1 if exchange.ending is Ending.TIMEOUT else 0
        return exchange

    async def _check(self, check: Callable[[], Awaitable[CheckResult]]) -> None:
        self._keep(await check())

    def _keep(self, result: CheckResult) -> None:
        """Add what came of a check.

        Raises:
            _SilentError: too many answers in a row have not come in time.
        """
        self._tell(result)
        if self._silent >= _MOST_SILENT:
            raise _SilentError

    def _tell(self, result: CheckResult) -> None:
        self.results.append(result)
        self.done(result)

    def _ask(self, prompt: str = _PROMPT, *, stream: bool = False) -> dict[str, Any]:
        return prompts.ask(self.model, self.options.max_tokens, prompt, stream=stream)

    async def _models(self) -> None:
        listed = await self._send(prompts.list_models())
        if listed.status == _REFUSED:
            raise CannotRunError(
                f"{self.target.base_url} does not take the key ({expectations.words_of_error(listed)}); nothing "
                "else was sent"
            )
        problems = list(expectations.problems_of_models(listed))
        known = prompts.choose_model(listed)
        self.model = self.options.model or known
        self._keep(judged("models: list", "200, a list of models", [listed], problems))
        wanted = known if not problems else self.model
        one = await self._send(Request("GET", f"/v1/models/{wanted}"))
        problems = list(expectations.problems_of_model(one, wanted))
        self._keep(judged("models: one", f"200, describes {wanted}", [one], problems))

    async def _count(self) -> CheckResult:
        exchange = await self._send(prompts.count(self.model))
        return judged(
            "count_tokens",
            "200, input_tokens above 0",
            [exchange],
            expectations.problems_of_count(exchange),
            _counted(exchange),
        )

    async def _message(self) -> CheckResult:
        exchange = await self._send(prompts.messages(self._ask()))
        return judged(
            "message",
            "200, a whole message with stop reason and usage",
            [exchange],
            expectations.problems_of_message(exchange),
            _ended(exchange),
        )

    async def _stream(self) -> CheckResult:
        request = prompts.messages(self._ask(_LONGER_PROMPT, stream=True))
        exchange = await self._send(evolve(request, headers=smoke_stream.SLOWLY) if self.is_replayed else request)
        problems, note = list(expectations.problems_of_stream(exchange)), _ended(exchange)
        if self.is_replayed:
            problems += smoke_stream.problems_of_pieces(exchange)
        elif not problems and (remark := smoke_stream.note_of_pieces(exchange)):
            note = f"{note}; {remark}"
        return judged("stream", "200, a valid stream to message_stop, then its end", [exchange], problems, note)

    async def _tool(self) -> None:
        body = prompts.tool_turn(self.model, self.options.max_tokens)
        call = await self._send(prompts.messages(body))
        problems = list(expectations.problems_of_stream(call)) or list(
            expectations.problems_of_tool_call(call.message, prompts.TOOL, prompts.TOOL_FIELD)
        )
        self._keep(judged("tool: call", "200, a stream that calls the tool", [call], problems, _ended(call)))
        name, expected = "tool: result", "200, a valid stream that goes on from the result"
        if problems or call.message is None:
            self._keep(not_checked(name, expected, "there was no call to answer"))
            return
        answer = await self._send(prompts.messages(prompts.tool_result_turn(body, call.message["content"])))
        problems = list(expectations.problems_of_stream(answer))
        self._keep(judged(name, expected, [answer], problems, _ended(answer)))

    async def _errors(self) -> None:
        body = self._ask()
        good = prompts.messages(body)
        unfinished = evolve(good, body=b'{"model": ')
        incomplete = prompts.messages({name: value for name, value in body.items() if name != "max_tokens"})
        unknown = prompts.messages({**body, "model": _UNKNOWN_MODEL})
        wrong_key = evolve(good, key=Key.WRONG)
        for name, request, statuses, kinds in (
            ("error: no key", evolve(good, key=Key.NONE), (401,), _AUTHENTICATION),
            ("error: wrong key", wrong_key, (401,), _AUTHENTICATION),
            ("error: body is no JSON", unfinished, (400,), _INVALID),
            ("error: max_tokens missing", incomplete, (400,), _INVALID),
            ("error: unknown model", unknown, (404,), _NOT_FOUND),
            ("error: unknown path", Request("GET", "/v1/no-such-path"), (404,), _NOT_FOUND),
            ("error: wrong method", Request("DELETE", "/v1/messages"), (405, 404), (*_INVALID, *_NOT_FOUND)),
        ):
            exchange = await self._send(request)
            expected = f"{' or '.join(map(str, statuses))}, {' or '.join(kinds)} in the envelope"
            if request is wrong_key and exchange.status == _OK and await self._is_replay():
                self._keep(not_checked(name, expected, "this is the replay upstream, which takes any key"))
                continue
            problems = list(expectations.problems_of_error(exchange, statuses, kinds))
            if exchange.status == _OK and request.key is not Key.OWN:
                problems.append("whoever can connect is served: the key is not asked for")
            note = "" if problems else expectations.words_of_error(exchange)
            self._keep(judged(name, expected, [exchange], problems, note))

    async def _is_replay(self) -> bool:
        """Whether this is the replay upstream, which anybody may ask for what it has received."""
        asked = Request("GET", "/_replay/requests?limit=1")
        found = await self.client.try_send(Target(self.target.base_url, headers=self.target.headers), asked)
        return found.status == _OK and isinstance(found.json(), dict)

    async def _big_body(self, mebibytes: int) -> CheckResult:
        exchange = await self._send(prompts.count(self.model, padded_to=mebibytes * _MEBIBYTE))
        return judged(
            f"body of {mebibytes} MiB",
            "200, input_tokens above 0 (count_tokens, mostly white space)",
            [exchange],
            expectations.problems_of_count(exchange),
            self._carried(exchange),
        )

    def _carried(self, exchange: Exchange) -> str:
        """Say what was counted, and that every byte was carried where that can be seen."""
        said = _counted(exchange)
        is_whole = self.is_replayed and said == f"{len(exchange.request.body or b'') // _BYTES_PER_TOKEN} tokens"
        return said + (
            ", one for four bytes as the replay upstream counts: every byte was carried" if is_whole else ""
        )

    async def _parallel(self, number: int) -> CheckResult:
        silent = self._silent
        async with asyncio.TaskGroup() as tasks:
            request = prompts.messages(self._ask(stream=True))
            running = [tasks.create_task(self._send(request)) for _ in range(number)]
        exchanges = [task.result() for task in running]
        # Those that do not come in time are the last to end, however many there are that did.
        self._silent = silent + 1 if all(one.ending is Ending.TIMEOUT for one in exchanges) else 0
        by_problem: dict[str, list[int]] = {}
        for place, exchange in enumerate(exchanges, 1):
            for problem in expectations.problems_of_stream(exchange):
                by_problem.setdefault(problem, []).append(place)
        problems = [f"{_places(places, number)}: {problem}" for problem, places in by_problem.items()]
        ids = [str((exchange.message or {}).get("id")) for exchange in exchanges]
        if not problems and len(set(ids)) != len(ids):
            problems.append("two streams carried the same message")
        expected = f"200 each, {number} valid stream{'s' if number > 1 else ''} at once, no two the same message"
        return judged(f"parallel: {number}", expected, exchanges, problems, _first_contents(exchanges))


def _places(places: list[int], number: int) -> str:
    if len(places) == 1:
        return f"stream {places[0]}"
    return f"all {number} streams" if len(places) == number else f"{len(places)} of {number} streams"


def _ended(exchange: Exchange) -> str:
    message = exchange.message
    if message is None or not isinstance(message.get("usage"), dict):
        return ""
    parts = [f"stop reason {message.get('stop_reason')}", f"{message['usage'].get('output_tokens')} tokens out"]
    if exchange.stream is not None:
        parts.insert(0, f"{len(exchange.stream.events)} events")
        if (first := exchange.stream.first_content_at) is not None:
            parts.append(f"first content after {first * 1000:.0f} ms")
    return ", ".join(parts)


def _counted(exchange: Exchange) -> str:
    value = exchange.json()
    return f"{value['input_tokens']} tokens" if isinstance(value, dict) and "input_tokens" in value else ""


def _first_contents(exchanges: list[Exchange]) -> str:
    found = [one.stream.first_content_at for one in exchanges if one.stream is not None]
    times = [first * 1000 for first in found if first is not None]
    if not times:
        return ""
    return f"first content after {statistics.median(times):.0f} ms (median), {max(times):.0f} ms (longest)"
