"""Settings: a TOML file, then the environment, structured by cattrs.

Every setting can be given as an environment variable: `GATEWAY_`, then the path in upper case joined by `__`,
such as `GATEWAY_TIMEOUTS__DRAIN_SECONDS=60`. The environment wins over the file.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, get_type_hints
from urllib.parse import urlsplit

import attrs
from attrs import define, field
from cattrs import Converter, transform_error
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError

__all__ = [
    "Address",
    "ClientAuth",
    "Limits",
    "Settings",
    "SettingsError",
    "StreamMode",
    "Timeouts",
    "is_loopback",
    "load_settings",
]

_PREFIX: Final = "GATEWAY_"


class SettingsError(Exception):
    """The settings cannot be used; the message says which one and what to do."""


class ClientAuth(StrEnum):
    """How clients prove who they are."""

    #: With a key made by `gateway keys create`.
    KEYS = "keys"
    #: With their own Anthropic credential, which is sent on and neither stored nor logged.
    PASSTHROUGH = "passthrough"
    #: Not at all; refused unless the gateway listens on loopback.
    OFF = "off"


class StreamMode(StrEnum):
    """What happens to a stream that breaks the protocol."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


def is_loopback(host: str) -> bool:
    """Whether a host, in lower case and without brackets, is this machine by whatever name server is asked."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@define(frozen=True)
class Address:
    """Where to listen: HOST:PORT, or [HOST]:PORT for IPv6; port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read HOST:PORT.

        Raises:
            ValueError: it is not of that form.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:  # noqa: PLR2004 - the largest port
            raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8787")
        return cls(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - ":8787" asks for all interfaces

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        """Return HOST:PORT."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@define
class Timeouts:
    """How long to wait for what, all in seconds."""

    commit_deadline_seconds: float = 12.0
    """A client gets its response head, with a ping, at the latest after this much silence of a stream whose
    head has arrived. Until then a failure can still be answered with an honest status. Claude Code shows a
    warning after 20 s without a byte."""
    ping_interval_seconds: float = 15.0
    """Upstream silence after which the client gets a ping."""
    upstream_connect_seconds: float = 10.0
    """For a connection to the upstream to be made."""
    upstream_head_seconds: float = 600.0
    """Until the upstream's response head. A non-streaming answer may take ten minutes, as in the SDKs."""
    upstream_idle_seconds: float = 300.0
    """Upstream silence in a body after which the stream is ended. The API pings every few seconds."""
    stream_total_seconds: float = 7200.0
    """For a whole stream."""
    stop_grace_seconds: float = 10.0
    """For a stream that has given its stop reason to end. Then the gateway ends it as it should have ended;
    measured coarsely, at most twice as long."""
    request_head_seconds: float = 20.0
    """For a client to send its request head on a new connection."""
    request_body_idle_seconds: float = 30.0
    """Between two pieces of a request body."""
    request_body_total_seconds: float = 300.0
    """For a whole request body."""
    client_stalled_seconds: float = 300.0
    """A client that takes nothing for so long is given up."""
    keepalive_seconds: float = 75.0
    """For an idle client connection to stay open."""
    drain_seconds: float = 30.0
    """After SIGTERM, for running streams to finish."""


@define
class Limits:
    """How much to accept."""

    request_body_bytes: int = 32 * 1024 * 1024
    """The API's own limit for messages."""
    event_bytes: int = 8 * 1024 * 1024
    """Longest single event of an upstream stream."""
    held_body_bytes: int = 8 * 1024 * 1024
    """A non-streaming answer up to this size is held until it is whole, so that a cut can still be answered
    with an honest status."""
    header_bytes: int = 64 * 1024
    """Longest header line."""


def _secret() -> Any:
    return field(default="", repr=False)


@define
class Settings:
    """Everything that can be set."""

    listen: str = "127.0.0.1:8787"
    """Data plane: HOST:PORT."""
    control_listen: str = "127.0.0.1:8788"
    """Control plane: HOST:PORT. Reserved; it has no effect in this version."""
    workers: int = 1
    """Processes that share the data plane's port."""
    data_dir: str = ""
    """Where the database lives; default `$XDG_DATA_HOME/claude-stream-gateway`."""
    database_url: str = ""
    """Default: a SQLite file in the data directory."""
    anthropic_base_url: str = "https://api.anthropic.com"
    """Upstream of `/claude/v1/*`; may have a path."""
    openai_base_url: str = "https://api.openai.com"
    """Upstream of `/v1/*`. Reserved; it has no effect in this version."""
    anthropic_api_key: str = _secret()
    """Credential of one upstream account."""
    client_auth: ClientAuth = ClientAuth.KEYS
    """How clients prove who they are: `keys`; `passthrough`, their own Anthropic credential, which is sent on and
    neither stored nor logged; or `off`, refused unless the gateway listens on loopback."""
    stream_mode: StreamMode = StreamMode.ENFORCE
    """`enforce`: only valid streams leave. `observe`: bytes pass as they come, and the log says what `enforce`
    would have done."""
    control_token: str = _secret()
    """Reserved; it has no effect in this version."""
    secret_key: str = _secret()
    """Secret with which client keys are hashed. Default: `secret.key` (mode 0600) in the data directory."""
    sdk_enabled: bool = False
    """Reserved; it has no effect in this version."""
    sdk_pool_size: int = 0
    """Reserved; it has no effect in this version."""
    diagnostics: list[str] = field(factory=list)
    """Diagnostics to switch on, such as `requests`, `streams` or `all`; never content, never secrets."""
    log_level: str = "info"
    """debug, info, warning or error."""
    log_format: str = "auto"
    """json, console, or auto: console on a terminal."""
    timeouts: Timeouts = field(factory=Timeouts)
    limits: Limits = field(factory=Limits)

    @property
    def data_path(self) -> Path:
        """The data directory."""
        if self.data_dir:
            return Path(self.data_dir).expanduser()
        base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return Path(base).expanduser() / "claude-stream-gateway"

    @property
    def address(self) -> Address:
        """Where the data plane listens."""
        return Address.parse(self.listen)


def _to_bool(value: Any, _: type) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError(f"{value!r} is neither true nor false")


def _to_words(value: Any, _: type) -> list[str]:
    parts = value if isinstance(value, list) else str(value).split(",")
    return [word for part in parts if (word := str(part).strip())]


def _make_converter() -> Converter:
    conv = Converter(forbid_extra_keys=True)
    conv.register_structure_hook(bool, _to_bool)
    conv.register_structure_hook_func(lambda t: t == list[str], _to_words)
    return conv


_converter: Final = _make_converter()


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        path: TOML file; None for none.
        environ: environment variables; default those of the process.

    Raises:
        SettingsError: the file cannot be read, or a setting is unknown, malformed or contradicts another.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"cannot read the settings file {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"the settings file {path} is not valid TOML: {error}") from None
    _overlay(values, os.environ if environ is None else environ)
    try:
        settings = _converter.structure(values, Settings)
    except (ClassValidationError, ForbiddenExtraKeysError) as error:
        problems = "; ".join(transform_error(error, path="settings"))
        raise SettingsError(f"bad settings: {problems}") from None
    _check(settings)
    return settings


def _overlay(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put what the environment sets into `values`."""
    for name in attrs.fields_dict(Settings):
        if (text := environ.get(_PREFIX + name.upper())) is not None:
            values[name] = text
    for section, cls in (("timeouts", Timeouts), ("limits", Limits)):
        for name in get_type_hints(cls):
            if (text := environ.get(f"{_PREFIX}{section.upper()}__{name.upper()}")) is not None:
                values.setdefault(section, {})[name] = text


def _check(settings: Settings) -> None:
    try:
        listen = settings.address
        Address.parse(settings.control_listen)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if settings.client_auth is ClientAuth.OFF and not listen.is_loopback:
        raise SettingsError(
            f"client_auth = off would let anyone who can reach {listen} use your account; "
            "listen on 127.0.0.1 or set GATEWAY_CLIENT_AUTH=keys"
        )
    for name in ("anthropic_base_url", "openai_base_url"):
        url = urlsplit(getattr(settings, name))
        if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
            raise SettingsError(f"{name} must be like https://api.anthropic.com, not {getattr(settings, name)!r}")
    if settings.workers < 1:
        raise SettingsError(f"workers must be at least 1, not {settings.workers}")
    if settings.log_level not in {"debug", "info", "warning", "error"}:
        raise SettingsError(f"log_level must be debug, info, warning or error, not {settings.log_level!r}")
    if settings.log_format not in {"auto", "json", "console"}:
        raise SettingsError(f"log_format must be auto, json or console, not {settings.log_format!r}")
    _check_positive(settings)


def _check_positive(settings: Settings) -> None:
    for section in (settings.timeouts, settings.limits):
        for name, value in attrs.asdict(section).items():
            if value <= 0:
                raise SettingsError(f"{name} must be greater than 0, not {value}")
