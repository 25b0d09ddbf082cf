"""Writes down in the audit log what somebody did by a command."""

from __future__ import annotations

import os
import pwd
import socket

from gateway.cli.common import warn
from gateway.store.audit_log import AuditStore, Change
from gateway.store.engine import Database
from gateway.store.errors import StoreError

__all__ = ["note"]


async def note(database: Database, *changes: Change) -> None:
    """Write down what the command has done.

    It is done, whether that can be written down or not: if not, whoever runs the command is told.
    """
    try:
        await AuditStore(database).add(*changes, who=_who(), how="command", address=socket.gethostname())
    except StoreError as error:
        warn(f"what follows is done, but the audit log does not have it: {error}")


def _who() -> str:
    # By the number that the system goes by: what the environment says anybody may set.
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        # In a container there may be no names.
        name = f"user {number}"
    return f"command line ({name})"
