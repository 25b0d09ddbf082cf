"""What `gateway accounts import` makes of the files of other programs."""

from __future__ import annotations

import contextlib
import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts.importing import CredentialFile, ImportRefusedError, ImportWishes, decode, read_credentials
from gateway.replay.server import ReplayUpstream
from tests.cli_accounts.command import KEY, OTHER_KEY, Command

ACCESS = "sk-ant-oat01-access-token-of-a-login"
REFRESH = "sk-ant-ort01-refresh-token-of-a-login"
LOGIN = {
    "claudeAiOauth": {
        "accessToken": ACCESS,
        "refreshToken": REFRESH,
        "expiresAt": 1_900_000_000_000,
        "scopes": ["user:inference"],
        "subscriptionType": "max",
    }
}
TOKEN = {
    "version": "1.0",
    "type": "oauth_token",
    "access_token": ACCESS,
    "refresh_token": REFRESH,
    "expires_at": 1_900_000_000,
}
PROFILE = {
    "version": "1.0",
    "authentication": {"type": "user_oauth", "client_id": "mine", "scope": "user:inference"},
}
WORKLOAD = {
    "authentication": {
        "type": "oidc_federation",
        "federation_rule_id": "fdrl_1",
        "service_account_id": "svac_1",
        "identity_token": {"source": "file", "path": "/run/secrets/token"},
    },
    "organization_id": "org_1",
    "workspace_id": "wrkspc_1",
}
MINE = ("--owner", "Ada", "--client-id", "mine", "--token-url", "https://auth.example.com/token")


@pytest.fixture(autouse=True)
def _secrets(accounts: Command) -> None:
    accounts.secrets |= {ACCESS, REFRESH}


def test_a_list_of_keys_becomes_accounts(accounts: Command) -> None:
    path = accounts.file(
        "keys.json",
        [
            {"name": "work", "provider": "anthropic", "api_key": KEY, "weight": 2},
            {"name": "gpt", "provider": "openai", "api_key": "sk-proj-of-openai", "owner": "Grace", "priority": 1},
        ],
    )
    accounts.secrets.add("sk-proj-of-openai")

    done = accounts.run("import", path, "--owner", "Ada", "--json")

    assert done.status == 0, done
    assert "chmod" not in done.err
    assert [(row["name"], row["provider"], row["owner"], row["weight"], row["priority"]) for row in done.json] == [
        ("work", "anthropic", "Ada", 2, 0),
        ("gpt", "openai", "Grace", 1, 1),
    ]
    assert accounts.run("list", "--json").json == done.json


def test_of_a_list_with_a_mistake_nothing_is_taken_and_each_mistake_is_named_by_its_place(
    accounts: Command,
) -> None:
    path = accounts.file(
        "keys.json",
        [
            {"name": "good", "provider": "anthropic", "api_key": KEY},
            {"name": "no key", "provider": "anthropic"},
            {"name": "number", "provider": "anthropic", "api_key": 7},
            {"name": "foreign", "provider": "openai", "api_key": OTHER_KEY},
            {"name": "good", "provider": "anthropic", "api_key": OTHER_KEY},
            {"name": "typo", "provider": "anthropic", "api_key": OTHER_KEY, "wieght": 2, "sk-ant-oops": 1},
            "text",
            {"name": "who", "provider": "nobody", "api_key": KEY},
            {"name": "space", "provider": "anthropic", "api_key": "with a space"},
        ],
    )

    done = accounts.run("import", path)

    assert done.status == 1
    for words in (
        "nothing was imported: [1].api_key is missing",
        "[2].api_key must be text",
        "[3]: this is a secret of Anthropic",
        "[4]: the name 'good' is that of [0] too",
        "[5] has members that mean nothing here: wieght;",
        "[6] must be an object",
        "[7]: the provider must be one of anthropic, openai",
        "[8]: its api_key holds spaces",
    ):
        assert words in done.err
    assert accounts.run("list", "--json").json == []


