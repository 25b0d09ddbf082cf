"""The files in docs/deploy: each is valid where it goes, starts a gateway that can start, and lets streams end."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from gateway import workers
from gateway.config import Settings, SettingsError, load_settings
from gateway.store.secret import SecretKeyError, load_secret_keys

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "docs" / "deploy"
COMPOSE: Final = DEPLOY / "compose.yaml"
UNIT: Final = DEPLOY / "claude-stream-gateway.service"
EXAMPLE: Final = DEPLOY / "gateway.example.toml"
CONTAINERFILE: Final = ROOT / "Containerfile"
KINDS: Final = {
    "ConfigMap",
    "Deployment",
    "HorizontalPodAutoscaler",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Secret",
    "Service",
}
OLDEST: Final = "1.30"
"""The version of Kubernetes that the Deployment names."""
HEALTH: Final = ["python", "-m", "gateway.canary.health"]
SECONDS_AFTER_DRAIN: Final = workers._GRACE_SECONDS + 15
"""For what is left to be ended, for records to be written, and for slow machines."""
EXPOSURE: Final = 15
"""Tenths, on the scale from 0 to 100 of systemd-analyze."""


def _manifests() -> list[dict[str, Any]]:
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text("utf-8"))]


MANIFESTS: Final = _manifests()


def manifest(kind: str, name: str = "claude-gateway") -> dict[str, Any]:
    (found,) = [one for one in MANIFESTS if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def compose_service(name: str = "gateway") -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text("utf-8"))["services"][name]


def unit() -> configparser.SectionProxy:
    """Return the unit's [Service]; what may be given several times is in one string, a line for each."""

    class _Lines(dict[str, Any]):
        def __setitem__(self, key: str, value: Any) -> None:
            if isinstance(value, list) and key in self:
                self[key].extend(value)
            else:
                super().__setitem__(key, value)

    parser = configparser.ConfigParser(dict_type=_Lines, strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # ty: ignore[invalid-assignment] - as the standard library's documentation has it
    parser.read_string(UNIT.read_text("utf-8"))
    return parser["Service"]


def image_environ() -> dict[str, str]:
    text = CONTAINERFILE.read_text("utf-8")
    return dict(re.findall(r"^(?:ENV)?\s+(GATEWAY_[A-Z_]+)=(\S+)", text, re.MULTILINE))


def compose_environ() -> dict[str, str]:
    return image_environ() | compose_service()["environment"]


def unit_environ() -> dict[str, str]:
    return dict(line.split("=", 1) for line in unit()["Environment"].splitlines())


def kubernetes_environ() -> dict[str, str]:
    return image_environ() | manifest("ConfigMap")["data"]


ENVIRONMENTS: Final = {"compose": compose_environ, "systemd": unit_environ, "kubernetes": kubernetes_environ}


def settings_of(environ: Mapping[str, str], directory: Path) -> Settings:
    """Load the settings of a deployment whose secrets are filled in."""
    filled = EXAMPLE.read_text("utf-8").replace('secret_key = " "', 'secret_key = "a-secret-that-is-long-enough"')
    file = directory / "gateway.toml"
    file.write_text(filled.replace('control_token = ""', 'control_token = "a-token-that-is-long-enough"'), "utf-8")
    warnings: list[str] = []
    settings = load_settings(file, environ, warnings.append)
    assert warnings == []
    return settings


def test_compose_builds_the_image_once_for_both_services_that_run_it() -> None:
    gateway, existing = compose_service(), compose_service("existing")
    assert gateway["image"] == existing["image"]
    assert "build" in gateway
    assert "build" not in existing


def test_compose_accepts_its_file() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("document", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_kubernetes_accepts_its_manifests(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, ".".join(version.split(".")[:2]), strict=True)


def test_all_that_kubernetes_needs_is_there() -> None:
    assert {one["kind"] for one in MANIFESTS} == KINDS
    assert f"Kubernetes {OLDEST}" in (DEPLOY / "kubernetes" / "deployment.yaml").read_text("utf-8")


def test_systemd_accepts_its_unit_and_finds_it_well_shut_in(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.fail("this test needs systemd-analyze: apt-get install systemd")
    installed = re.search(r"ExecStart=(\S+)", UNIT.read_text("utf-8"))
    assert installed is not None
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text("utf-8").replace(installed[1], sys.executable), "utf-8")

    for check in (["verify", "--man=no"], ["security", "--offline=true", f"--threshold={EXPOSURE}"]):
        run = subprocess.run(["systemd-analyze", *check, copy], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        assert check[0] != "verify" or not run.stderr


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_gateway_can_start_with_what_a_file_sets(name: str, tmp_path: Path) -> None:
    settings = settings_of(ENVIRONMENTS[name](), tmp_path)

    assert settings.database_url.startswith("postgresql://")
    assert settings.rollout == "canary"
    assert settings.log_format == "json"
    assert settings.data_dir in {"/data", f"/var/lib/{unit()['StateDirectory']}"}


@pytest.mark.parametrize("text", [EXAMPLE.read_text("utf-8"), manifest("Secret")["stringData"]["gateway.toml"]])
def test_secrets_that_were_not_filled_in_keep_a_gateway_from_starting(text: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(text, "utf-8")

    with pytest.raises(SecretKeyError, match="blank"):
        load_secret_keys(load_settings(file, {}).secret_key, tmp_path)
    with pytest.raises(SettingsError, match=r"control_listen|GATEWAY_CONTROL_LISTEN"):
        load_settings(file, kubernetes_environ())


def test_settings_that_files_name_exist() -> None:
    known = set(re.findall(r"`(GATEWAY_[A-Z_]+)`", (ROOT / "docs" / "configuration.md").read_text("utf-8")))

    for file in [CONTAINERFILE, *(path for path in DEPLOY.rglob("*") if path.is_file())]:
        for named in re.findall(r"\bGATEWAY_[A-Z][A-Z_]+\b", file.read_text("utf-8")):
            assert named in known, f"{file.name} names {named}"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_whoever_stops_a_gateway_waits_longer_than_it_drains(name: str, tmp_path: Path) -> None:
    drain = settings_of(ENVIRONMENTS[name](), tmp_path).timeouts.drain_seconds
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    patience = {
        "compose": int(compose_service()["stop_grace_period"].removesuffix("s")),
        "systemd": int(unit()["TimeoutStopSec"]),
        "kubernetes": pod["terminationGracePeriodSeconds"] - pause,
    }

    assert patience[name] >= drain + SECONDS_AFTER_DRAIN


def test_a_pod_drains_for_longer_than_any_stream_takes(tmp_path: Path) -> None:
    timeouts = settings_of(kubernetes_environ(), tmp_path).timeouts

    assert timeouts.drain_seconds > timeouts.stream_total_seconds
    assert timeouts.drain_seconds > timeouts.upstream_head_seconds


def test_systemd_signals_the_gateway_alone_because_a_second_signal_would_end_its_workers() -> None:
    assert (unit()["KillMode"], unit()["KillSignal"]) == ("mixed", "SIGTERM")


def test_the_settings_file_is_where_the_gateway_is_told_to_look() -> None:
    compose = compose_service()
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    (mounted,) = [mount for mount in container["volumeMounts"] if mount["name"] == "settings"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "settings"]

    assert compose["command"] == ["serve", "--config", f"/run/secrets/{compose['secrets'][0]}"]
    assert container["args"] == ["serve", "--config", f"{mounted['mountPath']}/gateway.toml"]
    assert volume["secret"]["secretName"] == manifest("Secret")["metadata"]["name"]
    assert unit()["ExecStart"].endswith(f" serve --config /etc/{unit()['ConfigurationDirectory']}/gateway.toml")


def test_containers_run_as_nobody_special_and_cannot_write_to_their_files() -> None:
    compose = compose_service()
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    user = re.search(r"^USER (\d+):(\d+)$", CONTAINERFILE.read_text("utf-8"), re.MULTILINE)
    assert user is not None

    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"]) == tuple(
        map(int, user.groups())
    )
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (compose["read_only"], compose["cap_drop"]) == (True, ["ALL"])
    assert "user" not in compose
    # What can be written to: the data directory, and a place for temporary files.
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/data", "/tmp"]  # noqa: S108 - inside the container
    assert [volume.split(":")[1] for volume in compose["volumes"]] == ["/data"]


def test_nothing_takes_a_shell() -> None:
    last_stage = CONTAINERFILE.read_text("utf-8").rpartition("\nFROM ")[2].replace("\\\n", "")
    probes = [
        manifest("Deployment")["spec"]["template"]["spec"]["containers"][0][f"{kind}Probe"]
        for kind in ("startup", "readiness", "liveness")
    ]

    assert not re.search(r"^(RUN|SHELL)\b", last_stage, re.MULTILINE)
    for word in ("ENTRYPOINT", "CMD"):
        (command,) = re.findall(rf"^{word}\s+(.*)", last_stage, re.MULTILINE)
        assert json.loads(command)
    (checked,) = re.findall(r"^HEALTHCHECK .*?CMD (.*)", last_stage, re.MULTILINE)
    assert json.loads(checked) == HEALTH
    assert compose_service()["healthcheck"]["test"] == ["CMD", *HEALTH]
    assert {probe["httpGet"]["path"] for probe in probes} == {"/healthz", "/readyz"}
    assert "CMD-SHELL" not in COMPOSE.read_text("utf-8")


def test_the_parts_of_the_kubernetes_deployment_find_each_other() -> None:
    deployment = manifest("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        manifest("Service")["spec"]["selector"],
        manifest("Service", "claude-gateway-control")["spec"]["selector"],
        manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector == labels
    assert manifest("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert container["envFrom"] == [{"configMapRef": {"name": manifest("ConfigMap")["metadata"]["name"]}}]
    assert f"EXPOSE {ports['http']} {ports['control']}" in CONTAINERFILE.read_text("utf-8")
    allowed = [port["port"] for rule in manifest("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]]
    assert allowed == [ports["http"], ports["control"]]
    assert {
        port["targetPort"]
        for name in ("claude-gateway", "claude-gateway-control")
        for port in manifest("Service", name)["spec"]["ports"]
    } == set(ports)


def test_the_control_plane_of_the_image_is_closed_until_somebody_opens_it_with_a_token() -> None:
    assert "GATEWAY_CONTROL_LISTEN" not in image_environ()
    closed = Settings().control_address
    assert closed is not None
    assert closed.is_loopback
