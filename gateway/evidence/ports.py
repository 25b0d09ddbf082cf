"""Who listens on a port of this machine, as far as this user may know."""

from __future__ import annotations

import errno
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import define

from gateway.config import Address

__all__ = ["Listener", "listener_on"]

_PROC: Final = Path("/proc")
_LISTENS: Final = "0A"
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


@define(frozen=True)
class Listener:
    """Who it is."""

    pid: int | None
    """None if that cannot be seen."""
    name: str
    """Of its program."""
    is_gateway: bool


def listener_on(address: Address) -> Listener | None:
    """Return who listens where a gateway would; None if nobody does."""
    if not _is_taken(address):
        return None
    inodes = _inodes(address.port)
    pid = _owner(inodes) if inodes else None
    if pid is None:
        return Listener(None, "", is_gateway=False)
    command = _command(pid)
    name = Path(command[0]).name if command else _read(_PROC / str(pid) / "comm").strip()
    # The command line of a worker is that of multiprocessing.
    is_gateway = _is_gateway(command) or _is_gateway(_command(_parent(pid)))
    return Listener(pid, name, is_gateway=is_gateway)


def _command(pid: int) -> list[str]:
    return _read(_PROC / str(pid) / "cmdline").split("\0")


def _is_gateway(command: list[str]) -> bool:
    """Whether it is `gateway serve` or `gateway demo`, by its script or as a module of Python."""
    named = any(Path(word).name == "gateway" for word in command[:3])
    return named and not {"serve", "demo"}.isdisjoint(command[1:5])


def _parent(pid: int) -> int:
    match = re.search(r"^PPid:\s*(\d+)", _read(_PROC / str(pid) / "status"), re.MULTILINE)
    return int(match[1]) if match else 0


def _is_taken(address: Address) -> bool:
    """Try to bind; nothing listens for a moment by that."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return False
    family, kind, protocol, _, where = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _inodes(port: int) -> set[str]:
    """Return the sockets that listen on a port, whatever the address."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in _read(_PROC / "net" / table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def _owner(inodes: set[str]) -> int | None:
    for directory in _PROC.iterdir():
        if not directory.name.isdecimal():
            continue
        # Another user's, or one that has just ended.
        with suppress(OSError):
            for handle in (directory / "fd").iterdir():
                with suppress(OSError):
                    match = _SOCKET.fullmatch(str(handle.readlink()))
                    if match is not None and match[1] in inodes:
                        return int(directory.name)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