def test_of_a_list_with_a_name_that_is_taken_nothing_is_taken(accounts: Command) -> None:
    accounts.run("add", "--name", "work", "--provider", "anthropic", "--secret-stdin", stdin=KEY)
    entries = [{"name": name, "provider": "anthropic", "api_key": OTHER_KEY} for name in ("new", "work")]

    done = accounts.run("import", accounts.file("keys.json", entries))

    assert done.status == 1
    assert "there is an account 'work' already" in done.err
    assert [row["name"] for row in accounts.run("list", "--json").json] == ["work"]


def test_a_file_that_others_can_read_is_warned_of(accounts: Command) -> None:
    entries = [{"name": "work", "provider": "anthropic", "api_key": KEY}]

    done = accounts.run("import", accounts.file("keys.json", entries, mode=0o644))

    assert done.status == 0
    assert "run: chmod 600" in done.err


def test_a_subscription_is_refused_with_the_way_that_is_supported(accounts: Command) -> None:
    done = accounts.run("import", accounts.file(".credentials.json", LOGIN), *MINE)

    assert done.status == 1
    assert "gateway accounts add --name NAME --provider anthropic --secret-stdin" in done.err
    assert "allow_subscription_oauth = true" in done.err
    assert accounts.run("list", "--json").json == []


@pytest.mark.parametrize("missing", ["--owner", "--client-id", "--token-url"])
def test_a_subscription_needs_an_owner_and_a_client_of_the_operators_own(accounts: Command, missing: str) -> None:
    accounts.setenv("GATEWAY_ALLOW_SUBSCRIPTION_OAUTH", "true")
    at = MINE.index(missing)

    done = accounts.run("import", accounts.file("login.json", LOGIN), *MINE[:at], *MINE[at + 2 :])

    assert done.status == 1
    assert f"needs {missing}: " in done.err
    assert "Or use an API key" in done.err


def test_a_subscription_that_is_taken_comes_with_the_notice(accounts: Command) -> None:
    accounts.setenv("GATEWAY_ALLOW_SUBSCRIPTION_OAUTH", "true")

    done = accounts.run("import", accounts.file("login.json", LOGIN), *MINE, "--json")

    assert done.status == 0, done
    assert "API keys are the supported way" in done.err
    assert "Its refresh token works once" in done.err
    (row,) = done.json
    assert (row["name"], row["owner"], row["kind"]) == ("Ada", "Ada", "oauth")
    assert row["expires_at"] == "2030-03-17T17:46:40.000+00:00"


async def test_a_profile_is_taken_from_either_of_its_files_and_renewed(
    accounts: Command, upstream: ReplayUpstream
) -> None:
    pair = upstream.tokens.issue()
    assert pair.refresh_token is not None
    accounts.secrets |= {pair.access_token, pair.refresh_token}
    token = {**TOKEN, "access_token": pair.access_token, "refresh_token": pair.refresh_token, "expires_at": 1}
    configuration = accounts.file("configs/team.json", {**PROFILE, "base_url": upstream.url}, mode=0o644)
    credentials = accounts.file("credentials/team.json", token)

    done = await accounts.go("import", configuration, "--owner", "Ada", "--json")
    await accounts.go("remove", "team", "--yes")
    other = await accounts.go("import", credentials, "--name", "again", "--json")
    checked = await accounts.go("check", "again")

    assert done.status == 0, done
    assert "works once" in done.err
    assert "chmod" not in done.err, "the configuration may be read by others"
    assert (done.json[0]["name"], done.json[0]["base_url"]) == ("team", upstream.url)
    assert other.json[0]["base_url"] == upstream.url
    assert checked.status == 0, checked
    (record,) = upstream.tokens.records
    assert (record.outcome, record.client_id) == ("granted", "mine")


