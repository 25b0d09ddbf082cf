"""Asks many servers at once for a message, with whatever `anthropic` package can be imported.

Input: a JSON array of `{base_url, key, streamed}`.
Output: a JSON array of `{text, stop_reason}` or `{error}`, in the same order.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from anthropic import AsyncAnthropic

ASK: Any = {"model": "claude-opus-5-5", "max_tokens": 256, "messages": [{"role": "user", "content": "hello"}]}


async def ask(client: AsyncAnthropic, place: dict[str, Any]) -> dict[str, Any]:
    """Return the final message's text, or what the SDK raised instead."""
    placed = client.with_options(api_key=place["key"], base_url=place["base_url"])
    try:
        if place["streamed"]:
            async with placed.messages.stream(**ASK) as stream:
                message = await stream.get_final_message()
        else:
            message = await placed.messages.create(**ASK)
        text = "".join(block.text for block in message.content if block.type == "text")
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is the result
        return {"error": f"{type(error).__name__}: {error}"}
    return {"text": text, "stop_reason": message.stop_reason}


async def main() -> None:
    """Read the places, write the results."""
    places = json.load(sys.stdin)
    # One client, and so one set of certificates read from disk: that takes far longer than a request.
    async with AsyncAnthropic(api_key="made-up", max_retries=2) as client:
        json.dump(await asyncio.gather(*(ask(client, place) for place in places)), sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
