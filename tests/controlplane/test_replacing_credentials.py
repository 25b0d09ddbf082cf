"""Another credential for an account that is there: checked first, and whatever a renewal does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from attrs import define, field

from gateway.accounts.account import Account, AccountKind, Condition
from gateway.accounts.importing import CredentialFile, ImportWishes, examine
from gateway.accounts.secrets import OAuthSecret
from gateway.replay.tokens import TokenPair
from gateway.store.accounts import ENVIRONMENT, AccountStore
from tests import answer_watch
from tests.controlplane.test_accounts_api import (
    ACCESS,
    ACCOUNTS,
    BAD_KEY,
    KEY,
    LOGIN,
    MINE,
    OTHER_KEY,
    PROFILE,
    REFRESH,
    TOKENS,
    Running,
    as_text,
    gateway,
    seen,
)
from tests.replay.raw_client import LIMIT

EXPIRED: Final = 1_000_000_000
LATER: Final = 1_900_000_000


@pytest.fixture
async def running(tmp_path: Path) -> AsyncGenerator[Running]:
    """Give a gateway whose own key is out of use."""
    async with gateway(tmp_path) as one:
        await one.api.post(f"{ACCOUNTS}/{ENVIRONMENT}/pause")
        yield one


@define
class TokenEndpoint:
    """A token endpoint that keeps its answer back until it may give it."""

    url: str = ""
    asked: asyncio.Event = field(factory=asyncio.Event)
    may_answer: asyncio.Event = field(factory=asyncio.Event)
    calls: int = 0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Give tokens, in the end."""
        await request.read()
        self.calls += 1
        self.asked.set()
        await self.may_answer.wait()
        return web.json_response({"access_token": ACCESS, "refresh_token": REFRESH, "expires_in": 3600})


