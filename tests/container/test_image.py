"""The image is built and run for real."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define

from gateway.controlplane.pages import BUILD
from gateway.replay.server import ReplayUpstream
from tests.container.base import ROOT, base_archive, roomy_place
from tests.container.images import Images, Running, missing_programs
from tests.postgres import Postgres
from tests.replay.raw_client import LIMIT, RawConnection, message

pytestmark = pytest.mark.timeout(900)

USER: Final = 10001
ACCOUNT_KEY: Final = "sk-ant-api03-the-gateways-own-account"
MESSAGES: Final = "/claude/v1/messages"
PAUSE: Final = "hang:event=4;seconds=2"
LABELS: Final = {"VERSION": "0.1.0", "REVISION": "0" * 40, "CREATED": "2023-11-14T22:13:20Z"}
EPOCH: Final = "1700000000"
_CALL: Final = 60

_BASE: Final = "FROM scratch\nADD base.tar /\n"
_UNLINK_SHELLS: Final = "import pathlib; [p.unlink() for p in pathlib.Path('/usr/bin').glob('*sh')]"
_BARE: Final = f'FROM localhost/base\nRUN ["python3", "-c", "{_UNLINK_SHELLS}"]\n'
# What an engine does for --read-only, without one. Whether it worked is tried.
_READ_ONLY: Final = """
set -eu
tree=$1 data=$2 user=$3
shift 3
mount --bind "$tree" "$tree"
mount -o remount,bind,ro "$tree"
mount -t tmpfs tmpfs "$tree/tmp"
mount --bind "$data" "$tree/data"
if touch "$tree/opt/gateway/written" 2>/dev/null; then echo "the file system can be written to"; exit 1; fi
exec chroot --userspec="$user" "$tree" /usr/bin/env -i "$@"
"""


@define
class Built:
    """The image, and the same built once more on another base."""

    images: Images
    name: str
    again: str


@pytest.fixture(scope="module")
def built() -> Iterator[Built]:
    """Build the image twice: to run where there is no shell, and as it is built by default."""
    if problem := missing_programs():
        pytest.fail(problem)
    directory = Path(tempfile.mkdtemp(prefix="gateway-images-", dir=roomy_place()))
    images = Images(directory)
    try:
        base = directory / "base"
        base.mkdir()
        shutil.copyfile(base_archive(), base / "base.tar")
        (directory / "Base").write_text(_BASE, "utf-8")
        (directory / "Bare").write_text(_BARE, "utf-8")
        images.build("localhost/base", base, directory / "Base")
        images.build("localhost/bare", base, directory / "Bare")
        context = _context(directory / "context")
        recipe = context / "Containerfile"
        usual = {"BASE": "localhost/base", "SOURCE_DATE_EPOCH": EPOCH, **LABELS}
        name = images.build("localhost/one", context, recipe, with_pip=True, RUNTIME="localhost/bare", **usual)
        again = images.build("localhost/two", context, recipe, with_pip=True, **usual)
        yield Built(images, name, again)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _context(directory: Path) -> Path:
    """Copy what the image is made of: somebody may be at work on the tree while it is built twice."""
    skipped = shutil.ignore_patterns("__pycache__", "*.py[co]", "node_modules")
    for name in ("gateway", "sse_fsm", "fixtures"):
        shutil.copytree(ROOT / name, directory / name, ignore=skipped)
    for name in ("Containerfile", ".dockerignore", "constraints.txt", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, directory / name)
    return directory


def test_an_operator_reads_from_the_image_what_it_is_and_engines_how_to_run_it(
    built: Built, capfd: pytest.CaptureFixture[str]
) -> None:
    config = built.images.config(built.name)

    assert config["User"] == f"{USER}:{USER}"
    assert (config["Entrypoint"], config["Cmd"]) == (["gateway"], ["serve"])
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["ExposedPorts"]) == {"8787/tcp", "8788/tcp"}
    assert set(config["Volumes"]) == {"/data"}
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "gateway.canary.health"]
    labels = {name.rpartition(".")[2]: value for name, value in config["Labels"].items()}
    assert [labels[name.lower()] for name in LABELS] == list(LABELS.values())
    assert (labels["title"], labels["licenses"]) == ("claude-stream-gateway", "Apache-2.0")
    sizes = [layer["size"] for layer in json.loads(built.images.inspect(built.again)["Manifest"])["layers"]]
    with capfd.disabled():
        told = " + ".join(f"{size / 1e6:.0f} MB" for size in sizes)
        print(f"\nimage, not compressed: {told} (base, gateway) = {sum(sizes) / 1e6:.0f} MB", file=sys.stderr)  # noqa: T201 - reported


def test_two_builds_give_the_same_layer_byte_for_byte_whatever_they_run_on(built: Built) -> None:
    first, second = (built.images.inspect(name)["OCIv1"] for name in (built.name, built.again))

    assert first["rootfs"]["diff_ids"][-1] == second["rootfs"]["diff_ids"][-1]
    assert first["created"] == second["created"]


def test_the_image_has_a_list_of_its_components_that_is_what_is_installed_and_pinned(built: Built) -> None:
    with built.images.container(built.name) as container:
        tree = built.images.tree(container)
        listed = json.loads((tree / "opt/gateway/share/sbom.cdx.json").read_text("utf-8"))
        places = list(tree.glob("opt/gateway/lib/python3.*/site-packages/*.dist-info"))
        assert list(tree.glob("opt/gateway/lib/python3.*/site-packages/gateway/**/dashboard/build/index.html"))
    pinned = _pairs(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE))

    assert (listed["bomFormat"], listed["metadata"]["component"]["name"]) == ("CycloneDX", "claude-stream-gateway")
    scripts = [one for one in listed["components"] if one.get("purl", "").startswith("pkg:npm/")]
    packages = [one for one in listed["components"] if one not in scripts]
    components = _pairs((component["name"], component["version"]) for component in packages)
    own = {("claude-stream-gateway", listed["metadata"]["component"]["version"])}
    assert components | own == _pairs(place.name.removesuffix(".dist-info").split("-") for place in places) | own
    assert components - own <= pinned
    bundled = re.findall(r"^## (\S+) - (\S+) \(", (BUILD / "licenses.md").read_text("utf-8"), re.MULTILINE)
    named = {("/".join(filter(None, (one.get("group"), one["name"]))), one["version"]) for one in scripts}
    assert named == set(bundled)
    assert bundled


def _pairs(found: Any) -> set[tuple[str, str]]:
    return {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in found}


def test_nothing_of_how_packages_were_had_is_in_the_image(built: Built) -> None:
    with built.images.container(built.name) as container:
        tree = built.images.tree(container)
        assert not (tree / "etc/pip.conf").exists()
        assert not list(tree.glob("opt/gateway/lib/python3.*/site-packages/pip*"))
        assert not (tree / "opt/tools").exists()
        assert not (tree / "src").exists()


async def test_it_serves_as_an_unknown_user_and_lets_a_running_stream_finish_when_it_is_stopped(
    built: Built,
) -> None:
    images, config = built.images, built.images.config(built.name)
    with images.container(built.name) as container:
        tree = images.tree(container)
        before = await asyncio.to_thread(_files, tree)
        async with ReplayUpstream() as upstream:
            port = _free_port()
            environ = _environ(upstream, port)

            def command(*words: str) -> list[str | Path]:
                return images.run_command(container, environ, *words)

            health = command(*config["Healthcheck"]["Test"][1:])
            assert (await _call(health))[0] != 0
            key = await _make_key(command("gateway", "keys", "create", "--name", "client", "--json"))
            async with Running.start(command(*config["Entrypoint"], *config["Cmd"])) as running:
                assert set(running.gateway.uids()) == {USER}
                assert (await _call(health))[0] == 0
                await _stop_within_a_stream(running, port, key)
                assert await running.ended() == 0
            assert (await _call(health))[0] != 0
        # An engine may make all but the volume read-only.
        assert await asyncio.to_thread(_files, tree) == before


async def test_it_serves_and_drains_as_in_docs_deploy_on_a_read_only_file_system_without_any_shell(
    built: Built, tmp_path: Path, postgres: Postgres
) -> None:
    images, config = built.images, built.images.config(built.name)
    with images.container(built.name) as container:
        tree = images.tree(container)
        assert not list(tree.glob("usr/bin/*sh"))
        data = tmp_path / "data"
        data.mkdir()
        shutil.chown(data, USER, USER)
        secrets = tree / "run" / "secrets" / "gateway.toml"
        secrets.parent.mkdir()
        secrets.write_text(await _fill_in(postgres), "utf-8")
        secrets.chmod(0o400)
        shutil.chown(secrets, USER, USER)
        async with ReplayUpstream() as upstream:
            port = _free_port()
            variables = dict(pair.split("=", 1) for pair in config["Env"]) | _environ(upstream, port)
            # As in docs/deploy; the token that this takes is in the file.
            variables["GATEWAY_CONTROL_LISTEN"] = "0.0.0.0:0"

            def command(*words: str) -> list[str | Path]:
                told = [f"{name}={value}" for name, value in variables.items()]
                apart = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _READ_ONLY, "sh"]
                return [*apart, tree, data, config["User"], *told, *words]

            settings = ("--config", "/run/secrets/gateway.toml")
            key = await _make_key(command("gateway", "keys", "create", "--name", "client", "--json", *settings))
            async with Running.start(command(*config["Entrypoint"], "serve", *settings)) as running:
                assert await _call(command(*config["Healthcheck"]["Test"][1:])) == (0, "")
                await _stop_within_a_stream(running, port, key)
                assert await running.ended() == 0
    assert not [path.name for path in data.iterdir() if path.is_file()]


async def _fill_in(postgres: Postgres) -> str:
    """Return the secrets of docs/deploy as an operator would fill them in."""
    text = (ROOT / "docs" / "deploy" / "gateway.example.toml").read_text("utf-8")
    url = await asyncio.to_thread(postgres.create_database)
    for old, new in {
        'secret_key = " "': 'secret_key = "a-secret-that-is-long-enough"',
        'control_token = ""': 'control_token = "a-token-that-is-long-enough"',
        "postgresql://gateway:PASSWORD@postgres/gateway": url,
    }.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def _environ(upstream: ReplayUpstream, port: int) -> dict[str, str]:
    return {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "GATEWAY_CONTROL_LISTEN": "127.0.0.1:0",
        "GATEWAY_ANTHROPIC_BASE_URL": upstream.url,
        "GATEWAY_ANTHROPIC_API_KEY": ACCOUNT_KEY,
    }


async def _stop_within_a_stream(running: Running, port: int, key: str) -> None:
    """Ask for a stream, have the gateway stopped while it runs, and see that the stream comes whole."""
    async with _connected(port) as connection:
        usual = [("x-api-key", key), ("anthropic-version", "2023-06-01"), ("content-type", "application/json")]
        await connection.send(MESSAGES, message(stream=True), headers=[("x-replay-fault", PAUSE)], usual=usual)
        status, _ = await connection.head()
        assert status == 200
        await connection.until(b"content_block_delta")
        running.gateway.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT):
            while await _listens(port):  # noqa: ASYNC110 - no event tells when a process stops listening
                await asyncio.sleep(0.01)
        rest = await connection.until(b"event: message_stop\n")
        assert b"event: error" not in rest
        await connection.until(b"0\r\n\r\n")


@asynccontextmanager
async def _connected(port: int) -> AsyncGenerator[RawConnection]:
    connection = RawConnection(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield connection
    finally:
        await connection.close()


async def _listens(port: int) -> bool:
    try:
        async with _connected(port):
            return True
    except ConnectionError:
        return False


async def _make_key(command: Sequence[str | Path]) -> str:
    status, told = await _call(command)
    assert status == 0, told
    return json.loads(told[told.index("{") :])["key"]


async def _call(command: Sequence[str | Path]) -> tuple[int, str]:
    """Run a command to its end; return its exit status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(_CALL):
        told, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, told.decode()


def _files(tree: Path) -> dict[str, tuple[int, int, str]]:
    """Return mode, size and content of every file that is not in a volume, or for the engine to lay."""
    of_the_engine = {"data", "dev", "proc", "sys", "run"}
    found = {}
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree)
        if name.parts[0] in of_the_engine or not (path.is_symlink() or path.is_file()):
            continue
        known = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(name)] = (known.st_mode, known.st_size, content)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
