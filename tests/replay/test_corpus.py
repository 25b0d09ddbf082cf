"""The golden corpus as the replay upstream plays it."""

import json
from pathlib import Path

import pytest

from gateway.replay.fixtures import Corpus, UnknownFixtureError, default_corpus
from gateway.replay.server import ReplayUpstream
from tests.replay.raw_client import ask, message

GOLDEN = default_corpus()


async def test_every_golden_stream_is_played_byte_for_byte(upstream: ReplayUpstream) -> None:
    for name in GOLDEN.names("stream"):
        answer = await ask(upstream, message(stream=True, model=f"replay-{name}"))
        assert (answer.status, answer.ended) == (200, "complete"), name
        assert answer.body == GOLDEN.read("stream", name), name


async def test_every_golden_message_is_played_byte_for_byte(upstream: ReplayUpstream) -> None:
    for name in GOLDEN.names("message"):
        answer = await ask(upstream, message(model=f"replay-{name}"))
        assert (answer.status, answer.body) == (200, GOLDEN.read("message", name)), name


async def test_every_golden_error_is_played_with_its_status_headers_and_body(upstream: ReplayUpstream) -> None:
    for name in GOLDEN.names("error"):
        answer = await ask(upstream, message(), fault=f"error:{name}")
        recorded = json.loads(GOLDEN.read("error", name))
        assert answer.status == recorded["status"], name
        for header, value in recorded["headers"].items():
            if header.lower() != "content-length":
                assert answer.values(header.lower()) == [value], name
        if "body_text" in recorded:
            assert answer.body.decode() == recorded["body_text"], name
        else:
            assert answer.json() == recorded["body"], name


def test_the_corpus_is_not_empty() -> None:
    assert GOLDEN.names("stream")
    assert GOLDEN.names("error")


def test_the_manifest_may_give_a_file_another_name(tmp_path: Path) -> None:
    (tmp_path / "streams").mkdir()
    (tmp_path / "streams" / "file.sse").write_bytes(b"1")
    (tmp_path / "manifest.toml").write_text(
        '[[stream]]\nname = "by-path"\nfile = "streams/file.sse"\n'
        '[[stream]]\nname = "by-file"\nfile = "file.sse"\n'
        '[[stream]]\nname = "not-written-yet"\nfile = "streams/later.sse"\n'
    )
    corpus = Corpus(tmp_path)
    assert corpus.read("stream", "by-path") == corpus.read("stream", "by-file") == corpus.read("stream", "file")
    with pytest.raises(UnknownFixtureError, match="not-written-yet"):
        corpus.read("stream", "not-written-yet")


def test_an_empty_directory_is_an_empty_corpus(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    assert corpus.names("stream") == []
    assert corpus.kept("stream", "x") is None
