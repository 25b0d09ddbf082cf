"""Lines that were kept are there afterwards, whatever happens to the process, the disk and the directory."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.spool import Kept, Spool

PLENTY = 10_000_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(directory: Path) -> Iterator[Spool]:
    with closing(Spool(directory, PLENTY)) as opened:
        yield opened


def take_all(spool: Spool) -> list[bytes]:
    """Empty a spool as a replay does, and return its lines."""
    taken: list[bytes] = []
    while (file := spool.oldest()) is not None:
        while True:
            lines, place = file.read()
            if not lines:
                break
            taken += lines
            file.skip_to(place)
        spool.discard(file)
    return taken


def numbered(count: int, start: int = 0, length: int = 20) -> list[bytes]:
    return [str(number).encode().rjust(length, b"0") for number in range(start, start + count)]


@given(
    st.lists(
        st.one_of(st.integers(1, 40), st.sampled_from(["take", "read a part", "die"])),
        max_size=20,
    )
)
def test_kept_lines_come_back_once_and_in_order_whatever_happens_in_between(steps: list[int | str]) -> None:
    with TemporaryDirectory() as base:
        spool = Spool(Path(base), PLENTY)
        kept: list[bytes] = []
        taken: list[bytes] = []
        for step in steps:
            if isinstance(step, int):
                lines = numbered(step, len(kept))
                assert spool.append(lines) == Kept(step)
                kept += lines
            elif step == "take":
                taken += take_all(spool)
            elif step == "read a part":
                if (file := spool.oldest()) is not None:
                    file.read()  # and then the database is away: nothing is skipped
            else:
                spool.close()
                spool = Spool(Path(base), PLENTY)
        assert taken + take_all(spool) == kept
        assert list(Path(base).iterdir()) == []
        spool.close()


def test_many_lines_come_back_in_parts(spool: Spool) -> None:
    lines = numbered(5_000, length=300)
    spool.append(lines)
    file = spool.oldest()
    assert file is not None
    part, _ = file.read()
    assert 0 < len(part) < len(lines)
    assert take_all(spool) == lines


def test_only_its_owner_can_read_it(spool: Spool, directory: Path) -> None:
    spool.append([b"line"])
    spool.set_aside([b"line"])
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_of_a_file_that_a_crash_cut_anywhere_all_whole_lines_come_back(directory: Path) -> None:
    lines = numbered(3, length=9)
    with closing(Spool(directory, PLENTY)) as spool:
        spool.append(lines)
    (path,) = directory.iterdir()
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with closing(Spool(directory, PLENTY)) as spool:
            assert take_all(spool) == lines[: cut // 10]


def test_a_file_of_garbage_without_an_end_of_line_comes_to_its_end(directory: Path) -> None:
    directory.mkdir()
    (directory / "requests-0.jsonl").write_bytes(b"x" * 5_000_000 + b"\nlast\n")
    with closing(Spool(directory, PLENTY)) as spool:
        taken = take_all(spool)
    assert sum(map(len, taken)) == 5_000_004
    assert taken[-1].endswith(b"last")


def test_at_the_limit_as_many_lines_are_kept_as_fit(directory: Path) -> None:
    with closing(Spool(directory, 100)) as spool:
        assert spool.append(numbered(2, length=19)) == Kept(2)
        kept = spool.append(numbered(5, start=2, length=19))
        assert kept.count == 3
        assert kept.problem is not None
        assert "limit of 100 bytes" in kept.problem
        assert spool.append([b"x"]).count == 0
        assert take_all(spool) == numbered(5, length=19)
        assert spool.append([b"x"]) == Kept(1)


def test_the_limit_is_for_the_files_of_all_processes_together(directory: Path) -> None:
    with closing(Spool(directory, 100)) as one, closing(Spool(directory, 100)) as other:
        assert one.append([b"x" * 59]) == Kept(1)
        assert other.append([b"x" * 59]).count == 0
        assert other.set_aside([b"x" * 59]).count == 0
        assert other.append([b"x" * 39]) == Kept(1)


def test_the_file_of_a_living_process_is_left_alone(directory: Path) -> None:
    with closing(Spool(directory, PLENTY)) as one, closing(Spool(directory, PLENTY)) as other:
        one.append([b"mine"])
        assert other.oldest() is None
        assert one.oldest() is not None
        assert other.oldest() is None
        one.close()
        assert take_all(other) == [b"mine"]


def test_of_many_processes_one_takes_over_what_a_dead_one_left(directory: Path) -> None:
    for number in range(10):
        with closing(Spool(directory, PLENTY)) as spool:
            spool.append(numbered(10, start=10 * number))
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from gateway.ledger.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]), 10**9)\n"
        "while (file := spool.oldest()) is not None:\n"
        "    for line in file.read()[0]:\n"
        "        print(line.decode())\n"
        "    spool.discard(file)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, directory], stdout=subprocess.PIPE) for _ in range(4)
    ]
    found = [process.communicate(timeout=60)[0] for process in processes]
    assert sorted(b"".join(found).split()) == numbered(100)
    assert list(directory.iterdir()) == []


def take_all_here(directory: Path) -> list[bytes]:
    with closing(Spool(directory, PLENTY)) as spool:
        return take_all(spool)


def test_a_disk_without_room_for_a_single_line_is_left_no_empty_file(tmp_path: Path) -> None:
    program = (
        "import resource, sys, signal, pathlib\n"
        "from gateway.ledger.spool import Spool\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))\n"
        "spool = Spool(pathlib.Path(sys.argv[1]), 1000)\n"
        "print([spool.append([b'0123456789']).count for _ in range(3)])\n"
        "print(list(pathlib.Path(sys.argv[1]).iterdir()))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "print(spool.append([b'0123456789']).count)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["[0, 0, 0]", "[]", "1"]
    with closing(Spool(tmp_path, PLENTY)) as spool:
        assert take_all(spool) == [b"0123456789"]


def test_a_full_disk_keeps_whole_lines_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from gateway.ledger.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]), 10**9)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (95, resource.RLIM_INFINITY))\n"
        "lines = [b'%09d' % number for number in range(30)]\n"
        "first = spool.append(lines)\n"
        "again = spool.append(lines[first.count:])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "rest = spool.append(lines[first.count:])\n"
        "print(first.count, again.count, rest.count, first.problem, again.problem, rest.problem, sep='|')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "9|0|21|File too large|File too large|None"
    assert take_all_here(tmp_path) == [b"%09d" % number for number in range(30)]


def test_a_directory_that_is_deleted_is_made_again_and_what_was_kept_is_still_replayed(
    spool: Spool, directory: Path
) -> None:
    spool.append([b"one"])
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    assert spool.append([b"two"]) == Kept(1)
    assert sorted(take_all(spool)) == [b"one", b"two"]


def link(path: Path) -> None:
    target = path.parent.parent / "elsewhere"
    target.write_bytes(b"not ours\n")
    path.symlink_to(target)


@pytest.mark.parametrize("make", [link, os.mkfifo, Path.mkdir])
def test_what_is_no_plain_file_is_not_read(spool: Spool, directory: Path, make: Callable[[Path], None]) -> None:
    spool.append([b"line"])
    make(directory / "requests-0.jsonl")
    assert take_all(spool) == [b"line"]


@contextmanager
def without_handles() -> Generator[None]:
    """Let the process open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (psutil.Process().num_fds(), hard))
    spare = []
    try:
        while True:
            try:
                spare.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        yield
    finally:
        for handle in spare:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_a_free_file_handle_nothing_is_raised_and_nothing_is_lost(spool: Spool, directory: Path) -> None:
    with closing(Spool(directory, PLENTY)) as other:
        other.append([b"of another"])
    with without_handles():
        assert spool.append([b"line"]) == Kept(0, "Too many open files")
        assert spool.set_aside([b"line"]) == Kept(0, "Too many open files")
        with pytest.raises(OSError, match="Too many open files"):
            spool.oldest()
    assert spool.append([b"first"]) == Kept(1)
    with without_handles():
        assert spool.append([b"second"]) == Kept(1)
    assert take_all(spool) == [b"of another", b"first", b"second"]


def test_a_place_that_cannot_be_a_directory_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"")
    with closing(Spool(tmp_path / "spool", PLENTY)) as spool:
        assert spool.append([b"line"]) == Kept(0, "File exists")
        assert spool.set_aside([b"line"]) == Kept(0, "File exists")
        assert spool.oldest() is None
