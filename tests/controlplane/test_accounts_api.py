"""Accounts in the admin API: added, imported, paused and removed, and in use or out of it at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts.account import Condition, Cooldown
from gateway.accounts.changes import LimitsSeen
from gateway.accounts.drafts import Draft, DraftError, vet
from gateway.accounts.importing import CredentialFile, ImportRefusedError, ImportWishes, decode, examine
from gateway.accounts.quota import Quota, SeenWindow
from gateway.accounts.remote_drafts import refuse_remote_draft
from gateway.accounts.secrets import ApiKeySecret, CommandSecret
from gateway.config import ClientAuth, OpenAIMode, Settings
from gateway.providers.limits import LimitWindow, RateLimits
from gateway.replay.server import ReplayUpstream
from gateway.store.accounts import ENVIRONMENT, AccountStore
from gateway.store.engine import Database
from gateway.store.limits import LimitStore
from tests import answer_watch, fresh_database
from tests.contract.harness import ACCOUNT_KEY, MESSAGES, Served, serving
from tests.controlplane.api_client import ApiClient
from tests.replay.raw_client import LIMIT, message

TOKEN: Final = "a-token-of-the-operators-own"
ACCOUNTS: Final = "/api/v1/accounts"
KEY: Final = "sk-ant-api03-of-the-account-that-works"
OTHER_KEY: Final = "sk-ant-api03-of-another-account"
BAD_KEY: Final = "sk-ant-api03-that-nobody-knows"
ACCESS: Final = "sk-ant-oat01-access-token-of-a-login"
REFRESH: Final = "sk-ant-ort01-refresh-token-of-a-login"
LOGIN: Final = {"claudeAiOauth": {"accessToken": ACCESS, "refreshToken": REFRESH, "expiresAt": 1_900_000_000_000}}
TOKENS: Final = {"type": "oauth_token", "access_token": ACCESS, "refresh_token": REFRESH}
PROFILE: Final = {"authentication": {"type": "user_oauth", "client_id": "mine"}}
MINE: Final = {"owner": "Ada", "client_id": "mine", "token_url": "https://auth.example.com/token"}


@define
class Running:
    """A gateway, and clients of its admin API."""

    served: Served
    api: ApiClient
    database: Database

    @property
    def upstream(self) -> ReplayUpstream:
        """What stands behind it."""
        return self.served.upstream

    async def add(self, name: str, key: str = KEY, **more: Any) -> dict[str, Any]:
        """Add an account and return it."""
        status, added = await self.api.post(
            ACCOUNTS, {"name": name, "provider": "anthropic", "api_key": key, **more}
        )
        assert status == 201, added
        return added["account"]

    async def account(self, account_id: str) -> dict[str, Any]:
        """Return an account as it is now."""
        status, found = await self.api.get(f"{ACCOUNTS}/{account_id}")
        assert status == 200, found
        return found

    async def look(self, content: Any, **more: Any) -> dict[str, Any]:
        """Have a file looked into."""
        status, report = await self.api.post(f"{ACCOUNTS}/import/check", {"content": as_text(content), **more})
        assert status == 200, report
        return report

    async def take(self, content: Any, **more: Any) -> tuple[int, Any]:
        """Import a file."""
        return await self.api.post(f"{ACCOUNTS}/import", {"content": as_text(content), **more})

    async def names(self) -> list[str]:
        """Return the names of all accounts."""
        return [one["name"] for one in (await self.api.get(ACCOUNTS))[1]["accounts"]]

    def keys_used(self) -> list[str]:
        """Return the keys that requests for messages came with."""
        return [(one.credential or ("", ""))[1] for one in self.upstream.requests if one.path == "/v1/messages"]

    async def audit(self) -> list[tuple[str, str]]:
        """Return what was written down, the oldest first."""
        status, page = await self.api.get("/api/v1/audit")
        assert status == 200, page
        return [(one["action"], one["target"]) for one in reversed(page["entries"])]


def as_text(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content)


@asynccontextmanager
async def gateway(directory: Path, **settings: Any) -> AsyncGenerator[Running]:
    """Run a gateway whose upstream knows the keys of the tests."""
    answer_watch.keep(KEY, OTHER_KEY, BAD_KEY, ACCESS, REFRESH, ACCOUNT_KEY)
    await asyncio.to_thread(directory.mkdir, exist_ok=True)
    await fresh_database.lay(directory)
    upstream = ReplayUpstream(api_keys={ACCOUNT_KEY, KEY, OTHER_KEY})
    async with (
        serving(
            control=True, upstream=upstream, control_token=TOKEN, data_dir=str(directory), **settings
        ) as served,
        Database.of(Settings(data_dir=str(directory))) as database,
    ):
        assert served.gateway.control_url is not None
        yield Running(served, ApiClient(served.gateway.control_url, TOKEN), database)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncGenerator[Running]:
    """Give such a gateway."""
    async with gateway(tmp_path) as one:
        yield one


# Adding by a key


async def test_an_account_that_is_added_serves_at_once(running: Running) -> None:
    await running.api.post(f"{ACCOUNTS}/{ENVIRONMENT}/pause")

    status, added = await running.api.post(
        ACCOUNTS,
        {
            "name": " work ",
            "provider": "anthropic",
            "api_key": f"  {KEY} ",
            "owner": "Ada",
            "weight": 3,
            "priority": 2,
            "max_concurrency": 0,
        },
    )

    assert status == 201, added
    account = added["account"]
    assert (account["name"], account["owner"], account["state"]) == ("work", "Ada", "active")
    assert (account["weight"], account["priority"], account["max_concurrency"]) == (3, 2, 0)
    assert added["check"]["finding"] == "ok"
    await running.served.assert_serves()
    assert running.keys_used() == [KEY]
    assert ("account.add", "work") in await running.audit()


async def test_a_key_that_the_provider_does_not_take_is_not_saved(running: Running) -> None:
    order = {"name": "work", "provider": "anthropic", "api_key": BAD_KEY}

    status, refusal = await running.api.post(ACCOUNTS, order)

    assert status == 422
    assert refusal["error"]["type"] == "check_credential_refused"
    assert "does not take" in refusal["error"]["message"]
    assert await running.names() == [ENVIRONMENT]
    # Who knows better may say so.
    assert (await running.api.post(ACCOUNTS, {**order, "check": False}))[0] == 201
    assert await running.names() == [ENVIRONMENT, "work"]


async def test_a_host_that_is_not_there_is_told_apart_from_a_bad_key(running: Running) -> None:
    order = {"name": "work", "provider": "anthropic", "api_key": KEY, "base_url": "http://127.0.0.1:1"}
    status, refusal = await running.api.post(ACCOUNTS, order)
    assert (status, refusal["error"]["type"]) == (422, "check_unreachable")


REFUSED: Final = (
    ({"name": "  "}, "visible characters"),
    ({"name": "-x"}, "hyphen"),
    ({"name": "a\nb"}, "visible characters"),
    ({"name": "environment"}, "taken by the gateway"),
    ({"name": KEY}, "looks like a secret"),
    ({"name": "x" * 101}, "name"),
    ({"provider": "acme"}, "provider"),
    ({"api_key": "sk-proj-of-openai"}, "secret of OpenAI"),
    ({"api_key": "sk-ant-oat01-token"}, "OAuth access token"),
    ({"api_key": "csg_0123456789"}, "gateway's own clients"),
    ({"api_key": "two words"}, "copy it again"),
    ({"api_key": "s\u00e9cret"}, "copy it again"),
    ({"base_url": "ftp://x"}, "base URL must be"),
    ({"base_url": "https://user:pw@x"}, "user or a password"),
    ({"base_url": "https://api.openai.com"}, "OpenAI's"),
    ({"base_url": "http://169.254.169.254"}, "its cloud"),
    ({"owner": "a\u0000b"}, "owner"),
    ({"weight": 0}, "weight"),
    ({"max_concurrency": -1}, "max_concurrency"),
    ({"command": "rm -rf /"}, "unknown field"),
    ({"kind": "command"}, "unknown field"),
)


async def test_what_cannot_work_is_refused_in_a_sentence(running: Running) -> None:
    for change, words in REFUSED:
        order = {"name": "work", "provider": "anthropic", "api_key": KEY, **change}
        status, refusal = await running.api.post(ACCOUNTS, order)
        assert (status, words in refusal["error"]["message"]) == (400, True), (change, refusal)
    assert await running.names() == [ENVIRONMENT]


async def test_a_name_is_given_once_and_the_same_key_is_warned_of(running: Running) -> None:
    await running.add("work")
    status, refusal = await running.api.post(
        ACCOUNTS, {"name": "work", "provider": "anthropic", "api_key": OTHER_KEY}
    )
    assert (status, "already" in refusal["error"]["message"]) == (409, True)
    _, added = await running.api.post(ACCOUNTS, {"name": "again", "provider": "anthropic", "api_key": KEY})
    assert added["warnings"] == ["'again' has the same key as 'work': their limits are one and the same."]


HOSTS = (
    "169.254.169.254",
    "169.254.1.1",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "①⑥⑨.254.169.254",
    "169。254。169。254",
    "metadata",
    "[fe80::1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "0.0.0.0",  # noqa: S104 - nobody listens there
    "[::]",
    "224.0.0.1",
    "255.255.255.255",
)


@pytest.mark.parametrize("host", HOSTS)
def test_no_account_from_the_dashboard_leads_to_a_clouds_secrets(host: str) -> None:
    with pytest.raises(DraftError, match="its cloud"):
        refuse_remote_draft(Draft("x", "anthropic", ApiKeySecret(KEY), f"http://{host}:80/latest"))


@pytest.mark.parametrize(
    "host", ["api.anthropic.com", "127.0.0.1", "localhost", "10.0.0.7", "[::1]", "[fd12::1]", "8.8.8.8"]
)
def test_proxies_may_stand_anywhere_else(host: str) -> None:
    refuse_remote_draft(Draft("x", "anthropic", ApiKeySecret(KEY), f"https://{host}"))


@given(st.text(max_size=40))
def test_no_host_is_a_defect(host: str) -> None:
    try:
        Draft("x", "anthropic", ApiKeySecret(KEY), f"https://{host}")
        vetted = Draft("x", "anthropic", ApiKeySecret(KEY), f"https://{host}")
        vet(vetted)
        refuse_remote_draft(vetted)
    except DraftError:
        pass


def test_a_command_is_never_named_from_the_dashboard() -> None:
    with pytest.raises(DraftError, match="in a shell"):
        refuse_remote_draft(Draft("x", "anthropic", CommandSecret("work")))


# Importing


async def test_a_list_is_looked_into_entry_by_entry_and_nothing_is_saved(running: Running) -> None:
    await running.add("work")
    report = await running.look(
        [
            {"name": "new", "provider": "anthropic", "api_key": OTHER_KEY, "owner": "Ada"},
            {"name": "work", "provider": "anthropic", "api_key": OTHER_KEY},
            {"name": "twin", "provider": "anthropic", "api_key": KEY},
            {"name": "bad", "provider": "anthropic", "api_key": BAD_KEY},
            {"name": "new", "provider": "anthropic", "api_key": BAD_KEY},
            {"name": "short"},
            {"name": "cloud", "provider": "anthropic", "api_key": KEY, "base_url": "http://169.254.169.254"},
            {"name": "shell", "provider": "anthropic", "command": "id"},
            {"name": KEY, "provider": "anthropic", "api_key": "x"},
            "nothing of an account",
        ],
        owner="Grace",
    )
    assert (report["problem"], report["notice"], report["lacks"]) == ("", None, None)
    said = [(one["name"], one["problem"]) for one in report["entries"]]
    assert said[0] == ("new", "")
    assert said[1] == ("work", "There is an account 'work' already.")
    assert said[2] == ("twin", "")
    assert said[3] == ("bad", "")
    assert said[4] == ("new", "The name 'new' is that of entry 1 too.")
    assert said[5] == ("short", "Provider is missing; api_key is missing.")
    assert "its cloud" in said[6][1]
    assert "members that mean nothing here: command" in said[7][1]
    assert (said[8][0], "looks like a secret" in said[8][1]) == ("", True)
    assert said[9] == ("", 'Must be an object, such as {"name": …, "provider": …, "api_key": …}.')
    new, _, twin, bad, *_ = report["entries"]
    assert (new["owner"], new["check"]["finding"], new["known_as"]) == ("Ada", "ok", None)
    assert (twin["owner"], twin["known_as"]) == ("Grace", "work")
    assert "same key" in twin["warnings"][0]
    assert (bad["check"]["good"], bad["check"]["finding"]) == (False, "credential_refused")
    assert await running.names() == [ENVIRONMENT, "work"]


async def test_those_entries_are_imported_that_are_asked_for_and_serve_at_once(running: Running) -> None:
    file = [
        {"name": "first", "provider": "anthropic", "api_key": KEY},
        {"name": "broken"},
        {"name": "third", "provider": "anthropic", "api_key": OTHER_KEY},
    ]
    status, refusal = await running.take(file)
    assert (status, "Entry 2: provider is missing" in refusal["error"]["message"]) == (422, True), refusal
    assert (await running.take(file, take=[]))[0] == 422
    status, done = await running.take(file, take=[0, 2])
    assert (status, [one["name"] for one in done["accounts"]]) == (201, ["first", "third"])
    _, audit = await running.api.get("/api/v1/audit?action=account.add")
    assert {one["target"]: one["after"]["provider"] for one in audit["entries"]} == dict.fromkeys(
        ["first", "third"], "anthropic"
    )
    await running.api.post(f"{ACCOUNTS}/{ENVIRONMENT}/pause")
    await running.served.assert_serves()
    assert set(running.keys_used()) <= {KEY, OTHER_KEY}
    # A second time all of it is there already.
    report = await running.look(file)
    assert [one["known_as"] for one in report["entries"]] == ["first", None, "third"]
    assert (await running.take(file, take=[0]))[0] == 422


DEEP = "[" * 100_000 + "]" * 100_000


NO_FILES: Final = (
    ("", "Expected `str`"),
    ("{", "not valid JSON"),
    ("\x00\x01\x7fELF\ufffd\ufffd", "not valid JSON"),
    ("null", "no known kind"),
    ("[]", "holds 0 accounts"),
    ("{}", "no known kind"),
    (DEEP, "not valid JSON"),
    (json.dumps([{"name": "x"}] * 1001), "holds 1001 accounts"),
    (json.dumps({"authentication": {"type": "x"}}), "authentication.type"),
    (json.dumps({"claudeAiOauth": 3}), "Claude subscription"),
    (json.dumps({"claudeAiOauth": {"accessToken": "<script>alert(1)</script>"}}), "Claude subscription"),
    ("[1e400]", "JSON"),
    ('{"access_token": "a", "access_token": "b"}', "no refresh token"),
    ('{"access_token": "a", "refresh_token": "b"}', "client"),
    (KEY, "a key by itself"),
    (f"export ANTHROPIC_API_KEY='{KEY}'", "a key by itself"),
)


async def test_a_file_that_is_none_is_refused_in_a_sentence(running: Running) -> None:
    for content, words in NO_FILES:
        status, report = await running.api.post(f"{ACCOUNTS}/import/check", {"content": content})
        if status == 200:
            said = report["problem"] or report["entries"][0]["problem"]
        else:
            assert status == 400
            said = report["error"]["message"]
        assert words in said, (content[:40], said)
        status, refusal = await running.take(content or " ")
        assert status == 422, refusal
    large = {"content": "x" * 1_048_576}
    with pytest.warns(ResourceWarning, match="large body"):
        status, refusal = await running.api.post(f"{ACCOUNTS}/import/check", large)
    assert (status, "larger than" in refusal["error"]["message"]) == (413, True)
    assert await running.names() == [ENVIRONMENT]


async def test_a_file_that_windows_wrote_is_read(running: Running) -> None:
    entry = [{"name": "Jörg", "provider": "anthropic", "api_key": KEY}]
    text = json.dumps(entry, ensure_ascii=False)
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be"):
        mark = "\ufeff" if encoding == "utf-16-be" else ""
        assert decode(f"{mark}{text}".encode(encoding)) == entry
    with pytest.raises(ImportRefusedError, match="not valid JSON"):
        decode(b"\xff\xfe\x00")
    report = await running.look(f"\ufeff{text}")
    assert (report["entries"][0]["name"], report["entries"][0]["problem"]) == ("Jörg", "")


MEMBERS: Final = ("name", "api_key", "provider", "claudeAiOauth", "authentication", "type", "access_token", "path")
SCALARS = st.none() | st.booleans() | st.floats() | st.text()
KEYED = st.sampled_from(MEMBERS) | st.text()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYED, inner), max_leaves=12))
def test_whatever_is_uploaded_is_an_account_or_a_sentence(content: Any) -> None:
    wishes = ImportWishes(None, "Ada", "mine", "https://auth.example.com/t", allow_subscription=True)
    try:
        findings = examine(CredentialFile(content, "upload", content), wishes).findings
    except ImportRefusedError as error:
        findings = ()
        refusal = str(error)
    else:
        refusal = "no" if findings else ""
    assert refusal
    assert all((one.draft is None) == bool(one.problem) for one in findings)


async def test_a_profile_takes_both_of_its_files(running: Running) -> None:
    report = await running.look(PROFILE, filename="team.json")
    assert (report["lacks"], "credentials/NAME.json" in report["problem"]) == ("companion", True)
    assert (await running.take(PROFILE))[0] == 422
    report = await running.look(PROFILE, companion=json.dumps(TOKENS), filename="../../etc/team.json")
    (entry,) = report["entries"]
    assert (entry["name"], entry["kind"], entry["problem"]) == ("team", "oauth", "")
    assert "works once" in entry["warnings"][0]
    # The other way round, and without the client that its token is of.
    assert (await running.look(TOKENS, companion=json.dumps(PROFILE), filename="t"))["entries"][0]["name"] == "t"
    report = await running.look(TOKENS)
    assert report["lacks"] == "client_id"
    # Its refresh token was not tried by any of this: it works once.
    assert not running.upstream.tokens.records
    status, done = await running.take(PROFILE, companion=json.dumps(TOKENS), name="mine")
    assert (status, done["accounts"][0]["name"]) == (201, "mine")
    report = await running.look(PROFILE, companion=json.dumps(TOKENS), name="other")
    assert (report["entries"][0]["known_as"], report["entries"][0]["check"]) == ("mine", None)


async def test_no_uploaded_file_names_one_of_this_machine(running: Running) -> None:
    workload: dict[str, Any] = {
        "authentication": {
            "type": "oidc_federation",
            "federation_rule_id": "fdrl_1",
            "identity_token": {"source": "file", "path": "/etc/passwd"},
        },
        "organization_id": "org_1",
    }
    report = await running.look(workload, filename="w.json")
    assert "in a shell" in report["entries"][0]["problem"]
    assert (await running.take(workload))[0] == 422
    # Nor does it find out who has a home there.
    told = []
    for path in ("~root/token", "~nobody-of-this-name/token"):
        workload["authentication"]["identity_token"] = {"source": "file", "path": path}
        told.append((await running.look(workload))["problem"])
    assert told == ["The path of the file with the assertion must be absolute: the gateway may run elsewhere."] * 2
    pointing = {"authentication": {**PROFILE["authentication"], "credentials_path": "/etc/passwd"}}
    assert (await running.look(pointing))["lacks"] == "companion"


async def test_the_login_of_a_subscription_takes_the_operators_consent(running: Running, tmp_path: Path) -> None:
    report = await running.look(LOGIN, **MINE)
    assert report["lacks"] == "subscription"
    assert "allow_subscription_oauth" in report["problem"]
    assert (await running.take(LOGIN, notice_read=True, **MINE))[0] == 422

    async with gateway(tmp_path / "other", allow_subscription_oauth=True) as opted_in:
        given: dict[str, str] = {}
        for name, value in MINE.items():
            report = await opted_in.look(LOGIN, **given)
            assert report["lacks"] == name, report
            given[name] = value
        bad = {**MINE, "token_url": "http://auth.example.com/token"}
        assert "https" in (await opted_in.look(LOGIN, **bad))["problem"]
        cloud = {**MINE, "token_url": "https://169.254.169.254/token"}
        assert "its cloud" in (await opted_in.look(LOGIN, **cloud))["entries"][0]["problem"]
        narrow = {"claudeAiOauth": {**LOGIN["claudeAiOauth"], "scopes": ["user:profile"]}}
        report = await opted_in.look(narrow, **MINE, ask=False)
        assert "user:inference" in report["entries"][0]["warnings"][0]
        report = await opted_in.look(LOGIN, **MINE, ask=False)
        assert (report["entries"][0]["name"], report["problem"]) == ("Ada", "")
        assert "Anthropic's terms" in report["notice"]
        status, refusal = await opted_in.take(LOGIN, **MINE)
        assert (status, "notice" in refusal["error"]["message"]) == (422, True)
        status, done = await opted_in.take(LOGIN, notice_read=True, **MINE)
        assert (status, done["accounts"][0]["kind"]) == (201, "oauth")
        assert done["accounts"][0]["renewal"]["expires_at"] == 1_900_000_000


# What people do with accounts


async def test_an_account_is_paused_resumed_and_removed_while_it_streams(running: Running) -> None:
    account = await running.add("work")
    await running.api.post(f"{ACCOUNTS}/{ENVIRONMENT}/pause")
    path = f"{ACCOUNTS}/{account['id']}"
    async with running.served.connect() as connection:
        fault = [("x-replay-fault", "hang:event=4")]
        await connection.send(MESSAGES, message(stream=True), headers=fault, usual=running.served.usual)
        await connection.until(b"content_block_delta")
        assert (await running.account(account["id"]))["in_flight"] == 1

        status, paused = await running.api.post(f"{path}/pause")
        assert (status, paused["state"], paused["in_flight"]) == (200, "paused", 1)
        assert (await running.served.stream()).status == 503
        status, resumed = await running.api.post(f"{path}/resume")
        assert (status, resumed["account"]["state"], resumed["cleared"]) == (200, "active", ["a pause"])
        await running.served.assert_serves()

        assert (await running.api.delete(path))[0] == 204
        assert (await running.api.get(path))[0] == 404
        assert (await running.served.stream()).status == 503
    assert (await running.api.delete(path))[0] == 404
    actions = [action for action, target in await running.audit() if target == "work"]
    assert actions == ["account.add", "account.pause", "account.resume", "account.remove"]


async def test_resuming_ends_all_that_kept_an_account_out_of_use(running: Running) -> None:
    account = await running.add("work")
    store = AccountStore(running.database)
    now = await running.database.now()
    await store.set_condition(account["id"], Condition.PARKED, "unpaid <b>bill</b>", secret_version=1)
    await store.set_cooldown(Cooldown(account["id"], "opus", now + 900, now, "quota", "used up"))
    await seen(running, account["id"], "parked")

    found = await running.account(account["id"])
    assert (found["reason"], found["rests"][0]["family"]) == ("unpaid <b>bill</b>", "opus")
    _, resumed = await running.api.post(f"{ACCOUNTS}/{account['id']}/resume")
    assert resumed["cleared"] == ["parked (unpaid <b>bill</b>)", "a cool-down of opus (quota)"]
    assert (resumed["account"]["state"], resumed["account"]["rests"]) == ("active", [])


async def test_a_check_takes_an_account_back_that_works_again(running: Running) -> None:
    account = await running.add("work")
    path = f"{ACCOUNTS}/{account['id']}"
    store = AccountStore(running.database)
    await store.set_condition(account["id"], Condition.NEEDS_REAUTH, "refused", secret_version=1)
    await seen(running, account["id"], "needs_reauth")
    status, checked = await running.api.post(f"{path}/check")
    assert (status, checked["check"]["good"], checked["account"]["state"]) == (200, True, "active")
    # A key that is revoked later is told of, and how that is mended here.
    assert running.upstream.api_keys is not None
    running.upstream.api_keys.discard(KEY)
    _, checked = await running.api.post(f"{path}/check")
    assert checked["check"]["finding"] == "credential_refused"
    assert "replace its key" in checked["check"]["message"]
    _, checked = await running.api.post(f"{ACCOUNTS}/{ENVIRONMENT}/check")
    assert checked["check"]["finding"] == "ok"


async def test_another_key_ends_what_the_old_one_brought(running: Running) -> None:
    account = await running.add("work")
    path = f"{ACCOUNTS}/{account['id']}/key"
    store = AccountStore(running.database)
    await store.set_condition(account["id"], Condition.NEEDS_REAUTH, "refused", secret_version=1)
    await seen(running, account["id"], "needs_reauth")
    answer = await running.api.ask("PUT", path, {"api_key": BAD_KEY})
    assert answer.status == 422
    answer = await running.api.ask("PUT", path, {"api_key": OTHER_KEY})
    assert (answer.status, answer.json["account"]["state"]) == (200, "active")
    await running.api.post(f"{ACCOUNTS}/{ENVIRONMENT}/pause")
    await running.served.assert_serves()
    assert running.keys_used() == [OTHER_KEY]
    answer = await running.api.ask("PUT", f"{ACCOUNTS}/{ENVIRONMENT}/key", {"api_key": KEY})
    assert (answer.status, "GATEWAY_ANTHROPIC_API_KEY" in answer.json["error"]["message"]) == (409, True)


async def test_what_people_say_of_an_account_can_be_changed_but_not_where_its_key_goes(running: Running) -> None:
    account = await running.add("work")
    await running.add("other", OTHER_KEY)
    path = f"{ACCOUNTS}/{account['id']}"
    change = {"name": "renamed", "owner": " Ada ", "weight": 7, "priority": 1, "max_concurrency": 4}
    status, changed = await running.api.patch(path, change)
    assert status == 200
    assert {name: changed[name] for name in change} == {**change, "owner": "Ada"}
    _, changed = await running.api.patch(path, {"max_concurrency": None})
    assert (changed["name"], changed["max_concurrency"]) == ("renamed", None)
    for bad, expected in (
        ({"name": "other"}, 409),
        ({"name": ENVIRONMENT}, 400),
        ({"name": ""}, 400),
        ({"weight": 0}, 400),
        ({"base_url": "https://evil.example"}, 400),
        ({"provider": "openai"}, 400),
        ({"owner": "a\tb"}, 400),
    ):
        status, refusal = await running.api.patch(path, bad)
        assert status == expected, (bad, refusal)
    assert (await running.api.patch(f"{ACCOUNTS}/{ENVIRONMENT}", {"name": "mine"}))[0] == 409
    assert (await running.api.patch(f"{ACCOUNTS}/{ENVIRONMENT}", {"weight": 2}))[1]["weight"] == 2
    assert (await running.api.patch(f"{ACCOUNTS}/none", {"weight": 2}))[0] == 404
    assert (await running.api.patch(path, {}))[0] == 200


async def test_nothing_is_written_down_of_an_account_that_somebody_else_removed(running: Running) -> None:
    for action in ("pause", "resume"):
        account = await running.add(action)
        assert await AccountStore(running.database).remove(account["id"])
        status, _ = await running.api.post(f"{ACCOUNTS}/{account['id']}/{action}")
        assert status == 404
    assert {action for action, _ in await running.audit()} == {"account.add"}


async def test_the_account_of_the_environment_cannot_be_removed(running: Running) -> None:
    status, refusal = await running.api.delete(f"{ACCOUNTS}/{ENVIRONMENT}")
    assert (status, "unset that" in refusal["error"]["message"]) == (409, True)
    assert (await running.account(ENVIRONMENT))["is_removable"] is False


# What is shown


async def test_what_is_known_of_an_account_is_shown(running: Running) -> None:
    account = await running.add("work")
    await running.api.post(f"{ACCOUNTS}/{ENVIRONMENT}/pause")
    now = await running.database.now()
    window = LimitWindow("5h", "account", 0.25, now + 3600, "allowed")
    await LimitStore(running.database).write([LimitsSeen(account["id"], (SeenWindow(window, now),))])
    async with asyncio.timeout(LIMIT):
        while not (limits := (await running.account(account["id"]))["limits"]):
            pass
    (limit,) = limits
    assert (limit["name"], limit["used"], limit["seconds"]) == ("5h", 0.25, 18_000)
    assert limit["resets_at"] == pytest.approx(now + 3600)


async def test_when_an_answer_last_told_of_limits_is_shown(running: Running) -> None:
    assert (await running.account(ENVIRONMENT))["limits_seen_at"] is None
    await running.served.assert_serves()
    assert (await running.account(ENVIRONMENT))["limits_seen_at"] is not None


def test_limits_that_started_anew_are_known_to_have_been_told() -> None:
    quota, window = Quota(), LimitWindow("requests", "", 0.001, 101.0)
    quota.observe(RateLimits((window,)), "opus", 100.0)
    assert (len(quota.seen(100.5)), len(quota.seen(101.5))) == (1, 0)
    assert quota.last_seen() == 100.0


async def test_accounts_are_listed_by_name_page_by_page(running: Running) -> None:
    for number in range(7):
        await running.add(f"Work {number}", owner="Ada" if number % 2 else "", check=False)
    found: list[str] = []
    after = ""
    while True:
        status, page = await running.api.get(f"{ACCOUNTS}?limit=3{after}")
        assert (status, page["total"]) == (200, 8)
        found += [one["name"] for one in page["accounts"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert found == [ENVIRONMENT, *(f"Work {number}" for number in range(7))]

    async def names(query: str) -> list[str]:
        return [one["name"] for one in (await running.api.get(f"{ACCOUNTS}?{query}"))[1]["accounts"]]

    assert await names("q=WORK%203") == ["Work 3"]
    assert await names("q=ada&limit=2") == ["Work 1", "Work 3"]
    await running.api.post(f"{ACCOUNTS}/{ENVIRONMENT}/pause")
    assert await names("state=paused") == [ENVIRONMENT]
    assert await names("provider=openai") == []
    for bad in ("after=nonsense", "limit=0", "limit=501", "state=nothing", "what=ever"):
        assert (await running.api.get(f"{ACCOUNTS}?{bad}"))[0] == 400, bad


async def test_accounts_that_serve_nothing_say_why(tmp_path: Path) -> None:
    settings = {"client_auth": ClientAuth.PASSTHROUGH, "anthropic_api_key": "", "openai_mode": OpenAIMode.FORWARD}
    async with gateway(tmp_path, **settings) as running:
        await running.add("work", check=False)
        status, added = await running.api.post(
            ACCOUNTS, {"name": "gpt", "provider": "openai", "api_key": "sk-proj-of-openai", "check": False}
        )
        assert (status, added["account"]["state"]) == (201, "idle")
        assert "openai_mode = pool" in added["account"]["reason"]
        _, page = await running.api.get(f"{ACCOUNTS}?state=idle")
        assert [one["name"] for one in page["accounts"]] == ["gpt", "work"]
        assert "client_auth = passthrough" in page["accounts"][1]["reason"]


async def seen(running: Running, account_id: str, state: str) -> None:
    """Wait until the gateway knows what the database says."""
    async with asyncio.timeout(LIMIT):
        while (await running.account(account_id))["state"] != state:
            pass
