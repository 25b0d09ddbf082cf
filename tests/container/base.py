"""A base image of this machine's own distribution, for where no registry of images can be reached.

It is laid out once with debootstrap, from the mirror that apt uses here, and kept as an archive in `.cache`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import define

__all__ = ["base_archive", "roomy_place"]

ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("ca-certificates", "python3", "python3-venv")
# Of no use in a container.
_WITHOUT: Final = (
    "etc/resolv.conf",
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)
# What an engine mounts files upon.
_MOUNT_POINTS: Final = ("etc/hostname", "etc/hosts", "etc/resolv.conf")
_SECONDS: Final = 400
_ROOM: Final = 4 * 2**30


@define(frozen=True)
class _Mirror:
    """Where apt gets the packages of this machine's distribution from."""

    site: str
    suite: str


def base_archive() -> Path:
    """Return an archive of a root file system with Python; make it if there is none yet."""
    mirror = _mirror()
    wanted = hashlib.sha256(repr((mirror, _PACKAGES, _WITHOUT, _MOUNT_POINTS)).encode()).hexdigest()[:12]
    archive = ROOT / ".cache" / "container" / f"{mirror.suite}-{platform.machine()}-{wanted}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="gateway-base-", dir=roomy_place()) as directory:
            tree = Path(directory) / "tree"
            _lay_out(tree, mirror)
            packed = Path(directory) / "base.tar"
            subprocess.run(
                ["tar", "--create", "--sort=name", "--one-file-system", "--file", packed, "-C", tree, "."],
                check=True,
            )
            shutil.move(packed, archive.with_suffix(".part"))
            archive.with_suffix(".part").rename(archive)
    return archive


def roomy_place() -> str | None:
    """Return a place in memory for file systems, which are copied as a whole, if there is one with room."""
    memory = Path("/dev/shm")  # noqa: S108 - directories of random names are made there
    if not memory.is_dir() or shutil.disk_usage(memory).free < _ROOM:
        return None
    # Programs and devices have to work there.
    return None if os.statvfs(memory).f_flag & (os.ST_NOEXEC | os.ST_NODEV) else str(memory)


def _mirror() -> _Mirror:
    """Read from apt's configuration where this machine's release is to be had."""
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text("utf-8").splitlines() if "=" in line
    )
    codename = release.get("VERSION_CODENAME", "").strip('"')
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    )
    for site, suite, component in map(str.split, told.stdout.splitlines()):
        if (suite, component) == (codename, "main"):
            return _Mirror(site, suite)
    raise AssertionError(f"apt is not set up for {codename} main, which a base image is made of")


def _lay_out(tree: Path, mirror: _Mirror) -> None:
    command = [
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(_PACKAGES)}",
        mirror.suite,
        tree,
        mirror.site,
    ]
    run = subprocess.run(
        command,
        env={**os.environ, **dict(_proxy())},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        check=False,
    )
    assert run.returncode == 0, "\n".join((run.stdout + run.stderr).splitlines()[-20:])
    for name in _WITHOUT:
        path = tree / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in _MOUNT_POINTS:
        (tree / name).touch()
    (tree / "var/log").mkdir()


def _proxy() -> Iterator[tuple[str, str]]:
    told = subprocess.run(
        ["apt-config", "shell", "PROXY", "Acquire::http::Proxy"], capture_output=True, text=True, check=True
    )
    if proxy := told.stdout.strip().removeprefix("PROXY=").strip("'"):
        yield "http_proxy", proxy
