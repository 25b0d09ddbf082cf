"""`gateway serve`: run the gateway."""

from __future__ import annotations

import argparse
import asyncio

from gateway.cli.common import Subparsers, add_command, add_config_option, refuse_lost_key, settings_from
from gateway.cli.serving import check, serving
from gateway.cli.setup_link import control_port, print_setup_link
from gateway.store.engine import Opening
from gateway.workers import run_event_loop, serve, serve_workers

__all__ = ["add_parser"]

_EXAMPLES = """\
examples:
  GATEWAY_ANTHROPIC_API_KEY=sk-ant-… gateway serve
  GATEWAY_LISTEN=0.0.0.0:8787 GATEWAY_WORKERS=4 gateway serve --config gateway.toml

Clients need a key: gateway keys create --name NAME
The dashboard is at GATEWAY_CONTROL_LISTEN (http://127.0.0.1:8788): until somebody has a password for it, a link to
choose one is printed at each start.
SIGTERM drains: no new connections, running streams finish within GATEWAY_TIMEOUTS__DRAIN_SECONDS.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "serve",
        summary="run the gateway",
        about="Run the gateway until SIGTERM or Ctrl-C.",
        examples=_EXAMPLES,
    )
    add_config_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    settings = settings_from(args)
    check(settings)
    with serving(settings):
        refuse_lost_key(settings, Opening.UPGRADE)
        if settings.workers > 1:
            return serve_workers(settings, prepare=lambda: asyncio.run(print_setup_link(settings)))
        return run_event_loop(
            serve(settings, started=lambda gateway: print_setup_link(settings, control_port(gateway)))
        )
