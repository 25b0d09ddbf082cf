"""The command `sse-fsm`: look at a Messages stream as the state machine sees it.

All reading, writing and timing of this package is in this file.
"""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, Final

from sse_fsm.foreign import HEAD_BYTES, describe_http_head
from sse_fsm.guard import EndReason, Outcome, StreamGuard, Verdict
from sse_fsm.message import MessageAccumulator
from sse_fsm.printing import Paint
from sse_fsm.tracing import Tracer, describe_verdict

__all__ = ["main"]

_OK: Final = 0
_NOT_VALID: Final = 1
_FAILED: Final = 2
_INTERRUPTED: Final = 130
_PIPE_CLOSED: Final = 141
_STANDARD_INPUT: Final = 0
_READ_BYTES: Final = 64 * 1024

_EXIT_CODES: Final = """\
exit status:
  0  the stream is valid (check: every one of them), from its first event to message_stop
  1  it is not: broken, cut off, ended by an error event, or without its message_stop; or it is no stream
  2  wrong usage, or an input cannot be read
"""
_EXAMPLES: Final = """\
examples:
  curl -sN "$URL/v1/messages" -H "x-api-key: $KEY" -H "anthropic-version: 2023-06-01" \\
       -d '{"model":"claude-sonnet-5-5","max_tokens":64,"stream":true,"messages":[...]}' | sse-fsm trace -
  sse-fsm trace recorded.sse
  sse-fsm check streams/*.sse
  sse-fsm check --json - < recorded.sse | jq .usage
  sse-fsm states --format mermaid
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Args:
        argv: the arguments; those of the process by default.
    """
    arguments = _parser().parse_args(argv)
    # A line leaves when it is complete, also into a pipe; what the terminal cannot show is escaped.
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, TextIOWrapper):
            output.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except OSError as error:
        print(f"sse-fsm: {error.filename or 'input'}: {error.strerror}", file=sys.stderr)
        return _FAILED


def _parser() -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="sse-fsm",
        description="Look at a Claude Messages stream as the state machine sees it.",
        epilog=f"{_EXAMPLES}\n{_EXIT_CODES}",
        formatter_class=style,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    trace = commands.add_parser(
        "trace",
        help="print a stream event by event, as it arrives",
        description="Print each event as it arrives: number, time since the start, time since the event before "
        "(not for files), state before → after, event, content. Stops at the first violation.",
        epilog=f"examples:\n  curl -sN ... | sse-fsm trace -\n  sse-fsm trace recorded.sse\n\n{_EXIT_CODES}",
        formatter_class=style,
    )
    trace.add_argument("file", metavar="FILE", help="file or pipe to read; - is standard input")
    _add_colour(trace)
    trace.set_defaults(run=_trace)

    check = commands.add_parser(
        "check",
        help="judge streams, for scripts and CI",
        description="Judge whole streams. A stream without its message_stop is not valid on the wire, though a "
        'guard would repair it: its outcome is "repaired" and the exit status 1.',
        epilog=f"examples:\n  sse-fsm check *.sse\n  sse-fsm check --json - < recorded.sse\n\n{_EXIT_CODES}",
        formatter_class=style,
    )
    check.add_argument("files", metavar="FILE", nargs="+", help="files or pipes to read; - is standard input")
    check.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object per input: input, outcome, code, sentence, event, offset, message, usage, "
        "error, notes, events, bytes",
    )
    _add_colour(check)
    check.set_defaults(run=_check)

    states = commands.add_parser(
        "states",
        help="print the table of states",
        description="Print what may follow what, from the table that the machine itself runs on.",
    )
    states.add_argument(
        "--format", choices=["text", "dot", "mermaid", "markdown"], default="text", help="default: text"
    )
    states.set_defaults(run=_states)
    return parser


def _add_colour(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--color",
        action=argparse.BooleanOptionalAction,
        help="colour the output, or do not; by default on terminals, unless NO_COLOR is set",
    )


