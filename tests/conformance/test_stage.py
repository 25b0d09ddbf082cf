"""The upstream does what a probe asks for, whatever the gateway does to its request on the way."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest_asyncio

from gateway.canary.conformance.stage import Scene, Stage
from gateway.replay.server import ReplayUpstream
from tests.replay.raw_client import ask, message


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    async with ReplayUpstream() as upstream:
        stage = Stage(upstream, "claude-sonnet-4-5")
        await stage.load(["text-japanese"])
        yield stage


def tagged(tag: str) -> dict[str, object]:
    return message(stream=True, messages=[{"role": "user", "content": f"Conformance {tag}"}])


async def test_each_attempt_of_a_probe_meets_the_next_scene_and_the_last_one_stays(stage: Stage) -> None:
    tag = stage.begin(Scene((b"{}",), status=529, streamed=False), Scene(stage.spoken("here")))
    statuses = [(await ask(stage.upstream, tagged(tag))).status for _ in range(3)]
    assert statuses == [529, 200, 200]
    assert len(stage.received(tag)) == 3


async def test_probes_side_by_side_each_meet_their_own_scene(stage: Stage) -> None:
    one, other = (stage.begin(Scene(stage.spoken(text))) for text in ("one", "other"))
    assert b'"one"' in (await ask(stage.upstream, tagged(one))).body
    assert b'"other"' in (await ask(stage.upstream, tagged(other))).body
    assert (len(stage.received(one)), len(stage.received(other))) == (1, 1)


async def test_a_request_whose_tag_cannot_be_read_belongs_to_the_newest_probe(stage: Stage) -> None:
    tag = stage.begin(Scene(stage.spoken("found anyway")))
    packed = gzip.compress(b'{"nothing": "to be found"}')
    answer = await ask(stage.upstream, packed, headers=[("content-encoding", "gzip")])
    assert b"found anyway" in answer.body
    assert [record.body for record in stage.received(tag)] == [packed]


async def test_the_scene_counts_for_more_than_what_a_header_asks_of_the_replay_upstream(stage: Stage) -> None:
    tag = stage.begin(Scene(stage.spoken("as staged")))
    stage.upstream.faults.push("status:500")
    answer = await ask(stage.upstream, tagged(tag), headers=[("x-replay-fault", "status:404")])
    assert answer.status == 200


async def test_other_paths_are_answered_as_by_the_api(stage: Stage) -> None:
    stage.begin(Scene((b"{}",), status=529, streamed=False))
    assert (await ask(stage.upstream, target="/v1/models")).json()["data"]
    assert (await ask(stage.upstream, target="/v1/nothing")).status == 404


async def test_a_recorded_stream_says_the_model_that_was_asked_for_and_nothing_else_is_changed(
    stage: Stage,
) -> None:
    played = b"".join(stage.recorded("text-japanese"))
    recorded = stage.corpus.read("stream", "text-japanese")
    assert b'"model":"claude-sonnet-4-5"' in played
    assert played.partition(b'"model":')[0] == recorded.partition(b'"model":')[0]
    assert played.partition(b'"id":')[2] == recorded.partition(b'"id":')[2]


async def test_only_the_newest_probes_are_kept(stage: Stage) -> None:
    tags = [stage.begin(Scene()) for _ in range(300)]
    assert await ask(stage.upstream, tagged(tags[-1]))
    assert len(stage.received(tags[-1])) == 1
    await ask(stage.upstream, tagged(tags[0]))
    assert stage.received(tags[0]) == []
