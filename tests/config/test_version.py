"""Which source runs can be asked of the program, whatever way it was installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.telemetry.version import VARIABLE, find_revision

NAME = 'name = "claude-stream-gateway"\n'


@pytest.fixture(autouse=True)
def no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def git(directory: Path, *args: str) -> str:
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
    command = ["git", "-C", str(directory), *identity, *args]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "feature/one")
    (source / "pyproject.toml").write_text(NAME)
    git(source, "add", "pyproject.toml")
    git(source, "commit", "-q", "-m", "first")
    return source


def test_a_checkout_says_its_commit_whether_refs_are_packed_or_not_and_in_work_trees_too(checkout: Path) -> None:
    first = git(checkout, "rev-parse", "HEAD")
    assert find_revision(checkout) == first[:12]
    git(checkout, "pack-refs", "--all")
    assert find_revision(checkout) == first[:12]
    git(checkout, "commit", "-q", "--allow-empty", "-m", "second")
    second = git(checkout, "rev-parse", "HEAD")
    git(checkout, "worktree", "add", "-q", "-b", "other", str(checkout.parent / "tree"), first)
    assert find_revision(checkout.parent / "tree") == first[:12]
    git(checkout, "checkout", "-q", "--detach")
    assert find_revision(checkout) == second[:12]


def test_a_repository_of_something_else_around_the_program_is_not_its_source(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text('name = "something-else"\n')
    assert find_revision(checkout) == ""
    (checkout / "pyproject.toml").unlink()
    assert find_revision(checkout) == ""


@pytest.mark.parametrize("head", ["", "ref: refs/heads/gone\n", "ref:", "\0", "no revision at all!\n"])
def test_a_checkout_that_cannot_be_read_costs_the_revision_and_no_more(tmp_path: Path, head: str) -> None:
    (tmp_path / "pyproject.toml").write_text(NAME)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text(head)
    assert find_revision(tmp_path) == ""


@pytest.mark.parametrize(
    ("set_to", "shown"),
    [
        ("0123456789abcdef0123456789abcdef01234567", "0123456789ab"),
        ("0123456789abcdef0123456789abcdef01234567-dirty", "0123456789ab-dirty"),
        ("v1.2.3-4-g0123456", "v1.2.3-4-g0123456"),
        ("two\nlines", ""),
        ("x" * 1000, ""),
    ],
)
def test_an_image_says_the_revision_that_it_was_built_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, set_to: str, shown: str
) -> None:
    monkeypatch.setenv(VARIABLE, set_to)
    assert find_revision(tmp_path) == shown


def test_the_command_says_version_and_revision(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "0123456789abcdef")
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "gateway 0.1.0 (0123456789ab)\n"
