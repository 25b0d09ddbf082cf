"""What the doctor looks at on this machine: settings, files, ports, limits. It changes nothing."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from gateway.canary.findings import Finding, Level, Part
from gateway.config import Address, ClientAuth, OpenAIMode, Settings
from gateway.evidence.database import look_at_database
from gateway.evidence.ports import Listener, listener_on
from gateway.setting_values import is_loopback
from gateway.store.secret import has_secret_key, key_file

__all__ = ["look_at_machine"]

_FILES_PER_STREAM: Final = 2
"""The client's connection and the upstream's."""
_OTHER_FILES: Final = 100
_SHORT_KEY: Final = 16
_MEBIBYTE: Final = 1024 * 1024
_LITTLE_SPACE: Final = 1024 * _MEBIBYTE
_NO_SPACE: Final = 128 * _MEBIBYTE
_NETWORK_FILE_SYSTEMS: Final = frozenset(
    {
        "9p",
        "afs",
        "ceph",
        "cifs",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "lustre",
        "nfs",
        "nfs4",
    }
    | {"smb3", "smbfs"}
)
_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def look_at_machine(
    settings: Settings, unknown_variables: Sequence[str], *, streams: int, serves: bool = False
) -> list[Finding]:
    """Look at everything; blocks.

    Args:
        settings: as a gateway started here and now would have them.
        unknown_variables: what was said of variables that look like settings and are none.
        streams: at a time, to be ready for.
        serves: whether it is the gateway itself that looks, which has its ports.
    """
    return [
        *_settings(settings, unknown_variables),
        *_listens(settings),
        *(() if serves else _ports(settings)),
        _open_files(settings, streams),
        _workers(settings),
        _event_loop(),
        *_secret_key(settings),
        *_data_directory(settings),
        *look_at_database(settings),
    ]


def _finding(check: str, level: Level, what: str, fix: str = "") -> Finding:
    return Finding(Part.MACHINE, check, level, what, fix)


def _settings(settings: Settings, unknown_variables: Sequence[str]) -> Iterator[Finding]:
    if not unknown_variables:
        yield _finding("settings", Level.OK, "the settings can be used, and no variable only looks like one")
    for text in unknown_variables:
        yield _finding("settings", Level.WARNING, text, "correct its name, or unset it")
    for name, url in (("anthropic", settings.anthropic_base_url), ("openai", settings.openai_base_url)):
        host = url.partition("://")[2].partition("/")[0].rpartition(":")[0] or url.partition("://")[2]
        if url.startswith("http://") and not is_loopback(host.strip("[]").partition("/")[0]):
            yield _finding(
                "upstream-tls",
                Level.WARNING,
                f"credentials go to the upstream {name} without TLS",
                f"set GATEWAY_{name.upper()}_BASE_URL to an https:// address",
            )
    if proxy := next((name for name in _PROXIES if os.environ.get(name)), None):
        yield _finding(
            "outgoing-proxy",
            Level.WARNING,
            f"{proxy} is set, and the gateway connects to its upstreams directly all the same",
            "let this machine connect to the upstream, or set the base URL to a gateway that may",
        )


def _listens(settings: Settings) -> Iterator[Finding]:
    data, control = settings.address, settings.control_address
    if control is None:
        yield _finding("control-plane", Level.OK, "the control plane is off; nothing serves /metrics")
    elif not control.is_loopback and not settings.control_token:
        yield _finding(
            "control-plane",
            Level.PROBLEM,
            f"the control plane is to listen on {control} without a token",
            "set GATEWAY_CONTROL_LISTEN=127.0.0.1:8788, or set GATEWAY_CONTROL_TOKEN",
        )
    elif not control.is_loopback and len(settings.control_token) < _SHORT_KEY:
        yield _finding(
            "control-plane",
            Level.PROBLEM,
            f"the control plane is to listen on {control}, and GATEWAY_CONTROL_TOKEN is shorter than {_SHORT_KEY} "
            "characters, and may be guessed",
            "set GATEWAY_CONTROL_TOKEN to what `openssl rand -hex 24` prints, or "
            "GATEWAY_CONTROL_LISTEN=127.0.0.1:8788",
        )
    else:
        yield _finding("control-plane", Level.OK, f"the control plane is at {control}")
    if data.is_loopback:
        yield _finding("data-plane", Level.OK, f"the data plane is at {data}, for this machine only")
    elif settings.client_auth is ClientAuth.PASSTHROUGH or settings.openai_mode is OpenAIMode.FORWARD:
        what = "everything" if settings.client_auth is ClientAuth.PASSTHROUGH else "what is below /v1"
        yield _finding(
            "data-plane",
            Level.WARNING,
            f"the data plane is at {data}, and sends {what} on without a key of its own",
            "let only those connect who may use the upstream, or set GATEWAY_CLIENT_AUTH=keys and "
            "GATEWAY_OPENAI_MODE=off",
        )
    else:
        yield _finding(
            "data-plane",
            Level.WARNING,
            f"the data plane is at {data}, where keys and prompts come in without TLS",
            "put a proxy with TLS in front of it where the network is not your own",
        )


def _ports(settings: Settings) -> Iterator[Finding]:
    for setting, address in (
        ("GATEWAY_LISTEN", settings.address),
        ("GATEWAY_CONTROL_LISTEN", settings.control_address),
    ):
        if address is None:
            continue
        listener = listener_on(address) if address.port else None
        yield _port(setting, address, listener)


def _port(setting: str, address: Address, listener: Listener | None) -> Finding:
    check = "ports"
    if listener is None:
        return _finding(check, Level.OK, f"{address} is free")
    if listener.is_gateway:
        return _finding(check, Level.OK, f"on {address} listens a gateway (process {listener.pid})")
    if listener.pid is None:
        fix = f"see who it is as root, with ss -ltnp; or set {setting} to another port"
        return _finding(check, Level.WARNING, f"{address} is in use; by whom cannot be seen", fix)
    fix = f"stop it, or set {setting} to another port"
    what = f"{address} is in use by process {listener.pid} ({listener.name})"
    return _finding(check, Level.PROBLEM, what, fix)


def _open_files(settings: Settings, streams: int) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _FILES_PER_STREAM * -(-streams // settings.workers) + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return _finding(
            "open-files",
            Level.OK,
            f"{streams} streams need {needed} open files in each process; {soft} are allowed",
        )
    how = f"ulimit -n {needed}" if hard == resource.RLIM_INFINITY or hard >= needed else "raise the hard limit too"
    return _finding(
        "open-files",
        Level.PROBLEM,
        f"{streams} streams need {needed} open files in each process; {soft} are allowed here",
        f"{how}; LimitNOFILE={max(needed, 65536)} in a systemd unit",
    )


def _workers(settings: Settings) -> Finding:
    cores = _cores()
    if settings.workers > cores:
        return _finding(
            "workers",
            Level.WARNING,
            f"{settings.workers} workers share {cores} core{'' if cores == 1 else 's'}",
            f"set GATEWAY_WORKERS to {cores} at the most: one event loop keeps one core busy",
        )
    return _finding("workers", Level.OK, f"{settings.workers} of {cores} cores serve (GATEWAY_WORKERS)")


def _cores() -> int:
    """Return how many cores this process may use; a container's quota counts."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        cores = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):
        return cores


