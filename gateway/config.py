"""Settings: a TOML file, then the environment, structured by cattrs.

Every setting can be given as an environment variable: `GATEWAY_`, then the path in upper case joined by `__`,
such as `GATEWAY_TIMEOUTS__DRAIN_SECONDS=60`. The environment wins over the file.
Unknown names are refused in the file; in the environment, which others write to as well, they bring a warning.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import attrs
from attrs import define, field
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError

from gateway.setting_values import (
    BadValueError,
    check_amount,
    check_base_url,
    check_count,
    check_credential,
    check_header,
    check_networks,
    check_note,
    check_optional_base_url,
    check_patience,
    check_public_url,
    check_seconds,
    check_share,
    is_loopback,
    make_converter,
    one_of,
    suggest,
    unknown_variables,
)

__all__ = [
    "Address",
    "ClientAuth",
    "DashboardSettings",
    "Limits",
    "OpenAIMode",
    "Retention",
    "Rollout",
    "Routing",
    "Settings",
    "SettingsError",
    "Strategy",
    "StreamMode",
    "Timeouts",
    "load_settings",
]

_PREFIX: Final = "GATEWAY_"
CONTROL_OFF: Final = "off"
FROM_FILE: Final = "file"
_SEE: Final = "; docs/configuration.md lists all"
_SHORTEST_TOKEN: Final = 16
_FEWEST_BYTES: Final = 64 * 1024 * 1024
"""Of which a SQLite file without any requests takes a small part, and a day of a busy gateway most."""


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


class OpenAIMode(StrEnum):
    """What becomes of requests below `/v1`."""

    #: They go to another server as they are.
    FORWARD = "forward"
    #: They are served by the accounts of provider `openai`, for clients with a key of the gateway's.
    POOL = "pool"
    #: They are answered with 404.
    OFF = "off"


class Rollout(StrEnum):
    """How far the gateway has come beside what it is to replace."""

    #: It serves beside the existing proxy, and nobody relies on it alone.
    CANARY = "canary"
    #: Somebody has approved in writing that it serves in place of what was there.
    PROMOTED = "promoted"


class Strategy(StrEnum):
    """Which of several accounts serves a request that no session ties to one."""

    #: The one that has used least of its limits; of equals the one whose limits start anew first.
    HEADROOM = "headroom"
    #: One after the other.
    ROUND_ROBIN = "round_robin"
    #: The first by priority until it can no more, then the next.
    FILL_FIRST = "fill_first"
    #: In proportion to their weights.
    WEIGHTED = "weighted"


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
            raise ValueError(f"must be HOST:PORT, such as 127.0.0.1:8787, not {text!r}")
        host = host.strip("[]")
        try:
            host.encode("idna")
        except UnicodeError:
            raise ValueError(f"must begin with an address or the name of a host, not {host!r}") from None
        return cls(host or "0.0.0.0", int(port))  # noqa: S104 - ":8787" asks for all interfaces

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
    """How long to wait for what, all in seconds: above 0, and at most 1000000."""

    commit_deadline_seconds: float = 12.0
    """A client gets its response head, with a ping, at the latest after this much silence of a stream whose
    head has arrived. Until then a failure can still be answered with an honest status. Claude Code shows a
    warning after 20 s without a byte."""
    ping_interval_seconds: float = 15.0
    """Upstream silence after which the client gets a ping."""
    upstream_connect_seconds: float = 10.0
    """For a connection to the upstream to be made."""
    upstream_head_seconds: float = 600.0
    """Until the upstream's response head, and until the end of an answer that is held: one that is no stream, or
    an error. A non-streaming answer may take ten minutes, as in the SDKs."""
    upstream_idle_seconds: float = 300.0
    """Upstream silence in a body after which the stream is ended. The API pings every few seconds."""
    forward_idle_seconds: float = 1800.0
    """Below `/v1`, in mode `forward`: silence both ways after which a request or WebSocket is given up."""
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
    sdk_start_seconds: float = 20.0
    """For a local runtime to start, and to take a request."""
    sdk_idle_seconds: float = 300.0
    """For which an idle local runtime is kept for its session."""
    sdk_stop_seconds: float = 2.0
    """For a local runtime that is asked to end to do so; then it is killed."""
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
    sdk_runtimes: int = 8
    """Local runtimes at a time in one process, idle ones included. One is a process of some 200 MB."""
    header_bytes: int = 64 * 1024
    """Longest header line."""
    spool_bytes: int = 64 * 1024 * 1024
    """Records of requests that wait, in files of the data directory, for a database that is away. Past this they
    are only in the log."""


@define
class Routing:
    """Which account serves a request, and how long to try."""

    strategy: Strategy = Strategy.HEADROOM
    """`headroom`: the account that has used least of its limits, of equals the one whose limits start anew first;
    `round_robin`; `fill_first`: by priority; `weighted`: in proportion to weights. Sessions stay with the account
    that has their prompt cached, whatever the strategy."""
    concurrency: int = 0
    """Requests at a time per account; 0 for no bound. An account may have a bound of its own."""
    queue_length: int = 100
    """Requests that may wait for an account when all are at their bound; any more are answered with 529."""
    queue_seconds: float = 30.0
    """How long one waits there."""
    max_attempts: int = 4
    """Accounts that one request tries at the most. Those that refuse it for their limit, their bill or their
    credential do not count: they are left out from then on."""
    affinity_idle_seconds: float = 3600.0
    """A session that sends nothing for so long may be served by any account again."""
    hold_for_capacity_seconds: float = 0.0
    """When every account is cooling: how long a request waits for one rather than being refused at once; 0 for not
    at all. A stream that waits longer than the commit deadline gets pings."""
    use_extra_usage: bool = False
    """Whether accounts that have used up their plan go on serving at the provider's extra-usage prices."""


