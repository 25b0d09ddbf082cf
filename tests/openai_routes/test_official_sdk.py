"""The official Python package gets the same from the gateway as from the server itself."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import openai
import pytest
import pytest_asyncio

from gateway.replay.openai import OpenAIReplay
from tests.openai_routes.stage import KEY, Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")

Client = openai.AsyncOpenAI
HELLO = "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5!"
MESSAGES: Any = [{"role": "user", "content": "Say hello in Greek."}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncGenerator[Stage]:
    async with staged(OpenAIReplay(api_keys={KEY})) as running:
        yield running


async def both(stage: Stage, use: Callable[[Client], Awaitable[Any]]) -> tuple[Any, Any]:
    """Do something with a client of the server itself and with one of the gateway; check that the same arrived."""
    outcomes, heads = [], []
    for host, port in stage.places.values():
        before = len(stage.openai.arrivals)
        async with openai.AsyncOpenAI(base_url=f"http://{host}:{port}/v1", api_key=KEY, max_retries=0) as client:
            outcomes.append(await use(client))
        arrived = list(stage.openai.arrivals)[before:]
        assert arrived
        assert {arrival.credential for arrival in arrived} == {f"Bearer {KEY}"}
        heads.append([(arrival.lines[0], *_told(arrival.lines)) for arrival in arrived])
    direct, forwarded = heads
    assert forwarded == direct
    return outcomes[0], outcomes[1]


def _told(lines: list[bytes]) -> list[bytes]:
    """Return header lines without those that differ from one request to the next."""
    changing = (b"host:", b"content-type: multipart", b"content-length:", b"sec-websocket-key:")
    return [line for line in lines[1:] if not line.lower().startswith(changing)]


async def test_a_chat_completion(stage: Stage) -> None:
    async def use(client: Client) -> Any:
        return await client.chat.completions.create(model="gpt-5.5", messages=MESSAGES)

    direct, forwarded = await both(stage, use)
    assert forwarded == direct
    assert forwarded.choices[0].message.content == HELLO


async def test_a_chat_stream(stage: Stage) -> None:
    async def use(client: Client) -> Any:
        stream = await client.chat.completions.create(model="gpt-5.5", messages=MESSAGES, stream=True)
        return [chunk async for chunk in stream]

    direct, forwarded = await both(stage, use)
    assert forwarded == direct
    assert "".join(chunk.choices[0].delta.content or "" for chunk in forwarded) == HELLO


async def test_a_response_and_its_stream(stage: Stage) -> None:
    async def use(client: Client) -> Any:
        whole = await client.responses.create(model="gpt-5.5", input="Say hello in Greek.")
        stream = await client.responses.create(model="gpt-5.5", input="Say hello in Greek.", stream=True)
        return whole, [event async for event in stream]

    direct, forwarded = await both(stage, use)
    assert forwarded == direct
    assert forwarded[0].output_text == HELLO
    assert [event.type for event in forwarded[1]][-1] == "response.completed"


async def test_embeddings_models_and_moderations(stage: Stage) -> None:
    async def use(client: Client) -> Any:
        return (
            await client.embeddings.create(model="text-embedding-3-small", input="hello"),
            [model async for model in client.models.list()],
            await client.moderations.create(input="hello"),
        )

    direct, forwarded = await both(stage, use)
    assert forwarded == direct
    assert len(forwarded[1]) == 2


async def test_images_files_and_audio(stage: Stage) -> None:
    async def use(client: Client) -> Any:
        image = await client.images.generate(model="gpt-image-2", prompt="a fox")
        edited = await client.images.edit(image=("fox.png", b"\x89PNG", "image/png"), prompt="a fox in snow")
        file = await client.files.create(file=("data.jsonl", io.BytesIO(b"{}\n" * 50_000)), purpose="fine-tune")
        content = await client.files.content("file-made-up")
        text = await client.audio.transcriptions.create(model="whisper-1", file=("v.mp3", b"ID3"))
        speech = await client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="hello")
        return image, edited, file, content.content, text, speech.content

    direct, forwarded = await both(stage, use)
    assert forwarded == direct
    assert len(forwarded[3]) == 700_001


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504, 520])
async def test_every_error_is_the_same_exception(stage: Stage, status: int) -> None:
    async def use(client: Client) -> Any:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.with_options(default_headers={"x-replay-answer": f"error-{status}"}).models.list()
        error = caught.value
        return type(error), str(error), error.body, error.response.headers.multi_items(), error.response.content

    direct, forwarded = await both(stage, use)
    assert forwarded == direct


async def test_an_error_inside_a_stream_is_the_same_exception(stage: Stage) -> None:
    async def use(client: Client) -> Any:
        stream = await client.chat.completions.create(
            model="gpt-5.5", messages=MESSAGES, stream=True, extra_headers={"x-replay-answer": "chat-stream-error"}
        )
        with pytest.raises(openai.APIError) as caught:
            _ = [chunk async for chunk in stream]
        return type(caught.value), str(caught.value), caught.value.body

    direct, forwarded = await both(stage, use)
    assert forwarded == direct


async def test_a_wrong_key_is_the_upstreams_to_refuse(stage: Stage) -> None:
    host, port = stage.places["forwarded"]
    async with openai.AsyncOpenAI(base_url=f"http://{host}:{port}/v1", api_key="sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
            await client.models.list()


@pytest.mark.parametrize("kind", ["realtime", "responses"])
async def test_a_websocket(stage: Stage, kind: str) -> None:
    async def use(client: Client) -> Any:
        manager: Any = (
            client.realtime.connect(model="gpt-realtime") if kind == "realtime" else client.responses.connect()
        )
        types = []
        async with manager as connection:
            await connection.send({"type": "response.create"})
            async for event in connection:
                types.append(event.type)
                if event.type == "response.completed":
                    break
        return types

    direct, forwarded = await both(stage, use)
    assert forwarded == direct
    assert forwarded.count("response.output_text.delta") == 3
