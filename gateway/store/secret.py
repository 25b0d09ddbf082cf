"""The gateway's secret key: from the settings, or from a file that only its owner can read."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

__all__ = ["SecretKeyError", "load_secret_key"]

_FILE: Final = "secret.key"


class SecretKeyError(Exception):
    """The secret key cannot be used; the message says why and what to do."""


def load_secret_key(configured: str, data_dir: Path) -> bytes:
    """Return 32 bytes that stay the same as long as the key does.

    Args:
        configured: GATEWAY_SECRET_KEY; empty to use the key file, which is made if it is not there.
        data_dir: where the key file lives.

    Raises:
        SecretKeyError: the file cannot be made or read, is empty, or can be read by others.
    """
    if configured:
        return hashlib.sha256(configured.encode()).digest()
    path = data_dir / _FILE
    try:
        _create(path)
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SecretKeyError(
            f"cannot use the key file {path}: {error.strerror}; or set GATEWAY_SECRET_KEY"
        ) from None
    if mode & 0o077:
        raise SecretKeyError(f"others can read the key file {path}; run: chmod 600 {path}")
    if not text:
        raise SecretKeyError(f"the key file {path} is empty; restore it, or delete it and make new client keys")
    return hashlib.sha256(text.encode()).digest()


def _create(path: Path) -> None:
    """Make the key file unless it is there; several processes may try at once."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
