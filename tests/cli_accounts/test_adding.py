"""What `gateway accounts add` takes, and what it refuses before anything is stored."""

from __future__ import annotations

import os
import pty
import sqlite3
import stat
import subprocess
import sys

import pytest

from tests.cli_accounts.command import KEY, OTHER_KEY, Command

LIMIT = 60
ADD = ("add", "--name", "work", "--provider", "anthropic", "--secret-stdin")
OAUTH = (*ADD, "--kind", "oauth")
REFRESH = "sk-ant-ort01-a-refresh-token"

REFUSALS = {
    "no key at all": (ADD, "", "the secret is empty"),
    "white space for a key": (ADD, " \n\n", "the secret is empty"),
    "two lines": (ADD, f"{KEY}\n{OTHER_KEY}\n", "more than one line"),
    "a key that is not ASCII": (ADD, "sk-ant-api03-schlüssel", "not ASCII"),
    "a key with a space inside": (ADD, "sk-ant-api03 of the account", "cannot stand in a header"),
    "a whole file for a key": (ADD, "x" * 100_000, "longer than 65536 bytes"),
    "an access token for a key": (ADD, "sk-ant-oat01-short-lived-token", "this is an OAuth access token"),
    "a refresh token for a key": (ADD, REFRESH, "as an account of kind oauth"),
    "an admin key": (ADD, "sk-ant-admin01-administrates", "a key of the Admin API"),
    "a client key of the gateway": (ADD, "csg_abcdefghijklmnopqrstuvwxyz", "this gateway's own clients"),
    "an OpenAI key for Anthropic": (ADD, "sk-proj-of-the-openai-account", "this is a secret of OpenAI"),
    "an Anthropic key for OpenAI": (
        ("add", "--name", "work", "--provider", "openai", "--secret-stdin"),
        KEY,
        "this is a secret of Anthropic, and the account's provider is OpenAI",
    ),
    "an Anthropic account at OpenAI's": (
        (*ADD, "--base-url", "https://api.openai.com"),
        KEY,
        "the base URL leads to api.openai.com, which is OpenAI's",
    ),
    "an Anthropic account at OpenAI's, with a dot behind": (
        (*ADD, "--base-url", "https://api.openai.com."),
        KEY,
        "the base URL leads to api.openai.com, which is OpenAI's",
    ),
    "an Anthropic account at OpenAI's, in wide letters": (
        (*ADD, "--base-url", "https://api.ｏｐｅｎａｉ.com"),  # noqa: RUF001 - what it is about
        KEY,
        "the base URL leads to api.openai.com, which is OpenAI's",
    ),
    "a host with an escape in it": (
        (*ADD, "--base-url", "https://api.openai.com%2e"),
        KEY,
        "must be like https://",
    ),
    "a base URL with a password": (
        (*ADD, "--base-url", "https://me:hunter2hunter2@example.com"),
        KEY,
        "must not hold a user or a password",
    ),
    "a base URL that is none": ((*ADD, "--base-url", "example.com"), KEY, "must be like https://"),
    "a reserved name": (("add", "--name", "environment", *ADD[3:]), KEY, "is taken by the gateway itself"),
    "an empty name": (("add", "--name", " ", *ADD[3:]), KEY, "visible characters"),
    "a key for a name": (("add", "--name", KEY, *ADD[3:]), OTHER_KEY, "looks like a secret"),
    "no weight": ((*ADD, "--weight", "0"), KEY, "the weight must be from 1"),
    "a negative bound": ((*ADD, "--max-concurrency", "-1"), KEY, "requests at a time must be from 0"),
    "an unknown command": (
        ("add", "--name", "work", "--provider", "anthropic", "--kind", "command", "--command", "nobody"),
        "",
        "no settings file with a table [credential_commands] was given",
    ),
    "a refresh token without its client": (OAUTH, REFRESH, "belongs to a client id"),
    "an API key for a refresh token": ((*OAUTH, "--client-id", "mine"), KEY, "this is an API key"),
    "an access token for a refresh token": (
        (*OAUTH, "--client-id", "mine"),
        "sk-ant-oat01-short-lived-token",
        "the refresh token beside it is needed",
    ),
    "a token endpoint without TLS": (
        (*OAUTH, "--client-id", "mine", "--token-url", "http://example.com/token"),
        REFRESH,
        "must begin with https",
    ),
    "Anthropic's token for OpenAI's endpoint": (
        (*OAUTH, "--client-id", "mine", "--token-url", "https://auth.openai.com/oauth/token"),
        REFRESH,
        "the token URL leads to auth.openai.com",
    ),
    "an assertion without a rule": (
        (*OAUTH[:5], "--kind", "oauth", "--assertion-file", "/run/token"),
        "",
        "needs a federation rule and an organization",
    ),
    "a relative path to the assertion": (
        (*OAUTH[:5], "--kind", "oauth", "--assertion-file", "token"),
        "",
        "must be absolute",
    ),
}
WRONG_USAGE = {
    "no way for the secret to come in": (ADD[:5], "say --secret-stdin"),
    "a command without a name": ((*ADD[:5], "--kind", "command"), "needs --command NAME"),
    "a command and a secret": ((*ADD, "--kind", "command", "--command", "x"), "leave --secret-stdin out"),
    "a command for a key": ((*ADD, "--command", "x"), "--command is for --kind command"),
    "a client id for a key": ((*ADD, "--client-id", "x"), "--client-id is for --kind oauth"),
    "an assertion and a secret": ((*OAUTH, "--assertion-file", "/x"), "in the place of|takes the place of"),
    "a rule without an assertion": ((*OAUTH, "--federation-rule-id", "x"), "goes with --assertion-file"),
    "OpenAI's OAuth without an endpoint": (
        ("add", "--name", "x", "--provider", "openai", "--kind", "oauth", "--secret-stdin"),
        "needs --token-url",
    ),
}


