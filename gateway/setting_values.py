"""What single settings may hold, and how they are read from text: strictly, and saying what is wrong."""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from cattrs import Converter

__all__ = [
    "BadValueError",
    "canonical_host",
    "check_amount",
    "check_base_url",
    "check_count",
    "check_credential",
    "check_header",
    "check_networks",
    "check_note",
    "check_optional_base_url",
    "check_patience",
    "check_public_url",
    "check_seconds",
    "check_share",
    "is_loopback",
    "make_converter",
    "one_of",
    "suggest",
    "unknown_variables",
]

_LONGEST_SECONDS: Final = 1_000_000  # eleven days; the system's timers overflow not far above
_MOST: Final = 2**53
_SHOWN: Final = 60
_LONGEST_NOTE: Final = 500
# What Kubernetes and Docker put into the environment of everything near a service called "gateway" or "gateway-…",
# and a web server into that of a CGI program (RFC 3875, section 4.1.4). GATEWAY_PORT=8787 is somebody's guess.
_OF_OTHERS: Final = re.compile(
    r"""(\w+_)?(SERVICE_HOST | SERVICE_PORT(_\w+)? | PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=
    | (\w+_)?PORT=(tcp|udp|sctp):// | NAME=/ | INTERFACE=CGI/""",
    re.ASCII | re.VERBOSE,
)

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)
_TAKEN_HEADERS: Final = frozenset(
    {"accept", "authorization", "connection", "content-length", "content-type", "cookie", "host", "origin"}
    | {"referer", "transfer-encoding", "upgrade", "user-agent", "x-csrf-token", "x-forwarded-for"}
)
# Names of services in containers have underscores. What is escaped would be another host once it is decoded.
_HOST: Final = re.compile(r"[a-z0-9_.-]+", re.ASCII)

_Choice = TypeVar("_Choice", bound=StrEnum)


class BadValueError(ValueError):
    """A setting cannot have this value; the message goes on where the setting's name ends."""


def make_converter() -> Converter:
    """Return a converter that reads settings from TOML values and from the text of environment variables."""
    conv = Converter(forbid_extra_keys=True)
    conv.register_structure_hook(bool, _to_bool)
    conv.register_structure_hook(int, _to_int)
    conv.register_structure_hook(float, _to_float)
    conv.register_structure_hook(str, _to_text)
    conv.register_structure_hook_func(lambda t: t == list[str], _to_words)
    conv.register_structure_hook_func(lambda t: t == dict[str, list[str]], _to_commands)
    conv.register_structure_hook(StrEnum, _to_choice)
    return conv


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _to_bool(value: Any, _: type) -> bool:
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else None
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off", ""}:
        return False
    raise BadValueError(f"must be true or false, not {_shown(value)}")


def _to_int(value: Any, _: type) -> int:
    number = value
    if isinstance(value, str):
        try:
            number = int(value)
        except ValueError:
            number = None
    if not isinstance(number, int) or isinstance(number, bool) or abs(number) > _MOST:
        raise BadValueError(f"must be a whole number, not {_shown(value)}")
    return number


def _to_float(value: Any, _: type) -> float:
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = None
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not abs(number) < math.inf:
        raise BadValueError(f"must be a finite number, not {_shown(value)}")
    return float(number) if abs(number) <= _MOST else math.copysign(_MOST, number)


def _to_text(value: Any, _: type) -> str:
    # The value is not told: this may be a secret.
    if not isinstance(value, str):
        raise BadValueError("must be text in quotes")
    if "\0" in value:
        raise BadValueError("must not contain a NUL character")
    return value


def _to_words(value: Any, _: type) -> list[str]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        # As it stands in a file: each word would be taken with its bracket and quotes.
        raise BadValueError("must be words with commas between them, without brackets and quotes: one,two")
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise BadValueError("must be a list of words")
    return [word for part in parts if (word := part.strip())]


def _to_commands(value: Any, _: type) -> dict[str, list[str]]:
    # The values are not told: a command line may hold a secret.
    if not isinstance(value, dict):
        raise BadValueError("must be a table, with a line NAME = [PROGRAM, ARGUMENT, …] for each command")
    for name, argv in value.items():
        if not isinstance(argv, list) or not argv or not all(isinstance(part, str) for part in argv):
            raise BadValueError(f"must hold lists of a program and its arguments, which {_shown(name)} is not")
        if not argv[0] or any("\0" in part for part in argv):
            raise BadValueError(f"must name a program, and hold no NUL character, in {_shown(name)}")
    return value


def _to_choice(value: Any, cls: type[_Choice]) -> _Choice:
    try:
        return cls(value)
    except ValueError:
        raise BadValueError(f"must be one of {', '.join(cls)}, not {_shown(value)}") from None


