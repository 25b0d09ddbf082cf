"""Faults by script: what can go wrong, how one asks for it, and which request it happens to.

A fault is written ``KIND[:ARGUMENT][;OPTION=VALUE...]``, several for one request are joined by ``|``::

    status:529            status:429;retry-after=3      error:oauth_revoked     refuse
    hang:head             hang:event=3;seconds=2        cut:event=4             cut:byte=311;reset
    cut:utf8              eof:event=5                   error-event:overloaded_error;event=3
    crlf|drip:2000        gzip                          header:Set-Cookie=a=1

In a script ``times=N`` or ``times=forever``, ``path=``, ``model=`` and ``credential=`` say whom it hits.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import attrs
import cattrs
from cattrs.v import format_exception


class FaultSyntaxError(ValueError):
    """A fault that cannot be read; the message says what is wrong with it."""


@attrs.frozen
class Kind:
    """One row of the table of faults."""

    about: str
    options: tuple[str, ...] = ()
    bare: str | None = None
    """The option that a word without ``=`` sets."""
    needs: tuple[str, ...] = ()
    """At least one of these must be given."""
    streams_only: bool = False


_PLACE = ("event", "byte", "at")
_ERROR_OPTIONS = ("type", "message", "code", "retry_after", "retry_after_ms", "should_retry", "unified")

KINDS: dict[str, Kind] = {
    "none": Kind("nothing goes wrong: lets one request pass in a sequence"),
    "refuse": Kind("closes the connection without a byte of an answer"),
    "hang": Kind(
        "goes silent before the head (head), after an event or a byte, for ever or for so many seconds",
        (*_PLACE, "seconds"),
        "at",
        _PLACE,
    ),
    "cut": Kind(
        "drops the connection after an event, after a byte, or inside a character (utf8); reset: by RST",
        (*_PLACE, "reset"),
        "at",
        _PLACE,
    ),
    "eof": Kind("ends the body properly, but early", _PLACE, "at", _PLACE),
    "status": Kind(
        "answers with this HTTP status; retry-after is seconds or date:SECONDS",
        ("status", *_ERROR_OPTIONS),
        "status",
        ("status",),
    ),
    "error": Kind(
        "answers with a named error: of fixtures/errors, else a built-in one",
        ("name", *_ERROR_OPTIONS),
        "name",
        ("name",),
    ),
    "error-event": Kind(
        "sends an error event after so many events (default 0) and ends there, unless goes-on",
        ("type", "message", "event", "goes_on"),
        "type",
        streams_only=True,
    ),
    "duplicate-start": Kind("sends message_start twice", ("event",), streams_only=True),
    "skip-index": Kind(
        "adds one to the index of every block from this one on (default 0)",
        ("block",),
        "block",
        streams_only=True,
    ),
    "wrong-name": Kind(
        "gives an event (default 2, counted from 0) another name (default ping)",
        ("name", "event"),
        "name",
        streams_only=True,
    ),
    "garbage": Kind(
        "sends bytes that are no UTF-8 and no event, after so many events (default 2)",
        ("event",),
        streams_only=True,
    ),
    "crlf": Kind("ends every line with CR LF", streams_only=True),
    "after-stop": Kind("sends one more delta after message_stop", streams_only=True),
    "pings": Kind(
        "in place of message_stop, pings for ever, one every so many seconds (default 1)",
        ("seconds",),
        "seconds",
        streams_only=True,
    ),
    "one-byte": Kind("sends one byte in each chunk"),
    "drip": Kind("sends so many bytes per second", ("rate",), "rate", ("rate",)),
    "gzip": Kind("compresses the body, whatever the client accepts"),
    "truncate": Kind(
        "sends half of a body (or so many bytes) under its whole length; chunked: without the last chunk",
        ("byte", "chunked"),
        "byte",
    ),
    "header": Kind("adds or replaces one header: header:NAME=VALUE", ("name", "value"), None, ("name",)),
    "body": Kind("sends another body, after the request took effect: body:TEXT", ("value",), None, ("value",)),
    "cookies": Kind("adds two Set-Cookie headers"),
    "big-header": Kind("adds a header value of so many bytes (default 9000)", ("size",), "size"),
    "unified": Kind("adds the rate-limit headers of subscription tokens"),
    "close": Kind("announces and does a close after the answer"),
    "drop": Kind("closes after a complete answer without having announced it"),
    "after-end": Kind("sends bytes behind the complete response"),
}
"""Every fault there is, by name."""


@attrs.frozen
class Fault:
    """One thing that goes wrong with one answer. Only the options of its kind are set; see ``KINDS``."""

    kind: str
    at: str | None = None
    event: int | None = None
    byte: int | None = None
    seconds: float | None = None
    reset: bool = False
    status: int | None = None
    name: str | None = None
    value: str | None = None
    type: str | None = None
    message: str | None = None
    code: str | None = None
    retry_after: str | None = None
    retry_after_ms: int | None = None
    should_retry: bool | None = None
    unified: bool = False
    goes_on: bool = False
    block: int | None = None
    rate: float | None = None
    size: int | None = None
    chunked: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse a kind that does not exist and options that it does not have."""
        kind = KINDS.get(self.kind)
        if kind is None:
            raise FaultSyntaxError(f"no fault is called {self.kind!r}; there are: {', '.join(KINDS)}")
        given = {
            field.name
            for field in attrs.fields(Fault)
            if field.name != "kind" and getattr(self, field.name) is not field.default
        }
        stray = given.difference(kind.options)
        if stray:
            raise FaultSyntaxError(f"{self.kind} has no option {', '.join(sorted(map(_dashed, stray)))}")
        if kind.needs and not given.intersection(kind.needs):
            raise FaultSyntaxError(f"{self.kind} needs one of: {', '.join(map(_dashed, kind.needs))}")
        self._check_values()

    def _check_values(self) -> None:
        if self.at not in (None, "utf8", *(("head",) if self.kind == "hang" else ())):
            raise FaultSyntaxError(f"{self.kind} has no place {self.at!r}; event=N and byte=N always exist")
        for name in ("event", "byte", "seconds", "block", "size", "retry_after_ms"):
            if (getattr(self, name) or 0) < 0:
                raise FaultSyntaxError(f"{self.kind}: {_dashed(name)} cannot be negative")
        if self.rate is not None and self.rate <= 0:
            raise FaultSyntaxError("drip needs more than 0 bytes per second")
        if self.status is not None and not 200 <= self.status <= 599:  # noqa: PLR2004 - what a final answer may have
            raise FaultSyntaxError(f"status {self.status} is not between 200 and 599")

    @property
    def streams_only(self) -> bool:
        """Whether this can only happen to a streamed answer: what it does, or its place, needs events."""
        return KINDS[self.kind].streams_only or self.event is not None

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read one fault in its short form; raises ``FaultSyntaxError``."""
        kind, options = _split(text)
        return _structure_fault({"kind": kind, **options})


@attrs.define
class Rule:
    """Faults with the requests they happen to.

    ``path``, ``model`` and ``credential`` are shell patterns; a credential is compared without its ``Bearer``.
    ``times`` counts down; ``None`` is for ever.
    """

    faults: tuple[Fault, ...]
    path: str = "/v1/messages"
    model: str | None = None
    credential: str | None = None
    times: int | None = 1

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Read the short form of a rule: faults joined by ``|``, with ``times=`` and the rest among options."""
        faults = []
        target: dict[str, Any] = {}
        for part in text.split("|"):
            kind, options = _split(part)
            for name in ("path", "model", "credential", "times"):
                if name in options:
                    target[name] = options.pop(name)
            faults.append(_structure_fault({"kind": kind, **options}))
        return cls(tuple(faults), **_rule_options(target))

    @classmethod
    def of(cls, value: "Fault | Rule | str | Mapping[str, Any]") -> "Rule":
        """Make a rule of any way to write one; raises ``FaultSyntaxError``.

        A mapping holds ``fault`` (short form, mapping, or a list of either) besides the rule's own fields.
        """
        match value:
            case Rule():
                return value
            case Fault():
                return cls((value,))
            case str():
                return cls.parse(value)
            case {"fault": fault, **rest}:
                written = list(fault) if isinstance(fault, list | tuple) else [fault]
                options = _rule_options(rest)
                parsed = [
                    cls.parse(one) if isinstance(one, str) else cls((_structure_fault(dict(one)),))
                    for one in written
                ]
                faults = tuple(fault for rule in parsed for fault in rule.faults)
                return attrs.evolve(parsed[0], faults=faults, **options)
            case {"kind": _, **_rest}:
                return cls((_structure_fault(dict(value)),))
        raise FaultSyntaxError(f"a rule is a text or has a member 'fault', unlike {value!r}")