@pytest.mark.parametrize(("args", "secret", "words"), REFUSALS.values(), ids=list(REFUSALS))
def test_what_cannot_work_is_refused_in_a_sentence(
    accounts: Command, args: tuple[str, ...], secret: str, words: str
) -> None:
    accounts.secrets |= {line for line in (*secret.splitlines(), "hunter2hunter2") if len(line) > 8}

    done = accounts.run(*args, stdin=secret)

    assert done.status == 1, done.err
    assert done.err.startswith("gateway: ")
    assert words in done.err
    assert not list(accounts.data_dir.rglob("*.db")), "nothing was to be stored"


@pytest.mark.parametrize(("args", "words"), WRONG_USAGE.values(), ids=list(WRONG_USAGE))
def test_options_that_contradict_each_other_are_wrong_usage(
    accounts: Command, args: tuple[str, ...], words: str
) -> None:
    done = accounts.run(*args, stdin=KEY)

    assert done.status == 2
    assert any(word in done.err for word in words.split("|"))


@pytest.mark.parametrize(
    "args",
    [
        (*ADD[:5], KEY),
        (*ADD[:5], "--secret", KEY),
        (*ADD[:5], f"--secret={KEY}"),
        (*ADD[:5], f"--secret-stdin={KEY}"),
        (*ADD[:5], "--secret-stdin=short"),
        (*ADD, "--kind", KEY),
        (*ADD, "--weight", KEY),
        (KEY,),
        ("check", "--key", KEY),
    ],
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(
    accounts: Command, args: tuple[str, ...]
) -> None:
    accounts.secrets.add("=short")

    done = accounts.run(*args)

    assert done.status == 2, done


def test_a_secret_on_the_command_line_brings_advice(accounts: Command) -> None:
    done = accounts.run(*ADD[:5], f"--secret={KEY}")

    assert "(--secret)" in done.err
    assert "it is in your shell's history now" in done.err


def test_an_account_is_listed_as_it_was_added_and_only_its_owner_can_read_the_database(accounts: Command) -> None:
    added = accounts.run(
        *ADD,
        *("--owner", "Ada", "--weight", "3", "--priority", "2", "--max-concurrency", "5"),
        *("--base-url", "https://proxy.example.com/anthropic/", "--json"),
        stdin=f"  {KEY}\r\n",
    )
    listed = accounts.run("list", "--json")

    assert added.status == 0, added.err
    assert listed.json == [added.json]
    row = added.json
    assert row.pop("id").startswith("acc_")
    assert row.pop("created_at").startswith("20")
    assert row == {
        "name": "work",
        "provider": "anthropic",
        "kind": "api_key",
        "command": None,
        "state": "active",
        "reason": "",
        "cooling": [],
        "base_url": "https://proxy.example.com/anthropic",
        "owner": "Ada",
        "weight": 3,
        "priority": 2,
        "max_concurrency": 5,
        "paused_at": None,
        "expires_at": None,
    }
    assert stat.S_IMODE((accounts.data_dir / "gateway.db").stat().st_mode) == 0o600
    with sqlite3.connect(accounts.data_dir / "gateway.db") as database:
        ((secret,),) = database.execute("SELECT secret FROM accounts").fetchall()
    database.close()
    assert KEY.encode() not in secret


def test_the_table_for_people_says_whose_account_it_is_and_where_it_leads(accounts: Command) -> None:
    accounts.run(*ADD, "--owner", "Ada", stdin=KEY)

    done = accounts.run("list")

    head, line = done.out.splitlines()
    assert head.split("  ")[0] == "NAME"
    for cell in ("work", "anthropic", "api_key", "Ada", "https://api.anthropic.com", "active"):
        assert cell in line


def test_a_name_is_taken_once_and_the_same_key_twice_brings_a_warning(accounts: Command) -> None:
    accounts.run(*ADD, stdin=KEY)

    again = accounts.run(*ADD, stdin=OTHER_KEY)
    other = accounts.run("add", "--name", "play", *ADD[3:], stdin=KEY)

    assert again.status == 1
    assert "there is an account 'work' already" in again.err
    assert other.status == 0
    assert "'play' has the same key as 'work'" in other.err
    assert [row["name"] for row in accounts.run("list", "--json").json] == ["work", "play"]


def test_the_key_of_the_environment_under_another_name_brings_a_warning(accounts: Command) -> None:
    accounts.setenv("GATEWAY_ANTHROPIC_API_KEY", KEY)

    assert "the same key as 'environment'" in accounts.run(*ADD, stdin=KEY).err


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://proxy.example.com", "go to proxy.example.com without TLS"),
        ("https://proxy.example.com/v1", "ends in /v1"),
        ("http://127.0.0.1:9", None),
        ("https://proxy.example.com", None),
    ],
)
def test_a_base_url_that_is_likely_wrong_is_warned_of(accounts: Command, url: str, words: str | None) -> None:
    done = accounts.run(*ADD, "--base-url", url, stdin=KEY)

    assert done.status == 0
    assert (words in done.err) if words else not done.err