def _paint(wanted: bool | None) -> Paint:  # noqa: FBT001 - it is an option with three values
    if wanted is None:
        wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Paint(wanted)


@contextmanager
def _opened(file: str) -> Generator[int]:
    """Open a file, or standard input, for `os.read`, which gives what is there and does not wait for more."""
    if file == "-":
        yield _STANDARD_INPUT
        return
    descriptor = os.open(file, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _chunks(descriptor: int, file: str) -> Iterator[bytes]:
    try:
        while chunk := os.read(descriptor, _READ_BYTES):
            yield chunk
    except OSError as error:
        error.filename = file
        raise


def _trace(arguments: argparse.Namespace) -> int:
    start = time.monotonic()
    with _opened(arguments.file) as descriptor:
        timed = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        tracer = Tracer(paint=_paint(arguments.color), timed=timed)
        reason, status = EndReason.EOF, None
        print(tracer.head())
        try:
            for chunk in _chunks(descriptor, arguments.file):
                for line in tracer.feed(chunk, time.monotonic() - start):
                    print(line)
                if tracer.violated:
                    break
        except KeyboardInterrupt:
            reason, status = EndReason.CANCELLED, _INTERRUPTED
        for line in tracer.finish(reason, time.monotonic() - start):
            print(line)
    return _status(tracer.verdict) if status is None else status


def _check(arguments: argparse.Namespace) -> int:
    worst = _OK
    for file in arguments.files:
        try:
            status = _check_one(file, arguments)
        except BrokenPipeError:
            raise
        except OSError as error:
            print(f"sse-fsm: {file}: {error.strerror}", file=sys.stderr)
            status = _FAILED
        worst = max(worst, status)
    return worst


def _check_one(file: str, arguments: argparse.Namespace) -> int:
    accumulator = MessageAccumulator()
    guard = StreamGuard(observer=accumulator.observe if arguments.json else None)
    beginning = b""
    with _opened(file) as descriptor:
        for chunk in _chunks(descriptor, file):
            beginning += chunk[: HEAD_BYTES - len(beginning)]
            guard.feed(chunk)
    _, verdict = guard.finish()
    if arguments.json:
        print(json.dumps(_report(file, verdict, accumulator, beginning)))
    else:
        paint = _paint(arguments.color)
        first, *others = describe_verdict(verdict, beginning, paint, None)
        print(f"{file}: {first}", *others, sep="\n")
        if (hint := describe_http_head(beginning)) is not None:
            print(paint("yellow", f"  note: {hint}"))
    return _status(verdict)


def _report(file: str, verdict: Verdict, accumulator: MessageAccumulator, beginning: bytes) -> dict[str, Any]:
    violation, message = verdict.violation, accumulator.to_json()
    first, *_ = describe_verdict(verdict, beginning, Paint(enabled=False), None)
    hint = describe_http_head(beginning)
    report = {
        "input": file,
        "outcome": verdict.outcome.value,
        "code": verdict.code,
        "sentence": first.partition(": ")[2],
        "event": violation.event_number if violation else None,
        "offset": violation.offset if violation else None,
        "message": message,
        "usage": message["usage"] if message else None,
        "error": verdict.error,
        "notes": [*verdict.notes, *([] if hint is None else [hint])],
        "events": verdict.events,
        "bytes": verdict.bytes_in,
    }
    # A number too large for a float is no JSON when it is written out again.
    return json.loads(json.dumps(report), parse_constant=lambda _: None)


def _states(arguments: argparse.Namespace) -> int:
    from sse_fsm.diagram import render  # noqa: PLC0415 - the other commands do without it

    print(render(arguments.format).rstrip("\n"))
    return _OK


def _status(verdict: Verdict | None) -> int:
    return _OK if verdict is not None and verdict.outcome is Outcome.COMPLETE else _NOT_VALID


if __name__ == "__main__":
    sys.exit(main())
