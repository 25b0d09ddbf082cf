"""Which program this is: its version, and the revision of its source where that is known."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Final

__all__ = ["find_revision", "program_version"]

VARIABLE: Final = "GATEWAY_REVISION"
"""Set in images, which hold neither a checkout nor what pip writes down of where a source is from."""
_PACKAGE: Final = "claude-stream-gateway"
_SOURCE: Final = Path(__file__).parents[2]
_SHOWN: Final = 12
_REVISION: Final = re.compile(r"[0-9a-f]{7,64}(-dirty)?")
"""As `git describe --always --dirty` writes it for a source without tags."""
_OF_TAG: Final = re.compile(r"[\w.+/-]{1,80}", re.ASCII)


def program_version() -> str:
    """Return `0.1.0`, or `0.1.0 (5f8da42c91ab)`. It reads files; no program is started for it."""
    version, revision = metadata.version(_PACKAGE), find_revision()
    return f"{version} ({revision})" if revision else version


def find_revision(source: Path = _SOURCE) -> str:
    """Return the revision: of the image, of what pip installed from git, or of a checkout; empty for unknown.

    Args:
        source: directory that a checkout would have its `.git` in.
    """
    configured = os.environ.get(VARIABLE, "").strip()
    if configured and configured != "unknown":
        return _shown(configured)
    with suppress(OSError, ValueError, metadata.PackageNotFoundError):
        return _shown(_of_installation() or _of_checkout(source))
    return ""


def _shown(text: str) -> str:
    if _REVISION.fullmatch(text):
        revision, dash, dirty = text.partition("-")
        return revision[:_SHOWN] + dash + dirty
    return text if _OF_TAG.fullmatch(text) else ""


def _of_installation() -> str:
    """Return the commit that pip installed, if it was from a repository (PEP 610, `direct_url.json`)."""
    text = metadata.distribution(_PACKAGE).read_text("direct_url.json")
    found = json.loads(text) if text else None
    source = found.get("vcs_info") if isinstance(found, dict) else None
    commit = source.get("commit_id") if isinstance(source, dict) else None
    return commit if isinstance(commit, str) else ""


def _of_checkout(source: Path) -> str:
    """Return the commit that is checked out (gitrepository-layout(5)), whatever was changed since."""
    if f'name = "{_PACKAGE}"' not in (source / "pyproject.toml").read_text("utf-8"):
        return ""
    git = source / ".git"
    if git.is_file():
        # In a further work tree, a file says where its own part of the repository is.
        git = source / git.read_text("utf-8").partition("gitdir:")[2].strip()
    elif not git.is_dir():
        return ""
    head = (git / "HEAD").read_text("utf-8").strip()
    if not head.startswith("ref:"):
        return head
    name = head.removeprefix("ref:").strip()
    common = git
    if (pointer := git / "commondir").is_file():
        common = git / pointer.read_text("utf-8").strip()
    if (loose := common / name).is_file():
        return loose.read_text("utf-8").strip()
    for line in (common / "packed-refs").read_text("utf-8").splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name:
            return commit
    return ""
