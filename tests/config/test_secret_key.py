"""The key file: made once, by whichever process comes first, and never guessed at."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.store.secret import SecretKeyError, load_secret_key

PROCESSES = 6
LIMIT = 60

# What the kernel says on a file system without hard links, such as FAT.
NO_LINKS = """
import errno, os
def refuse(*_):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
os.link = refuse
"""
RACE = """
import sys
from pathlib import Path
from gateway.store.secret import load_secret_key
print("ready", flush=True)
sys.stdin.readline()
print(load_secret_key("", Path(sys.argv[1])).hex(), flush=True)
"""


def race(data_dir: Path, before: str) -> list[str]:
    """Load the key in several processes that set off together; return what each got."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", before + RACE, data_dir],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [process.communicate(timeout=LIMIT) for process in running]
    assert [error for _, error in results] == [""] * PROCESSES
    return [output for output, _ in results]


@pytest.mark.parametrize("before", ["", NO_LINKS], ids=["with hard links", "without"])
def test_processes_that_start_together_end_with_one_key_and_no_litter(tmp_path: Path, before: str) -> None:
    data_dir = tmp_path / "data"
    keys = race(data_dir, before)
    assert len(set(keys)) == 1
    assert keys[0].strip() == load_secret_key("", data_dir).hex()
    assert [path.name for path in data_dir.iterdir()] == ["secret.key"]
    assert (data_dir / "secret.key").stat().st_mode & 0o777 == 0o600


def test_what_a_crashed_start_left_behind_blocks_no_later_one(tmp_path: Path) -> None:
    (tmp_path / f"secret.key.{os.getpid()}").touch()
    assert load_secret_key("", tmp_path) == load_secret_key("", tmp_path)


def test_a_key_file_that_cannot_be_written_leaves_no_draft(tmp_path: Path) -> None:
    # The name is taken by something that is there for a link but not for a look.
    (tmp_path / "secret.key").symlink_to("nowhere")
    with pytest.raises(SecretKeyError):
        load_secret_key("", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


@pytest.mark.parametrize(
    ("content", "says"), [(b"\xff\xfe\x00", "not UTF-8 text"), (b"", "is empty"), (b" \n", "is empty")]
)
def test_a_damaged_key_file_is_named_and_not_replaced(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "secret.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SecretKeyError, match=says) as caught:
        load_secret_key("", tmp_path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_configured_key_may_be_any_bytes(tmp_path: Path) -> None:
    raw = b"not \xff utf-8 \xfe"
    assert load_secret_key(os.fsdecode(raw), tmp_path) == hashlib.sha256(raw).digest()
    assert [path.name for path in tmp_path.iterdir()] == []