@define
class Retention:
    """For how long requests are remembered. Sums by hour are kept for 400 days, sums by day for good."""

    days: float = 90.0
    """Rows of the table of requests that are older are deleted."""
    bytes: int = 2 * 1024 * 1024 * 1024
    """When the rows take more, the oldest are deleted; at least 64 MiB. In SQLite everything in the file counts;
    the file itself does not shrink, but what is free in it is used again."""
    timeline_days: float = 14.0
    """Timelines of streams that did not end well are deleted earlier."""


@define
class DashboardSettings:
    """Who reaches the dashboard how. See docs/dashboard.md."""

    public_url: str = ""
    """Under which people reach the dashboard, such as `https://gateway.example.com`, where something stands in
    front of the control plane. With https, browsers send the session nowhere else. Default `http://` and
    `control_listen`."""
    trusted_header: str = ""
    """Header in which a proxy in front says who has signed in there, such as `x-forwarded-user`. It takes
    `trusted_networks` and `public_url`; the proxy must remove the header from what clients send."""
    trusted_networks: list[str] = field(factory=list)
    """Networks of proxies in front: from anywhere else `trusted_header` is ignored. From them, `x-forwarded-for`
    says whose attempts to sign in are counted. In the variable with commas between them, `10.0.0.0/24,fd00::7`; in
    the file a list."""
    trusted_admins: list[str] = field(factory=list)
    """Names in `trusted_header` that are admins; all others may look but change nothing. In the variable with
    commas between them, `ana,ben`; in the file a list."""
    session_idle_seconds: float = 43_200.0
    """After which a browser that does nothing is signed out."""
    session_seconds: float = 604_800.0
    """After which a browser is signed out whatever it does."""
    baseline_url: str = ""
    """What serves Claude now, such as `https://proxy.example.com`: the page Canary compares the gateway with it,
    by a key that is given there for one run."""


def _secret(converter: Callable[[str], str] | None = None) -> Any:
    return field(default="", repr=False, converter=converter)


