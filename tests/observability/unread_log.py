"""A gateway whose log goes into a full pipe that nobody reads: run as a program by the tests."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from typing import Final

from gateway.app import Gateway
from gateway.config import load_settings
from gateway.telemetry import logs
from gateway.workers import run_event_loop, serve

_LINES: Final = 100  # that may wait, instead of ten thousand: to have many dropped takes few requests


def main() -> int:
    _, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    logs._QUEUE_LINES = _LINES  # ty: ignore[invalid-assignment]
    logs.configure_logs(level="debug", fmt="json", stream=os.fdopen(writer, "w"))

    def tell(gateway: Gateway) -> None:
        line = {"event": "gateway is ready", "url": gateway.url, "control_url": gateway.control_url}
        print(json.dumps(line), flush=True)  # noqa: T201 - how its parent knows

    return run_event_loop(serve(load_settings(), ready=tell))


if __name__ == "__main__":
    sys.exit(main())
