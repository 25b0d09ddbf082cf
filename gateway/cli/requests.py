"""`gateway requests`: what became of each request, and what it cost."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Final, TextIO

from gateway.cli.common import CommandError, Subparsers, add_command, add_config_option, settings_from
from gateway.cli.request_arguments import add_filter_options, filter_from
from gateway.cli.request_output import RequestTable, print_details
from gateway.cli.request_reading import pages, what_there_is, with_queries
from gateway.cli.request_summary import add_summary
from gateway.cli.timeline_output import print_timeline, timeline_as_json
from gateway.config import Settings
from gateway.ledger.export import as_json, write_csv, write_lines
from gateway.ledger.recosting import cost_of_row
from gateway.ledger.row import RequestRow
from gateway.ledger.skeleton import SkeletonError, skeleton_of
from gateway.ledger.timeline import Timeline, TimelineError
from gateway.pricing.book import PriceBook
from gateway.pricing.cost import Cost
from gateway.pricing.price_file import PricesError
from gateway.store.request_following import Follower
from gateway.store.request_queries import RequestFilter, RequestQueries

__all__ = ["add_parser"]

_PROGRESS: Final = 20_000
_LOOK_SECONDS: Final = 1.0

_EXAMPLES = """\
examples:
  gateway requests list
  gateway requests list --failed --since 2h
  gateway requests list --follow --tried production
  gateway requests summary --since 24h
  gateway requests list --session 5f1c… --json | jq .[].cost_usd
  gateway requests show req_0123…
  gateway requests export --since 2026-11-01 --format csv --output november.csv

They are read from the database, whether a gateway runs or not. A gateway writes a request down before its answer
ends. The newest come first.
"""
_SHOW_EXAMPLES = """\
examples:
  gateway requests show req_0123…                     by x-gateway-request-id, or by the upstream's request-id
  gateway requests show req_0123… --save strange.sse  the stream's events without their content, to play again
  sse-fsm check strange.sse
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "requests",
        summary="list, show and export what became of requests",
        about="What became of each request and what it cost; never what was asked or answered.",
        examples=_EXAMPLES,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list requests, the newest first")
    listing.add_argument("--limit", type=_count, default=20, metavar="N", help="how many at most; default 20")
    listing.add_argument("--json", action="store_true", help="print a JSON array; with --follow JSON lines")
    listing.add_argument(
        "--follow", action="store_true", help="go on with new ones as they end, the newest last, until Ctrl-C"
    )
    listing.set_defaults(run=_list)
    show = add_command(
        actions,
        "show",
        summary="all that is known of one request",
        about="All that is known of one request, and when its events came, if its stream did not end well.",
        examples=_SHOW_EXAMPLES,
    )
    show.add_argument("id", metavar="ID")
    show.add_argument("--json", action="store_true", help="print a JSON object, with the timeline if there is one")
    show.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="write the stream's events without their content, as server-sent events; - for standard output",
    )
    show.set_defaults(run=_show)
    export = actions.add_parser("export", help="write many requests to a file or to standard output")
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="default jsonl")
    export.add_argument("--output", type=Path, metavar="FILE", help="default standard output")
    export.add_argument("--limit", type=_count, metavar="N", help="how many at most; default all")
    export.set_defaults(run=_export)
    for action in (listing, export):
        add_filter_options(action)
    add_summary(actions)
    for action in (listing, show, export):
        add_config_option(action)


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return int(text)


def _list(args: argparse.Namespace) -> int:
    wanted = filter_from(args)
    if args.follow and args.until:
        raise CommandError("--follow and --until cannot be used together")
    settings = settings_from(args)

    async def read(queries: RequestQueries) -> None:
        if args.follow:
            await _follow(queries, wanted, args)
            return
        rows = [row async for page in pages(queries, wanted, args.limit) for row in page]
        if args.json:
            print(json.dumps([as_json(row) for row in rows], indent=2))
        elif rows:
            RequestTable().print(rows)
        else:
            what = "There are no requests yet." if wanted == RequestFilter() else "No request is like that."
            print(f"{what} See `gateway requests list --help` for what can be asked.")
        if rows:
            await _say_if_there_are_more(queries, wanted, len(rows), args.limit)
        else:
            for sentence in await what_there_is(queries, **_names_in(wanted)):
                print(sentence, file=sys.stderr)

    with_queries(settings, read)
    return 0


