"""Flow logs to HTTP endpoints in Firehose's requests (FL-04, RES-13; "HTTP endpoint delivery request and response specifications")."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence import deliveries
from ringfence.cli.main import main, parser
from ringfence.cli.up import settings_of
from ringfence.flow_deliveries import FlowDeliverer
from ringfence.flow_firehose import MOST_RECORDS, BadEndpoint, Endpoint, FirehoseSink, endpoints
from ringfence.model.nouns.flow_log import FIREHOSE
from ringfence.settings import SettingsError
from tests.api.front import ACCOUNT
from tests.api.test_flow_deliveries import Lab as Buckets

ARN = f"arn:aws:firehose:us-east-1:{ACCOUNT}:deliverystream/siem"
#: (status, answer) for a request id
Answer = Callable[[str], tuple[int, bytes]]


def taken(id: str) -> tuple[int, bytes]:
    return 200, json.dumps({"requestId": id, "timestamp": 1}).encode()


class Server:
    """An endpoint on loopback that keeps what it is sent and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.answer: Answer = taken
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                read = json.loads(gzip.decompress(body))
                outer.requests.append((headers, read))
                status, answer = outer.answer(read["requestId"])
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"http://127.0.0.1:{outer.port}/elsewhere")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                return None

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def lines(self) -> list[str]:
        """Every record that was sent, however often."""
        return [base64.b64decode(one["data"]).decode() for _, body in self.requests for one in body["records"]]


