"""The golden corpus: recorded shapes of streams, messages and errors, played byte for byte."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal

import attrs
import msgspec

from gateway.replay.headers import Headers

Kind = Literal["stream", "message", "error"]

_PLACES: dict[Kind, tuple[str, str]] = {
    "stream": ("streams", ".sse"),
    "message": ("messages", ".json"),
    "error": ("errors", ".json"),
}


class UnknownFixtureError(LookupError):
    """The corpus holds nothing of that name."""


@attrs.frozen
class ErrorFixture:
    """One recorded error answer."""

    status: int
    headers: Headers
    body: bytes


@attrs.define(eq=False)
class Corpus:
    """Finds fixtures by name under a directory, and keeps what it has read.

    Names are those of ``manifest.toml`` and, beside them, the names of the files without their suffix. Reading
    blocks: call from a thread, or ask for something read before.
    """

    root: Path
    _paths: dict[tuple[Kind, str], Path] = attrs.field(factory=dict, init=False)
    _bytes: dict[Path, bytes] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        """Index the directory."""
        for kind, (directory, suffix) in _PLACES.items():
            for path in sorted((self.root / directory).rglob(f"*{suffix}")):
                self._paths[kind, path.stem] = path
        for kind in _PLACES:
            for entry in self._manifest().get(kind, ()):
                self._paths[kind, entry["name"]] = self._locate(kind, entry)

    def _manifest(self) -> dict[str, Any]:
        try:
            return tomllib.loads((self.root / "manifest.toml").read_text("utf-8"))
        except FileNotFoundError:
            return {}

    def _locate(self, kind: Kind, entry: dict[str, Any]) -> Path:
        directory, suffix = _PLACES[kind]
        file = entry.get("file", f"{directory}/{entry['name']}{suffix}")
        path = self.root / file
        return path if path.exists() else self.root / directory / file

    def names(self, kind: Kind) -> list[str]:
        """Return the names of every fixture of a kind, sorted."""
        return sorted(name for known, name in self._paths if known == kind)

    def read(self, kind: Kind, name: str) -> bytes:
        """Return a fixture's bytes; raises ``UnknownFixtureError``."""
        try:
            path = self._paths[kind, name]
            if path not in self._bytes:
                self._bytes[path] = path.read_bytes()
            return self._bytes[path]
        except (KeyError, FileNotFoundError):
            raise UnknownFixtureError(f"no {kind} named {name!r} in {self.root}") from None

    def kept(self, kind: Kind, name: str) -> bytes | None:
        """Return a fixture's bytes if they were read before; never blocks."""
        path = self._paths.get((kind, name))
        return None if path is None else self._bytes.get(path)

    def error(self, name: str) -> ErrorFixture:
        """Return a recorded error answer; raises ``UnknownFixtureError``."""
        content = msgspec.json.decode(self.read("error", name))
        headers = content.get("headers") or {}
        pairs = list(headers.items()) if isinstance(headers, dict) else [(key, value) for key, value in headers]
        # The body is framed anew, by its own length.
        pairs = [pair for pair in pairs if pair[0].lower() not in ("content-length", "transfer-encoding")]
        text = content.get("body_text")
        body = msgspec.json.encode(content["body"]) if text is None else text.encode()
        return ErrorFixture(content["status"], pairs, body)


def corpus_directory() -> Path:
    """Return the corpus shipped inside the package, else the one of the checkout."""
    packaged = Path(__file__).parent / "corpus"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "fixtures"


@cache
def default_corpus() -> Corpus:
    """Return the corpus of ``corpus_directory``, indexed once in a process."""
    return Corpus(corpus_directory())
