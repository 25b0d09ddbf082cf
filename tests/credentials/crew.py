"""Several processes that share one database, as workers and hosts do."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from attrs import define, field

from tests.credentials.child import Job, Report, serve

SIZE: Final = 6
LIMIT: Final = 30

_processes: Final = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.credentials.child"])


@define
class _Member:
    process: BaseProcess
    connection: Connection

    def dismiss(self) -> None:
        self.process.kill()
        self.process.join(LIMIT)
        self.process.close()
        self.connection.close()


@define
class Crew:
    """The processes; one that was killed is replaced before its next job."""

    database_url: str
    directory: Path
    _members: dict[int, _Member] = field(factory=dict, init=False)

    def __enter__(self) -> Self:
        """Start nobody yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill them all."""
        while self._members:
            self._members.popitem()[1].dismiss()

    async def do(self, jobs: Sequence[Job]) -> list[Report | None]:
        """Have each job done by a process of its own, all at once; return None for those that died of it."""
        members = [self._member(place) for place in range(len(jobs))]
        return await asyncio.gather(
            *(
                asyncio.to_thread(self._converse, place, member, job)
                for place, (member, job) in enumerate(zip(members, jobs, strict=True))
            )
        )

    def _member(self, place: int) -> _Member:
        if place not in self._members:
            ours, theirs = _processes.Pipe()
            process = _processes.Process(target=serve, args=(theirs, self.database_url, str(self.directory)))
            process.start()
            theirs.close()
            self._members[place] = _Member(process, ours)
        return self._members[place]

    def _converse(self, place: int, member: _Member, job: Job) -> Report | None:
        member.connection.send(job)
        killed = job.kill_after is not None and not member.connection.poll(job.kill_after)
        if killed:
            member.process.kill()
        assert wait([member.connection], LIMIT), "a process does not answer"
        try:
            return member.connection.recv()
        except (EOFError, ConnectionError):
            killed = True
            return None
        finally:
            if killed:
                self._members.pop(place).dismiss()
