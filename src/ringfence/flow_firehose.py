"""Flow logs to an HTTP endpoint, in the requests that Amazon Data Firehose makes (Amazon Data Firehose Developer Guide: "HTTP
endpoint delivery request and response specifications"; Amazon VPC User Guide: "Publish flow logs to Amazon Data Firehose").

Streams are the operator's: a name, an address, and a key if there is one. A record is a line of text with a line end. A batch that is
sent again has the id it had, so that the endpoint can tell. What the endpoint does not take waits with the flow log's other records.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import ipaddress
import json
import logging
import ssl
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ringfence.flow_sinks import ACCESS, RATE, UNKNOWN, DestinationError
from ringfence.insight.flowlogs.lines import line
from ringfence.insight.flowlogs.records import Record
from ringfence.model.clock import Clock
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.settings import SettingsError

log = logging.getLogger("ringfence.flowlogs")

#: AWS: one MiB at most until it is told otherwise; 500 records are what PutRecordBatch takes
MOST_BYTES, MOST_RECORDS = 1 << 20, 500
MOST_ANSWER = 1 << 20
SECONDS = 30.0  # AWS waits three minutes; here one slow endpoint must not keep other flow logs waiting so long
_REFUSED, _SLOWER = frozenset({401, 403}), frozenset({413, 429})


class BadEndpoint(ValueError):
    """No address that records are sent to; the text says why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An HTTPS address; plain HTTP on this machine's loopback. `key`: sent as X-Amz-Firehose-Access-Key."""

    secure: bool
    host: str
    port: int
    path: str
    key: str | None = None

    @staticmethod
    def parse(url: str, key: str | None = None) -> Endpoint:
        """BadEndpoint."""
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise BadEndpoint("not a URL") from None
        if parts.username is not None or parts.password is not None:  # DATA-07
            raise BadEndpoint("a URL with credentials in it; a key is given in a file")
        host = parts.hostname or ""
        if not host or parts.fragment:
            raise BadEndpoint("not the URL of an endpoint")
        if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(host)):
            raise BadEndpoint("not https (plain http only on loopback)")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Endpoint(parts.scheme == "https", host, port, path, key)

    def post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and the beginning of the answer; redirects are not followed. OSError, http.client.HTTPException."""
        if self.secure:
            context = ssl.create_default_context()
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                self.host, self.port, timeout=SECONDS, context=context
            )  # fmt: skip
        else:
            made = http.client.HTTPConnection(self.host, self.port, timeout=SECONDS)
        try:
            made.request("POST", self.path, body, dict(headers))
            answer = made.getresponse()
            return answer.status, answer.read(MOST_ANSWER)
        finally:
            made.close()


def endpoints(given: Iterable[tuple[str, str, Path | None]]) -> dict[str, Endpoint]:
    """The operator's streams by name. SettingsError."""
    found: dict[str, Endpoint] = {}
    for name, url, file in given:
        try:
            key = file.read_text().strip() if file is not None else None
            if key is not None and (not key.isascii() or not key.isprintable() or not key):
                raise BadEndpoint("its key is not one line of printable characters")
            found[name] = Endpoint.parse(url, key)
        except (BadEndpoint, OSError, UnicodeDecodeError) as problem:
            raise SettingsError(f"delivery stream {name}: {problem}") from None
    return found


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def stream_of(log: FlowLog) -> str:
    """The name of the delivery stream that a flow log goes to."""
    return (log.destination or "").partition(":deliverystream/")[2]


class FirehoseSink:
    """The operator's delivery streams, by name."""

    def __init__(self, streams: Mapping[str, Endpoint], clock: Clock) -> None:
        self._streams, self._clock = streams, clock

    def deliver(self, log: FlowLog, records: Sequence[Record]) -> Iterator[Sequence[Record]]:
        endpoint = self._streams.get(stream_of(log))
        if endpoint is None:
            raise DestinationError(ACCESS)
        for part, lines in _parts(log, records):
            self._send(log, endpoint, lines)
            yield part

    def _send(self, row: FlowLog, endpoint: Endpoint, lines: list[bytes]) -> None:
        """DestinationError unless the endpoint says that it has them."""
        id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{row.id}/" + b"".join(lines).hex()))
        now = int(self._clock.now().timestamp() * 1000)
        body = {
            "requestId": id, "timestamp": now, "records": [{"data": base64.b64encode(one).decode()} for one in lines]
        }  # fmt: skip
        try:
            status, answer = endpoint.post(
                gzip.compress(json.dumps(body).encode(), mtime=0), _headers(row, endpoint, id)
            )
        except (OSError, http.client.HTTPException) as problem:
            log.warning("delivery stream %s does not answer: %r", stream_of(row), problem)
            raise DestinationError(UNKNOWN) from problem
        if status == 200 and _acknowledges(answer, id):
            return
        log.warning("delivery stream %s answered %d: %.200r", stream_of(row), status, answer[:200])
        raise DestinationError(ACCESS if status in _REFUSED else RATE if status in _SLOWER else UNKNOWN)


def _headers(row: FlowLog, endpoint: Endpoint, id: str) -> dict[str, str]:
    attributes = {"commonAttributes": {"flow-log-id": row.id, "log-format": " ".join(row.fields)}}
    held = {
        "Content-Type": "application/json", "Content-Encoding": "gzip", "X-Amz-Firehose-Protocol-Version": "1.0",
        "X-Amz-Firehose-Request-Id": id, "X-Amz-Firehose-Source-Arn": row.destination or "",
        "X-Amz-Firehose-Common-Attributes": json.dumps(attributes), "User-Agent": "Amazon Kinesis Data Firehose Agent/1.0",
    }  # fmt: skip
    return held | ({"X-Amz-Firehose-Access-Key": endpoint.key} if endpoint.key else {})


def _acknowledges(answer: bytes, id: str) -> bool:
    """The answer names the request, and no error."""
    try:
        read = json.loads(answer)
    except (ValueError, RecursionError):
        return False
    return isinstance(read, dict) and read.get("requestId") == id and isinstance(read.get("timestamp"), int | float)


def _parts(log: FlowLog, records: Sequence[Record]) -> Iterator[tuple[list[Record], list[bytes]]]:
    part: list[Record] = []
    lines: list[bytes] = []
    size = 0
    for record in records:
        text = f"{line(record, log.fields)}\n".encode()
        if part and (size + len(text) > MOST_BYTES or len(part) == MOST_RECORDS):
            yield part, lines
            part, lines, size = [], [], 0
        part.append(record)
        lines.append(text)
        size += len(text)
    if part:
        yield part, lines
