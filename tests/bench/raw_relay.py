"""The yardstick: the smallest correct byte pass-through on aiohttp and uvloop.

It forwards method, path, headers and body, relays the answer as it comes, cancels the upstream request
when the client leaves, and lets a truncated answer look truncated. It judges nothing, checks no key and
keeps no record: what the gateway costs beyond this program is what its own work costs.

    python tests/bench/raw_relay.py --listen 127.0.0.1:0 --upstream http://127.0.0.1:9000
"""

import argparse
import asyncio
import signal
import sys
from typing import Any, Final

import aiohttp
import uvloop
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

_HOP_BY_HOP: Final = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection")
) | {"te", "trailer", "transfer-encoding", "upgrade", "host", "content-length"}
_LIMITS: Final[dict[str, Any]] = {"read_bufsize": 2**16, "max_line_size": 2**15, "max_field_size": 2**15}
_LOST: Final = (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, TimeoutError)


def _end_to_end(headers: Any) -> CIMultiDict[str]:
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    dropped = _HOP_BY_HOP | named
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


async def _relay(request: web.BaseRequest, session: aiohttp.ClientSession, base: str) -> web.StreamResponse:
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await request.read() if request.body_exists else None
    url = URL(base + request.raw_path, encoded=True)
    call = session.request(
        request.method, url, headers=_end_to_end(request.headers), data=body, allow_redirects=False
    )
    try:
        upstream = await call
    except _LOST:
        return web.Response(status=502)
    async with upstream:
        response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
        response.headers.extend(_end_to_end(upstream.headers))
        await response.prepare(request)
        read, write = upstream.content.readany, response.write
        try:
            while chunk := await read():
                await write(chunk)
        except _LOST:
            if request.transport is not None:
                request.transport.abort()
    return response


async def serve(host: str, port: int, base: str) -> None:
    """Relay everything that arrives on ``host:port`` to ``base`` until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        **_LIMITS,
    ) as session:
        server = web.Server(
            lambda request: _relay(request, session, base),
            request_factory=lambda *parts: web.BaseRequest(*parts, loop, client_max_size=2**25),
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            **_LIMITS,
        )
        runner = web.ServerRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, host, port, shutdown_timeout=0.5, backlog=1024)
        await site.start()
        address = runner.addresses[0]
        sys.stdout.write(f"ready http://{address[0]}:{address[1]}\n")
        sys.stdout.flush()
        await stopping.wait()
        await runner.cleanup()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A minimal aiohttp byte pass-through.")
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT, port 0 for any free one")
    parser.add_argument("--upstream", required=True, help="base URL that requests are relayed to")
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")
    uvloop.run(serve(host, int(port), options.upstream.rstrip("/")))


if __name__ == "__main__":
    main()