class Lab(Buckets):
    """The installation of the other deliveries, with one delivery stream instead of a bucket."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.server = server
        super().__init__(folder)

    def restart(self) -> None:
        sink = FirehoseSink({"siem": Endpoint.parse(f"http://127.0.0.1:{self.server.port}/in?x=1", "the-key")}, self)  # type: ignore[arg-type]  # fmt: skip
        self.deliverer = FlowDeliverer(
            self.front.store, self.counter, {FIREHOSE: sink}, self.folder / "flows", self, most=self.most  # type: ignore[arg-type]
        )  # fmt: skip
        self.front.pipeline.outside = deliveries.FromHere(
            self.front.store, None, self.deliverer, sinks=frozenset({FIREHOSE}), streams=frozenset({(ACCOUNT, "siem")})  # type: ignore[arg-type]
        )  # fmt: skip

    def log(self, **how: Any) -> str:
        return super().log(**{"LogDestinationType": FIREHOSE, "LogDestination": ARN, **how})


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def lab(tmp_path: Path, server: Server) -> Lab:
    return Lab(tmp_path, server)


def test_the_request_is_firehoses(lab: Lab, server: Server) -> None:
    id = lab.log()
    lab.count(1001, 1002)
    lab.collect()
    lab.deliverer.deliver()
    ((headers, body),) = server.requests
    assert headers["x-amz-firehose-protocol-version"] == "1.0"
    assert headers["x-amz-firehose-request-id"] == body["requestId"]
    assert headers["x-amz-firehose-source-arn"] == ARN
    assert headers["x-amz-firehose-access-key"] == "the-key"
    assert (headers["content-type"], headers["content-encoding"]) == ("application/json", "gzip")
    assert json.loads(headers["x-amz-firehose-common-attributes"])["commonAttributes"]["flow-log-id"] == id
    assert sorted(body) == ["records", "requestId", "timestamp"]
    assert f"{lab.eni} 1001 1 40 OK\n" in server.lines()
    assert lab.shown() == ("SUCCESS", None)
    lab.deliverer.deliver()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda id: (500, b"{}"), "Unknown error"),
        (lambda id: (302, taken(id)[1]), "Unknown error"),
        (lambda id: (200, b""), "Unknown error"),
        (lambda id: (200, b"[" * 10_000), "Unknown error"),
        (lambda id: (200, taken("another")[1]), "Unknown error"),
        (lambda id: (200, json.dumps({"requestId": id}).encode()), "Unknown error"),
        (lambda id: (401, taken(id)[1]), "Access error"),
        (lambda id: (429, b""), "Rate limited"),
    ],
)
def test_what_is_not_acknowledged_waits_and_comes_again_under_its_id(
    lab: Lab, server: Server, answer: Answer, error: str
) -> None:
    """RES-13"""
    lab.log()
    server.answer = answer
    lab.count(1001)
    lab.collect()
    lab.deliverer.deliver()
    lab.deliverer.deliver()
    assert lab.shown() == ("FAILED", error)
    first, second = (headers["x-amz-firehose-request-id"] for headers, _ in server.requests)
    assert first == second
    server.answer = taken
    lab.deliverer.deliver()
    assert lab.shown() == ("SUCCESS", None)
    assert server.requests[-1][0]["x-amz-firehose-request-id"] == first


def test_past_the_bound_it_says_what_was_lost(tmp_path: Path, server: Server) -> None:
    lab = Lab(tmp_path, server)
    lab.deliverer._most = 3
    lab.log()
    server.answer = lambda id: (503, b"")
    for minute in range(6):
        lab.count(2000 + minute, at=60 * minute + 5)
        lab.collect(60 * minute + 60)
        lab.deliverer.deliver()
    server.requests.clear()
    server.answer = taken
    lab.deliverer.deliver()
    assert any(line.endswith("SKIPDATA\n") for line in server.lines())
    assert any(" 2005 " in line for line in server.lines())


def test_batches_are_bounded_and_what_was_taken_is_not_sent_again(lab: Lab, server: Server) -> None:
    lab.deliverer._most = 10_000
    lab.log()
    lab.count(*range(1, 2 * MOST_RECORDS + 200))
    lab.collect()
    answers = iter([taken, taken])
    server.answer = lambda id: next(answers, lambda _: (500, b""))(id)
    lab.deliverer.deliver()
    server.answer = taken
    lab.deliverer.deliver()
    sizes = [len(body["records"]) for _, body in server.requests]
    assert max(sizes) <= MOST_RECORDS
    ports = [line.split()[1] for line in server.lines() if line.endswith("OK\n")]
    refused = {base64.b64decode(one["data"]).decode().split()[1] for one in server.requests[2][1]["records"]}
    assert {port for port in ports if ports.count(port) > 1} <= refused
    assert set(map(str, range(1, 2 * MOST_RECORDS + 200))) <= set(ports)


def test_streams_that_do_not_exist(lab: Lab) -> None:
    made = lab.ec2.create_flow_logs(
        ResourceIds=[lab.vpc], ResourceType="VPC", TrafficType="ALL", LogDestinationType=FIREHOSE,
        LogDestination=ARN.replace("siem", "none"),
    )  # fmt: skip
    assert made["FlowLogIds"] == []
    assert "does not exist" in made["Unsuccessful"][0]["Error"]["Message"]
    with pytest.raises(ClientError, match="InvalidParameter"):
        lab.log(LogDestination="arn:aws:s3:::logs")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://user:pw@example.com/",
        "ftp://example.com",
        "https://",
        "https://h:x/",
        "https://h/#a",
        "",
    ],
)
def test_addresses_that_are_no_endpoints(url: str) -> None:
    with pytest.raises(BadEndpoint):
        Endpoint.parse(url)


def test_addresses() -> None:
    assert Endpoint.parse("https://a.example/x?y=1") == Endpoint(True, "a.example", 443, "/x?y=1")
    assert Endpoint.parse("http://[::1]:8080") == Endpoint(False, "::1", 8080, "/")


def test_the_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key"
    key.write_text("abc\n")
    args = ["up", "--ephemeral", "--firehose", "siem=https://a.example/x=y", "--firehose-key-file", f"siem={key}"]
    settings = settings_of(parser().parse_args(args))
    assert settings.streams == (("siem", "https://a.example/x=y", key),)
    assert endpoints(settings.streams)["siem"].key == "abc"
    for wrong in (
        ["--firehose", "=https://a"],
        ["--firehose-key-file", f"siem={key}"],
        ["--firehose", "a/b=https://x"],
    ):
        assert main(["up", "--ephemeral", *wrong]) == 2
    key.write_text("a\nb")
    with pytest.raises(SettingsError):
        endpoints(settings.streams)
    with pytest.raises(SettingsError):
        endpoints([("x", "http://example.com", None)])
