"""The HTTP server: uvicorn with httptools, tightened (docs/adr/0002).

Quick reads run on the event loop, one after the other: they take no lock. Long reads run on a small pool, writes on one
thread, because they wait for the disk. A client that is slow to send its request or to read its answer is cut off, and
everything that is not a proper HTTP request is answered in an AWS error shape.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ringfence.api.pipeline import MAX_BODY, Lane, Pipeline
from ringfence.api.wire import fault as wire_fault
from ringfence.api.wire.http import HttpRequest, HttpResponse
from ringfence.model.errors import ApiError, fault

REQUEST_SECONDS = 30.0  # from the first byte of a request to its last
STALL_SECONDS = 30.0  # without a byte of an answer being taken
KEEP_ALIVE_SECONDS = 75
MAX_HEADER_BYTES = 64 << 10
MAX_CONNECTIONS = 1000
MAX_DRAIN = 16 << 20  # of a body that is too large: read and dropped, so that the client gets to read the refusal


class _HeadersTooLarge(Exception):
    """More than MAX_HEADER_BYTES of headers."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection, with limits on time and size.

    INVARIANT: while a request is incomplete, and while an answer is not taken, a timer runs.
    """

    request_seconds, stall_seconds = REQUEST_SECONDS, STALL_SECONDS
    max_connections = MAX_CONNECTIONS

    _active: Any = None  # the request (uvicorn's cycle) whose turn it is; pipelined ones wait behind it
    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _in_headers = _begun_now = False
    _header_bytes = 0
    _too_large = False

    # ------------------------------------------------------------------ the request
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self.answer_and_close(fault("ServiceUnavailable", message="Too many connections"))
        else:
            self._watch_request()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._active = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._active is not None and not self._active.response_complete:
            self._active.disconnected = True  # uvicorn tells only the newest of several pipelined requests
            self._active.message_event.set()
        self._deadline = _stopped(self._deadline)
        self._stall = _stopped(self._stall)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._begun_now = False
        super().data_received(data)
        # how much of the piece in which headers began is theirs cannot be told; all of the following ones is
        if self._in_headers and not self._begun_now:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self.answer_and_close(_headers_too_large())
        self._watch_request()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers, self._begun_now, self._header_bytes = True, True, 0

    def on_headers_complete(self) -> None:
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > MAX_HEADER_BYTES:
            self._too_large = True
            raise _HeadersTooLarge
        self._in_headers = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What the parser refused; uvicorn calls this from the handler of the parser's exception."""
        if self._too_large:
            self.answer_and_close(_headers_too_large())
        else:
            self.answer_and_close(fault("InvalidRequest", message="The request is not valid HTTP"))

    def _watch_request(self) -> None:
        """Start the request's timer, or stop it: nothing is awaited once the newest request is whole."""
        cycle = self.cycle
        whole = not self._in_headers and cycle is not None and not cycle.more_body and not cycle.response_complete
        if whole or self.transport.is_closing():
            self._deadline = _stopped(self._deadline)
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.request_seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._deadline = None
        if not self._in_headers and (self.cycle is None or self.cycle.response_complete):
            self._close()  # nothing was asked
            return
        self.answer_and_close(fault("RequestTimeout", seconds=round(self.request_seconds)))

    def answer_and_close(self, error: ApiError) -> None:
        """Refuse what never became a request, after the answers that are due before it, and end the connection."""
        if self.transport.is_closing():
            return
        self.pipeline.clear()
        active = self._active
        if active is not None and not active.response_complete:
            if not active.more_body:  # it is being executed: its answer is the last one
                active.keep_alive = False
                self.flow.pause_reading()
                return
            active.disconnected = True
            active.message_event.set()
        self.transport.write(_raw(wire_fault.render("ec2", error, "-")))
        self._close()

    # ------------------------------------------------------------------ the answer
    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_answer()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._stall = _stopped(self._stall)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_answer()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
        self._watch_answer()

    def _watch_answer(self) -> None:
        if self._stall is None:
            left = self.transport.get_write_buffer_size()
            if left:
                self._stall = self.loop.call_later(self.stall_seconds, self._check_stall, left)

    def _check_stall(self, before: int) -> None:
        """Give up on a client that has taken nothing since the last look."""
        self._stall = None
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._watch_answer()


