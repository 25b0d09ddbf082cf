"""`gateway compare`: whether a new way to Claude does as well as the old one."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gateway.canary.client import CanaryClient, CannotRunError, Target
from gateway.canary.compare import Comparison, Pair, Thresholds, find_model, found_at, run_compare
from gateway.canary.compare_report import as_json, as_markdown
from gateway.canary.compare_requests import Case, read_cases, replayed_cases, usual_cases
from gateway.canary.differences import Difference
from gateway.canary.masking import Masker
from gateway.canary.trace import counted
from gateway.cli.account_input import ask_yes
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
from gateway.wire.headers import CREDENTIALS

__all__ = ["add_parser"]

_VARIABLES: Final = {"old_key": "GATEWAY_COMPARE_OLD_KEY", "new_key": "GATEWAY_COMPARE_NEW_KEY"}
_DEFAULTS: Final = Thresholds()
_EXAMPLES: Final = """\
examples:
  gateway compare http://127.0.0.1:4000 http://127.0.0.1:8787/claude --key-stdin < old-and-new-key.txt
  gateway compare https://proxy.example.com https://ai.example.com/claude --key-stdin --rounds 5 --yes
  gateway compare http://127.0.0.1:8790 http://127.0.0.1:8787/claude --key-stdin --strict
  gateway compare OLD NEW --key-stdin --requests requests.jsonl --format json

a line of requests.jsonl:
  {"method": "POST", "path": "/v1/messages", "headers": {"anthropic-beta": "…"}, "body": {"model": "…", …}}

Each request goes to both, in turns: against real accounts that doubles what it costs. Keys on the command line can
be seen in the list of processes; --key-stdin takes two lines, the old key and the new one.

exit status: 0 the new one is within the thresholds, 1 it is not, 2 they could not be compared
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "compare",
        summary="send the same requests to an old and a new server; show what differs",
        about="Send the same requests to an existing proxy and to the canary, and compare what comes: order of\n"
        "events, usage, stop reason, errors, headers, time to first content and gaps.",
        examples=_EXAMPLES,
    )
    parser.add_argument("old", metavar="OLD", help="base URL of what serves now")
    parser.add_argument("new", metavar="NEW", help="base URL of what is to serve")
    parser.add_argument("--old-key", default="", metavar="KEY", help="seen in the list of processes")
    parser.add_argument("--new-key", default="", metavar="KEY", help="seen in the list of processes")
    parser.add_argument("--key-stdin", action="store_true", help="read both keys from standard input, a line each")
    add_header_option(parser)
    parser.add_argument(
        "--requests", type=Path, metavar="FILE", help="JSON lines, in the place of the usual requests"
    )
    parser.add_argument("--model", default="", help="of the usual requests; default: a cheap one of OLD's list")
    parser.add_argument(
        "--max-tokens",
        type=in_range(1, 8192),
        default=128,
        metavar="N",
        help="output tokens of an answer to the usual requests (default: 128)",
    )
    parser.add_argument(
        "--rounds",
        type=in_range(1, 1000),
        default=4,
        metavar="N",
        help="how often to send each (default: 4, which is often enough for p95 of the usual streams)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="compare bytes; both have to lead to a replay upstream, whose recorded answers are asked for",
    )
    _add_thresholds(parser)
    parser.add_argument(
        "--timeout",
        type=in_range(1, 3600, float),
        default=60.0,
        metavar="SECONDS",
        help="for one answer (default: 60)",
    )
    parser.add_argument("--yes", action="store_true", help="spend twice without being asked")
    add_format_option(parser)
    parser.set_defaults(run=run)


