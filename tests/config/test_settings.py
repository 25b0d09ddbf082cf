"""Bad settings, from the file or the environment: one sentence that names the setting, and no secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import Settings, SettingsError, StreamMode, load_settings

GATEWAY = Path(sys.executable).with_name("gateway")
SECRET = "hunter2-hunter2"
KEY = f"sk-ant-{SECRET}"
LIMIT = 60

BAD = [
    ("TIMEOUTS__DRAIN_SECONDS", "nan", "finite"),
    ("TIMEOUTS__DRAIN_SECONDS", "inf", "finite"),
    ("TIMEOUTS__DRAIN_SECONDS", "-inf", "finite"),
    ("TIMEOUTS__DRAIN_SECONDS", "0", "greater than 0"),
    ("TIMEOUTS__DRAIN_SECONDS", "-1", "greater than 0"),
    ("TIMEOUTS__DRAIN_SECONDS", "1e300", "at most 1000000"),
    ("TIMEOUTS__DRAIN_SECONDS", "soon", "finite number"),
    ("LIMITS__EVENT_BYTES", "nan", "whole number"),
    ("LIMITS__EVENT_BYTES", "0", "at least 1"),
    ("LIMITS__EVENT_BYTES", "9" * 5_000, "whole number"),
    ("WORKERS", "2.9", "whole number"),
    ("WORKERS", "0", "at least 1"),
    ("SDK_ENABLED", "maybe", "true or false"),
    ("CLIENT_AUTH", "none", "keys, passthrough, off"),
    ("STREAM_MODE", "strict", "enforce, observe"),
    ("LOG_LEVEL", "loud", "debug"),
    ("LOG_FORMAT", "xml", "json"),
    ("LISTEN", "8787", "HOST:PORT"),
    ("LISTEN", "127.0.0.1:99999", "HOST:PORT"),
    ("LISTEN", "a..b:80", "name of a host"),
    ("CONTROL_LISTEN", "nowhere", "HOST:PORT"),
    ("DATA_DIR", "~no-such-user/x", "home directory"),
    ("ANTHROPIC_API_KEY", f"{KEY}\nx-other: 1", "line break"),
    ("ANTHROPIC_API_KEY", f"{KEY}\x7f", "control character"),
    ("ANTHROPIC_API_KEY", f"{KEY}é", "ASCII"),
    ("ANTHROPIC_API_KEY", f"{KEY}\udcff", "ASCII"),
    ("CONTROL_TOKEN", f"{KEY}\rx", "line break"),
    ("RETENTION__BYTES", "0", "at least 67108864 (64 MiB), not 0"),
    ("RETENTION__BYTES", "2000000", "at least 67108864 (64 MiB), not 2000000"),
    ("RETENTION__DAYS", "0", "greater than 0"),
    *(
        (f"{provider}_BASE_URL", url, says)
        for provider in ("ANTHROPIC", "OPENAI")
        for url, says in [
            ("http://[", "must be like"),
            ("http://[::1", "must be like"),
            ("http://[1.2.3.4]", "must be like"),
            ("http://h:99999", "65535"),
            ("http://h:0", "65535"),
            ("http://h:x", "65535"),
            ("http://", "must be like"),
            ("http://a..b", "must be like"),
            ("http://h\\x", "must be like"),
            ("http://h x", "must be like"),
            ("http://h\t", "must be like"),
            ("http://h\udcff", "must be like"),
            ("http://h?", "must be like"),
            ("http://h/#x", "must be like"),
            ("ftp://h", "must be like"),
            ("h", "must be like"),
            ("", "must be like"),
            (f"http://user:{SECRET}@h", "user or a password"),
            (f"http://{SECRET}@h", "user or a password"),
            (f"http://[{SECRET}@h", "user or a password"),
            (f"http://h?key={SECRET}", "must be like"),
        ]
    ),
]


@pytest.mark.parametrize(("name", "value", "says"), BAD, ids=lambda part: ascii(part)[:40])
def test_a_bad_variable_is_named_and_explained(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {f"GATEWAY_{name}": value})
    text = str(caught.value)
    assert text.startswith(f"GATEWAY_{name} ")
    assert says in text
    assert text.isprintable()
    assert len(text) < 300
    assert SECRET not in text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("workers = 2.9", "workers must be a whole number, not 2.9"),
        ("workers = true", "workers must be a whole number, not True"),
        ("sdk_enabled = 2", "sdk_enabled must be true or false"),
        ("listen = 8787", "listen must be text in quotes"),
        ("client_auth = []", "client_auth must be one of"),
        ("diagnostics = [1]", "diagnostics must be a list of words"),
        ("diagnostics = 5", "diagnostics must be a list of words"),
        ('data_dir = "a\\u0000b"', "data_dir must not contain a NUL"),
        ("timeouts = 5", "timeouts must be a table"),
        ("[timeouts]\ndrain_seconds = inf", "timeouts.drain_seconds must be a finite number"),
        ("[timeouts]\ndrain_seconds = true", "timeouts.drain_seconds must be a finite number"),
        ("[timeouts]\ndrain_second = 5", "did you mean timeouts.drain_seconds?"),
        ("[limits]\nevent_bytes = 1.5", "limits.event_bytes must be a whole number"),
        ("streammode = 'observe'", "streammode is not a setting; did you mean stream_mode?"),
        (f"anthropic_api_key = ['{KEY}']", "anthropic_api_key must be text in quotes"),
        ("a = " + "[" * 5_000, "nested too deeply"),
        ("workers = ", "not valid TOML"),
    ],
    ids=lambda part: part[:40],
)
def test_a_bad_line_of_the_file_is_named_and_explained(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(content, "utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(path, {})
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GATEWAY_TIMEOUT__DRAIN_SECONDS", "GATEWAY_TIMEOUTS__DRAIN_SECONDS"),
        ("GATEWAY_TIMEOUTS_DRAIN_SECONDS", "GATEWAY_TIMEOUTS__DRAIN_SECONDS"),
        ("GATEWAY_STREAMMODE", "GATEWAY_STREAM_MODE"),
        ("gateway_stream_mode", "GATEWAY_STREAM_MODE"),
        ("GATEWAY_API_KEY", "GATEWAY_ANTHROPIC_API_KEY"),
        ("GATEWAY_TIMEOUTS", "GATEWAY_TIMEOUTS__COMMIT_DEADLINE_SECONDS"),
        ("GATEWAY_PORT", None),
        ("GATEWAY_", None),
    ],
)
def test_a_misspelt_variable_brings_a_warning_with_the_name_that_is_near(name: str, meant: str | None) -> None:
    warnings: list[str] = []
    load_settings(None, {name: SECRET, "GATEWAY_TIMEOUTS__DRAIN_SECONDS": "5"}, warnings.append)
    (warning,) = warnings
    assert warning.startswith(f"{name} is not a setting and is ignored; ")
    assert SECRET not in warning
    if meant is not None:
        assert f"did you mean {meant}?" in warning


def test_what_kubernetes_sets_for_a_service_of_that_name_is_nobodys_mistake() -> None:
    environ = {
        "GATEWAY_SERVICE_HOST": "10.0.0.1",
        "GATEWAY_SERVICE_PORT": "8787",
        "GATEWAY_SERVICE_PORT_HTTP": "8787",
        "GATEWAY_PORT": "tcp://10.0.0.1:8787",
        "GATEWAY_API_SERVICE_HOST": "10.0.0.2",
        "GATEWAY_PORT_8787_TCP": "tcp://10.0.0.1:8787",
        "GATEWAY_PORT_8787_TCP_PROTO": "tcp",
        "GATEWAY_PORT_8787_TCP_PORT": "8787",
        "GATEWAY_PORT_8787_TCP_ADDR": "10.0.0.1",
        "GATEWAY_REVISION": "of an image",
    }
    warnings: list[str] = []
    assert load_settings(None, environ, warnings.append) == Settings()
    assert warnings == []


def test_good_settings_are_taken_from_the_file_and_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("workers = 3\nsdk_enabled = true\n[timeouts]\ndrain_seconds = 5\nkeepalive_seconds = 7.5\n")
    environ = {
        "GATEWAY_TIMEOUTS__DRAIN_SECONDS": "0.5",
        "GATEWAY_LIMITS__EVENT_BYTES": "1024",
        "GATEWAY_ANTHROPIC_API_KEY": f" {KEY}\r\n",
        "GATEWAY_ANTHROPIC_BASE_URL": "http://[::1]:8790/some/path",
        "GATEWAY_DIAGNOSTICS": "requests, streams",
        "GATEWAY_STREAM_MODE": "observe",
    }
    settings = load_settings(path, environ)
    assert (settings.workers, settings.sdk_enabled) == (3, True)
    assert (settings.timeouts.drain_seconds, settings.timeouts.keepalive_seconds) == (0.5, 7.5)
    assert settings.limits.event_bytes == 1024
    assert settings.anthropic_api_key == KEY
    assert settings.anthropic_base_url == "http://[::1]:8790/some/path"
    assert settings.stream_mode is StreamMode.OBSERVE
    assert settings.diagnostics == ["requests", "streams"]


@pytest.mark.parametrize("command", [["serve"], ["demo"], ["keys", "list"]], ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAY_TIMEOUTS__DRAIN_SECONDS", "nan"),
        ("GATEWAY_ANTHROPIC_BASE_URL", f"http://user:{SECRET}@["),
        ("GATEWAY_ANTHROPIC_API_KEY", f"{KEY}\nx"),
        ("GATEWAY_DATA_DIR", "~no-such-user/x"),
        ("GATEWAY_DATABASE_URL", "sqlite:///a%00b"),
        ("GATEWAY_DIAGNOSTICS", "foo"),
    ],
)
def test_a_command_ends_with_one_sentence(tmp_path: Path, command: list[str], variable: str, value: str) -> None:
    if variable == "GATEWAY_DIAGNOSTICS" and command[0] == "keys":
        command = ["serve"]  # keys have no diagnostics to switch on
    run = started(tmp_path, command, **{variable: value, "GATEWAY_TIMEOUTS__STOP_GRACE_SECONDS": "5"})
    assert (run.returncode, run.stdout) == (1, "")
    (line,) = run.stderr.splitlines()
    assert line.startswith("gateway: ")
    assert variable in line
    assert SECRET not in line


def test_a_secret_key_may_be_any_bytes_to_a_command_too(tmp_path: Path) -> None:
    raw = {"GATEWAY_SECRET_KEY": os.fsdecode(b"\xff\xfe not utf-8")}
    run = started(tmp_path, ["keys", "create", "--name", "laptop"], **raw)
    assert (run.returncode, run.stderr) == (0, "")


def started(tmp_path: Path, command: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
    usual = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GATEWAY_LISTEN": "127.0.0.1:0",
        "GATEWAY_DATA_DIR": str(tmp_path),
        "GATEWAY_ANTHROPIC_API_KEY": KEY,
    }
    return subprocess.run(
        [GATEWAY, *command],
        env=usual | environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