def _stopped(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None


def _headers_too_large() -> ApiError:
    return fault("InvalidRequest", message=f"The request headers exceed {MAX_HEADER_BYTES} bytes")


def _headers(response: HttpResponse) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", response.content_type.encode()),
        (b"content-length", b"%d" % len(response.body)),
        *((name.encode(), value.encode()) for name, value in response.headers),
    ]


def _raw(response: HttpResponse) -> bytes:
    lines = b"".join(b"%s: %s\r\n" % header for header in _headers(response))
    return STATUS_LINE[response.status] + lines + b"connection: close\r\n\r\n" + response.body


class Application:
    """The ASGI application in front of a pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._threads = {
            Lane.WRITER: ThreadPoolExecutor(1, thread_name_prefix="writer"),
            Lane.READER: ThreadPoolExecutor(2, thread_name_prefix="reader"),
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        response = await self._respond(scope, receive)
        if response is None:
            return
        await send({"type": "http.response.start", "status": response.status, "headers": _headers(response)})
        await send({"type": "http.response.body", "body": response.body})

    async def _respond(self, scope: Any, receive: Any) -> HttpResponse | None:
        body = await _body(scope, receive)
        if body is None:
            return None
        request = _request(scope, body)
        if len(body) > MAX_BODY:
            return _closing(self.pipeline.refuse(request, fault("RequestEntityTooLarge", limit=MAX_BODY)))
        begun = self.pipeline.begin(request)
        if isinstance(begun, HttpResponse):
            return begun
        lane = self.pipeline.lane(begun)
        if lane is Lane.INLINE:
            return self.pipeline.finish(begun)
        return await asyncio.get_running_loop().run_in_executor(self._threads[lane], self.pipeline.finish, begun)

    def close(self) -> None:
        """Wait for what is being written."""
        for threads in self._threads.values():
            threads.shutdown()


def _request(scope: Any, body: bytes) -> HttpRequest:
    peer = scope.get("client") or ("", 0)
    return HttpRequest(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]),
        body=body,
        peer=peer[0],
        secure=scope["scheme"] == "https",
    )


async def _body(scope: Any, receive: Any) -> bytes | None:
    """The whole body; None if the client went away; of one that is too large, just enough to tell."""
    headers = dict(scope["headers"])
    declared = int(headers.get(b"content-length", b"0"))
    if declared > MAX_DRAIN or (declared > MAX_BODY and b"expect" in headers):
        return bytes(MAX_BODY + 1)
    parts, size, more = [], 0, True
    while more and size <= MAX_DRAIN:
        message = await receive()
        if message["type"] != "http.request":
            return None
        size += len(message["body"])
        if size - len(message["body"]) <= MAX_BODY:
            parts.append(message["body"])
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _closing(response: HttpResponse) -> HttpResponse:
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
    tls: tuple[Path, Path] | None = None, protocol: type[GuardedProtocol] = GuardedProtocol,
) -> tuple[Server, Application]:  # fmt: skip
    """A server ready to `run()`. `tls`: certificate chain and private key files; TLS 1.2 or newer with forward secrecy."""
    application = Application(pipeline)
    config = uvicorn.Config(
        application, host=host, port=port, http=protocol, ws="none", lifespan="off", access_log=False,
        log_config=None, log_level="error", server_header=False, proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=5, backlog=512,
        ssl_certfile=str(tls[0]) if tls else None, ssl_keyfile=str(tls[1]) if tls else None,
    )  # fmt: skip
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        config.ssl.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    return Server(config, on_ready), application
