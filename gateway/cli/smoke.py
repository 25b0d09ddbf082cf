"""`gateway smoke`: evidence that an address serves what Claude's clients rely on."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from datetime import UTC, datetime
from typing import Final

from gateway.canary.checks import CheckResult
from gateway.canary.client import CanaryClient, CannotRunError, Target
from gateway.canary.masking import Masker
from gateway.canary.smoke import SmokeOptions, SmokeReport, run_smoke
from gateway.canary.smoke_openai import OpenAISide
from gateway.canary.smoke_report import as_json, as_markdown
from gateway.cli.canary_arguments import (
    FAILED,
    PASSED,
    Progress,
    add_format_option,
    add_header_option,
    could_not_run,
    headers_from,
    in_range,
    keys_from,
)
from gateway.cli.common import Subparsers, add_command

__all__ = ["add_parser"]

_MOST_AT_ONCE: Final = 256
_EXAMPLES: Final = """\
examples:
  gateway smoke --base-url http://127.0.0.1:8787/claude --key-stdin < key.txt > evidence.md
  printenv CANARY_KEY | gateway smoke --base-url https://ai.example.com/claude --key-stdin
  gateway smoke --base-url https://api.anthropic.com --key-stdin --no-big-body --parallel 1,4
  gateway smoke --base-url http://127.0.0.1:8787/claude --key-stdin --format json \\
    --openai-key "$PROXY_KEY" --openai-base-url http://127.0.0.1:2455 < key.txt

A key on the command line can be seen in the list of processes; --key-stdin and GATEWAY_SMOKE_KEY cannot.
GATEWAY_SMOKE_OPENAI_KEY stands for --openai-key likewise.
Against a real account the run costs tokens: as a rule less than a cent of a Haiku model, with the defaults.

exit status: 0 everything passed, 1 something failed, 2 nothing could be checked
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "smoke",
        summary="check an address as its clients would; print evidence",
        about="Ask for every part of the contract once, judge what comes, and print status codes and trimmed\n"
        "payloads as Markdown for a pull request, or as JSON.",
        examples=_EXAMPLES,
    )
    parser.add_argument("--base-url", required=True, metavar="URL", help="what clients have as ANTHROPIC_BASE_URL")
    parser.add_argument("--key", default="", help="the client's key; seen in the list of processes")
    parser.add_argument("--key-stdin", action="store_true", help="read the key from standard input")
    parser.add_argument("--bearer", action="store_true", help="send it as Authorization: Bearer, not x-api-key")
    add_header_option(parser)
    parser.add_argument("--model", default="", help="default: a cheap one of the list of models")
    parser.add_argument(
        "--max-tokens",
        type=in_range(1, 8192),
        default=128,
        metavar="N",
        help="output tokens of an answer at the most (default: 128)",
    )
    parser.add_argument(
        "--parallel",
        type=_numbers,
        default=(1, 4, 16),
        metavar="N,N,…",
        help="streams at once (default: 1,4,16)",
    )
    parser.add_argument("--no-big-body", action="store_true", help="send no bodies of 1 and 31 MiB")
    parser.add_argument(
        "--openai-key",
        default="",
        metavar="KEY",
        help="key of the existing proxy, to see that /v1 still reaches it",
    )
    parser.add_argument(
        "--openai-base-url", default="", metavar="URL", help="that proxy without the gateway, to compare with"
    )
    parser.add_argument("--openai-model", default="", metavar="MODEL", help="default: a cheap one of its list")
    parser.add_argument(
        "--timeout",
        type=in_range(1, 3600, float),
        default=60.0,
        metavar="SECONDS",
        help="for one answer (default: 60)",
    )
    parser.add_argument("--why", default="", metavar="TEXT", help="what to say below the heading Why")
    add_format_option(parser)
    parser.set_defaults(run=run)


def _numbers(text: str) -> tuple[int, ...]:
    one = in_range(1, _MOST_AT_ONCE)
    return tuple(one(part) for part in text.split(","))


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    openai_key = args.openai_key or os.environ.get("GATEWAY_SMOKE_OPENAI_KEY", "").strip()
    mask = Masker([args.key, openai_key])
    try:
        (key,) = keys_from(args, {"key": "GATEWAY_SMOKE_KEY"})
        mask.learn(key)
        headers = headers_from(args.header)
        for value in headers.values():
            mask.learn(value)
        target = Target.of(args.base_url, key, bearer=args.bearer, headers=headers)
        if args.openai_base_url:
            Target.of(args.openai_base_url, openai_key)
        options = SmokeOptions(
            model=args.model,
            max_tokens=args.max_tokens,
            parallel=args.parallel,
            big_bodies=() if args.no_big_body else (1, 31),
            openai=OpenAISide(openai_key, args.openai_base_url, args.openai_model),
        )
        began = datetime.now(UTC)
        report = asyncio.run(_run(target, options, args.timeout, Progress(mask)))
    except CannotRunError as error:
        return could_not_run("smoke", error, mask)
    if args.format == "json":
        print(json.dumps(as_json(report, mask, began), indent=2, ensure_ascii=False))
    else:
        print(as_markdown(report, mask, began, args.why))
    return PASSED if report.passed else FAILED


async def _run(target: Target, options: SmokeOptions, timeout_seconds: float, progress: Progress) -> SmokeReport:
    progress.say(
        f"asking {target.base_url}; {options.paid_requests} requests have a model answer: about "
        f"{options.estimated_input_tokens:,} tokens in, and {options.most_output_tokens:,} out at the most"
    )

    def done(check: CheckResult) -> None:
        time = "" if check.milliseconds is None else f" {check.milliseconds} ms"
        remarks = f": {check.remarks}" if check.remarks else ""
        progress.step(f"{check.result:<11}  {check.name}  {check.statuses}{time}{remarks}")

    async with CanaryClient(answer_seconds=timeout_seconds) as client:
        report = await run_smoke(client, target, options, done)
    progress.say(f"tokens used: {report.tokens.input:,} in, {report.tokens.output:,} out")
    return report
