"""The upstream's side of a probe: what it does with each request, and what of it arrived.

A gateway under test may drop headers and rewrite bodies, so a probe is known by a tag in its prompt, the one thing
that any gateway has to pass on.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

from gateway.replay.answers import Reply, TextBlock, ToolUseBlock
from gateway.replay.delivery import Answer
from gateway.replay.events import split_events
from gateway.replay.faults import Fault, parse_faults
from gateway.replay.fixtures import Corpus, default_corpus
from gateway.replay.headers import Headers, identity, rate_limits
from gateway.replay.journal import ReceivedRequest
from gateway.replay.server import ReplayUpstream, Staging

__all__ = ["Scene", "Stage"]

_MODEL: Final = re.compile(rb'("model": ?)"[^"]*"')
_TAG: Final = re.compile(rb"probe-[0-9a-f]{16}")
_KEPT_PROBES: Final = 256
_STAGED_PATHS: Final = ("/v1/messages", "/v1/messages/count_tokens")


@frozen
class Scene:
    """What the upstream does with one request."""

    pieces: tuple[bytes, ...] | None = None
    """Events of a stream, or the one body of another answer; None leaves the answer to the replay upstream."""
    faults: str = ""
    """In the short form of `gateway.replay.faults`."""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    """Beside, or in place of, the usual ones."""
    streamed: bool = True
    gzip_if_asked: bool = False
    """Compress as a server does that looks at `accept-encoding`."""

    def staging(self, record: ReceivedRequest) -> Staging:
        """Return what the replay upstream is to do with this request."""
        faults = parse_faults(self.faults) if self.faults else ()
        if self.gzip_if_asked and "gzip" in ",".join(record.header_values("accept-encoding")).lower():
            faults = (*faults, Fault("gzip"))
        if self.pieces is None:
            return Staging(faults)
        kind = "text/event-stream; charset=utf-8" if self.streamed else "application/json"
        usual: Headers = [*identity(record.request_id), *rate_limits(), ("Content-Type", kind)]
        given = {name.lower() for name, _ in self.headers}
        headers = [pair for pair in usual if pair[0].lower() not in given]
        return Staging(faults, Answer(self.status, [*headers, *self.headers], list(self.pieces), self.streamed))


@define(eq=False)
class Stage:
    """Tells the replay upstream what to do, and keeps what it received, by probe."""

    upstream: ReplayUpstream
    model: str
    """The one that is asked for. It is in every answer too: many gateways put it there, for they have names of
    their own for models, and nobody minds."""
    corpus: Corpus = field(init=False)
    _scenes: OrderedDict[str, list[Scene]] = field(factory=OrderedDict, init=False)
    _received: dict[str, list[ReceivedRequest]] = field(factory=dict, init=False)
    _current: str = field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        """Direct the upstream from now on."""
        self.upstream.director = self._direct

    async def load(self, names: Sequence[str]) -> None:
        """Read the fixtures that will be played.

        Raises:
            UnknownFixtureError: there is no such fixture.
        """
        self.corpus = await asyncio.to_thread(default_corpus)
        await asyncio.to_thread(lambda: [self.corpus.read("stream", name) for name in names])

    def recorded(self, name: str) -> tuple[bytes, ...]:
        """Return the events of a fixture that was loaded."""
        stream = self.corpus.read("stream", name)
        own = json.dumps(self.model).encode()
        return split_events(_MODEL.sub(lambda match: match[1] + own, stream, count=1))

    def reply(self, *blocks: TextBlock | ToolUseBlock, stop_reason: str = "end_turn") -> Reply:
        """Return an answer with these blocks."""
        return Reply(self.model, blocks, stop_reason, 12, 20)

    def spoken(self, *texts: str) -> tuple[bytes, ...]:
        """Return the events of a stream that says these texts, one in each delta.

        Events 0 to 2 are `message_start`, `content_block_start` and `ping`; 3 is the first delta.
        """
        return tuple(self.reply(TextBlock(texts)).as_events())

    def begin(self, *scenes: Scene) -> str:
        """Return the tag of a new probe; its requests meet these scenes in turn, the last one again and again."""
        tag = f"probe-{secrets.token_hex(8)}"
        self._scenes[tag] = list(scenes)
        self._received[tag] = []
        self._current = tag
        while len(self._scenes) > _KEPT_PROBES:
            oldest, _ = self._scenes.popitem(last=False)
            del self._received[oldest]
        return tag

    def received(self, tag: str) -> list[ReceivedRequest]:
        """Return the requests of a probe that reached the upstream so far."""
        return self._received.get(tag, [])

    def _direct(self, record: ReceivedRequest) -> Staging | None:
        if record.method != "POST" or record.path not in _STAGED_PATHS:
            return None
        found = _TAG.search(record.body)
        tag = found[0].decode() if found else self._current
        scenes = self._scenes.get(tag)
        if scenes is None:
            return None
        self._received[tag].append(record)
        if not scenes:
            return None
        return (scenes.pop(0) if len(scenes) > 1 else scenes[0]).staging(record)
