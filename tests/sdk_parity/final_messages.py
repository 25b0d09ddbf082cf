"""Asks the importable Python SDK for the final message of every stream named on standard input.

Argument: the server's base URL. Input: a JSON array of `{name, beta}`. Output: a JSON object, name to `{message}`
or `{error}`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from anthropic import Anthropic


def final_message(client: Anthropic, stream: dict[str, Any]) -> dict[str, Any]:
    """Return the final message as a JSON object, or what the SDK raised instead."""
    messages: Any = client.beta.messages if stream["beta"] else client.messages
    try:
        with messages.stream(
            model="claude-sonnet-5-5",
            max_tokens=64,
            messages=[{"role": "user", "content": "hello"}],
            extra_headers={"x-replay-stream": stream["name"]},
        ) as running:
            message = running.get_final_message()
        # Mode "json" would refuse lone surrogates.
        return {"message": message.to_dict(mode="python")}
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is the result
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Read the names, write the messages."""
    client = Anthropic(api_key="made-up", base_url=sys.argv[1], max_retries=0)
    results = {stream["name"]: final_message(client, stream) for stream in json.load(sys.stdin)}
    json.dump(results, sys.stdout, default=str)


if __name__ == "__main__":
    main()