@attrs.define(eq=False)
class FaultScript:
    """Rules in order: each request takes the first that matches it and is not used up."""

    rules: list[Rule] = attrs.field(factory=list)

    @classmethod
    def of(cls, rules: "FaultScript | Iterable[Any] | Mapping[str, Any] | str | None") -> "FaultScript":
        """Make a script of a list of rules, one rule, or ``{"rules": [...]}``; raises ``FaultSyntaxError``."""
        match rules:
            case None:
                return cls()
            case FaultScript():
                return rules
            case str():
                return cls([Rule.parse(rules)])
            case {"rules": list(listed)} | {"rule": list(listed)}:
                return cls([Rule.of(rule) for rule in listed])
        if isinstance(rules, Mapping):
            return cls([Rule.of(rules)])
        if isinstance(rules, Iterable):
            return cls([Rule.of(rule) for rule in rules])
        raise FaultSyntaxError(f"a script is a list of rules, unlike {rules!r}")

    def push(self, fault: "Fault | Rule | str | Mapping[str, Any]", **options: Any) -> Rule:
        """Append a rule and return it.

        ``options`` override its ``times`` (``"forever"`` too), ``path``, ``model`` and ``credential``.
        """
        rule = attrs.evolve(Rule.of(fault), **_rule_options(options))
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget every rule."""
        self.rules.clear()

    def take(self, path: str, model: str | None, credential: str, *, streamed: bool) -> tuple[Fault, ...]:
        """Return the faults of the rule that this request meets, and count that rule down.

        A rule whose faults are of streams alone lets other requests pass.
        """
        for rule in self.rules:
            if _matches(rule, path, model, credential) and (
                streamed or not all(fault.streams_only for fault in rule.faults)
            ):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self.rules.remove(rule)
                return rule.faults
        return ()


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Read faults joined by ``|``, as in the request header ``x-replay-fault``; raises ``FaultSyntaxError``."""
    return tuple(Fault.parse(part) for part in text.split("|"))


