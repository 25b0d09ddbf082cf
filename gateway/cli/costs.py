"""`gateway costs`: work costs out again, compare them with the provider's, show prices."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, TypeVar

from gateway.cli.common import CommandError, Subparsers, add_command, add_config_option, settings_from, warn
from gateway.cli.cost_output import drift_as_json, price_as_json, print_drift, print_prices, usd
from gateway.cli.noting import note
from gateway.cli.request_arguments import parse_time
from gateway.config import Settings
from gateway.controlplane.changes import costs_recomputed
from gateway.ledger.own_usage import OwnUsage, own_usage, unknown_accounts
from gateway.ledger.recosting import Recosting, recost
from gateway.pricing.book import PriceBook
from gateway.pricing.drift import compare, sum_up
from gateway.pricing.exports import Export, ExportError, Page, read_export, without_next
from gateway.pricing.price_file import PricesError
from gateway.store.cost_rows import RowFilter
from gateway.store.engine import Database, Opening
from gateway.store.errors import StoreError

__all__ = ["add_parser"]

_T = TypeVar("_T")
_PROVIDERS: Final = ("anthropic", "openai")
_PROGRESS: Final = 20_000
_SHOWN: Final = 20

_EXAMPLES: Final = """\
examples:
  gateway costs prices claude-opus-5-5
  gateway costs recompute --dry-run
  gateway costs reconcile usage.json costs.json

How costs come about: docs/cost-and-usage.md.
"""
_RECOMPUTE_EXAMPLES: Final = """\
examples:
  gateway costs recompute                      requests whose cost is not known
  gateway costs recompute --all --since 7d     all of the last week, such as after a change of the file of prices
  gateway costs recompute --model claude-opus-5-5 --dry-run

Runs beside gateways; sums follow. A cost that is known stays where today's prices do not have the model.
"""
_RECONCILE_EXAMPLES: Final = """\
examples:
  gateway costs reconcile usage.json costs.json
  gateway costs reconcile console.csv --account production --tolerance 0.5

The files are of Anthropic: pages of GET /v1/organizations/usage_report/messages with group_by[]=model, and of
GET /v1/organizations/cost_report with group_by[]=description, one or several in a file; or the CSV files of the
console's pages Usage and Cost. Days are in UTC. What is reported without a cost is priced here.
Exit status: 0 as good as equal, 1 a cost drifts by more than the tolerance or they could not be compared, 2 used
wrongly.
"""
_PRICES_EXAMPLES: Final = """\
examples:
  gateway costs prices
  gateway costs prices claude-sonnet-5-5 --at 2026-10-01
  gateway costs prices --provider openai --json
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "costs",
        summary="show prices, work costs out again, compare them with the provider's",
        about="What requests cost: the prices that are used, and whether the sums are right.",
        examples=_EXAMPLES,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_recompute(actions)
    _add_reconcile(actions)
    _add_prices(actions)


def _add_recompute(actions: Subparsers) -> None:
    parser = add_command(
        actions,
        "recompute",
        summary="work out what requests cost whose cost is not known, or of all",
        about="Work out again what requests cost, with the prices that held when they came in.",
        examples=_RECOMPUTE_EXAMPLES,
    )
    when = "such as 30m, 2h, 7d (ago), 2026-11-23, or 2026-11-23T10:00 in this machine's time zone"
    parser.add_argument("--since", metavar="TIME", help=when)
    parser.add_argument("--until", metavar="TIME", help="the same; up to then")
    parser.add_argument("--model", metavar="NAME", help="as asked for or as answered, its date apart")
    parser.add_argument("--all", action="store_true", help="those too whose cost is known")
    parser.add_argument("--dry-run", action="store_true", help="change nothing, say what would change")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.set_defaults(run=_recompute)
    add_config_option(parser)