async def _say_if_there_are_more(queries: RequestQueries, wanted: RequestFilter, shown: int, limit: int) -> None:
    if shown < limit:
        return
    count = await queries.count(wanted)
    if count.number > shown and count.is_exact:
        print(f"{shown} of {count.number} (--limit {count.number} shows all)", file=sys.stderr)
    elif not count.is_exact:
        known = f"at least {count.number}" if count.number > shown else "more, perhaps"
        print(f"{shown} of {known} (--limit N shows more)", file=sys.stderr)


def _names_in(wanted: RequestFilter) -> dict[str, str | None]:
    names = ("actor", "account", "tried", "model", "stop_reason", "route")
    return {name: getattr(wanted, name) for name in names}


async def _follow(queries: RequestQueries, wanted: RequestFilter, args: argparse.Namespace) -> None:
    table = RequestTable()
    follower = Follower(queries, wanted)
    await follower.look(only_count=True)
    rows = [row async for page in pages(queries, wanted, args.limit) for row in page]
    follower.pass_over(rows)
    rows.reverse()
    while True:
        if args.json:
            write_lines(rows, sys.stdout)
            sys.stdout.flush()
        elif rows:
            table.print(rows)
        await asyncio.sleep(_LOOK_SECONDS)
        rows = await follower.look()


def _show(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    if args.json and str(args.save) == "-":
        raise CommandError("--json and --save - cannot be used together: both write to standard output")

    async def read(queries: RequestQueries) -> tuple[RequestRow | None, bytes | None]:
        row = await queries.get(args.id)
        return row, await queries.timeline(row.id) if row is not None else None

    row, kept = with_queries(settings, read)
    if row is None:
        raise CommandError(
            f"no request has the id {args.id!r}; the id is in the answer's header x-gateway-request-id, and "
            "`gateway requests list` shows it. One that is not there has not ended yet, or the gateway was killed "
            "while it ran, or it has been deleted since: see [retention] in docs/configuration.md"
        )
    try:
        timeline = None if kept is None else Timeline.decode(kept)
    except TimelineError as error:
        raise CommandError(str(error)) from None
    if args.save is not None:
        saved = _save(row, timeline, args.save)
        if not args.json:
            return 0 if saved is None else _print(saved)
        # Standard output is for what was asked for: JSON, or the stream.
        if saved is not None:
            print(saved, file=sys.stderr)
    if args.json:
        shown = as_json(row) | {"timeline": None if timeline is None else timeline_as_json(timeline)}
        print(json.dumps(shown, indent=2))
        return 0
    print_details(row, _bill(row, settings))
    if timeline is not None:
        print()
        print_timeline(timeline)
    return 0


def _print(text: str) -> int:
    print(text)
    return 0


def _save(row: RequestRow, timeline: Timeline | None, path: Path) -> str | None:
    """Write a stream; return what there is to say of the file, if it is one."""
    try:
        skeleton = skeleton_of(row, timeline)
    except SkeletonError as error:
        raise CommandError(str(error)) from None
    if str(path) == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(skeleton)
        return None
    try:
        path.write_bytes(skeleton)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from None
    return f"{path}: {len(skeleton)} bytes, no content. Judge it with `sse-fsm check {path}`."


def _bill(row: RequestRow, settings: Settings) -> Cost:
    try:
        prices = PriceBook.load(settings.prices_path)
    except PricesError as error:
        raise CommandError(str(error)) from None
    return cost_of_row(row.columns(), prices)


def _export(args: argparse.Namespace) -> int:
    wanted = filter_from(args)
    settings = settings_from(args)
    try:
        file = None if args.output is None else args.output.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise CommandError(f"cannot write {args.output}: {error.strerror or error}") from None
    out = nullcontext(sys.stdout) if file is None else file

    async def write(queries: RequestQueries) -> int:
        number, is_first = 0, True
        with out as stream:
            async for page in pages(queries, wanted, args.limit):
                _write(page, stream, args.format, heading=is_first)
                is_first = False
                before, number = number, number + len(page)
                if number // _PROGRESS > before // _PROGRESS:
                    print(f"{number} requests …", file=sys.stderr)
        return number

    try:
        number = with_queries(settings, write)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"cannot write all of it: {error.strerror or error}") from None
    print(f"{number} request{'' if number == 1 else 's'}", file=sys.stderr)
    return 0


def _write(rows: list[RequestRow], file: TextIO, form: str, *, heading: bool) -> None:
    if form == "csv":
        write_csv(rows, file, heading=heading)
    else:
        write_lines(rows, file)
