"""JSON objects to attrs classes and back, without loss: the public cattrs converter of this package."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from cattrs import Converter

from sse_fsm.blocks import BLOCK_CLASSES, DELTA_CLASSES, UNSET, Block, Delta, UnknownBlock, UnknownDelta
from sse_fsm.events import (
    EVENT_CLASSES,
    CacheCreation,
    ErrorDetail,
    Event,
    Message,
    MessageChanges,
    UnknownEvent,
    Usage,
)

__all__ = ["converter"]

_OPEN_UNIONS: Final[Mapping[Any, tuple[Mapping[str, type], type]]] = {
    Block: (BLOCK_CLASSES, UnknownBlock),
    Delta: (DELTA_CLASSES, UnknownDelta),
    Event: ({kind.value: cls for kind, cls in EVENT_CLASSES.items()}, UnknownEvent),
}


def _structure_open(conv: Converter, cls: type) -> Callable[[Any, Any], Any]:
    """Build a hook that keeps absent fields absent and unknown ones in `extra`."""
    named = {name: t for name, t in typing.get_type_hints(cls).items() if name != "extra"}
    nested = {name: wanted for name, t in named.items() if (wanted := _nested_class(t)) is not None}

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError(f"{cls.__name__} needs a JSON object, not {type(value).__name__}")
        known: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for name, item in value.items():
            if name not in named:
                extra[name] = item
            elif name in nested and item is not None:
                known[name] = conv.structure(item, nested[name])
            else:
                known[name] = item
        return cls(**known, extra=extra)

    return structure


def _nested_class(annotation: Any) -> Any:
    """Return what a field's value is structured into; None where JSON is kept as it is."""
    if annotation in _OPEN_UNIONS or annotation == list[Block]:
        return annotation
    for option in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(option, type) and attrs.has(option):
            return option
    return None


def _unstructure_open(conv: Converter, cls: type) -> Callable[[Any], dict[str, Any]]:
    names = [a.name for a in attrs.fields(cls) if a.name != "extra"]

    def unstructure(value: Any) -> dict[str, Any]:
        pairs = ((name, getattr(value, name)) for name in names)
        known = {name: _plain(conv, item) for name, item in pairs if item is not UNSET}
        return {**known, **value.extra}

    return unstructure


def _plain(conv: Converter, item: Any) -> Any:
    if attrs.has(type(item)):
        return conv.unstructure(item)
    if isinstance(item, list):
        return [_plain(conv, part) for part in item]
    return item


def _structure_union(conv: Converter, union: Any) -> Callable[[Any, Any], Any]:
    classes, fallback = _OPEN_UNIONS[union]

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
            raise TypeError("a block, delta or event needs a JSON object with a string `type`")
        return conv.structure(value, classes.get(value["type"], fallback))

    return structure


def _make_converter() -> Converter:
    conv = Converter()
    classes = {
        *EVENT_CLASSES.values(),
        *BLOCK_CLASSES.values(),
        *DELTA_CLASSES.values(),
        UnknownBlock,
        UnknownDelta,
        Message,
        MessageChanges,
        Usage,
        CacheCreation,
        ErrorDetail,
    }
    for cls in classes:
        conv.register_structure_hook(cls, _structure_open(conv, cls))
        conv.register_unstructure_hook(cls, _unstructure_open(conv, cls))
    for union in _OPEN_UNIONS:
        hook = _structure_union(conv, union)
        conv.register_structure_hook_func(lambda t, union=union: t == union, hook)
    return conv


converter: Final = _make_converter()
"""Structures JSON objects into the classes of this module and back: `converter.structure(obj, Event)`.

Raises `TypeError` for what is not an object with the fields that the class cannot do without. It checks shapes
only; whether an event may come at this point of a stream is `StreamMachine`'s to say.
"""
