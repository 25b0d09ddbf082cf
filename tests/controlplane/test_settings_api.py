"""What the admin API tells of the settings."""

from __future__ import annotations

from typing import Any

from gateway.config import Settings, load_settings
from tests.contract.harness import ACCOUNT_KEY, SECRET, serving
from tests.controlplane.api_client import ApiClient

TOKEN = "a-token-of-the-control-plane"


def _named(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for group in answer["groups"] for one in group["settings"]}


async def test_every_setting_is_shown_with_its_meaning_and_no_secret_with_its_value() -> None:
    async with serving(control=True, control_token=TOKEN) as served:
        status, answer = await ApiClient(served.gateway.control_url or "", TOKEN).get("/api/v1/settings")
    assert status == 200
    named = _named(answer)
    assert all(one["meaning"] for one in named.values())
    for name in ("control_token", "anthropic_api_key", "secret_key"):
        assert named[name]["is_secret"]
        assert named[name]["value"] is None
    assert named["control_token"]["is_set"]
    assert named["timeouts.drain_seconds"]["default"] == "30.0"
    assert named["timeouts.drain_seconds"]["variable"] == "GATEWAY_TIMEOUTS__DRAIN_SECONDS"
    assert answer["rollout"] == {"state": "canary", "approval": ""}
    text = str(answer)
    for secret in (TOKEN, ACCOUNT_KEY, SECRET, served.key):
        assert secret not in text


def test_the_settings_remember_who_set_them(tmp_path: Any) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('listen = "127.0.0.1:1"\nlog_level = "debug"\n[timeouts]\ndrain_seconds = 3\n')
    environ = {"GATEWAY_LISTEN": "127.0.0.1:2", "GATEWAY_ROUTING__QUEUE_LENGTH": "3"}
    assert load_settings(path, environ).origins == {
        "listen": "GATEWAY_LISTEN",
        "log_level": "file",
        "routing.queue_length": "GATEWAY_ROUTING__QUEUE_LENGTH",
        "timeouts.drain_seconds": "file",
    }
    assert Settings().origins == {}