def _matches(rule: Rule, path: str, model: str | None, credential: str) -> bool:
    return (
        fnmatchcase(path, rule.path)
        and (rule.model is None or fnmatchcase(model or "", rule.model))
        and (rule.credential is None or fnmatchcase(credential, rule.credential))
    )


def _split(text: str) -> tuple[str, dict[str, Any]]:
    """Split the short form into kind and options, still text."""
    first, *tail = text.strip().split(";")
    name, _, argument = first.partition(":")
    name = name.strip()
    if name == "header":
        # A header's value may hold any of the signs that separate options elsewhere.
        header, _, value = text.strip().partition(":")[2].partition("=")
        return name, {"name": header.strip(), "value": value.strip()}
    if name == "body":
        return name, {"value": text.strip().partition(":")[2]}
    kind = KINDS.get(name)
    words = [word.strip() for word in (argument, *tail) if word.strip()]
    options: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        key = key.strip().replace("-", "_")
        if equals:
            options[key] = value.strip()
        elif key in _FLAGS:
            options[key] = True
        elif kind is not None:
            if kind.bare is None:
                raise FaultSyntaxError(f"{name} takes no argument like {word!r}")
            options[kind.bare] = word
    return name, options


def _rule_options(options: Mapping[str, Any]) -> dict[str, Any]:
    known = dict(options)
    if "times" in known:
        times = known["times"]
        try:
            known["times"] = None if times in ("forever", None) else int(times)
        except (TypeError, ValueError):
            raise FaultSyntaxError(f"times is a number or 'forever', not {times!r}") from None
    stray = set(known).difference(("times", "path", "model", "credential"))
    if stray:
        raise FaultSyntaxError(f"a rule has no member {', '.join(sorted(stray))}")
    return known


def _structure_fault(options: dict[str, Any]) -> Fault:
    renamed = {key.replace("-", "_"): value for key, value in options.items()}
    try:
        return _CONVERTER.structure(renamed, Fault)
    except cattrs.BaseValidationError as error:
        ours = [reason for reason in error.exceptions if isinstance(reason, FaultSyntaxError)]
        reasons = map(str, ours) if ours else cattrs.transform_error(error, str(options.get("kind")), _worded)
        raise FaultSyntaxError("; ".join(reasons)) from None


def _worded(error: BaseException, type_: type | None) -> str:
    return str(error) if isinstance(error, ValueError) else format_exception(error, type_)


def _flag(value: Any, _: type) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise ValueError(f"true or false, not {value!r}")


def _dashed(name: str) -> str:
    return name.replace("_", "-")


_FLAGS = ("reset", "goes_on", "chunked", "unified")
_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
_CONVERTER.register_structure_hook(bool, _flag)
