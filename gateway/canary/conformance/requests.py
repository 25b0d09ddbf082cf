"""Rules about requests: what a client sends is what the upstream gets."""

from __future__ import annotations

import json
from typing import Any, Final

from gateway.canary.conformance.bench import Bench, NotApplicable, RuleBook, require
from gateway.canary.conformance.judging import Seen
from gateway.canary.conformance.stage import Scene
from gateway.replay.journal import ReceivedRequest

__all__ = ["book"]

book: Final = RuleBook()

_BETAS: Final = "context-1m-2025-08-07,conformance-future-2099-01-01,fine-grained-tool-streaming-2025-05-14"
_QUERY: Final = "beta=true&future=a%2Fb&empty"
_BODY_LIMIT: Final = 32 * 2**20
_FUTURE_FIELDS: Final[dict[str, Any]] = {
    "future_option": {"level": 3, "names": ["a", "b"], "nothing": None},
    "metadata": {"user_id": "conformance", "future_hint": True},
}
_SIGNATURE: Final = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk"


def _answer(bench: Bench) -> Scene:
    return Scene(bench.stage.spoken("as ", "you ", "were"))


async def _answered(bench: Bench, **options: Any) -> tuple[Seen, ReceivedRequest]:
    """Ask for a stream that must be answered; return it and the request as the upstream got it."""
    seen = await bench.ask(_answer(bench), **options)
    require(seen.is_stream, seen)
    return seen, seen.upstream[-1]


@book.rule(
    "request.beta",
    "Every value of `anthropic-beta` arrives as the client spelled it, unknown ones too.",
    why="Anthropic asks gateways to forward it verbatim and never by a list.",
    behind="three betas, one of the future",
    notice="Features that are on without the gateway and off with it; 400 for fields that need their beta.",
)
async def beta(bench: Bench) -> str:
    """Send betas."""
    _, got = await _answered(bench, headers=[("anthropic-beta", _BETAS)])
    values = [value.strip() for line in got.header_values("anthropic-beta") for value in line.split(",")]
    wanted = _BETAS.split(",")
    require(set(wanted) <= set(values), f"the upstream got {values}")
    notes = [] if [value for value in values if value in wanted] == wanted else ["in another order"]
    if len(values) > len(wanted):
        notes.append(f"the gateway added {[value for value in values if value not in wanted]}")
    return "; ".join(["all three arrived", *notes])


@book.rule(
    "request.version",
    "`anthropic-version` is the client's.",
    why="It says which shape of the API the client understands.",
    behind="a version that no gateway would choose by itself",
    notice="Answers in a shape that the client does not know.",
)
async def api_version(bench: Bench) -> str:
    """Send a version."""
    _, got = await _answered(bench, headers=[("anthropic-version", "2026-10-21")])
    require(got.header_values("anthropic-version") == ["2026-10-21"], got.header_values("anthropic-version"))
    return "2026-10-21 arrived"


@book.rule(
    "request.query",
    "The query arrives as it is; Claude Code asks for `/v1/messages?beta=true`.",
    why="A gateway has to match the path alone and keep the rest.",
    behind=f"?{_QUERY}",
    notice="404 from the gateway, or betas that do nothing.",
)
async def query(bench: Bench) -> str:
    """Send a query."""
    _, got = await _answered(bench, path=f"/v1/messages?{_QUERY}")
    require(got.query == _QUERY, f"the upstream got {got.raw_path!r}")
    return f"?{got.query} arrived"


@book.rule(
    "request.unknown-header",
    "A header that the gateway does not know arrives.",
    why="Claude Code and the API agree on new headers without asking gateways.",
    behind="x-conformance-future",
    notice="New features do not work behind the gateway.",
)
async def unknown_header(bench: Bench) -> str:
    """Send a header of the future."""
    _, got = await _answered(bench, headers=[("x-conformance-future", "one, two; three=3")])
    require(got.header_values("x-conformance-future") == ["one, two; three=3"], "it did not arrive")
    return "it arrived as it was"


@book.rule(
    "request.unknown-fields",
    "Fields of the body that the gateway does not know arrive.",
    why="The body is an open set: new parameters appear every month.",
    behind="future_option, metadata.future_hint",
    notice="New parameters are ignored without a word, or refused by the gateway.",
)
async def unknown_fields(bench: Bench) -> str:
    """Send parameters of the future."""
    _, got = await _answered(bench, fields=_FUTURE_FIELDS)
    body = json.loads(got.body)
    missing = [name for name, value in _FUTURE_FIELDS.items() if body.get(name) != value]
    require(not missing, f"changed or lost: {missing}")
    return "all of them arrived"


@book.rule(
    "request.meaning",
    "System prompt, tools, earlier messages and metadata mean the same at the upstream.",
    why="Thinking is bound to its conversation, prompts are cached by their beginning.",
    behind="a request as Claude Code makes it in the middle of its work",
    notice='"bound to a different conversation", prompt caches that never hit, strange answers.',
)
async def meaning(bench: Bench) -> str:
    """Send a conversation with all that there is."""
    tag = bench.stage.begin(_answer(bench))
    sent = _conversation(bench.target.model, tag)
    seen = await bench.send(tag, json.dumps(sent).encode())
    require(seen.upstream, f"the request did not reach the upstream: {seen}")
    got = json.loads(seen.upstream[-1].body)
    differing = sorted(name for name in sent.keys() | got.keys() if sent.get(name) != got.get(name))
    require(not differing, f"changed, lost or added: {differing}")
    return f"{len(sent)} members, all of them the same"


