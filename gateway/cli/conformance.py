"""`gateway conformance`: whether a gateway, of whatever make, keeps what clients of Claude rely on."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from yarl import URL

from gateway.canary.client import CannotRunError
from gateway.canary.conformance.bench import Bench, Rule, Target
from gateway.canary.conformance.card import FORMATS, ScoreCard, list_rules
from gateway.canary.conformance.catalogue import FIXTURES, select
from gateway.canary.conformance.run import PREFIXES, check_all, find_gateway
from gateway.canary.conformance.stage import Stage
from gateway.canary.masking import Masker
from gateway.cli.canary_arguments import FAILED, PASSED, Progress, could_not_run, headers_from, in_range, keys_from
from gateway.cli.common import Subparsers, add_command
from gateway.replay.server import ReplayUpstream

__all__ = ["add_parser"]

_KEY_VARIABLE: Final = "GATEWAY_CONFORMANCE_KEY"
_LARGEST_PORT: Final = 65_535
_SECONDS: Final = in_range(0.05, 3600, float)
_VERSION: Final = version("claude-stream-gateway")
_EXAMPLES: Final = """\
examples:
  gateway conformance http://127.0.0.1:8787 --key-stdin < key.txt
  printenv CLIENT_KEY | gateway conformance http://127.0.0.1:8787 --key-stdin --quick
  gateway conformance http://127.0.0.1:4000 --key-stdin --name 'LiteLLM 1.106.2' --format markdown < key.txt
  gateway conformance http://127.0.0.1:8080 --path-prefix '' --only 'truncated.*' --only 'inband.*'
  gateway conformance --list

It runs an upstream that plays Claude and fails in known ways, at --upstream-listen. Point the gateway's Anthropic
base URL there, for example

  GATEWAY_ANTHROPIC_BASE_URL=http://127.0.0.1:8790 GATEWAY_ANTHROPIC_API_KEY=any gateway serve

then it waits until the gateway answers through it, and checks rule after rule. Never do this to a gateway that
serves others: its upstream fails on purpose.

A key on the command line can be seen in the list of processes; --key-stdin and GATEWAY_CONFORMANCE_KEY cannot.

