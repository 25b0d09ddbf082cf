"""The dashboard's files, as npm built them: read once, at the start, and served from memory."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web
from attrs import define, field

from gateway.wire.errors import SERVER_NAME, ApiError

__all__ = ["BUILD", "Pages"]

BUILD: Final = Path(__file__).parent / "dashboard" / "build"
_PAGE: Final = re.compile(
    r"/(?:requests(?:/[\w.-]{1,200})?|accounts|usage|keys|canary|settings|sign-in|setup)?/?", re.ASCII
)
"""Paths of the dashboard's own pages; what they show is up to the script."""
_INDEX: Final = "/index.html"
_HASHED: Final = "/assets/"
"""Names of the files below change with what is in them."""
_PACKED: Final = frozenset({".js", ".css", ".html", ".svg", ".json", ".webmanifest"})
_TYPES: Final = {".js": "text/javascript", ".webmanifest": "application/manifest+json"}
_UNBUILT: Final = b"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Claude Stream Gateway</title></head><body>
<h1>The dashboard is not built</h1>
<p>The gateway serves; only the files of its dashboard are missing. In a checkout, <code>make dashboard</code>
builds them, with Node 20.19 or newer; then the gateway has to be started again. Packages from an index bring them
along.</p>
<p>Everything that the dashboard shows is in the admin API too:
<a href="/api/v1/openapi.json">its description</a>.</p>
</body></html>
"""


@define(frozen=True)
class _File:
    body: bytes = field(repr=False)
    packed: bytes | None = field(repr=False)
    """By gzip, where that makes it smaller."""
    media_type: str
    tag: str


@define(eq=False)
class Pages:
    """Serves the dashboard."""

    files: Mapping[str, _File]
    """By path."""

    @classmethod
    def load(cls, directory: Path = BUILD) -> Pages:
        """Read what was built; blocks. Where nothing was, a page says what to do."""
        files = {}
        for path in sorted(directory.rglob("*")) if directory.is_dir() else ():
            if path.is_file() and path.suffix != ".gz":
                files["/" + path.relative_to(directory).as_posix()] = _file(path.read_bytes(), path.suffix)
        if _INDEX not in files:
            files = {_INDEX: _file(_UNBUILT, ".html")}
        return cls(files)

    def respond(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer with a file, or with the page whose script shows what a path is.

        Raises:
            ApiError: 404 or 405.
        """
        found = self.files.get(path)
        if found is None and _PAGE.fullmatch(path):
            found = self.files[_INDEX]
        is_missing = found is None or path == _INDEX
        if is_missing and not path.startswith(_HASHED) and "text/html" in request.headers.get("accept", ""):
            # To a person the dashboard says so, in a way that leads on.
            found = self.files[_INDEX]
        elif is_missing:
            found = None
        if found is None:
            raise ApiError(404, "There is nothing at this path of the control plane. The dashboard is at /.")
        if request.method not in {"GET", "HEAD"}:
            raise ApiError(405, "Use GET or HEAD here.", headers={"allow": "GET, HEAD"})
        headers = {
            "cache-control": "public, max-age=31536000, immutable" if path.startswith(_HASHED) else "no-cache",
            "content-type": found.media_type,
            "etag": found.tag,
            "server": SERVER_NAME,
            "vary": "accept-encoding",
        }
        if not is_missing and found.tag in request.headers.get("if-none-match", ""):
            return web.Response(status=304, headers=headers)
        status, body = 404 if is_missing else 200, found.body
        if found.packed is not None and "gzip" in request.headers.get("accept-encoding", "").lower():
            body = found.packed
            headers["content-encoding"] = "gzip"
        return web.Response(status=status, body=body, headers=headers)


def _file(body: bytes, suffix: str) -> _File:
    packed = gzip.compress(body, 9, mtime=0) if suffix in _PACKED else None
    media_type = _TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    return _File(body, packed if packed is not None and len(packed) < len(body) else None, media_type, tag)
