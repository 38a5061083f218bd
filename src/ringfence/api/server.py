"""The HTTP server: uvicorn's start, stop and TLS around our own connections (docs/adr/0002).

Quick reads run on the event loop, one after the other: they take no lock. Long reads run on a small pool, writes on one
thread, because they wait for the disk.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import uvicorn

from ringfence.api.connection import KEEP_ALIVE_SECONDS, Connection
from ringfence.api.pipeline import MAX_BODY, Lane, Pipeline
from ringfence.api.wire import fault as wire_fault
from ringfence.api.wire.http import HttpRequest, HttpResponse
from ringfence.model.errors import ApiError, fault

log = logging.getLogger("ringfence.api")
_Job = Callable[[], None]


class Workers:
    """Threads that do one job after the other, in the order given."""

    def __init__(self, name: str, count: int) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: _Job) -> None:
        """`job` must not raise."""
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def close(self) -> None:
        """Do what was submitted, then end."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()


class Application:
    """What connections ask: the pipeline, each part of it on the thread where it belongs."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._workers = {
            Lane.WRITER: Workers("writer", 1),
            Lane.READER: Workers("reader", 2),
            Lane.OBJECTS: Workers("objects", 1),
        }

    def respond(
        self, request: HttpRequest, refusal: ApiError | None, deliver: Callable[[HttpResponse], None]
    ) -> HttpResponse | None:
        """The answer; None when it comes later, by `deliver` from another thread."""
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

        def job() -> None:
            try:
                response = self.pipeline.finish(begun)
            except Exception:
                log.exception("a request could not be answered")
                response = wire_fault.render("ec2", fault("InternalError"), "-")
            deliver(response)

        self._workers[lane].submit(job)
        return None

    def room(self, request: HttpRequest) -> int:
        """How many bytes the body may have."""
        return self.pipeline.room(request)

    def close(self) -> None:
        """Wait for what is being written."""
        for workers in self._workers.values():
            workers.close()


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
    tls: ssl.SSLContext | None = None, protocol: type[Connection] = Connection,
) -> tuple[Server, Application]:  # fmt: skip
    """A server ready to `run()`. `tls`: see `tls.py`; None = plain HTTP."""
    application: Any = Application(pipeline)
    config = uvicorn.Config(
        application, host=host, port=port, http=protocol, ws="none", lifespan="off", interface="asgi3",
        access_log=False, log_config=None, log_level="error", server_header=False, proxy_headers=False,
        timeout_keep_alive=int(KEEP_ALIVE_SECONDS), timeout_graceful_shutdown=5, backlog=512,
    )  # fmt: skip
    config.load()
    config.ssl = tls
    return Server(config, on_ready), application