def _add_reconcile(actions: Subparsers) -> None:
    parser = add_command(
        actions,
        "reconcile",
        summary="compare with what Anthropic reports",
        about="Compare what the gateway recorded with what Anthropic reports, by day and model.",
        examples=_RECONCILE_EXAMPLES,
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="exports of usage, of costs, or of both"
    )
    parser.add_argument(
        "--account",
        action="append",
        metavar="NAME",
        help="only requests of this account; may be given several times",
    )
    parser.add_argument(
        "--tolerance",
        type=_percentage,
        default=Decimal(1),
        metavar="PERCENT",
        help="how far a day's cost of a model may be off; default 1. Less than a cent is never too far",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.set_defaults(run=_reconcile)
    add_config_option(parser)


def _add_prices(actions: Subparsers) -> None:
    parser = add_command(
        actions,
        "prices",
        summary="show the prices that are used, and where they are from",
        about="The prices that are used: of genai-prices, of the gateway's corrections, or of your own file.",
        examples=_PRICES_EXAMPLES,
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="default all")
    parser.add_argument("--provider", choices=_PROVIDERS, help="default anthropic; with MODEL whichever has it")
    parser.add_argument("--at", metavar="TIME", help="as they were then; default now")
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    parser.set_defaults(run=_prices)
    add_config_option(parser)


def _percentage(text: str) -> Decimal:
    try:
        value = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or not 0 <= value <= 100:  # noqa: PLR2004 - per cent
        raise argparse.ArgumentTypeError(f"must be from 0 to 100, not {text!r}")
    return value


def _with_database(settings: Settings, work: Callable[[Database], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        async with Database.of(settings, Opening.EXISTING) as database:
            return await work(database)

    try:
        return asyncio.run(run())
    except StoreError as error:
        raise CommandError(str(error)) from None


def _book(settings: Settings) -> PriceBook:
    try:
        return PriceBook.load(settings.prices_path)
    except PricesError as error:
        raise CommandError(str(error)) from None


class _Progress:
    """Says on standard error how far long work has come."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = _PROGRESS

    def __call__(self, number: int) -> None:
        if number >= self._next:
            print(f"{self._what} {number:,} requests …", file=sys.stderr)
            self._next = number + _PROGRESS


def _recompute(args: argparse.Namespace) -> int:
    now = datetime.now(UTC).timestamp()
    wanted = RowFilter(
        since=parse_time(args.since, now) if args.since else None,
        until=parse_time(args.until, now) if args.until else None,
        only_unpriced=not args.all,
    )
    if wanted.since is not None and wanted.until is not None and wanted.since >= wanted.until:
        raise CommandError("--since must be before --until")
    settings = settings_from(args)
    prices = _book(settings)
    progress = _Progress("looked at")

    async def work(database: Database) -> Recosting:
        result = await recost(database, prices, wanted, model=args.model, dry_run=args.dry_run, progress=progress)
        if result.changed and not args.dry_run:
            await note(database, costs_recomputed(result, args.model))
        return result

    result = _with_database(settings, work)
    if args.json:
        print(json.dumps(_result_as_json(result, dry_run=args.dry_run), indent=2))
    else:
        _print_result(result, dry_run=args.dry_run)
    return 0


def _result_as_json(result: Recosting, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "looked_at": result.looked_at,
        "changed": result.changed,
        "priced": result.priced,
        "difference_usd": usd(Decimal(result.difference_nanousd).scaleb(-9)),
        "unknown": [
            {"model": model or None, "reason": reason or None, "requests": number}
            for (model, reason), number in result.unknown.most_common()
        ],
    }


def _print_result(result: Recosting, *, dry_run: bool) -> None:
    verb = "would change" if dry_run else "changed"
    difference = Decimal(result.difference_nanousd).scaleb(-9)
    print(f"looked at {result.looked_at:,}, {verb} {result.changed:,}: {result.priced:,} had no cost before")
    print(f"the sum of all costs {verb} by {'-' if difference < 0 else '+'}${usd(abs(difference))}")
    if result.unknown:
        print("still not known:")
    for (model, reason), number in result.unknown.most_common(_SHOWN):
        print(f"  {number:>10,}  {model or '(no model)'}: {reason or 'no reason'}")
    if len(result.unknown) > _SHOWN:
        print(f"  … and {len(result.unknown) - _SHOWN} more kinds; --json has them all")


def _reconcile(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    prices = _book(settings)
    exports = _exports(args.files)
    theirs = sum_up([row for export in exports for row in export.rows], prices)
    days, accounts = [day for day, _ in theirs], frozenset(args.account or ())
    progress = _Progress("read")

    async def work(database: Database) -> OwnUsage:
        if missing := await unknown_accounts(database, accounts, days):
            raise CommandError(
                f"no account is called {', '.join(map(repr, missing))}; `gateway accounts list` has them all"
            )
        return await own_usage(database, prices, days, accounts=accounts, progress=progress)

    found = _with_database(settings, work)
    if not found.requests:
        warn(
            "the gateway has no requests to Anthropic on these days"
            + (" of these accounts" if args.account else "")
        )
    comparisons = compare(found.amounts, theirs)
    if args.json:
        print(json.dumps(drift_as_json(comparisons, found, args.tolerance), indent=2))
    else:
        print_drift(comparisons, found, args.tolerance)
    return 1 if any(one.is_beyond(args.tolerance) for one in comparisons) else 0


def _exports(paths: Sequence[Path]) -> list[Export]:
    """Read the files of a report, and warn if it is not whole.

    Raises:
        CommandError: one cannot be used, or was given twice.
    """
    exports: list[Export] = []
    known: dict[bytes, Path] = {}
    pages: list[Page] = []
    for path in paths:
        try:
            export = read_export(path)
        except ExportError as error:
            raise CommandError(str(error)) from None
        if (other := known.get(export.digest)) is not None:
            raise CommandError(f"{path} is the same as {other}, and would count twice; give each export once")
        known[export.digest] = path
        exports.append(export)
        pages += export.pages
    for page in without_next(pages):
        kind = "costs" if page.is_costs else "usage"
        when = "" if page.last_begins is None else f" after {page.last_begins.date()}"
        warn(f"the report of {kind} is not whole: it goes on{when} (has_more), and the next page is not here")
    return exports


def _prices(args: argparse.Namespace) -> int:
    now = datetime.now(UTC).timestamp()
    at = parse_time(args.at, now) if args.at else now
    settings = settings_from(args)
    book = _book(settings)
    if args.model is None:
        provider = args.provider or _PROVIDERS[0]
        prices = [price for name in book.models(provider) if (price := book.find(name, at, provider)) is not None]
    else:
        providers = (args.provider,) if args.provider else _PROVIDERS
        found = (book.find(args.model, at, provider) for provider in providers)
        prices = [price for price in found if price is not None]
        if not prices:
            raise CommandError(
                f"no price is known for {args.model!r}; `gateway costs prices` lists those that are, and "
                "docs/cost-and-usage.md says how to add one"
            )
    if args.json:
        print(json.dumps([price_as_json(price) for price in prices], indent=2))
    else:
        print_prices(prices)
        if settings.prices_path is not None:
            print(f"\nWith {settings.prices_path} as it is now; a gateway has it as it was when that was started.")
    return 0
