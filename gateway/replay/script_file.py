"""Reading a fault script from a file."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from gateway.replay.faults import FaultScript, FaultSyntaxError


def load_script(path: Path) -> FaultScript:
    """Read ``.toml`` (tables ``[[rule]]``), ``.json`` (a list, or ``{"rules": [...]}``), or lines of short forms.

    In a file of lines, blank ones and those that begin with ``#`` do not count. Raises ``FaultSyntaxError`` for
    content that is not a script and ``OSError`` for a file that cannot be read.
    """
    text = path.read_text("utf-8")
    content: Any
    try:
        match path.suffix:
            case ".toml":
                content = tomllib.loads(text)
            case ".json":
                content = msgspec.json.decode(text)
            case _:
                lines = (line.strip() for line in text.splitlines())
                content = [line for line in lines if line and not line.startswith("#")]
    except (tomllib.TOMLDecodeError, msgspec.DecodeError) as error:
        raise FaultSyntaxError(f"{path}: {error}") from None
    try:
        return FaultScript.of(content)
    except FaultSyntaxError as error:
        raise FaultSyntaxError(f"{path}: {error}") from None
