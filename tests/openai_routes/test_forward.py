"""What is below `/v1` goes to the other server as it came, and what comes back reaches the client as it is."""

from __future__ import annotations

from tests.contract.harness import serving
from tests.faults.scripted import Exchange, ScriptedUpstream

ANSWER = (
    b"HTTP/1.1 200 Fine, thanks\r\nx-TWICE: a\r\nx-twice: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;ext=1\r\nhello\r\n0\r\nX-Trailer: t\r\n\r\n"
)


async def answer(exchange: Exchange) -> None:
    await exchange.send(ANSWER)


async def test_a_connection_serves_both_sides_of_the_house_in_turn() -> None:
    async with (
        ScriptedUpstream(answer) as upstream,
        serving(openai_base_url=f"{upstream.url}/base") as served,
        served.connect() as client,
    ):
        for _ in range(3):
            client.writer.write(b"GET /v1/models?a=%2F&b#c HTTP/1.1\r\nhOST:  gateway\r\nX-Key:  v \r\n\r\n")
            assert await client.until(b"X-Trailer: t\r\n\r\n") == ANSWER
            assert upstream.exchanges[-1].head == (
                b"GET /base/v1/models?a=%2F&b#c HTTP/1.1\r\nhOST: "
                + upstream.url.removeprefix("http://").encode()
                + b"\r\nX-Key:  v \r\n\r\n"
            )
            await client.send("/healthz", usual=())
            assert (await client.receive()).body == b'{"status":"ok"}'
