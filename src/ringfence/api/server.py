"""The HTTP server: uvicorn with httptools, tightened (docs/adr/0002).

Reads run on the event loop, one after the other: they take no lock and are quick. Writes run on one thread, because
they wait for the disk. A connection that is slow to send its headers or its body is closed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ringfence.api.pipeline import MAX_BODY, Pipeline
from ringfence.api.wire import fault as wire_fault
from ringfence.api.wire.http import HttpRequest, HttpResponse
from ringfence.model.errors import fault

HEADER_SECONDS = 15.0
BODY_SECONDS = 30.0
KEEP_ALIVE_SECONDS = 75
MAX_HEADER_BYTES = 64 << 10


class GuardedProtocol(HttpToolsProtocol):
    """Closes connections whose headers are too long or too long in coming."""

    _deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _in_headers = True

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_headers:
            if self._deadline is None:
                self._arm()
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES + MAX_BODY:
                self.transport.close()
                return
        super().data_received(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if sum(len(n) + len(v) for n, v in self.headers) > MAX_HEADER_BYTES:
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._in_headers, self._header_bytes = False, 0
        self._disarm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_headers = True

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._expire)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class Application:
    """The ASGI application in front of a pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        response = await self._respond(scope, receive)
        if response is None:
            return
        headers = [
            (b"content-type", response.content_type.encode()),
            (b"content-length", str(len(response.body)).encode()),
        ]
        headers += [(name.encode(), value.encode()) for name, value in response.headers]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    async def _respond(self, scope: Any, receive: Any) -> HttpResponse | None:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(receive)
        except TimeoutError:
            return _plain_fault("ServiceUnavailable", message="The request body did not arrive in time")
        if body is None:
            return None
        if len(body) > MAX_BODY:
            return _plain_fault("RequestEntityTooLarge", limit=MAX_BODY)
        peer = scope.get("client") or ("", 0)
        request = HttpRequest(
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=tuple(
                (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]
            ),
            body=body,
            peer=peer[0],
            secure=scope["scheme"] == "https",
        )
        begun = self.pipeline.begin(request)
        if isinstance(begun, HttpResponse):
            return begun
        if not begun.mutating:
            return self.pipeline.finish(begun)
        return await asyncio.get_running_loop().run_in_executor(self._writer, self.pipeline.finish, begun)

    def close(self) -> None:
        self._writer.shutdown()


async def _body(receive: Any) -> bytes | None:
    """The whole body; None if the client went away; cut off just past the limit."""
    message = await receive()
    if message["type"] != "http.request":
        return None
    if not message.get("more_body"):
        return bytes(message["body"])
    parts, size = [message["body"]], len(message["body"])
    while message.get("more_body") and size <= MAX_BODY:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message["body"])
        size += len(message["body"])
    return b"".join(parts)


def _plain_fault(code: str, **fields: Any) -> HttpResponse:
    response = wire_fault.render("ec2", fault(code, **fields), "-")
    return HttpResponse(
        response.status, response.body, response.content_type, (*response.headers, ("connection", "close"))
    )


class Server(uvicorn.Server):
    """A uvicorn server that says when it listens (and, by uvicorn's own handling, stops on SIGINT and SIGTERM)."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def server(
    pipeline: Pipeline, host: str, port: int, *, on_ready: Callable[[], None],
    tls: tuple[Path, Path] | None = None,
) -> tuple[Server, Application]:  # fmt: skip
    """A server ready to `run()`. `tls`: certificate chain and private key files; TLS 1.2 or newer with forward secrecy."""
    application = Application(pipeline)
    config = uvicorn.Config(
        application, host=host, port=port, http=GuardedProtocol, ws="none", lifespan="off", access_log=False,
        log_config=None, server_header=False, proxy_headers=False, timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=5, backlog=512,
        ssl_certfile=str(tls[0]) if tls else None, ssl_keyfile=str(tls[1]) if tls else None,
    )  # fmt: skip
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        config.ssl.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    return Server(config, on_ready), application
