"""The model list and its pages."""

import pytest

from gateway.replay.models import CATALOGUE
from gateway.replay.server import ReplayUpstream
from tests.replay.raw_client import ask


def identifiers(page: dict[str, list[dict[str, str]]]) -> list[str]:
    return [model["id"] for model in page["data"]]


EVERY = [model["id"] for model in CATALOGUE]


async def test_the_whole_list_says_that_there_is_no_more(upstream: ReplayUpstream) -> None:
    page = (await ask(upstream, target="/v1/models?limit=1000")).json()
    assert identifiers(page) == EVERY
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, EVERY[0], EVERY[-1])


async def test_pages_forward_meet_every_model_once(upstream: ReplayUpstream) -> None:
    seen: list[str] = []
    target = "/v1/models?limit=7"
    while True:
        page = (await ask(upstream, target=target)).json()
        seen += identifiers(page)
        if not page["has_more"]:
            break
        target = f"/v1/models?limit=7&after_id={page['last_id']}"
    assert seen == EVERY


async def test_a_page_backward_ends_just_before(upstream: ReplayUpstream) -> None:
    page = (await ask(upstream, target=f"/v1/models?limit=3&before_id={EVERY[5]}")).json()
    assert identifiers(page) == EVERY[2:5]
    assert page["has_more"] is True
    first = (await ask(upstream, target=f"/v1/models?before_id={EVERY[0]}")).json()
    assert (first["data"], first["first_id"], first["has_more"]) == ([], None, False)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after_id=nobody"])
async def test_a_page_that_cannot_be_is_refused(upstream: ReplayUpstream, query: str) -> None:
    answer = await ask(upstream, target=f"/v1/models?{query}")
    assert (answer.status, answer.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_one_model_by_its_name_and_by_an_alias(upstream: ReplayUpstream) -> None:
    assert (await ask(upstream, target="/v1/models/claude-opus-5-5")).json()["line"] == "opus"
    alias = (await ask(upstream, target="/v1/models/claude-haiku-4-5")).json()
    assert alias["id"] == "claude-haiku-4-5-20251001"
    missing = await ask(upstream, target="/v1/models/claude-9")
    assert (missing.status, missing.json()["error"]["type"]) == (404, "not_found_error")
