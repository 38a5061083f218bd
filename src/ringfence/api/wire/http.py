"""An HTTP request and response as plain values: what the server hands to the pipeline and gets back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property


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


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One response. `length`: what a HEAD request is told, which is answered without the body it would have."""

    status: int
    body: bytes
    content_type: str = "text/xml;charset=UTF-8"
    headers: tuple[tuple[str, str], ...] = field(default=())
    length: int | None = None
