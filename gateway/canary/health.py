"""`python -m gateway.canary.health`: ask the gateway of this container or unit whether it lives.

For health checks that have no shell and no curl. The exit status is the answer: 0 it does, 1 it does not.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.config import Address, Settings

__all__ = ["main", "problem_of"]

_VARIABLE: Final = "GATEWAY_LISTEN"
_SECONDS: Final = 2.0
_OK: Final = 200
# What listens on all interfaces is asked on loopback.
_HERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on


def problem_of(path: str = "/healthz", environ: Mapping[str, str] | None = None) -> str:
    """Ask the gateway that listens at GATEWAY_LISTEN, and return what is wrong with it, empty for nothing.

    Args:
        path: `/healthz` for whether it lives, `/readyz` for whether it can serve.
        environ: environment variables; default those of the process.
    """
    variables = os.environ if environ is None else environ
    # No other one is looked at: they may want what stands in a settings file, which is the gateway's to read.
    try:
        address = Address.parse(variables.get(_VARIABLE, "").strip() or Settings().listen)
    except ValueError as error:
        return f"{_VARIABLE} {error}"
    connection = http.client.HTTPConnection(_HERE.get(address.host, address.host), address.port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"nothing answers at {address}: {error}"
    finally:
        connection.close()
    return "" if status == _OK else f"{address}{path} answers {status}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print what is wrong, if anything is, and return the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    problem = problem_of("/readyz" if "--ready" in arguments else "/healthz")
    if problem:
        sys.stderr.write(f"{problem}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