@define
class Settings:
    """Everything that can be set."""

    listen: str = "127.0.0.1:8787"
    """Data plane: HOST:PORT."""
    control_listen: str = "127.0.0.1:8788"
    """Control plane, which serves `/metrics`: HOST:PORT, or `off`. Beyond loopback it takes `control_token`."""
    workers: int = 1
    """Processes that share the data plane's port."""
    data_dir: str = ""
    """Where the database lives; default `$XDG_DATA_HOME/claude-stream-gateway`."""
    database_url: str = _secret()
    """`postgresql://USER:PASSWORD@HOST/DATABASE`, for several hosts, with libpq's options such as
    `?sslmode=require`; or `sqlite:///FILE`, on a local disk. Default: `gateway.db` in the data directory."""
    anthropic_base_url: str = "https://api.anthropic.com"
    """Upstream of `/claude/v1/*`; may have a path."""
    openai_base_url: str = "https://api.openai.com"
    """Upstream of `/v1/*`, such as a proxy that is already there; may have a path, to which `/v1/…` is joined."""
    openai_mode: OpenAIMode = OpenAIMode.FORWARD
    """What becomes of `/v1/*`: `forward`, everything goes to `openai_base_url` byte for byte, whatever
    `client_auth` is, with the client's own credential; `pool`, accounts of provider `openai` serve clients with a
    key of the gateway's; or `off`, 404. See docs/openai-routes.md."""
    anthropic_api_key: str = _secret(str.strip)
    """API key of one upstream account, `environment`, beside those of `gateway accounts add`. White space around
    it is dropped."""
    client_auth: ClientAuth = ClientAuth.KEYS
    """How clients prove who they are: `keys`; `passthrough`, their own Anthropic credential, which is sent on and
    neither stored nor logged; or `off`, refused unless the gateway listens on loopback, and then for programs of
    this machine only: not for a Host that is no loopback name, nor for web pages of other sites."""
    stream_mode: StreamMode = StreamMode.ENFORCE
    """`enforce`: only valid streams leave. `observe`: bytes pass as they come, and the log says what `enforce`
    would have done."""
    rollout: Rollout = Rollout.CANARY
    """How far the gateway has come: `canary`, beside what is there already; or `promoted`, in its place, which
    takes `rollout_approval`. Requests are served alike in both; `/readyz`, `GET /claude` and the log say which it
    is. See docs/anthropic-rollout.md."""
    rollout_approval: str = field(default="", converter=str.strip)
    """Who has approved the promotion, when and where it is written, such as `J. Doe, 2026-11-23, OPS-1234`; one
    line, at most 500 characters. It is in the log; put no secret into it. Needed for `promoted`."""
    control_token: str = _secret(str.strip)
    """Secret that opens the control plane, as `Authorization: Bearer …`; at least 16 characters beyond loopback.
    Without one it answers programs of this machine only, and not for a Host that is no loopback name."""
    secret_key: str = _secret()
    """Secret with which the secrets of accounts are encrypted and client keys are hashed; the same on all hosts.
    Several, with commas between them: the first is used, the others are understood; docs/security.md says how to
    exchange one. Default: `secret.key` (mode 0600) in the data directory, one per line."""
    sdk_enabled: bool = False
    """Serve `/claude-sdk/v1/messages` by local runtimes of claude-agent-sdk (extra `sdk`), with the accounts that
    serve `/claude/v1/messages`. docs/sdk-transport.md says what they can carry."""
    sdk_pool_size: int = 0
    """Most idle local runtimes that are kept for the next turn of their session, each for one actor and session.
    0: each request gets a fresh one. Above 0 it takes workers = 1."""
    sdk_program: str = ""
    """Claude Code for the local runtimes; default the one that claude-agent-sdk brings, or `claude` on PATH."""
    diagnostics: list[str] = field(factory=list)
    """Diagnostics to switch on, such as `requests`, `streams` or `all`; never content, never secrets."""
    log_level: str = "info"
    """debug, info, warning or error."""
    log_format: str = "auto"
    """json, console, or auto: console on a terminal."""
    log_sample: float = 1.0
    """Share of the requests that ended `complete` of which the log says so, 0 to 1; of all others it always does.
    The request's id decides, so that it is the same wherever it is asked."""
    otel_enabled: bool = False
    """Send a trace of each request to an OpenTelemetry collector (extra `otel`), which is set with the standard
    variables, `OTEL_EXPORTER_OTLP_ENDPOINT` and the others. See docs/observability.md."""
    otel_propagate: bool = False
    """Tell the upstream of the trace: `traceparent` then names the attempt. Otherwise it goes on as the client
    sent it, or not at all."""
    prices_file: str = ""
    """TOML file with prices of models that win over those that come with the gateway; docs/cost-and-usage.md says
    how it looks."""
    allow_subscription_oauth: bool = False
    """Whether `gateway accounts import` takes credentials of a Claude subscription. The provider's terms restrict
    their use to its own applications; API keys are the supported way. See docs/accounts.md."""
    credential_commands: dict[str, list[str]] = field(factory=dict)
    """Commands that print a key or a token, by the name under which accounts of kind `command` refer to them; each
    a list of the program and its arguments. In the settings file only."""
    timeouts: Timeouts = field(factory=Timeouts)
    limits: Limits = field(factory=Limits)
    routing: Routing = field(factory=Routing)
    retention: Retention = field(factory=Retention)
    dashboard: DashboardSettings = field(factory=DashboardSettings)
    origins: Mapping[str, str] = field(factory=dict, init=False, repr=False, eq=False)
    """No setting: where those come from that somebody has set, by names such as `timeouts.drain_seconds`: the
    name of a variable, or `file`."""

    @property
    def data_path(self) -> Path:
        """The data directory."""
        if self.data_dir:
            return Path(self.data_dir).expanduser()
        base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return Path(base).expanduser() / "claude-stream-gateway"

    @property
    def prices_path(self) -> Path | None:
        """The operator's own prices; None for none."""
        return Path(self.prices_file).expanduser() if self.prices_file else None

    @property
    def control_address(self) -> Address | None:
        """Where the control plane listens; None for nowhere."""
        return None if self.control_listen == CONTROL_OFF else Address.parse(self.control_listen)

    @property
    def address(self) -> Address:
        """Where the data plane listens."""
        return Address.parse(self.listen)