def test_an_account_that_the_settings_leave_idle_is_warned_of(accounts: Command) -> None:
    accounts.secrets.add("sk-proj-of-the-openai-account")
    accounts.setenv("GATEWAY_CLIENT_AUTH", "passthrough")

    idle = accounts.run(
        "add", "--name", "gpt", "--provider", "openai", "--secret-stdin", stdin="sk-proj-of-the-openai-account"
    )

    assert "only with openai_mode = pool" in idle.err
    assert "no account of anthropic serves" in accounts.run(*ADD, stdin=KEY).err
    assert "no account serves" in accounts.run("list").err


def test_an_unknown_command_is_refused_with_those_there_are(accounts: Command) -> None:
    config = accounts.settings('[credential_commands]\nwork = ["true"]\nplay = ["true"]\n')
    args = ("add", "--name", "x", "--provider", "anthropic", "--kind", "command", "--config", config)

    done = accounts.run(*args, "--command", "wrok")

    assert done.status == 1
    assert "did you mean work?" in done.err
    assert "known: play, work" in done.err
    added = accounts.run(*args, "--command", "work", "--json").json
    assert (added["kind"], added["command"]) == ("command", "work")
    assert " command work " in accounts.run("list").rows()["x"]
    assert "There is no command 'work': no settings file with a table" in accounts.run("check").out


def test_a_terminal_is_asked_without_showing_what_is_typed(accounts: Command) -> None:
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "gateway", "accounts", *ADD]
    process = subprocess.Popen(command, stdin=end, stdout=end, stderr=end, start_new_session=True)
    os.close(end)
    seen = b""
    while b"API key: " not in seen:
        seen += os.read(terminal, 1024)
    os.write(terminal, f"{KEY}\n".encode())
    while b"is added" not in seen:
        seen += os.read(terminal, 1024)
    status = process.wait(LIMIT)
    os.close(terminal)

    assert status == 0
    assert KEY.encode() not in seen
    assert "work" in accounts.run("list").rows()


@pytest.mark.parametrize(
    "action", ["add", "import", "list", "check", "pause", "resume", "remove", "rekey"], ids=str
)
def test_the_help_of_every_action_has_examples(accounts: Command, action: str) -> None:
    done = accounts.run(action, "--help")

    assert done.status == 0
    assert "examples:\n" in done.out
    assert "--json" in done.out
    assert "--config" in done.out