def is_loopback(host: str) -> bool:
    """Whether a host, in lower case and without brackets, is this machine by whatever name server is asked."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_share(value: float) -> None:
    """Check a part of a whole.

    Raises:
        BadValueError: it is not between 0 and 1.
    """
    if not 0 <= value <= 1:
        raise BadValueError(f"must be between 0 and 1, not {value}")


def check_seconds(value: float) -> None:
    """Check a time.

    Raises:
        BadValueError: it is not above 0, or so long that timers overflow.
    """
    if not 0 < value <= _LONGEST_SECONDS:
        raise BadValueError(f"must be greater than 0 and at most {_LONGEST_SECONDS}, not {value}")


def check_amount(value: int) -> None:
    """Check a number of things of which there has to be one.

    Raises:
        BadValueError: it is not above 0.
    """
    if value < 1:
        raise BadValueError(f"must be at least 1, not {value}")


def check_count(value: int) -> None:
    """Check a number of things of which there may be none.

    Raises:
        BadValueError: it is below 0.
    """
    if value < 0:
        raise BadValueError(f"must not be negative, and is {value}")


def check_patience(value: float) -> None:
    """Check a time that may be none at all.

    Raises:
        BadValueError: it is below 0, or so long that timers overflow.
    """
    if not 0 <= value <= _LONGEST_SECONDS:
        raise BadValueError(f"must be from 0 to {_LONGEST_SECONDS}, not {value}")


def one_of(*choices: str) -> Callable[[str], None]:
    """Return a check that a word is one of the choices."""

    def check(value: str) -> None:
        if value not in choices:
            raise BadValueError(f"must be one of {', '.join(choices)}, not {_shown(value)}")

    return check


def check_base_url(url: str) -> None:
    """Check the base URL of an upstream.

    Raises:
        BadValueError: it is none; never tells the URL, which may hold a password.
    """
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise BadValueError("must not hold a user or a password; the gateway adds the account's credential")
    if not url.isprintable() or any(mark in url for mark in " \\?#") or not _is_http(url):
        raise BadValueError("must be like https://api.anthropic.com; a port from 1 to 65535 and a path may follow")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if parts.netloc.startswith("["):
            ipaddress.IPv6Address(host)
        elif not _HOST.fullmatch(canonical_host(host)):
            return False
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and host != "" and port != 0


def check_optional_base_url(url: str) -> None:
    """Check the base URL of a server that there may be; empty for none.

    Raises:
        BadValueError: it is none.
    """
    if url:
        check_base_url(url)


def check_public_url(url: str) -> None:
    """Check the address under which people reach something; empty for none.

    Raises:
        BadValueError: it is none.
    """
    if not url:
        return
    bad = not url.isprintable() or any(mark in url for mark in " \\?#@") or not _is_http(url)
    if bad or urlsplit(url).path not in {"", "/"}:
        raise BadValueError("must be like https://gateway.example.com, with a port if need be and without a path")


def check_header(name: str) -> None:
    """Check the name of a header that says who somebody is; empty for none.

    Raises:
        BadValueError: it is none, or one that says something else.
    """
    if name and (not _TOKEN.fullmatch(name) or name.lower() in _TAKEN_HEADERS):
        raise BadValueError(f"must be the name of a header that says who somebody is, not {_shown(name)}")


def check_networks(networks: list[str]) -> None:
    """Check networks in CIDR notation; an address stands for itself.

    Raises:
        BadValueError: one is none, or is everywhere.
    """
    for text in networks:
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            raise BadValueError(
                f"must be networks such as 10.0.0.0/24, with commas between several, which {_shown(text)} is not"
            ) from None
        if network.prefixlen == 0:
            raise BadValueError(f"must not be everywhere, which {text} is; name the proxy's own addresses")


def canonical_host(host: str) -> str:
    """Return the name of a host as name servers are asked for it, however it was written.

    Raises:
        ValueError: it is none.
    """
    return host.encode("idna").decode().lower().rstrip(".")


def check_credential(secret: str) -> None:
    """Check what is to be sent in a header.

    Raises:
        BadValueError: it cannot be; never tells the secret.
    """
    if not secret.isascii() or not secret.isprintable():
        raise BadValueError(
            "holds a line break, another control character or a character that is not ASCII; copy the key again"
        )


def check_note(text: str) -> None:
    """Check words of a person that go into the log.

    Raises:
        BadValueError: they are more than a line.
    """
    if not text.isprintable() or len(text) > _LONGEST_NOTE:
        raise BadValueError(f"must be one line of at most {_LONGEST_NOTE} printable characters")


def suggest(name: str, known: Collection[str]) -> str:
    """Return `; did you mean …?` with the nearest of the known names, or nothing if none is near."""
    near = [inside for inside in known if inside.startswith(f"{name}__")]  # a table, whose settings have variables
    near = near or difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


OF_COMMANDS: Final = frozenset(
    {
        "GATEWAY_COMPARE_NEW_KEY",
        "GATEWAY_COMPARE_OLD_KEY",
        "GATEWAY_CONFORMANCE_KEY",
        "GATEWAY_SMOKE_KEY",
        "GATEWAY_SMOKE_OPENAI_KEY",
    }
)
"""Variables with the settings' prefix that are no settings: keys that some commands ask with."""
_OF_IMAGES: Final = frozenset({"GATEWAY_REVISION"})
"""What images say of themselves."""


def unknown_variables(environ: Mapping[str, str], prefix: str, known: Collection[str]) -> list[str]:
    """Return the variables with the prefix that mean nothing, but for those that other software sets."""
    return sorted(
        name
        for name, value in environ.items()
        if name.upper().startswith(prefix)
        and name not in known
        and name not in OF_COMMANDS | _OF_IMAGES
        and not _OF_OTHERS.match(f"{name}={value}", len(prefix))
    )