def _add_thresholds(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "thresholds", "a time is too long if it exceeds both the ratio and the addition"
    )
    group.add_argument(
        "--max-differences",
        type=in_range(0, 1_000_000),
        default=_DEFAULTS.max_differences,
        metavar="N",
        help="between answers (default: %(default)s)",
    )
    for option, default, text in (
        ("--max-first-content-ratio", _DEFAULTS.max_first_content_ratio, "times to first content, new to old"),
        ("--max-first-content-add-ms", _DEFAULTS.max_first_content_add_ms, "and milliseconds in addition"),
        ("--max-gap-ratio", _DEFAULTS.max_gap_ratio, "gaps between pieces of a stream, new to old"),
        ("--max-gap-add-ms", _DEFAULTS.max_gap_add_ms, "and milliseconds in addition"),
    ):
        group.add_argument(
            option,
            type=in_range(0, 1e9, float),
            default=default,
            metavar="N",
            help=f"{text} (default: %(default)g)",
        )


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    mask = Masker([args.old_key, args.new_key])
    try:
        old_key, new_key = keys_from(args, _VARIABLES, {"old_key": "old key", "new_key": "new key"})
        headers = headers_from(args.header)
        for secret in (old_key, new_key, *headers.values()):
            mask.learn(secret)
        comparison = Comparison(
            Target.of(args.old, old_key, headers=headers),
            Target.of(args.new, new_key, headers=headers),
            args.rounds,
            args.strict,
            Thresholds(
                args.max_differences,
                args.max_first_content_ratio,
                args.max_first_content_add_ms,
                args.max_gap_ratio,
                args.max_gap_add_ms,
            ),
        )
        cases = _cases(args, args.model)
        for case in cases:
            for name in CREDENTIALS & set(case.request.headers):
                mask.learn(case.request.headers[name])
        progress = Progress(mask)
        _see_that_it_is_wanted(args, comparison, cases, progress)
        began = datetime.now(UTC)
        asyncio.run(_run(args, comparison, cases, progress))
    except CannotRunError as error:
        return could_not_run("compare", error, mask)
    if args.format == "json":
        print(json.dumps(as_json(comparison, mask, began), indent=2, ensure_ascii=False))
    else:
        print(as_markdown(comparison, mask, began))
    return PASSED if comparison.passed else FAILED


def _cases(args: argparse.Namespace, model: str) -> list[Case]:
    if args.requests is not None:
        return read_cases(args.requests)
    return replayed_cases(args.max_tokens) if args.strict else usual_cases(model, args.max_tokens)


async def _run(args: argparse.Namespace, comparison: Comparison, cases: list[Case], progress: Progress) -> None:
    def done(pair: Pair, found: list[Difference]) -> None:
        what = ", ".join(one.what for one in found) or "same"
        progress.step(f"round {pair.round}  {pair.case.name}  {pair.old.status} / {pair.new.status}  {what}")

    async with CanaryClient(answer_seconds=args.timeout) as client:
        comparison.old = await found_at(client, comparison.old)
        comparison.new = await found_at(client, comparison.new)
        model = await find_model(client, comparison.old, comparison.new)
        if args.requests is None and not args.strict:
            cases = usual_cases(args.model or model, args.max_tokens)
        await run_compare(client, comparison, cases, done)
    for name, tokens in (("old", comparison.old_tokens), ("new", comparison.new_tokens)):
        progress.say(f"tokens used, {name}: {tokens.input:,} in, {tokens.output:,} out")


def _see_that_it_is_wanted(
    args: argparse.Namespace, comparison: Comparison, cases: list[Case], progress: Progress
) -> None:
    asked = sum(case.answers for case in cases) * comparison.rounds
    progress.say(
        f"{counted(len(cases), 'request')}, {counted(comparison.rounds, 'round')}, to both; before real "
        f"accounts that doubles the spend: {asked} answers of a model for the old one, {asked} for the new one"
    )
    if args.yes or (comparison.old.is_loopback and comparison.new.is_loopback):
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        if ask_yes("Not both are on this machine. Send them?"):
            return
        raise CannotRunError("nothing was sent")
    raise CannotRunError(
        f"not both are on this machine, and {2 * asked} answers of a model may cost money; "
        "add --yes if that is what you want"
    )
