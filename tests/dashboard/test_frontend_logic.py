"""The dashboard's own tests, which npm runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.controlplane.pages import BUILD


@pytest.mark.timeout(300)
def test_what_the_pages_compute_and_show_is_right() -> None:
    command = [sys.executable, BUILD.parent / "make.py", "test"]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=280, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