async def test_a_profile_of_a_workload_needs_no_credentials(accounts: Command, upstream: ReplayUpstream) -> None:
    assertion = accounts.file("token", "signed.assertion.of-the-workload")
    workload: dict[str, Any] = json.loads(json.dumps(WORKLOAD))
    workload["authentication"]["identity_token"]["path"] = assertion
    workload["base_url"] = upstream.url

    done = await accounts.go("import", accounts.file("configs/robot.json", workload))
    checked = await accounts.go("check")

    assert done.status == 0, done
    assert checked.status == 0, checked
    sent = json.loads(upstream.requests[0].body)
    assert (sent["federation_rule_id"], sent["workspace_id"]) == ("fdrl_1", "wrkspc_1")


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("{", (), "the file is not valid JSON"),
        ("[]", (), "holds 0 accounts"),
        ({"hello": 1}, (), "is of no known kind"),
        (LOGIN | {"claudeAiOauth": 7}, MINE, "claudeAiOauth must be an object"),
        ({"claudeAiOauth": {"refreshToken": REFRESH}}, MINE, "claudeAiOauth.access_token is missing"),
        ({"claudeAiOauth": {"accessToken": ACCESS}}, MINE, "no refresh token"),
        ({"claudeAiOauth": {"accessToken": ACCESS, "expiresAt": "soon"}}, MINE, ".expires_at must be a number"),
        (TOKEN, (), "the profile has no client id"),
        ({**TOKEN, "refresh_token": None}, ("--client-id", "mine"), "no refresh token"),
        (PROFILE, (), "file of credentials is not there"),
        ({"authentication": {"type": "magic"}}, (), "must be user_oauth or oidc_federation"),
        ({"authentication": {"type": 5}}, (), "the profile.authentication.type must be text"),
        ({"authentication": {"type": "oidc_federation"}}, (), "names no file with an identity token"),
        (
            [{"name": str(i), "provider": "anthropic", "api_key": KEY} for i in range(2)],
            ("--name", "x"),
            "more than one account",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(
    accounts: Command, content: Any, options: tuple[str, ...], words: str
) -> None:
    accounts.setenv("GATEWAY_ALLOW_SUBSCRIPTION_OAUTH", "true")

    done = accounts.run("import", accounts.file("configs/it.json", content), *options)

    assert done.status == 1
    assert words in done.err


@pytest.mark.parametrize("path", ["/nowhere/at/all.json", "/", "\0"])
def test_a_file_that_cannot_be_read_is_refused(accounts: Command, path: str) -> None:
    done = accounts.run("import", path)

    assert done.status == 1
    assert done.err.startswith("gateway: ")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    [
        *("name", "provider", "api_key", "base_url", "owner", "weight", "priority", "max_concurrency"),
        *("claudeAiOauth", "accessToken", "refreshToken", "expiresAt", "authentication", "type", "client_id"),
        *("identity_token", "source", "path", "access_token", "refresh_token", "expires_at", "base_url", "scope"),
        *("organization_id", "workspace_id", "federation_rule_id"),
    ]
)
_VALUES = _JSON | st.sampled_from(
    [KEY, ACCESS, REFRESH, "anthropic", "user_oauth", "oidc_federation", "oauth_token"]
)
_OBJECTS = st.dictionaries(_NAMES, _VALUES | st.dictionaries(_NAMES, _VALUES, max_size=6), max_size=8)


@given(
    content=_OBJECTS | st.lists(_OBJECTS | _JSON, max_size=4) | _JSON,
    companion=st.none() | _OBJECTS,
    allow=st.booleans(),
    client_id=st.none() | st.text(string.ascii_letters, max_size=5),
)
def test_whatever_is_in_a_file_it_is_taken_or_refused_without_telling_a_secret(
    content: Any, companion: Any, *, allow: bool, client_id: str | None
) -> None:
    wishes = ImportWishes("name", "Ada", client_id, "https://auth.example.com/token", allow)
    try:
        found = read_credentials(CredentialFile(content, "it", companion), wishes)
    except ImportRefusedError as error:
        told = str(error)
    else:
        told = repr(found)
        assert found.drafts
    for secret in (KEY, ACCESS, REFRESH):
        assert secret not in told


@given(st.binary(max_size=200))
def test_whatever_bytes_a_file_has_it_is_json_or_refused(data: bytes) -> None:
    with contextlib.suppress(ImportRefusedError):
        decode(data)