_converter: Final = make_converter()
_SECTIONS: Final[Mapping[str, type[attrs.AttrsInstance]]] = {
    "timeouts": Timeouts,
    "limits": Limits,
    "routing": Routing,
    "retention": Retention,
    "dashboard": DashboardSettings,
}


def load_settings(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Settings:
    """Read the settings.

    Args:
        path: TOML file; None for none.
        environ: environment variables; default those of the process.
        warn: told of variables that look like settings and are none.

    Raises:
        SettingsError: the file cannot be read, or a setting is unknown, malformed or contradicts another.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"cannot read the settings file {path}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"the settings file {path} is not valid TOML: {error}") from None
        except RecursionError:
            raise SettingsError(f"the settings file {path} is nested too deeply") from None
    environ = os.environ if environ is None else environ
    origins = dict.fromkeys(_names(values), FROM_FILE)
    _overlay(values, environ, warn)
    try:
        settings = _converter.structure(values, Settings)
    except (ClassValidationError, ForbiddenExtraKeysError) as error:
        raise SettingsError("; ".join(_problems(error, environ))) from None
    _check(settings, environ)
    set_by = {".".join(path): variable for variable, path in _variables().items() if variable in environ}
    settings.origins = origins | set_by
    return settings


def _names(values: Mapping[str, Any]) -> Iterator[str]:
    """Return the full names of settings that a file sets."""
    for name, value in values.items():
        if name in _SECTIONS and isinstance(value, dict):
            yield from (f"{name}.{part}" for part in value)
        else:
            yield name


def _variables() -> dict[str, tuple[str, ...]]:
    """Return the path of each setting by the name of its variable."""
    plain = [part.name for part in attrs.fields(Settings) if part.init]
    paths = [(name,) for name in plain if name not in (*_SECTIONS, "credential_commands")]
    tables = [(section, name) for section, cls in _SECTIONS.items() for name in attrs.fields_dict(cls)]
    return {_variable(path): path for path in (*paths, *tables)}


def _variable(path: Iterable[str]) -> str:
    return _PREFIX + "__".join(path).upper()


def _overlay(values: dict[str, Any], environ: Mapping[str, str], warn: Callable[[str], None]) -> None:
    """Put what the environment sets into `values`."""
    known = _variables()
    for name in unknown_variables(environ, _PREFIX, known):
        warn(f"{name} is not a setting and is ignored{suggest(name.upper(), known) or _SEE}")
    for section in _SECTIONS:
        if not isinstance(values.get(section, {}), dict):
            raise SettingsError(f"{section} must be a table, which begins with a line [{section}]")
    for variable, (*section, name) in known.items():
        if (text := environ.get(variable)) is not None:
            table = values.setdefault(section[0], {}) if section else values
            table[name] = text


def _problems(error: BaseException, environ: Mapping[str, str], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Say which settings are wrong and how."""
    if isinstance(error, ClassValidationError):
        of_fields, others = error.group_exceptions()
        for problem, note in of_fields:
            yield from _problems(problem, environ, (*path, note.name))
        for problem in others:
            yield from _problems(problem, environ, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [".".join(known) for known in _variables().values()]
        for name in sorted(error.extra_fields):
            full = ".".join((*path, name))
            yield f"{full} is not a setting{suggest(full, known) or _SEE}"
    elif isinstance(error, BadValueError):
        yield f"{_name(path, environ)} {error}"
    else:
        yield f"{_name(path, environ)} cannot be used ({type(error).__name__})"


def _name(path: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """Return the name of a setting as whoever set it knows it."""
    variable = _variable(path)
    return variable if variable in environ else ".".join(path)


def _check(settings: Settings, environ: Mapping[str, str]) -> None:
    for path in _variables().values():
        check = _CHECKS.get(path[-1]) or _CHECKS.get(path[0])
        if check is None:
            continue
        try:
            check(getattr(getattr(settings, path[0]) if len(path) > 1 else settings, path[-1]))
        except ValueError as error:
            raise SettingsError(f"{_name(path, environ)} {error}") from None
    if settings.client_auth is ClientAuth.OFF and not settings.address.is_loopback:
        raise SettingsError(
            f"client_auth = off would let anyone who can reach {settings.address} use your account; "
            "listen on 127.0.0.1 or set GATEWAY_CLIENT_AUTH=keys"
        )
    control = settings.control_address
    if control is not None and not control.is_loopback and not settings.control_token:
        raise SettingsError(
            f"control_listen = {control} would let anyone who can reach it look into the gateway; set "
            "GATEWAY_CONTROL_TOKEN, or listen on 127.0.0.1"
        )
    if control is not None and not control.is_loopback and len(settings.control_token) < _SHORTEST_TOKEN:
        raise SettingsError(
            f"{_name(('control_token',), environ)} has {len(settings.control_token)} characters, and whoever can "
            f"reach {control} may try them all; set it to {_SHORTEST_TOKEN} or more, such as the output of "
            "`openssl rand -hex 32`, or listen on 127.0.0.1"
        )
    if settings.openai_mode is OpenAIMode.POOL and settings.client_auth is ClientAuth.PASSTHROUGH:
        raise SettingsError(
            "openai_mode = pool knows its clients by keys of the gateway; set GATEWAY_CLIENT_AUTH=keys, or "
            "GATEWAY_OPENAI_MODE=forward to pass their own credentials on"
        )
    if settings.rollout is Rollout.PROMOTED and not settings.rollout_approval:
        raise SettingsError(
            "rollout = promoted takes a written approval; set GATEWAY_ROLLOUT_APPROVAL to who gave it, when and "
            "where it is written, or leave GATEWAY_ROLLOUT at canary; see docs/anthropic-rollout.md"
        )
    _check_dashboard(settings.dashboard, environ)
    try:
        _ = settings.data_path
    except RuntimeError:
        name = _name(("data_dir",), environ) if settings.data_dir else "XDG_DATA_HOME"
        raise SettingsError(f"{name} is in a home directory that does not exist; set GATEWAY_DATA_DIR") from None


def _check_dashboard(dashboard: DashboardSettings, environ: Mapping[str, str]) -> None:
    header = _name(("dashboard", "trusted_header"), environ)
    if dashboard.trusted_header and not dashboard.trusted_networks:
        raise SettingsError(
            f"{header} would let anyone who can reach the control plane be anybody; set "
            "GATEWAY_DASHBOARD__TRUSTED_NETWORKS to the addresses of the proxy that sends it"
        )
    if dashboard.trusted_header and not dashboard.public_url:
        raise SettingsError(
            f"{header} takes GATEWAY_DASHBOARD__PUBLIC_URL, under which people reach the dashboard: by that "
            "requests of its own pages are told from those of others"
        )
    if dashboard.trusted_admins and not dashboard.trusted_header:
        raise SettingsError(
            f"{_name(('dashboard', 'trusted_admins'), environ)} means nothing without "
            "GATEWAY_DASHBOARD__TRUSTED_HEADER; set that one too, or unset this one"
        )


def _check_bytes_kept(value: int) -> None:
    if value < _FEWEST_BYTES:
        raise BadValueError(
            f"must be at least {_FEWEST_BYTES} (64 MiB), not {value}: with less, requests would be forgotten as "
            "soon as they are over"
        )


def _check_control_listen(text: str) -> None:
    if text != CONTROL_OFF:
        Address.parse(text)


_CHECKS: Final[Mapping[str, Callable[[Any], object]]] = {
    "listen": Address.parse,
    "control_listen": _check_control_listen,
    "workers": check_amount,
    "sdk_pool_size": check_count,
    "anthropic_base_url": check_base_url,
    "openai_base_url": check_base_url,
    "rollout_approval": check_note,
    "anthropic_api_key": check_credential,
    "control_token": check_credential,
    "log_level": one_of("debug", "info", "warning", "error"),
    "log_format": one_of("auto", "json", "console"),
    "log_sample": check_share,
    "timeouts": check_seconds,
    "limits": check_amount,
    "retention": check_amount,
    "bytes": _check_bytes_kept,
    "days": check_seconds,
    "timeline_days": check_seconds,
    "concurrency": check_count,
    "queue_length": check_count,
    "queue_seconds": check_seconds,
    "max_attempts": check_amount,
    "affinity_idle_seconds": check_seconds,
    "hold_for_capacity_seconds": check_patience,
    "public_url": check_public_url,
    "baseline_url": check_optional_base_url,
    "trusted_header": check_header,
    "trusted_networks": check_networks,
    "session_idle_seconds": check_seconds,
    "session_seconds": check_seconds,
}
"""What a setting, or each one of a table, is put to beside its type; raises ValueError with a predicate."""
