"""Installs official clients for the tests that use them, once per machine.

They go below `.cache/` of the repository, each into a directory named after what it holds, and appear there in
one step: a directory that exists is complete, whoever else is installing at the same time.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Final

from attrs import define

__all__ = ["SDKS", "Sdk", "Unavailable", "find_program", "npm_packages", "python_sdk", "typescript_sdks"]

_HERE: Final = Path(__file__).parent
_CACHE: Final = _HERE.parents[1] / ".cache" / "sdk-parity"
_PACKAGES: Final = _HERE / "package.json"
_INSTALL_SECONDS: Final = 300


class Unavailable(Exception):  # noqa: N818 - it is no error of the program that this machine has no npm
    """An SDK cannot be installed here; the message says why."""


@define(frozen=True)
class Sdk:
    """One version of one official SDK."""

    language: str
    version: str
    package: str
    """Name of the package; for npm the alias in `package.json`."""

    @property
    def name(self) -> str:
        """Language and version."""
        return f"{self.language}-{self.version}"

    @property
    def is_importable(self) -> bool:
        """Whether this environment has this very version."""
        return _is_importable(self)

    def command(self, base_url: str) -> tuple[list[str], dict[str, str]]:
        """Install what is missing; return the driver's command line and what to add to its environment.

        Raises:
            Unavailable: it cannot be installed on this machine.
        """
        if self.language == "python":
            path = {} if _is_importable(self) else {"PYTHONPATH": str(python_sdk(self))}
            return [sys.executable, "-W", "ignore", str(_HERE / "final_messages.py"), base_url], path
        node = find_program("node")
        return [node, str(_HERE / "final_messages.cjs"), str(typescript_sdks()), self.package, base_url], {}


def _typescript_versions() -> dict[str, str]:
    wanted: dict[str, str] = json.loads(_PACKAGES.read_text())["dependencies"]
    return {alias: spec.rpartition("@")[2] for alias, spec in wanted.items()}


SDKS: Final = {
    sdk.name: sdk
    for sdk in (
        Sdk("python", "2.12.0", "anthropic"),
        Sdk("python", "0.125.0", "anthropic"),
        *(Sdk("typescript", version, alias) for alias, version in _typescript_versions().items()),
    )
}
"""The newest version and the last one of the major before, of both SDKs."""


def _is_importable(sdk: Sdk) -> bool:
    try:
        return metadata.version(sdk.package) == sdk.version
    except metadata.PackageNotFoundError:
        return False


def python_sdk(sdk: Sdk) -> Path:
    """Install a version of the Python SDK beside the environment's own; return what to put on PYTHONPATH.

    Raises:
        Unavailable: it cannot be installed on this machine.
    """
    python = f"py{sys.version_info.major}{sys.version_info.minor}"

    def install(target: Path) -> list[str]:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
        return [*pip, "install", "--target", str(target), f"{sdk.package}=={sdk.version}"]

    return _installed(f"{sdk.package}-{sdk.version}-{python}", install)


def typescript_sdks() -> Path:
    """Install the TypeScript SDKs; return the directory of their `package.json`.

    Raises:
        Unavailable: they cannot be installed on this machine.
    """
    return npm_packages(_PACKAGES)


def npm_packages(manifest: Path) -> Path:
    """Install what a `package.json` names, without running scripts; return the directory of `node_modules`.

    Raises:
        Unavailable: it cannot be installed on this machine.
    """
    npm = find_program("npm")

    def install(target: Path) -> list[str]:
        shutil.copy(manifest, target / "package.json")
        flags = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
        return [npm, "install", "--prefix", str(target), *flags]

    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]
    return _installed(f"npm-{digest}", install)


def find_program(program: str) -> str:
    """Return the path of a program.

    Raises:
        Unavailable: it is not installed.
    """
    found = shutil.which(program)
    if found is None:
        raise Unavailable(f"{program} is not installed")
    return found


def _installed(name: str, install: Callable[[Path], list[str]]) -> Path:
    target = _CACHE / name
    if target.exists():
        return target
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE, ignore_cleanup_errors=True) as scratch:
        fresh = Path(scratch) / name
        fresh.mkdir()
        try:
            done = subprocess.run(
                install(fresh), cwd=fresh, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"installing {name} took longer than {_INSTALL_SECONDS} s") from None
        if done.returncode:
            raise Unavailable(f"installing {name} failed: {done.stderr.strip()[-500:]}")
        try:
            fresh.rename(target)
        except OSError:
            if not target.exists():
                raise
    return target
