"""An HTTP request and response as plain values: what the server hands to the pipeline and gets back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol


@dataclass(frozen=True)
class HttpRequest:
    """One request. `path` and `query` are raw (still percent-encoded); header names are lower-case."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    peer: str = "127.0.0.1"
    secure: bool = False
    by_instance_door: bool = False  # what is not of AWS is not there
    endpoint: str | None = None  # the gateway endpoint it came through, told by the socket it came in by

    @cached_property
    def _first(self) -> dict[str, str]:
        return dict(reversed(self.headers))

    @cached_property
    def joined(self) -> dict[str, str]:
        """Headers by name; the values of repeated ones joined by commas, as the canonical request wants them."""
        out: dict[str, str] = {}
        for name, value in self.headers:
            out[name] = f"{out[name]},{value}" if name in out else value
        return out

    def header(self, name: str, default: str = "") -> str:
        """The first header of that (lower-case) name."""
        return self._first.get(name, default)


class Flow(Protocol):
    """A body that comes piece by piece for as long as it goes on. Whoever makes a response with one sees to it that it is closed.

    It keeps no more than it can hold while nobody takes: a client that is slow is its own to deal with.
    """

    def watch(self, still: Callable[[], None]) -> None:
        """`still` is asked now and then; ApiError when the caller may not see it any more."""
        ...

    def begin(self, wake: Callable[[], None]) -> None:
        """From now on pieces are taken. `wake`, for any thread: there is something to take."""
        ...

    def take(self) -> bytes | None:
        """The next piece; empty when there is none yet, None when it is over."""
        ...

    def stop(self) -> None:
        """The server ends: come to an end that the client is told of."""
        ...

    def close(self) -> None:
        """Nobody takes any more."""
        ...


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One response. `length`: what a HEAD request is told, which is answered without the body it would have. `flow`: what comes in
    place of a body."""

    status: int
    body: bytes
    content_type: str = "text/xml;charset=UTF-8"
    headers: tuple[tuple[str, str], ...] = field(default=())
    length: int | None = None
    flow: Flow | None = None