@asynccontextmanager
async def token_endpoint() -> AsyncGenerator[TokenEndpoint]:
    """Run such an endpoint."""
    endpoint = TokenEndpoint()
    runner = web.ServerRunner(web.Server(endpoint.answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/oauth/token"
        yield endpoint
    finally:
        endpoint.may_answer.set()
        await runner.cleanup()


def credentials(pair: TokenPair, *, expires_at: float = LATER) -> dict[str, Any]:
    """Return the file of credentials of a profile."""
    assert pair.refresh_token is not None
    answer_watch.keep(pair.access_token, pair.refresh_token)
    return {
        "type": "oauth_token",
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "expires_at": expires_at,
    }


async def log_in(running: Running, file: dict[str, Any], token_url: str | None = None) -> dict[str, Any]:
    """Add an account with a login."""
    url = token_url or f"{running.upstream.url}/v1/oauth/token"
    status, done = await running.take(file, name="work", owner="Ada", client_id="mine", token_url=url)
    assert status == 201, done
    return done["accounts"][0]


async def look(running: Running, account: dict[str, Any], content: Any, **more: Any) -> dict[str, Any]:
    """Have a file looked into as the next credential of an account."""
    path = f"{ACCOUNTS}/{account['id']}/credentials/check"
    status, report = await running.api.post(path, {"content": as_text(content), **more})
    assert status == 200, report
    return report


async def replace(running: Running, account: dict[str, Any], content: Any, **more: Any) -> tuple[int, Any]:
    """Give an account another credential."""
    answer = await running.api.ask(
        "PUT", f"{ACCOUNTS}/{account['id']}/credentials", {"content": as_text(content), **more}
    )
    return answer.status, answer.json


async def test_another_login_takes_the_place_of_one_that_is_refused(running: Running) -> None:
    account = await log_in(running, credentials(running.upstream.tokens.issue()))
    await AccountStore(running.database).set_condition(
        account["id"], Condition.NEEDS_REAUTH, "refused", secret_version=1
    )
    await seen(running, account["id"], "needs_reauth")
    revoked, pair = running.upstream.tokens.issue(), running.upstream.tokens.issue()
    running.upstream.tokens.revoke(revoked.access_token)

    report = await look(running, account, credentials(revoked))
    (entry,) = report["entries"]
    assert (entry["problem"], entry["check"]["good"]) == ("", False)
    assert (await running.account(account["id"]))["state"] == "needs_reauth"
    (entry,) = (await look(running, account, credentials(pair)))["entries"]
    assert (entry["name"], entry["check"]["message"]) == ("work", "It works.")

    status, done = await replace(running, account, credentials(pair))
    assert (status, done["account"]["state"]) == (200, "active")
    assert {name: done["account"][name] for name in ("id", "name", "owner", "created_at")} == {
        name: account[name] for name in ("id", "name", "owner", "created_at")
    }
    assert done["account"]["renewal"]["expires_at"] == LATER
    await running.served.assert_serves()
    assert running.keys_used() == [f"Bearer {pair.access_token}"]
    _, page = await running.api.get("/api/v1/audit")
    (written,) = [one for one in page["entries"] if one["action"] == "account.replace_key"]
    assert (written["target"], written["after"]) == ("work", {"id": account["id"]})


async def test_a_refresh_token_alone_will_do_and_is_used_at_once(running: Running) -> None:
    account = await log_in(running, credentials(running.upstream.tokens.issue()))
    pair = running.upstream.tokens.issue()
    answer_watch.keep(str(pair.refresh_token))

    status, _ = await replace(running, account, f" {pair.refresh_token}\n")
    assert status == 200
    # Its client and its token endpoint are the account's.
    await running.served.assert_serves()
    assert [one.client_id for one in running.upstream.tokens.records] == ["mine"]


async def test_a_renewal_that_is_under_way_does_not_undo_what_a_person_does(running: Running) -> None:
    async with token_endpoint() as endpoint:
        old = credentials(running.upstream.tokens.issue(), expires_at=EXPIRED)
        account = await log_in(running, old, endpoint.url)
        async with asyncio.timeout(LIMIT):
            await endpoint.asked.wait()
        pair = running.upstream.tokens.issue()
        status, done = await replace(running, account, credentials(pair))
        assert (status, done["account"]["state"]) == (200, "active")
        endpoint.may_answer.set()
        async with asyncio.timeout(LIMIT):
            while (await running.account(account["id"]))["renewal"]["under_way"]:
                pass

        found = await running.account(account["id"])
        assert (found["state"], found["renewal"]["expires_at"]) == ("active", LATER)
        await running.served.assert_serves()
        assert (running.keys_used(), endpoint.calls) == ([f"Bearer {pair.access_token}"], 1)
        row = await AccountStore(running.database).find("work")
        assert (row and row.secret_version, row and row.expires_at) == (2, LATER)


async def test_what_is_no_credential_for_this_account_is_refused_in_a_sentence(running: Running) -> None:
    mine, theirs = running.upstream.tokens.issue(), running.upstream.tokens.issue()
    account = await log_in(running, credentials(mine))
    other = {"client_id": "mine", "token_url": f"{running.upstream.url}/v1/oauth/token", "name": "other"}
    assert (await running.take(credentials(theirs), **other))[0] == 201
    by_key = await running.add("by key")

    entry = {"name": "x", "api_key": "sk-of-nobody"}
    elsewhere = {**PROFILE, "base_url": "https://proxy.example.com"}
    workload = {
        "authentication": {
            "type": "oidc_federation",
            "federation_rule_id": "rule",
            "identity_token": {"path": "/etc/passwd"},
        },
        "organization_id": "org",
    }
    for content, more, words in (
        (credentials(mine), {}, "this very refresh token"),
        (credentials(theirs), {}, "account 'other' has this refresh token"),
        ([{**entry, "provider": "anthropic"}], {}, "this is an API key, and the account has a login"),
        ([{**entry, "provider": "openai"}], {}, "of openai, and the account of anthropic"),
        (elsewhere, {"companion": as_text(TOKENS)}, "go to https://proxy.example.com"),
        (workload, {}, "in a shell"),
        (TOKENS, {"token_url": "https://169.254.169.254/token"}, "its cloud"),
    ):
        (found,) = (await look(running, account, content, ask=False, **more))["entries"]
        assert words.casefold() in found["problem"].casefold(), (content, found)
        status, refusal = await replace(running, account, content, **more)
        assert (status, refusal["error"]["message"]) == (422, found["problem"])
    for content, words in (
        ("{}", "no known kind"),
        ("sk-ant-api03-an-api-key", "this is an API key, and no refresh token"),
        ("\ufeff" + as_text(PROFILE), "file of credentials too"),
        (as_text(LOGIN), "allow_subscription_oauth"),
        ("never mind", "not valid JSON"),
    ):
        problem = (await look(running, account, content))["problem"]
        assert words.casefold() in problem.casefold(), (content, problem)
        assert (await replace(running, account, content))[0] == 422
    assert "this is a login" in (await look(running, by_key, TOKENS, client_id="mine"))["entries"][0][
        "problem"
    ].replace("This", "this")
    status, refusal = await replace(running, {"id": ENVIRONMENT}, TOKENS)
    assert (status, "GATEWAY_ANTHROPIC_API_KEY" in refusal["error"]["message"]) == (409, True)
    made = Account("acc_printed", "printed", "anthropic", AccountKind.COMMAND, secret=b"", secret_version=1)
    await AccountStore(running.database).add(made)
    async with asyncio.timeout(LIMIT):
        while (await running.api.get(f"{ACCOUNTS}/{made.id}"))[0] != 200:
            pass
    assert (await replace(running, {"id": made.id}, TOKENS))[0] == 409
    # Nothing of all this has changed what the account has.
    await running.served.assert_serves()


async def test_a_key_is_replaced_from_a_list_too(running: Running) -> None:
    account = await running.add("work", BAD_KEY, check=False)
    file = [
        {"name": "other", "provider": "anthropic", "api_key": KEY},
        {"name": "work", "provider": "anthropic", "api_key": OTHER_KEY, "owner": "Eve", "weight": 9},
    ]
    report = await look(running, account, file)
    assert [one["check"]["good"] for one in report["entries"]] == [True, True]
    status, refusal = await replace(running, account, file)
    assert (status, "say which one" in refusal["error"]["message"]) == (422, True)
    assert (await replace(running, account, file, take=7))[0] == 422
    status, done = await replace(running, account, file, take=1)
    assert (status, done["account"]["owner"], done["account"]["weight"]) == (200, "", 1)
    await running.served.assert_serves()
    assert running.keys_used() == [OTHER_KEY]


async def test_the_login_of_a_subscription_is_replaced_after_its_notice(tmp_path: Path) -> None:
    async with gateway(tmp_path, allow_subscription_oauth=True) as running:
        status, done = await running.take(LOGIN, notice_read=True, **MINE)
        assert status == 201, done
        account = done["accounts"][0]
        pair = running.upstream.tokens.issue()
        answer_watch.keep(pair.access_token, str(pair.refresh_token))
        login = {"claudeAiOauth": {"accessToken": pair.access_token, "refreshToken": pair.refresh_token}}

        report = await look(running, account, login)
        assert (report["problem"], report["entries"][0]["check"]["message"]) == ("", "It works.")
        assert "Anthropic's terms" in report["notice"]
        status, refusal = await replace(running, account, login)
        assert (status, "notice" in refusal["error"]["message"]) == (422, True)
        status, done = await replace(running, account, login, notice_read=True)
        assert (status, done["account"]["owner"], done["account"]["state"]) == (200, "Ada", "active")


def test_a_clients_secret_stays_with_the_client_and_the_endpoint_it_is_for() -> None:
    before = OAuthSecret(
        "https://auth.example.com/token", "mine", client_secret="of the client", scope="all", as_form=True
    )

    def successor(**wishes: Any) -> OAuthSecret:
        said = ImportWishes("work", before=before, is_upload=True, **wishes)
        (found,) = examine(CredentialFile(TOKENS, "work"), said).findings
        assert found.draft is not None
        assert isinstance(found.draft.secret, OAuthSecret)
        return found.draft.secret

    same = successor()
    assert (same.token_url, same.client_id) == (before.token_url, "mine")
    assert (same.client_secret, same.scope, same.as_form) == ("of the client", "all", True)
    for other, as_form in (
        (successor(client_id="another"), True),
        (successor(token_url="https://auth.example.org/token"), False),
    ):
        assert (other.client_secret, other.scope, other.as_form) == (None, None, as_form)
