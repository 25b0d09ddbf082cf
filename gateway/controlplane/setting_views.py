"""The settings as people may see them: what each means, what it is, where that comes from, and no secret."""

from __future__ import annotations

import ast
import inspect
import itertools
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, Final

import attrs
import msgspec

from gateway.config import Settings
from gateway.store.engine import Database

__all__ = ["SettingGroup", "SettingView", "field_docs", "setting_groups"]

_PREFIX: Final = "GATEWAY_"
_IN_FILE_ONLY: Final = frozenset({"credential_commands"})
_LONGEST: Final = 2000


class SettingView(msgspec.Struct, kw_only=True):
    """One setting."""

    name: str
    """As in the settings file."""
    variable: str | None
    """Of the environment; None for what is set in the file only."""
    value: str | None
    """As text; None for a secret, and for what is not set and has no default."""
    default: str | None
    is_secret: bool
    is_set: bool
    """Whether it has a value, which of a secret is all that is told."""
    origin: str
    """`default`, `file`, the name of a variable, or `command`: set by the command that runs the gateway."""
    meaning: str


class SettingGroup(msgspec.Struct, kw_only=True):
    """The settings of one table of the file; those outside any table are in the group without a name."""

    name: str
    settings: list[SettingView]


def setting_groups(settings: Settings, database: Database) -> list[SettingGroup]:
    """Return all settings; blocks for some milliseconds the first time.

    Args:
        settings: in effect.
        database: that is in use, whose name stands for its URL.
    """
    plain: list[SettingView] = []
    groups = [SettingGroup(name="", settings=plain)]
    for part in attrs.fields(Settings):
        if not part.init:
            continue
        value = getattr(settings, part.name)
        if not attrs.has(type(value)):
            plain.append(_view(settings, part, "", settings.origins))
            continue
        views = [_view(value, inner, part.name, settings.origins) for inner in attrs.fields(type(value))]
        groups.append(SettingGroup(name=part.name, settings=views))
    for view in plain:
        if view.name == "database_url":
            view.value = database.name
    return groups


def _view(holder: Any, part: attrs.Attribute, group: str, origins: Mapping[str, str]) -> SettingView:
    full = f"{group}.{part.name}" if group else part.name
    value, default = getattr(holder, part.name), _default(part)
    is_secret = part.repr is False
    origin = origins.get(full, "default")
    if origin == "default" and value != default:
        origin = "command"
    return SettingView(
        name=full,
        variable=None if part.name in _IN_FILE_ONLY else _PREFIX + full.replace(".", "__").upper(),
        value=None if is_secret else _text(value),
        default=None if is_secret else _text(default),
        is_secret=is_secret,
        is_set=value not in ("", None, [], {}),
        origin=origin,
        meaning=field_docs(type(holder)).get(part.name, ""),
    )


def _default(part: attrs.Attribute) -> Any:
    factory = getattr(part.default, "factory", None)
    return part.default if factory is None else factory()


def _text(value: Any) -> str | None:
    if isinstance(value, dict):
        # Of commands the names alone: an argument may be a secret.
        text = ", ".join(sorted(value))
    elif isinstance(value, list):
        text = ", ".join(map(str, value))
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, Enum):
        text = str(value.value)
    else:
        text = str(value)
    return text[:_LONGEST] or None


@cache
def field_docs(cls: type) -> dict[str, str]:
    """Return what stands under each field of a class as a string of its own, on one line."""
    tree = ast.parse(inspect.getsource(cls)).body[0]
    docs: dict[str, str] = {}
    for statement, following in itertools.pairwise(tree.body if isinstance(tree, ast.ClassDef) else ()):
        literal = getattr(getattr(following, "value", None), "value", None)
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(literal, str)
        ):
            docs[statement.target.id] = " ".join(literal.split())
    return docs
