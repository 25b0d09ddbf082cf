"""``gateway replay``: the built-in upstream alone."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from gateway.replay.faults import KINDS, FaultScript, FaultSyntaxError, Kind
from gateway.replay.script_file import load_script
from gateway.replay.server import ReplayUpstream

_EXAMPLES = """\
examples:
  gateway replay --listen 127.0.0.1:8790 --tokens-per-second 60
  gateway replay --listen 127.0.0.1:8790 --faults faults.toml

  curl -N http://127.0.0.1:8790/v1/messages -H 'x-api-key: any' -H 'anthropic-version: 2023-06-01' \\
    -H 'x-replay-fault: cut:event=4' \\
    -d '{"model":"claude-opus-5-5","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hi"}]}'
  curl 'http://127.0.0.1:8790/_replay/requests?limit=5'
  curl http://127.0.0.1:8790/_replay/faults -d '["status:529;times=3", "hang:event=3;seconds=2"]'
  curl -X DELETE http://127.0.0.1:8790/_replay/faults
  curl -X POST http://127.0.0.1:8790/_replay/tokens -d '{"expires_in": 60}'

control paths (docs/replay.md):
  GET, DELETE        /_replay/requests[?limit=N&bodies=1]   what was asked, the newest last; forget it
  GET, POST, DELETE  /_replay/faults                        the script; add to it; empty it
  POST               /_replay/tokens                        an OAuth pair; {"expires_in": SECONDS}
  POST               /_replay/tokens/expire, .../revoke     {"token": TOKEN}: it expires; its family is revoked

a fault file in TOML:
  [[rule]]
  fault = "status:429;retry-after=3"
  times = 2                     # or "forever"; path, model and credential are shell patterns

faults (KIND[:ARGUMENT][;OPTION=VALUE...], several joined by |), such as error-event:overloaded_error;event=3;
under each its options, the one that ARGUMENT sets first:
"""
_GRACE_SECONDS = 5.0
_LARGEST_PORT = 65_535


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command ``replay`` and its options."""
    table = "\n".join(_row(name, kind) for name, kind in KINDS.items())
    parser = subparsers.add_parser(
        "replay",
        help="run the built-in upstream alone",
        description="Run a server that answers as the Anthropic API does, from made-up answers and recorded "
        "fixtures, and that fails in any way it is asked to.",
        epilog=_EXAMPLES + table,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        type=_address,
        default=("127.0.0.1", 8790),
        help="where to listen; port 0 takes a free one (default: 127.0.0.1:8790)",
    )
    parser.add_argument(
        "--faults", metavar="FILE", type=Path, help="a script of faults: .toml, .json, or one short form a line"
    )
    parser.add_argument(
        "--stream",
        metavar="FILE",
        type=Path,
        help="play this file to whoever asks for a stream, such as one that `gateway requests show --save` wrote",
    )
    parser.add_argument(
        "--tokens-per-second",
        metavar="N",
        type=float,
        default=0.0,
        help="pace of streamed answers; 0 is as fast as the client reads (default: 0)",
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        action="append",
        help="accept this credential only; may be given several times (default: any credential)",
    )
    parser.set_defaults(run=run)


def _row(name: str, kind: Kind) -> str:
    """Return what the help says of a kind of fault; in front the option that a bare ARGUMENT sets."""
    options = sorted(kind.options, key=lambda option: option != kind.bare)
    return f"  {name}: {kind.about}" + (f"\n      {', '.join(options).replace('_', '-')}" if options else "")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status."""
    try:
        script = FaultScript() if args.faults is None else load_script(args.faults)
    except (OSError, FaultSyntaxError) as error:
        print(f"gateway replay: the fault script cannot be used: {error}", file=sys.stderr)
        return 1
    try:
        stream = None if args.stream is None else args.stream.read_bytes()
    except OSError as error:
        print(f"gateway replay: cannot read {args.stream}: {error.strerror or error}", file=sys.stderr)
        return 1
    host, port = args.listen
    upstream = ReplayUpstream(
        host,
        port,
        tokens_per_second=args.tokens_per_second,
        faults=script,
        api_keys=set(args.api_key) if args.api_key else None,
        shutdown_grace=_GRACE_SECONDS,
        stream=stream,
    )
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(upstream))


async def _serve(upstream: ReplayUpstream) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    address = f"{upstream.host}:{upstream.port}"
    try:
        await upstream.__aenter__()
    except OSError as error:
        # Name look-ups fail with negative numbers that the system has no text for.
        reason = os.strerror(error.errno or 0) if error.errno is not None and error.errno > 0 else str(error)
        print(
            f"gateway replay: cannot listen on {address}: {reason}. Choose another with --listen HOST:PORT.",
            file=sys.stderr,
        )
        return 1
    try:
        print(f"replay upstream listening on {upstream.url}", flush=True)
        await stop.wait()
    finally:
        await upstream.__aexit__(None, None, None)
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > _LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)