def _event_loop() -> Finding:
    if importlib.util.find_spec("uvloop") is not None:
        return _finding("event-loop", Level.OK, "uvloop is there")
    return _finding(
        "event-loop",
        Level.WARNING,
        "uvloop is not installed; a stream costs about half as much again without it",
        "pip install uvloop",
    )


def _secret_key(settings: Settings) -> Iterator[Finding]:
    check, path = "secret-key", key_file(settings.data_path)
    if settings.secret_key:
        if any(len(key.strip()) < _SHORT_KEY for key in settings.secret_key.split(",") if key.strip()):
            yield _finding(
                check,
                Level.WARNING,
                f"GATEWAY_SECRET_KEY is shorter than {_SHORT_KEY} characters, and may be guessed",
                "exchange it as docs/security.md says",
            )
        else:
            yield _finding(check, Level.OK, "GATEWAY_SECRET_KEY is set")
        return
    if settings.database_url.startswith("postgres"):
        yield _finding(
            check,
            Level.WARNING,
            f"the database may be shared by hosts, and the secret key is this host's own, {path}",
            "set GATEWAY_SECRET_KEY to the same on all hosts",
        )
    try:
        if not has_secret_key("", settings.data_path):
            yield _finding(check, Level.OK, f"there is no key yet; the first start makes {path}")
            return
        found = path.stat()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        yield _finding(check, Level.PROBLEM, f"the key file {path} cannot be looked at: {reason}", f"ls -l {path}")
        return
    if found.st_mode & 0o077:
        yield _finding(check, Level.PROBLEM, f"others can read the key file {path}", f"chmod 600 {path}")
    elif found.st_uid != os.geteuid():
        yield _finding(
            check,
            Level.WARNING,
            f"the key file {path} belongs to user {found.st_uid}; this is {os.geteuid()}",
            "run this as the gateway's user, or give the data directory to that user with chown -R",
        )
    elif not found.st_size:
        yield _finding(check, Level.PROBLEM, f"the key file {path} is empty", "restore it; see docs/security.md")
    else:
        yield _finding(check, Level.OK, f"the key file {path} can be read by its owner only")


def _data_directory(settings: Settings) -> Iterator[Finding]:
    path = settings.data_path
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield _finding(
            "data-directory",
            Level.PROBLEM,
            f"the data directory {path} cannot be written to",
            f"chown it to the gateway's user, or set GATEWAY_DATA_DIR; {there} is where it ends",
        )
    else:
        made = "" if there == path else "; the first start makes it"
        yield _finding("data-directory", Level.OK, f"the data directory is {path}{made}")
    kind = _file_system(there)
    if kind in _NETWORK_FILE_SYSTEMS and not settings.database_url.startswith("postgres"):
        yield _finding(
            "data-directory",
            Level.PROBLEM,
            f"the data directory is on a network file system ({kind}), on which SQLite loses data",
            "set GATEWAY_DATA_DIR to a local disk; for several hosts set GATEWAY_DATABASE_URL to a PostgreSQL",
        )
    free = shutil.disk_usage(there).free
    needed = _NO_SPACE + settings.limits.spool_bytes
    level = Level.PROBLEM if free < needed else Level.WARNING if free < _LITTLE_SPACE else Level.OK
    yield _finding(
        "disk-space",
        level,
        f"{free // _MEBIBYTE} MiB are free where {there} is",
        "" if level is Level.OK else "make room: without it, records of requests are lost",
    )


def _file_system(path: Path) -> str:
    """Return the kind of file system that a directory is on; empty where the system does not say."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    wanted = path.resolve()
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:  # noqa: PLR2004 - the mount point is the fifth
            continue
        mount = Path(fields[4].encode().decode("unicode_escape"))
        if (wanted == mount or mount in wanted.parents) and len(mount.parts) >= best:
            best, kind = len(mount.parts), after.split()[0]
    return kind
