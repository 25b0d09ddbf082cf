"""Names that lead to addresses by which a machine talks to its cloud, as a name server may have them."""

from __future__ import annotations

import socket
from typing import Any, Final

import pytest

from gateway.accounts.oauth import ExchangeTimes, exchange
from gateway.accounts.secrets import OAuthSecret
from gateway.accounts.token_answers import NotSent
from gateway.dataplane.names import HostName
from gateway.replay.server import ReplayUpstream
from gateway.wire.forbidden import CarefulResolver, ForbiddenAddressError
from tests.contract.harness import MESSAGES, serving
from tests.controlplane.api_client import ApiClient
from tests.replay.raw_client import message

TOKEN: Final = "a-token-of-the-operators-own"
NAME: Final = "models.example"
KEY: Final = "sk-ant-api03-never-to-be-sent"

System = dict[str, list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> System:
    """Give the addresses that the system has for names; those of others are as they are."""
    known: System = {}
    resolve = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        if host not in known:
            return resolve(host, port, *args, **options)
        return [found for address in known[host] for found in resolve(address, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


async def test_of_several_addresses_the_others_are_used(names: System) -> None:
    names[NAME] = ["169.254.169.254", "127.0.0.1", "fe80::1"]
    async with ReplayUpstream() as upstream:
        async with serving(anthropic_base_url=upstream.url.replace("127.0.0.1", NAME)) as served:
            assert (await served.ask(message())).status == 200
        assert [one.path for one in upstream.requests] == [MESSAGES.removeprefix("/claude")]
    found = await CarefulResolver().resolve(NAME, 80, socket.AF_UNSPEC)
    assert [one["host"] for one in found] == ["127.0.0.1"]
    name = HostName(NAME, 80)
    assert [one[4][0] for one in await name.addresses()] == ["127.0.0.1"]
    name.close()


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "fe80::1", "::ffff:169.254.169.254"])
async def test_an_account_of_such_a_name_is_refused_with_what_is_wrong(names: System, address: str) -> None:
    names[NAME] = [address]
    with pytest.raises(ForbiddenAddressError):
        await CarefulResolver().resolve(NAME, 80, socket.AF_UNSPEC)
    async with serving(control=True, control_token=TOKEN) as served:
        api = ApiClient(served.gateway.control_url or "", TOKEN)
        order = {"name": "work", "provider": "anthropic", "api_key": KEY, "base_url": f"http://{NAME}:9"}
        status, refusal = await api.post("/api/v1/accounts", order)
        assert (status, "talks to its cloud" in refusal["error"]["message"]) == (422, True), refusal
        # Added unasked, it is found out by the check.
        status, added = await api.post("/api/v1/accounts", {**order, "check": False})
        assert status == 201
        status, checked = await api.post(f"/api/v1/accounts/{added['account']['id']}/check")
        assert (status, checked["check"]["finding"]) == (200, "unreachable")
        assert "talks to its cloud" in checked["check"]["message"]


async def test_a_refresh_token_is_not_sent_there(names: System) -> None:
    names[NAME] = ["100.100.100.200"]

    async def nothing() -> None:
        raise AssertionError

    secret = OAuthSecret(f"https://{NAME}/token", "of-the-operator", refresh_token="refresh-token-of-somebody")
    times = ExchangeTimes(file=5.0, connect=20.0, answer=20.0)
    outcome = await exchange(secret, "anthropic", before_sending=nothing, times=times)
    assert outcome == NotSent("the token endpoint's name leads to an address that no provider has")
