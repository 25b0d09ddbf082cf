"""`gateway demo`: a gateway, an upstream that plays Claude, one key, and lines to paste."""

from __future__ import annotations

import argparse
import secrets
import shlex
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from gateway.app import Gateway, run_gateway
from gateway.cli.common import Subparsers, add_command, add_config_option, refuse_lost_key, settings_from
from gateway.cli.errors import CommandError
from gateway.cli.serving import check, serving
from gateway.cli.setup_link import control_port
from gateway.config import ClientAuth, Settings
from gateway.controlplane.sign_in.links import base_url, make_link
from gateway.replay.openai import OpenAIReplay
from gateway.replay.server import ReplayUpstream
from gateway.store.client_keys import ClientKeyStore
from gateway.store.engine import Database, Opening
from gateway.store.secret import load_secret_key
from gateway.store.user_links import LinkStore, Purpose
from gateway.store.users import ADMIN, NameTakenError, UserStore
from gateway.workers import run_event_loop, wait_for_signal

__all__ = ["add_parser"]

_TOKENS_PER_SECOND: Final = 40.0
_MODEL: Final = "claude-opus-5-5"
_USER: Final = "demo"
_DOOR_SECONDS: Final = 30 * 86_400.0
"""As good as until the demonstration ends."""
_EXAMPLES = """\
examples:
  gateway demo
  GATEWAY_LISTEN=127.0.0.1:9000 gateway demo

Nothing leaves this machine unless GATEWAY_ANTHROPIC_API_KEY is set: then the gateway sends
requests to the Anthropic API instead of the built-in upstream.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "demo",
        summary="try the gateway: built-in upstream, one key, lines to paste",
        about="Run a gateway in front of an upstream that plays Claude, with a key made for this run.",
        examples=_EXAMPLES,
    )
    add_config_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    settings = settings_from(args)
    check(settings)
    if settings.client_auth is not ClientAuth.KEYS:
        raise CommandError("gateway demo makes a key of its own; unset GATEWAY_CLIENT_AUTH")
    with serving(settings, log_to=sys.stderr):
        if settings.data_dir or settings.database_url:
            refuse_lost_key(settings, Opening.UPGRADE)
        return run_event_loop(_demo(settings))


async def _demo(settings: Settings) -> int:
    async with AsyncExitStack() as stack:
        if not settings.data_dir and not settings.database_url:
            settings.data_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-demo-"))
        upstream = "the Anthropic API, with your key"
        if not settings.anthropic_api_key:
            replay = await stack.enter_async_context(ReplayUpstream(tokens_per_second=_TOKENS_PER_SECOND))
            settings.anthropic_base_url = replay.url
            settings.anthropic_api_key = f"sk-ant-replay-{secrets.token_hex(8)}"
            if settings.openai_base_url == Settings().openai_base_url:
                # Without an account nothing leaves this machine, below /v1 neither.
                settings.openai_base_url = (await stack.enter_async_context(OpenAIReplay())).url
            upstream = f"the built-in replay upstream at {replay.url}"
        pepper = load_secret_key(settings.secret_key, settings.data_path)
        database = await stack.enter_async_context(Database.of(settings))
        store = ClientKeyStore(database)
        stored, key = await store.create("demo", pepper)
        stack.push_async_callback(store.revoke, stored.id)
        gateway = await stack.enter_async_context(run_gateway(settings, control=True))
        door = await stack.enter_async_context(_open_door(settings, database, gateway))
        await wait_for_signal(ready=lambda: print(_instructions(gateway, key, upstream, door), flush=True))
        print("stopping", flush=True)
    return 0


@asynccontextmanager
async def _open_door(settings: Settings, database: Database, gateway: Gateway) -> AsyncGenerator[str | None]:
    """Make a user of the dashboard for this run, and give the link that signs in; None without a dashboard."""
    base = base_url(settings, control_port(gateway))
    if base is None:
        yield None
        return
    users = UserStore(database)
    try:
        user = await users.add(_USER, ADMIN)
    except NameTakenError:
        user = await users.add(f"{_USER}-{secrets.token_hex(4)}", ADMIN)
    try:
        link = await make_link(LinkStore(database), base, Purpose.SIGN_IN, user_id=user.id, seconds=_DOOR_SECONDS)
        yield link.url
    finally:
        await users.remove(user.id, even_the_last=True)


def _instructions(gateway: Gateway, key: str, upstream: str, door: str | None) -> str:
    base = f"{gateway.url}/claude"
    body = (
        f'{{"model":"{_MODEL}","max_tokens":256,"stream":true,'
        '"messages":[{"role":"user","content":"Say hello"}]}'
    )
    python = shlex.quote(str(Path(sys.executable)))
    control = ""
    if door is not None:
        control = (
            f"Look at it in a browser; this link signs you in, once:\n\n  {door}\n\n"
            f"Its metrics are at {gateway.control_url}/metrics.\n"
        )
    return f"""
The gateway listens at {gateway.url} and sends requests to {upstream}.
{control}Paste any of these into another terminal:

# curl
curl -N {base}/v1/messages -H 'x-api-key: {key}' -H 'anthropic-version: 2023-06-01' \
-H 'content-type: application/json' -d '{body}'

# Claude Code
ANTHROPIC_BASE_URL={base} ANTHROPIC_AUTH_TOKEN={key} claude -p "Run: echo replay-tool-ok" --allowedTools Bash

# Python SDK; install it first: {python} -m pip install anthropic
{python} - <<'PY'
import anthropic
client = anthropic.Anthropic(base_url="{base}", api_key="{key}")
with client.messages.stream(
    model="{_MODEL}", max_tokens=256, messages=[{{"role": "user", "content": "Say hello"}}]
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
print()
PY

Press Ctrl-C to stop.
"""
