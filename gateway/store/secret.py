"""The gateway's secret keys: from the settings, or from a file that only its owner can read.

There may be several: the first one is used, the others are still understood. So keys can be exchanged one by one.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["SecretKeyError", "has_secret_key", "key_file", "load_secret_key", "load_secret_keys"]

_FILE: Final = "secret.key"
_OWN_WRITER_SECONDS: Final = 1.0
_LOOK_AGAIN_SECONDS: Final = 0.01
_IF_LOST: Final = (
    "restore it. If its key is lost, delete the file, remove the accounts and revoke the client keys, and add and "
    "make them again: docs/security.md has the steps"
)


class SecretKeyError(Exception):
    """The secret key cannot be used; the message says why and what to do."""


def key_file(data_dir: Path) -> Path:
    """Return where the key file lives."""
    return data_dir / _FILE


def has_secret_key(configured: str, data_dir: Path) -> bool:
    """Return whether `load_secret_keys` would find a key rather than make one."""
    path = key_file(data_dir)
    return bool(configured) or path.is_symlink() or path.exists()


def load_secret_key(configured: str, data_dir: Path) -> bytes:
    """Return the first of `load_secret_keys`, with which new things are made.

    Raises:
        SecretKeyError: as there.
    """
    return load_secret_keys(configured, data_dir)[0]


def load_secret_keys(configured: str, data_dir: Path) -> tuple[bytes, ...]:
    """Return 32 bytes for each key, which stay the same as long as the key does.

    Args:
        configured: GATEWAY_SECRET_KEY, with commas between several keys; empty to use the key file, which is made
            if it is not there and may hold several lines. Bytes that are not UTF-8 count as they are.
        data_dir: where the key file lives.

    Raises:
        SecretKeyError: the file cannot be made or read, is empty or no text, or can be read by others; or the
            configured key is blank.
    """
    if configured and not configured.strip():
        raise SecretKeyError(
            "GATEWAY_SECRET_KEY is blank; set it to a key, or unset it to have one made in a file"
        )
    if configured:
        return _digests(configured, configured.split(","))
    path = key_file(data_dir)
    try:
        _create(path)
        mode = path.stat().st_mode
        text = _read(path)
    except OSError as error:
        raise SecretKeyError(
            f"cannot use the key file {path}: {error.strerror or error}; let this user write there, or set "
            "GATEWAY_DATA_DIR to another place, or GATEWAY_SECRET_KEY"
        ) from None
    except UnicodeDecodeError:
        raise SecretKeyError(f"the key file {path} is not UTF-8 text; {_IF_LOST}") from None
    if mode & 0o077:
        raise SecretKeyError(f"others can read the key file {path}; run: chmod 600 {path}")
    if not text:
        raise SecretKeyError(f"the key file {path} is empty; {_IF_LOST}")
    return _digests(text, text.splitlines())


def _digests(text: str, parts: list[str]) -> tuple[bytes, ...]:
    """Hash each key; one alone is taken to the letter, spaces included."""
    keys = [key for part in parts if (key := part.strip())]
    if len(keys) <= 1:
        keys = [text]
    else:
        # Before there could be several keys, this was a single one with a comma or a line break in it.
        keys.append(text)
    return tuple(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest() for key in dict.fromkeys(keys))


def _read(path: Path) -> str:
    """Return the key in the file; one that is empty may be about to be written by another process."""
    deadline = time.monotonic() + _OWN_WRITER_SECONDS
    while not (text := path.read_text(encoding="utf-8").strip()) and time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN_SECONDS)
    return text


def _create(path: Path) -> None:
    """Make the key file unless it is there; several processes may try at once, and the first one wins."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = f"{secrets.token_urlsafe(32)}\n".encode()
    handle, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        _write(handle, key)
        _publish(Path(draft), path, key)
    finally:
        Path(draft).unlink()


def _publish(draft: Path, path: Path, key: bytes) -> None:
    """Put the key where all processes look for it, unless there is one by now."""
    with suppress(FileExistsError):
        try:
            # Whoever sees the file sees all of it.
            os.link(draft, path)
        except FileExistsError:
            raise
        except OSError:
            # Not every file system has hard links.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _write(handle, key)
            except OSError:
                path.unlink(missing_ok=True)
                raise


def _write(handle: int, key: bytes) -> None:
    with os.fdopen(handle, "wb", buffering=0) as file:
        file.write(key)
        os.fsync(file.fileno())
