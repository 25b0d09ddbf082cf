"""Feed bytes to the official Python SDK: its own decoder, its own stream, its own accumulator. No network."""

from __future__ import annotations

import warnings
from typing import Any

import anthropic
import httpx2
from anthropic._streaming import Stream
from anthropic.lib.streaming._beta_messages import BetaMessageStream
from anthropic.lib.streaming._messages import MessageStream
from anthropic.types import RawMessageStreamEvent
from anthropic.types.beta import BetaRawMessageStreamEvent

_CLIENT = anthropic.Anthropic(api_key="none")
_REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/messages")


def accumulate(data: bytes, *, beta: bool) -> Any:
    """Return the final message that the SDK makes of a streaming answer's body.

    Raises:
        Exception: whatever the SDK throws.
    """
    response = httpx2.Response(200, content=data, request=_REQUEST)
    cast_to = BetaRawMessageStreamEvent if beta else RawMessageStreamEvent
    helper = BetaMessageStream if beta else MessageStream
    with warnings.catch_warnings():
        # pydantic warns of values that its serialiser did not expect, and serialises them all the same.
        warnings.simplefilter("ignore")
        stream = helper(
            Stream(cast_to=cast_to, response=response, client=_CLIENT),  # ty: ignore[invalid-argument-type] - the SDK itself casts unions so
            output_format=anthropic.not_given,
        )
        for _ in stream:
            pass
        return stream.get_final_message()
