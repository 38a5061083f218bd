"""The HTTP server: uvicorn's start, stop and TLS around our own connections (docs/adr/0002).

Quick reads run on the event loop, one after the other: they take no lock. Long reads run on a small pool, writes on one
thread, because they wait for the disk; while a client is alone, and the disk quick, there is nobody whom its write could
hold up, and it runs on the loop too.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import uvicorn

from ringfence.api.begun import Begun, Lane, Reset, Scrape
from ringfence.api.budget import STRANGERS, VOUCHED, Budget
from ringfence.api.connection import KEEP_ALIVE_SECONDS, Connection
from ringfence.api.instance_door import InstanceDoor
from ringfence.api.pipeline import MAX_BODY, Pipeline
from ringfence.api.wire import fault as wire_fault
from ringfence.api.wire.http import HttpRequest, HttpResponse
from ringfence.model.errors import ApiError, fault

log = logging.getLogger("ringfence.api")
_Job = Callable[[], None]
#: the disk is quick when so many writes in a row took no longer than that
QUICK_WRITES, QUICK_SECONDS = 16, 0.02


class Workers:
    """Threads that do one job after the other, in the order given."""

    def __init__(self, name: str, count: int) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._given = 0  # counted where jobs are given,
        self._done = [0] * count  # and by each thread for itself
        self._threads = [
            threading.Thread(target=self._work, args=(n,), name=f"{name}-{n}", daemon=True) for n in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: _Job) -> None:
        """`job` must not raise. Only from one thread."""
        self._given += 1
        self._jobs.put(job)

    @property
    def idle(self) -> bool:
        """Is everything done that was submitted? For the thread that submits."""
        return self._given == sum(self._done)

    def _work(self, mine: int) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            self._done[mine] += 1

    def close(self) -> None:
        """Do what was submitted, then end."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()


class Application:
    """What connections ask: the pipeline, each part of it on the thread where it belongs."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline, self.approved_only = pipeline, pipeline.approved_only
        self._workers = {
            Lane.WRITER: Workers("writer", 1),
            Lane.READER: Workers("reader", 2),
            Lane.OBJECTS: Workers("objects", 1),
        }
        self._strangers, self._vouched = Budget(STRANGERS), Budget(VOUCHED)
        self._quick = 0  # so many writes in a row, up to the last, were quick

    def respond(
        self,
        request: HttpRequest,
        refusal: ApiError | None,
        deliver: Callable[[HttpResponse], None],
        *,
        alone: bool = False,
    ) -> HttpResponse | None:
        """The answer; None when it comes later, by `deliver` from another thread. `alone`: nobody else is connected."""
        if refusal is not None:
            return self.pipeline.refuse(request, refusal)
        if len(request.body) > MAX_BODY:  # hashing it takes time: not on the event loop
            self._workers[Lane.OBJECTS].submit(lambda: deliver(self.pipeline.handle(request)))
            return None
        begun = self.pipeline.begin(request)
        if isinstance(begun, HttpResponse):
            return begun
        lane = self.pipeline.lane(begun)
        if lane is Lane.INLINE:
            return self.pipeline.finish(begun)
        if alone and lane is Lane.WRITER and self._may_write_here(begun):
            return self._write(begun)

        def job() -> None:
            deliver(self._write(begun) if lane is Lane.WRITER else self._finish(begun))

        self._workers[lane].submit(job)
        return None

    def _may_write_here(self, begun: Begun | Reset | Scrape) -> bool:
        """May this write run on the event loop? Writes stay in the order they came in."""
        light = isinstance(begun, Begun) and not begun.operation.aside
        return light and self._quick >= QUICK_WRITES and self._workers[Lane.WRITER].idle

    def _write(self, begun: Begun | Reset | Scrape) -> HttpResponse:
        start = time.monotonic()
        response = self._finish(begun)
        self._quick = self._quick + 1 if time.monotonic() - start <= QUICK_SECONDS else 0
        return response

    def _finish(self, begun: Begun | Reset | Scrape) -> HttpResponse:
        try:
            return self.pipeline.finish(begun)
        except Exception:
            log.exception("a request could not be answered")
            return wire_fault.render("ec2", fault("InternalError"), "-")

    def room(self, request: HttpRequest) -> int:
        """How many bytes the body may have."""
        return self.pipeline.room(request)

    def budget(self, room: int) -> Budget:
        """What a body that may have so many bytes is counted against."""
        return self._vouched if room > MAX_BODY else self._strangers

    def close(self) -> None:
        """Wait for what is being written."""
        for workers in self._workers.values():
            workers.close()


class Server(uvicorn.Server):
    """A uvicorn server that says when it listens (and, by uvicorn's own handling, stops on SIGINT and SIGTERM)."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], door: InstanceDoor | None) -> None:
        super().__init__(config)
        self._on_ready, self._door = on_ready, door

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            if self._door is not None:
                self._door.open(self.config, self.server_state)
            self._on_ready()

    async def shutdown(self, sockets: Any = None) -> None:
        if self._door is not None:
            self._door.close()
        await super().shutdown(sockets)


def server(
    pipeline: Pipeline, host: str, port: int, *, on_ready: Callable[[], None],
    tls: ssl.SSLContext | None = None, protocol: type[Connection] = Connection, door: InstanceDoor | None = None,
) -> tuple[Server, Application]:  # fmt: skip
    """A server ready to `run()`. `tls`: see `tls.py`; None = plain HTTP. `door`: where instances come in."""
    application: Any = Application(pipeline)
    config = uvicorn.Config(
        application, host=host, port=port, http=protocol, ws="none", lifespan="off", interface="asgi3",
        access_log=False, log_config=None, log_level="error", server_header=False, proxy_headers=False,
        timeout_keep_alive=int(KEEP_ALIVE_SECONDS), timeout_graceful_shutdown=5, backlog=512,
    )  # fmt: skip
    config.load()
    config.ssl = tls
    return Server(config, on_ready, door), application
