"""The command `gateway` where it cannot go on: interrupted, or with nowhere to print to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from gateway.cli import main
from tests.canary.command import GATEWAY, LIMIT


class _Interrupts(MetaPathFinder):
    """Stands for somebody who interrupts while a module is imported."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "gateway.cli.smoke":
            raise KeyboardInterrupt
        return None


def test_a_command_that_is_interrupted_while_it_is_imported_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "gateway.cli.smoke", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Interrupts(), *sys.meta_path])

    assert main(["smoke", "--help"]) == 130

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("words", [("conformance", "--list"), ("costs", "prices")])
def test_output_that_has_no_room_is_told_in_a_sentence(words: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device, not a file
        done = subprocess.run([GATEWAY, *words], stdout=full, stderr=subprocess.PIPE, timeout=LIMIT, check=False)

    assert done.returncode == 1
    assert done.stderr.decode() == "gateway: the output cannot be written: No space left on device\n"