@book.rule(
    "request.body-bytes",
    "The body's bytes are the client's.",
    why="What is decoded and written anew loses repeated keys, and spellings that the decoder cannot hold.",
    behind="repeated keys, odd order, 1.0 and 1e2, integers of 30 digits, a lone surrogate",
    notice="400 for requests that work without the gateway, prompt caches that never hit.",
)
async def body_bytes(bench: Bench) -> str:
    """Send bodies in unusual spelling."""
    for what, members in _SPELLINGS.items():
        tag = bench.stage.begin(_answer(bench))
        model = json.dumps(bench.target.model)
        text = f'{{ {members}, "messages":[{{"content":"{tag}","role":"user"}}],"stream":true ,"model":{model}}}'
        seen = await bench.send(tag, text.encode())
        require(seen.upstream, f"{what}: the request did not reach the upstream: {seen}")
        require(seen.upstream[-1].body == text.encode(), f"{what}: other bytes arrived; {seen}")
    return f"unchanged: {', '.join(_SPELLINGS)}"


_SPELLINGS: Final = {
    "repeated keys": '"max_tokens":5,"max_tokens":64',
    "number spelling": '"max_tokens":64,"temperature":1.0,"top_p":9.5e-1,"future":1e2',
    "big integers": '"max_tokens":64,"future":123456789012345678901234567890',
    "escapes": r'"max_tokens":64,"future":"\u0041\/\u00e9 é"',
    "a lone surrogate": r'"max_tokens":64,"system":"\ud83d"',
}


@book.rule(
    "request.body-32-mib",
    "A body of 32 MiB, the API's limit, arrives whole.",
    why="Documents and images come inside the body.",
    behind="a prompt that makes the body exactly 32 MiB",
    notice="413 from the gateway for a PDF that the API takes.",
)
async def large_body(bench: Bench) -> str:
    """Send the largest body that the API takes."""
    tag = bench.stage.begin(_answer(bench))
    head, _, tail = bench.body(tag).partition(tag.encode())
    padding = b" padding" * (_BODY_LIMIT // 8 + 1)
    middle = tag.encode() + padding[: _BODY_LIMIT - len(head) - len(tail) - len(tag)]
    body = head + middle + tail
    seen = await bench.send(tag, body, patience=6 * bench.patience)
    require(seen.upstream, f"the request did not reach the upstream: {seen}")
    got = seen.upstream[-1].body
    require(len(got) >= len(middle) and seen.complete, f"{len(got)} bytes arrived; {seen}")
    return f"{len(got)} bytes arrived, " + ("unchanged" if got == body else "written anew")


@book.rule(
    "request.credential",
    "The client's key stays with the gateway, where the gateway has a credential of its own.",
    why="A gateway's key is a secret between it and its client; the provider's logs are no place for it.",
    behind="all headers and the query of a usual request",
    notice="Keys of users in the logs of a third party.",
)
async def credential(bench: Bench) -> str:
    """Look for the client's key at the upstream."""
    if not bench.target.key:
        raise NotApplicable("no key was given")
    _, got = await _answered(bench)
    holding = [name.lower() for name, value in got.headers if bench.target.key in value]
    own = [value for name in ("x-api-key", "authorization") for value in got.header_values(name)]
    if holding and all(bench.target.key in value for value in own):
        usual = "authorization" if bench.target.bearer else "x-api-key"
        require(holding == [usual], f"the client's key is in {holding}")
        raise NotApplicable("the gateway has no credential of its own and passes on the client's")
    require(not holding and bench.target.key not in got.query, f"the client's key is in {holding or 'the query'}")
    return "it is in no header and not in the query"


def _conversation(model: str, tag: str) -> dict[str, Any]:
    tool = {
        "name": "Bash",
        "description": "Run a command.",
        "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
            "additionalProperties": False,
        },
    }
    return {
        "model": model,
        "max_tokens": 2048,
        "stream": True,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330; cc_entrypoint=cli"},
            {"type": "text", "text": "You are careful.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        ],
        "tools": [{**tool, "cache_control": {"type": "ephemeral"}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "metadata": {"user_id": "user_conformance_account__session_5b1c"},
        "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
        "messages": [
            {"role": "user", "content": f"Conformance {tag}"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Let me look.", "signature": _SIGNATURE},
                    {"type": "text", "text": "I look. "},
                    {"type": "tool_use", "id": "toolu_01A", "name": "Bash", "input": {"command": "ls", "n": 1.5}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_01A", "content": "déjà vu →", "is_error": False},
                    {"type": "text", "text": "Go on.", "cache_control": {"type": "ephemeral"}},
                ],
            },
        ],
    }
