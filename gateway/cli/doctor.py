"""`gateway doctor`: what is not as it should be on this machine, at a gateway, and on the way to it."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import Final
from urllib.parse import urlsplit

from gateway.canary import doctor_arrivals, doctor_endpoints, doctor_failures, doctor_way
from gateway.canary.client import CannotRunError
from gateway.canary.doctor import UnexaminableError, examine
from gateway.canary.findings import Finding, Level, Part, as_json, as_text, exit_status
from gateway.canary.masking import Masker
from gateway.cli.account_input import read_secrets
from gateway.cli.canary_arguments import could_not_run
from gateway.cli.common import CommandError, Subparsers, add_command, add_config_option
from gateway.config import SettingsError, load_settings
from gateway.evidence.machine import look_at_machine

__all__ = ["add_parser"]

_SHOWN_NAMES: Final = 4
_EXAMPLES: Final = """\
examples:
  gateway doctor                                     this machine and its settings
  gateway doctor --config /etc/gateway.toml --streams 5000
  gateway doctor --base-url https://claude.example.com/claude --key-stdin < key.txt
  gateway doctor --base-url http://127.0.0.1:8787/claude --key-stdin --upstream http://127.0.0.1:8790 < key.txt

With --base-url it also asks that gateway, as its clients do: a few small requests; some tokens are used where the
upstream is the real one. Before the replay upstream (docs/replay.md) it also sees what happens when the upstream
fails or is silent; with --upstream, which then is the replay upstream's own address, what reaches it.

It changes nothing. A key on the command line can be seen in the list of processes; --key-stdin cannot.

exit status: 0 no problem, 1 at least one, 2 it could not look
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "doctor",
        summary="look for what is not as it should be: settings, machine, a running gateway, a proxy before it",
        about="Look at this machine's settings and, with --base-url, at a running gateway and the way to it. Each "
        "finding says what to do.",
        examples=_EXAMPLES,
    )
    add_config_option(parser)
    parser.add_argument(
        "--base-url", metavar="URL", type=_url, help="what clients have, such as http://127.0.0.1:8787/claude"
    )
    parser.add_argument("--key", metavar="KEY", help="a client's key; seen in the list of processes")
    parser.add_argument("--key-stdin", action="store_true", help="read the key from standard input")
    parser.add_argument("--upstream", metavar="URL", type=_url, help="the replay upstream behind the gateway")
    parser.add_argument("--model", default="", help="to be asked (default: the smallest that is listed)")
    parser.add_argument(
        "--silence",
        metavar="SECONDS",
        type=_seconds,
        help="how long an answer is kept back, behind the replay upstream, to find time limits (default: 65 where "
        "something stands in front of the gateway, else 0: not at all)",
    )
    parser.add_argument(
        "--streams",
        metavar="N",
        type=_amount,
        default=1000,
        help="streams at a time to expect (default: 1000)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    mask = Masker([args.key or ""])
    try:
        key = _key(args)
        mask.learn(key)
        found = _machine(args)
        trouble: UnexaminableError | None = None
        if args.base_url is not None:
            try:
                found += asyncio.run(_examine(args, key))
            except UnexaminableError as error:
                trouble = error
                what = f"the gateway was not looked at: {error}"
                found.append(Finding(Part.CONTRACT, "gateway", Level.PROBLEM, what, error.fix))
    except CannotRunError as error:
        return could_not_run("doctor", error, mask)
    if args.json:
        report = as_json(found) | ({"error": str(trouble)} if trouble is not None else {})
        print(json.dumps(mask.all(report), indent=2, ensure_ascii=False))
    else:
        print(mask("\n".join(as_text(found, settings_from=_settings_from(args)))))
    if trouble is not None:
        return could_not_run("doctor", CannotRunError(f"{trouble}; {trouble.fix}"), mask)
    return exit_status(found)


def _settings_from(args: argparse.Namespace) -> str:
    """Say where the settings are from: a gateway that was started elsewhere may have others."""
    names = sorted(name for name in os.environ if name.startswith("GATEWAY_"))
    sources = [] if args.config is None else [str(args.config)]
    sources += names[:_SHOWN_NAMES]
    if len(names) > _SHOWN_NAMES:
        sources.append(f"{len(names) - _SHOWN_NAMES} more")
    return f"with the settings of this shell ({', '.join(sources) or 'none is set'})"


def _key(args: argparse.Namespace) -> str:
    """Return the client's key; empty where no gateway is to be asked.

    Raises:
        CannotRunError: base URL and key are not both there.
    """
    if args.base_url is None:
        if args.key is not None or args.key_stdin:
            raise CannotRunError("a key without --base-url is of no use")
        return ""
    try:
        key = read_secrets(["key"])[0] if args.key_stdin else (args.key or "").strip()
    except CommandError:
        key = ""
    if not key or not key.isascii() or not key.isprintable():
        raise CannotRunError("give a client's key, with --key or with --key-stdin")
    return key


def _machine(args: argparse.Namespace) -> list[Finding]:
    unknown: list[str] = []
    try:
        settings = load_settings(args.config, warn=unknown.append)
    except SettingsError as error:
        fix = "correct it; docs/configuration.md lists all settings"
        return [Finding(Part.MACHINE, "settings", Level.PROBLEM, str(error), fix)]
    return look_at_machine(settings, unknown, streams=args.streams)


async def _examine(args: argparse.Namespace, key: str) -> list[Finding]:
    checks = (
        *doctor_endpoints.CHECKS,
        *doctor_arrivals.CHECKS,
        *doctor_failures.CHECKS,
        *doctor_way.CHECKS,
    )
    return await examine(
        checks,
        doctor_way.of_all_answers,
        base_url=args.base_url,
        key=key,
        upstream=args.upstream or "",
        model=args.model,
        silence_seconds=args.silence,
        say=lambda text: print(f"gateway doctor: {text}", file=sys.stderr, flush=True),
    )


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or parts.username is not None:
        raise argparse.ArgumentTypeError("a base URL is http:// or https://, a host, a port and a path")
    return text


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 3600:  # noqa: PLR2004 - nobody waits for longer
        raise argparse.ArgumentTypeError("a number of seconds from 0 to 3600")
    return value


def _amount(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:  # noqa: PLR2004 - a million
        raise argparse.ArgumentTypeError("a number from 1 to 1000000")
    return int(text)
