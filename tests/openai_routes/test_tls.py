"""An upstream behind TLS, as the real one is, and the event loop of production."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import ssl
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.config import Settings
from gateway.dataplane.passthrough import OpenAIForward
from tests.contract.harness import serving
from tests.openai_routes import test_cuts, test_recorded, test_shutdown, test_transfers, test_websocket
from tests.openai_routes.stage import connected, exactly, rest, staged
from tests.replay.raw_client import LIMIT

GET = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
UNFRAMED = b"HTTP/1.1 200 OK\r\n\r\nhello"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Make the gateway trust a server of 127.0.0.1, and return that server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "made up")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = tmp_path / "public.pem", tmp_path / "private.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(public, private)
    return context


async def _over_tls(context: ssl.SSLContext, talk: Talk, use: Talk) -> None:
    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context) as upstream:
        port = upstream.sockets[0].getsockname()[1]
        async with (
            serving(openai_base_url=f"https://127.0.0.1:{port}") as served,
            connected((served.gateway.host, served.gateway.port)) as (reader, writer),
        ):
            await use(reader, writer)


async def test_answers_come_through_tls(certified: ssl.SSLContext) -> None:
    heads = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (SIZED, SIZED, UNFRAMED):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
        writer.close()

    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(GET)
            assert await exactly(reader, len(SIZED)) == SIZED
        writer.write(GET)
        assert await rest(reader) == UNFRAMED

    await _over_tls(certified, talk, use)
    assert len(heads) == 3


async def test_a_client_that_leaves_closes_the_tls_connection(certified: ssl.SSLContext) -> None:
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(UNFRAMED)
        try:
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()
            gone.set()

    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GET)
        assert await exactly(reader, len(UNFRAMED)) == UNFRAMED
        writer.close()
        async with asyncio.timeout(LIMIT):
            await gone.wait()

    await _over_tls(certified, talk, use)


async def test_a_certificate_that_nobody_vouches_for_is_a_502(
    certified: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GET)
        assert (await rest(reader) or b"").startswith(b"HTTP/1.1 502 ")

    await _over_tls(certified, talk, use)


def test_a_connection_that_ends_while_it_is_made_closes_no_descriptor_twice() -> None:
    class Gone(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.abort()

    async def connect() -> None:
        upstream = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = upstream.sockets[0].getsockname()[1]
        async with upstream, OpenAIForward(Settings(openai_base_url=f"http://127.0.0.1:{port}")) as forward:
            await forward.connect(Gone)

    # A socket that still thinks it has a descriptor says so when it goes.
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for run in (uvloop.run, asyncio.run):
            run(connect())
            gc.collect()
    assert not [warning for warning in said if "socket.socket" in str(warning.message)]


def test_the_event_loop_of_production_does_all_this_as_well(certified: ssl.SSLContext) -> None:
    async def everything() -> None:
        async with staged() as stage:
            await test_recorded.test_one_connection_carries_all_of_them_one_after_the_other(stage)
            await test_recorded.test_requests_sent_all_at_once_are_answered_in_their_order(stage)
            await test_websocket.test_a_conversation_is_the_same_with_the_gateway_and_without(
                stage, "/v1/realtime"
            )
        await test_websocket.test_any_bytes_go_through_both_ways_once_the_protocol_has_switched()
        await test_websocket.test_a_reset_of_the_upstream_resets_the_client()
        await test_websocket.test_a_client_that_says_all_at_once_gets_its_answer()
        await test_websocket.test_a_client_that_drops_its_websocket_drops_the_upstreams()
        await test_cuts.test_an_answer_that_ends_with_its_connection_is_reset_when_that_is_reset()
        await test_cuts.test_a_client_that_leaves_takes_its_upstream_request_along(b"")
        await test_cuts.test_an_upload_that_is_broken_off_is_broken_off_upstream()
        await test_cuts.test_an_upload_that_is_refused_early_brings_the_refusal()
        await test_transfers.test_a_client_that_does_not_read_stops_the_upstream()
        await test_transfers.test_an_upstream_that_does_not_read_stops_the_client()
        await test_shutdown.test_an_answer_under_way_is_finished_and_an_idle_connection_closed()
        await test_answers_come_through_tls(certified)
        await test_a_client_that_leaves_closes_the_tls_connection(certified)

    uvloop.run(everything())