exit status: 0 all rules passed, 1 some failed or the gateway stopped serving, 2 they could not be checked.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "conformance",
        summary="check any gateway's streams, errors and headers, and print a score card",
        about="Put a gateway, of whatever make, between a client and an upstream that fails in known ways, and "
        "see whether it keeps what clients of Claude rely on.",
        examples=_EXAMPLES,
    )
    parser.add_argument("url", metavar="URL", nargs="?", type=_url, help="the gateway under test")
    parser.add_argument("--key", metavar="KEY", default="", help="a client's key to it, where it wants one")
    parser.add_argument("--key-stdin", action="store_true", help="read the key from standard input")
    parser.add_argument("--bearer", action="store_true", help="send it as Authorization: Bearer, not x-api-key")
    parser.add_argument(
        "--header", metavar="NAME:VALUE", action="append", default=[], help="one more for each request"
    )
    parser.add_argument(
        "--path-prefix",
        metavar="PATH",
        help="what stands before /v1/messages (default: whichever answers of "
        + ", ".join(repr(prefix) for prefix in PREFIXES)
        + ")",
    )
    parser.add_argument(
        "--model", metavar="NAME", default="claude-sonnet-4-5", help="to ask for (default: claude-sonnet-4-5)"
    )
    parser.add_argument("--name", metavar="TEXT", help="what to call the gateway in the score card")
    parser.add_argument(
        "--upstream-listen",
        metavar="HOST:PORT",
        type=_address,
        default=("127.0.0.1", 8790),
        help="where the upstream listens (default: 127.0.0.1:8790)",
    )
    parser.add_argument(
        "--only", metavar="PATTERN", action="append", default=[], help="rules to check: truncated.*"
    )
    parser.add_argument("--quick", action="store_true", help="leave out the rules that wait for 20 s")
    parser.add_argument(
        "--format", choices=tuple(FORMATS), default="text", help="of the score card (default: text)"
    )
    parser.add_argument("--list", action="store_true", help="say what the rules are, and check nothing")
    seconds = parser.add_argument_group("patience, in seconds")
    seconds.add_argument(
        "--wait", metavar="S", type=_SECONDS, default=60.0, help="for the gateway to answer at all (default: 60)"
    )
    seconds.add_argument(
        "--patience", metavar="S", type=_SECONDS, default=10.0, help="for what should happen at once (default: 10)"
    )
    seconds.add_argument(
        "--recovery",
        metavar="S",
        type=_SECONDS,
        default=75.0,
        help="for the gateway to serve again after errors of its upstream (default: 75)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    mask = Masker([args.key])
    try:
        rules = _rules(args)
        if args.list:
            print(list_rules(rules, args.format))
            return PASSED
        return asyncio.run(_check(args, _target(args, mask), rules, mask))
    except CannotRunError as error:
        return could_not_run("conformance", error, mask)


def _rules(args: argparse.Namespace) -> Sequence[Rule]:
    rules = select(args.only, quick=args.quick)
    if not rules:
        raise CannotRunError(f"no rule fits {', '.join(args.only)}; `gateway conformance --list` names them")
    return rules


def _target(args: argparse.Namespace, mask: Masker) -> Target:
    if args.url is None:
        raise CannotRunError("the URL of the gateway under test is missing")
    key = _key(args)
    mask.learn(key)
    return Target(args.url, key, args.bearer, args.model, tuple(headers_from(args.header).items()))


def _key(args: argparse.Namespace) -> str:
    """Return the key, from wherever it was given; empty for a gateway that wants none."""
    if args.key_stdin:
        return keys_from(args, {"key": _KEY_VARIABLE})[0]
    return args.key or os.environ.get(_KEY_VARIABLE, "").strip()


async def _check(args: argparse.Namespace, target: Target, rules: Sequence[Rule], mask: Masker) -> int:
    tell = Progress(mask).say
    host, port = args.upstream_listen
    upstream = ReplayUpstream(host, port)
    try:
        await upstream.__aenter__()
    except OSError as error:
        # Name look-ups fail with negative numbers that the system has no text for.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else str(error)
        raise CannotRunError(
            f"the upstream cannot listen on {host}:{port}: {reason}; set --upstream-listen to another HOST:PORT"
        ) from None
    try:
        stage = Stage(upstream, args.model)
        await stage.load(FIXTURES)
        bench = Bench(target, stage, patience=args.patience, mask=mask)
        tell(f"the upstream listens on {upstream.url}: that is where the gateway under test has to send requests")
        prefixes = PREFIXES if args.path_prefix is None else (_prefix(args.path_prefix),)
        await find_gateway(bench, prefixes, wait=args.wait, tell=tell)
        findings = await check_all(bench, rules, recovery=args.recovery, tell=tell)
    finally:
        await upstream.__aexit__(None, None, None)
    card = ScoreCard(args.name or bench.target.base, _VERSION, datetime.now(UTC), findings)
    print(FORMATS[args.format](card))
    return PASSED if card.passed else FAILED


def _url(text: str) -> str:
    try:
        url = URL(text)
        usable = url.scheme in ("http", "https") and bool(url.host) and not url.query_string and not url.fragment
    except ValueError:
        usable = False
    if not usable:
        raise argparse.ArgumentTypeError(f"{text!r} is not http://HOST:PORT")
    if url.user is not None or url.password is not None:
        # The URL stands in the score card. The value is not repeated here either.
        raise argparse.ArgumentTypeError("leave user and password out of the URL; --key and --header take them")
    return text.rstrip("/")


def _prefix(text: str) -> str:
    stripped = text.strip("/")
    return f"/{stripped}" if stripped else ""


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > _LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)
