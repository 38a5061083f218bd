"""One HTTP connection: requests in, answers out, in order (docs/adr/0002).

httptools reads, the pipeline answers; there is no framework in between, since its share of a call's CPU was larger than
ours. A client that is slow to send its request or to take its answer is cut off, and whatever is not a proper HTTP
request is refused in an AWS error shape.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import httptools

from ringfence.api.budget import FREE, Budget, Share
from ringfence.api.pipeline import MAX_BODY
from ringfence.api.tls import is_approved
from ringfence.api.wire import fault as wire_fault
from ringfence.api.wire.http import Flow, HttpRequest, HttpResponse
from ringfence.model.errors import ApiError, fault

log = logging.getLogger("ringfence.api")

REQUEST_SECONDS = 30.0  # from the first byte of a request to its last
STALL_SECONDS = 30.0  # without a byte of an answer being taken
KEEP_ALIVE_SECONDS = 75.0
MAX_HEADER_BYTES = 64 << 10
MAX_CONNECTIONS = 1000
MAX_DUE = 16  # pipelined requests that wait; past that nothing is read
MAX_DRAIN = 16 << 20  # of a body that is too large: read and dropped, so that the client gets to read the refusal
_SMALL = 64 << 10  # an answer that is copied behind its head; a longer one is written as it is
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_BODILESS = frozenset({"GET", "HEAD", "DELETE"})
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _HeadersTooLarge(Exception):
    """More than MAX_HEADER_BYTES of headers."""


@dataclass(slots=True)
class Exchange:
    """A request that is whole, or known to be refused, and waits for its answer."""

    request: HttpRequest
    keep_alive: bool
    share: Share | None  # of what bodies may hold together; given back with the answer
    refusal: ApiError | None = None
    chunked: bool = True  # HTTP/1.1: an answer may come in chunks


class Responder(Protocol):
    """What answers requests."""

    approved_only: bool  # connections end whose cipher FIPS does not approve

    def respond(
        self,
        request: HttpRequest,
        refusal: ApiError | None,
        deliver: Callable[[HttpResponse], None],
        *,
        alone: bool = False,
    ) -> HttpResponse | None:
        """The answer; None when it comes later, by `deliver` from another thread. `alone`: nobody else is connected."""
        ...

    def room(self, request: HttpRequest) -> int:
        """How many bytes the body may have; asked once the headers are known."""
        ...

    def budget(self, room: int) -> Budget:
        """What a body that may have so many bytes is counted against."""
        ...


class Connection(asyncio.Protocol):
    """One connection, with limits on time and size. Made by uvicorn's Server, which keeps the set of connections.

    INVARIANT: while a request is read and incomplete, and while an answer is not taken, a timer runs.
    INVARIANT: one request at a time is executed; those behind it wait in `_due`, and while many wait nothing is read. One whose
    answer is a flow is executed until the flow is over.
    """

    request_seconds, stall_seconds, idle_seconds = REQUEST_SECONDS, STALL_SECONDS, KEEP_ALIVE_SECONDS
    max_connections = MAX_CONNECTIONS
    by_instance_door = False
    endpoint: str | None = None
    transport: Any = None

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self.server_state = server_state
        self._responder: Responder = config.loaded_app
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)  # what follows the last one is ignored
        self._peer, self._secure = "", False
        self._due: deque[Exchange] = deque()
        self._running: Exchange | None = None
        self._flow: Flow | None = None  # the answer of the running request, from its head to its end
        self._last = False  # no further request is taken: the connection ends after the answers that are due
        self._paused_reading = self._paused_writing = False
        self._begin()
        self._incomplete = False  # a request has begun and is not whole
        self._waiting_for_rest = self._begun_now = False
        self._expires: float | None = None  # when what is awaited must have come
        self._alarm: asyncio.TimerHandle | None = None  # rings no later than `_expires`
        self._rings = 0.0
        self._stall: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ the connection
    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        connections = self.server_state.connections
        connections.add(self)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        self._secure = transport.get_extra_info("sslcontext") is not None
        if self._secure and self._responder.approved_only and not is_approved(transport.get_extra_info("cipher")[0]):
            transport.abort()
            return
        if len(connections) > self.max_connections:
            self._refuse(fault("ServiceUnavailable", message="Too many connections"))
        else:
            self._await(self.request_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server_state.connections.discard(self)
        self._give_back(self._share)
        if self._flow is not None:
            self._flow.close()
            self._flow = None
        self._forget_due()  # what is being executed goes on: its answer finds nobody
        self._await(None)
        for timer in (self._alarm, self._stall):
            if timer is not None:
                timer.cancel()
        self._alarm = self._stall = None

    def shutdown(self) -> None:
        """uvicorn's Server calls this when it stops: what is due is still answered."""
        if self._running is None and not self._due:
            self._close()
        else:
            self._last = True
            if self._flow is not None:
                self._flow.stop()

    # ------------------------------------------------------------------ the request
    def data_received(self, data: bytes) -> None:
        if self._last or self.transport.is_closing():
            return
        self._begun_now = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # nothing is upgraded: the request is answered like any other, and is the last
        except httptools.HttpParserError as problem:
            if not self._last:
                self._refuse(_unreadable(problem))
        # how much of the piece in which headers began is theirs cannot be told; all of the following ones is
        if self._in_headers and not self._begun_now:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._refuse(_headers_too_large())
        self._next()

    def _begin(self) -> None:
        self._url, self._headers = b"", list[tuple[str, str]]()
        self._parts, self._size, self._header_bytes = list[bytes](), 0, 0
        self._in_headers = self._expects = False
        self._room, self._drain = MAX_BODY, MAX_DRAIN
        self._share: Share | None = None  # of the budget of all bodies; None while the body is small
        self._starved = False

    def on_message_begin(self) -> None:
        if self._last:
            return
        self._begin()
        self._in_headers = self._begun_now = self._incomplete = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if sum([len(name) + len(value) for name, value in self._headers]) + len(self._url) > MAX_HEADER_BYTES:
            raise _HeadersTooLarge
        self._in_headers = False
        self._method = self._parser.get_method().decode("ascii")
        self._path, self._query = _target(self._url)
        head = HttpRequest(self._method, self._path, self._query, tuple(self._headers), b"", self._peer, self._secure)
        self._room = MAX_BODY if self._method in _BODILESS else self._responder.room(head)
        self._drain = max(MAX_DRAIN, self._room)
        for name, value in self._headers:
            if name == "expect" and value.lower() == "100-continue":
                self._expects = True
            elif name == "content-length":
                self._size_declared(int(value))

    def _size_declared(self, size: int) -> None:
        expects = any(name == "expect" for name, _ in self._headers)
        if size > self._drain or (size > self._room and expects):
            self._whole(self._too_large())
        elif expects and not self._responder.budget(self._room).fits(size):
            self._whole(_crowded())

    def _too_large(self) -> ApiError:
        return fault("RequestEntityTooLarge" if self._room == MAX_BODY else "EntityTooLarge", limit=self._room)

    def on_body(self, body: bytes) -> None:
        if self._last:
            return
        self._size += len(body)
        if self._size > self._drain:
            self._whole(self._too_large())
        elif self._size <= self._room and not self._starved:
            self._keep(body)

    def _keep(self, piece: bytes) -> None:
        """Hold a piece of the body, if there is room for it among all the others; else none of it."""
        if self._size > FREE:
            self._share = self._share or Share(self._responder.budget(self._room))
            # behind a flow it would be held for hours
            self._starved = self._flow is not None or not self._share.grow(self._size)
        if self._starved:
            self._parts.clear()
            self._give_back(self._share)
        else:
            self._parts.append(piece)

    @staticmethod
    def _give_back(share: Share | None) -> None:
        if share is not None:
            share.end()

    def on_message_complete(self) -> None:
        if not self._last:
            self._whole(self._too_large() if self._size > self._room else _crowded() if self._starved else None)

    def _whole(self, refusal: ApiError | None) -> None:
        """The newest request is complete, or need not be."""
        if self._last:
            return
        parts = self._parts
        request = HttpRequest(
            self._method, self._path, self._query, tuple(self._headers),
            parts[0] if len(parts) == 1 else b"".join(parts), self._peer, self._secure,
            self.by_instance_door, self.endpoint,
        )  # fmt: skip
        parser = self._parser
        keep = refusal is None and parser.should_keep_alive() and not parser.should_upgrade()
        old = parser.get_http_version() == "1.0"
        keep = keep and not old
        self._incomplete, self._last = False, not keep
        self._due.append(Exchange(request, keep, self._share, refusal, chunked=not old))
        self._share = None

    # ------------------------------------------------------------------ turn by turn
    def _next(self) -> None:
        """Begin the request whose turn it is, unless one is running or the client does not take its answers."""
        if self._running is None and self._due and not self._paused_writing and not self.transport.is_closing():
            exchange = self._running = self._due.popleft()
            try:
                response = self._responder.respond(
                    exchange.request, exchange.refusal, self._deliver, alone=len(self.server_state.connections) == 1
                )
            except Exception:
                log.exception("a request could not be answered")
                response = wire_fault.render("ec2", fault("InternalError"), "-")
            if response is not None:
                self._answer(response)
        self._settle()

    def _deliver(self, response: HttpResponse) -> None:
        """From another thread."""
        try:
            self.loop.call_soon_threadsafe(self._answered, response)
        except RuntimeError:  # the loop has ended: nobody is there to be answered
            _drop(response)
            log.warning("an answer came after the server's end")

    def _answered(self, response: HttpResponse) -> None:
        self._answer(response)
        self._settle()

    def _answer(self, response: HttpResponse) -> None:
        exchange, self._running, self._expires = self._running, None, None
        if exchange is None or self.transport.is_closing():
            self._give_back(exchange.share if exchange is not None else None)
            _drop(response)
            return
        self._give_back(exchange.share)
        keep, bodiless = exchange.keep_alive and (not self._last or bool(self._due)), exchange.request.method == "HEAD"
        self.server_state.total_requests += 1
        if response.flow is not None and not bodiless:
            self._running, self._flow = exchange, response.flow
            self._write_head(
                response, keep=keep, framing=b"transfer-encoding: chunked\r\n" if exchange.chunked else b""
            )
            response.flow.begin(self._woken)
            self._pour()
            return
        _drop(response)
        self._write(response, keep=keep, body=not bodiless)
        self._answered_whole(keep=keep)

    def _answered_whole(self, *, keep: bool) -> None:
        if not keep:
            self._close()
        elif self._due:
            self.loop.call_soon(self._next)  # others have their turn in between

    # ------------------------------------------------------------------ an answer in pieces
    def _woken(self) -> None:
        """From any thread: the flow has something."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the connection
            self.loop.call_soon_threadsafe(self._pour)

    def _pour(self) -> None:
        """Pass on what the flow has, as far as the client takes it."""
        exchange = self._running
        while (
            self._flow is not None
            and exchange is not None
            and not (self._paused_writing or self.transport.is_closing())
        ):
            piece = self._flow.take()
            if piece:
                self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if exchange.chunked else piece)
            elif piece is None:
                self._flow.close()
                self._flow = self._running = None
                self.transport.write(b"0\r\n\r\n" if exchange.chunked else b"")
                self._answered_whole(keep=exchange.keep_alive and not (self._last and not self._due))
                self._settle()
            else:
                return

    def _settle(self) -> None:
        """Read on or not, and for how long to wait for what."""
        if self.transport.is_closing():
            return
        busy = self._running is not None
        if (len(self._due) > MAX_DUE) is not self._paused_reading:  # below that a client that leaves is noticed
            self._paused_reading = not self._paused_reading
            (self.transport.pause_reading if self._paused_reading else self.transport.resume_reading)()
        if self._incomplete and not self._paused_reading:  # while we do not read, the client cannot be late
            if not self._waiting_for_rest:
                self._waiting_for_rest = True
                self._await(self.request_seconds)
            if self._expects and not busy and not self._in_headers:
                self._expects = False
                self.transport.write(_CONTINUE)
            return
        if busy or self._due:
            self._waiting_for_rest = False
            self._expires = None
        elif self._expires is None or self._waiting_for_rest:
            self._waiting_for_rest = False
            self._await(self.idle_seconds)

    # ------------------------------------------------------------------ time
    def _await(self, seconds: float | None) -> None:
        """From now on something must come within so many seconds; None: nothing is awaited."""
        if seconds is None:
            self._expires = None
            return
        self._expires = expires = self.loop.time() + seconds
        if self._alarm is None or self._rings > expires:
            if self._alarm is not None:
                self._alarm.cancel()
            self._rings = expires
            self._alarm = self.loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._expires is None or self.transport.is_closing():
            return
        left = self._expires - self.loop.time()
        if left > 0.001:
            self._rings = self._expires
            self._alarm = self.loop.call_later(left, self._ring)
        elif self._incomplete:
            self._refuse(fault("RequestTimeout", seconds=round(self.request_seconds)))
        else:
            self._close()  # nothing was asked

    # ------------------------------------------------------------------ the answer
    def _refuse(self, error: ApiError) -> None:
        """Refuse what never became a request and end the connection, after the answers that are due before it."""
        if self.transport.is_closing():
            return
        self._last, self._incomplete = True, False
        if self._running is None and not self._due:
            self._write(wire_fault.render("ec2", error, "-"), keep=False, body=True)
            self._close()

    def _write(self, response: HttpResponse, *, keep: bool, body: bool) -> None:
        length = len(response.body) if response.length is None else response.length
        head = self._head_of(response, keep=keep, framing=b"content-length: %d\r\n" % length)
        if body and len(response.body) <= _SMALL:
            head.append(response.body)
        self.transport.write(b"".join(head))
        if body and len(response.body) > _SMALL:
            self.transport.write(response.body)

    def _write_head(self, response: HttpResponse, *, keep: bool, framing: bytes) -> None:
        self.transport.write(b"".join(self._head_of(response, keep=keep, framing=framing)))

    def _head_of(self, response: HttpResponse, *, keep: bool, framing: bytes) -> list[bytes]:
        head = [_STATUS[response.status]]
        head += [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
        head += [_head(response), framing, b"\r\n" if keep else b"connection: close\r\n\r\n"]
        return head

    def pause_writing(self) -> None:
        self._paused_writing = True
        self._watch_answer()

    def resume_writing(self) -> None:
        self._paused_writing = False
        if not self.transport.is_closing():
            if self._stall is not None:
                self._stall.cancel()
                self._stall = None
            self._pour()
            self._next()

    def _forget_due(self) -> None:
        for exchange in self._due:
            self._give_back(exchange.share)
        self._due.clear()

    def _close(self) -> None:
        self._forget_due()
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


def _drop(response: HttpResponse) -> None:
    """Nobody takes what would have come."""
    if response.flow is not None:
        response.flow.close()


def _target(url: bytes) -> tuple[str, str]:
    """Path and query string, raw. An exception (the parser makes a HttpParserError of it) for what is no target."""
    if url == b"/":
        return "/", ""
    parsed = httptools.parse_url(url)
    return parsed.path.decode("ascii"), (parsed.query or b"").decode("latin-1")


def _crowded() -> ApiError:
    return fault("ServiceUnavailable", message="Too many large requests at once. Please reduce your request rate.")


def _unreadable(problem: Exception) -> ApiError:
    if isinstance(problem.__context__, _HeadersTooLarge):
        return _headers_too_large()
    return fault("InvalidRequest", message="The request is not valid HTTP")


def _headers_too_large() -> ApiError:
    return fault("InvalidRequest", message=f"The request headers exceed {MAX_HEADER_BYTES} bytes")


def _head(response: HttpResponse) -> bytes:
    lines = [f"content-type: {_CONTROL.sub('', response.content_type)}\r\n"]
    for name, value in response.headers:
        lines.append(f"{name}: {_CONTROL.sub('', value)}\r\n")
    return "".join(lines).encode("latin-1", "replace")
