"""The HTTP server on a real socket: what it serves, and what it refuses to hang on (IAM-13, INF-13; hostile input)."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ringfence.api.connection import MAX_HEADER_BYTES, Connection
from ringfence.api.pipeline import MAX_BODY
from ringfence.api.wire.http import HttpResponse
from tests.api.front import ACCOUNT, Front, signed
from tests.api.live import Impatient, Live, answer, eventually, everything, live, raw

IDENTITY = b"Action=GetCallerIdentity&Version=2011-06-15"


@pytest.fixture(scope="module")
def running() -> Iterator[Live]:
    with live() as server:
        yield server


def ask_identity(**how: object) -> bytes:
    return raw(signed(IDENTITY, service="sts", **how))  # type: ignore[arg-type]


# ---------------------------------------------------------------------- served
def test_an_unmodified_client_is_served(running: Live) -> None:
    assert running.client("sts").get_caller_identity()["Account"] == ACCOUNT
    assert running.client().create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["State"]


def test_a_connection_is_kept_for_the_next_request(running: Live) -> None:
    with running.connection() as connection:
        for _ in range(3):
            connection.sendall(ask_identity())
            assert answer(connection)[0] == 200


def test_pipelined_requests_are_answered_in_order(running: Live) -> None:
    forms = [b"Action=DescribeVpcs&MaxResults=%d" % number for number in (5, 1, 6, 2)]
    with running.connection() as connection:
        connection.sendall(b"".join(raw(signed(form)) for form in forms))
        assert [answer(connection)[0] for _ in forms] == [200, 400, 200, 400]


def test_many_pipelined_requests_are_answered(running: Live) -> None:
    """More than fit into the limits of a single request."""
    request, count = raw(signed(b"Action=DescribeVpcs")), 600
    with running.connection() as connection:
        sender = threading.Thread(target=connection.sendall, args=(request * count,))
        sender.start()
        assert [answer(connection)[0] for _ in range(count)] == [200] * count
        sender.join()


def test_an_idle_connection_is_not_a_slow_request(running: Live) -> None:
    with running.connection() as connection:
        for _ in range(2):
            connection.sendall(ask_identity())
            assert answer(connection)[0] == 200
            time.sleep(Impatient.request_seconds * 2)


def test_a_slow_second_request_is_cut_off_like_a_first(running: Live) -> None:
    with running.connection() as connection:
        connection.sendall(ask_identity())
        assert answer(connection)[0] == 200
        time.sleep(Impatient.request_seconds * 2)
        connection.sendall(b"POST / HTTP/1.1\r\n")
        begun = time.monotonic()
        assert b"RequestTimeout" in everything(connection)
        assert time.monotonic() - begun < 3


def _slow_write(front: Front, seconds: float) -> threading.Event:
    """Make every write take that long; the event is set when one has begun."""
    begun = threading.Event()
    front.client("ec2").describe_vpcs()

    def slow_disk() -> None:
        begun.set()
        time.sleep(seconds)

    front.pipeline.after_write = slow_disk
    return begun


@pytest.mark.parametrize("rubbish", [b"POST / HTT", b"\x00\x00\r\n\r\n"])
def test_rubbish_behind_a_write_does_not_take_its_answer_away(rubbish: bytes) -> None:
    """The write's own answer comes, whatever is pipelined behind it; then the connection ends."""
    front = Front()
    _slow_write(front, Impatient.request_seconds * 2)
    with live(front) as server, server.connection() as connection:
        connection.sendall(raw(signed(b"Action=CreateVpc&CidrBlock=10.2.0.0/16")) + rubbish)
        status, _, body = answer(connection)
        assert (status, b"<CreateVpcResponse" in body) == (200, True)
        assert everything(connection) == b""


def test_a_client_that_leaves_does_not_stop_a_write(caplog: pytest.LogCaptureFixture) -> None:
    front = Front()
    begun = _slow_write(front, 0.2)
    with live(front) as server, server.connection() as connection:
        connection.sendall(raw(signed(b"Action=CreateVpc&CidrBlock=10.2.0.0/16")) * 2)
        assert begun.wait(5)
    assert [event["eventName"] for event in front.audit()].count("CreateVpc") == 1
    assert "Exception" not in caplog.text


def test_an_idle_connection_ends_after_its_time() -> None:
    class Brief(Impatient):
        idle_seconds = 0.8

    with live(protocol=Brief) as server, server.connection() as connection:
        for _ in range(3):
            connection.sendall(ask_identity())
            assert answer(connection)[0] == 200
            time.sleep(0.5)
        begun = time.monotonic()
        assert everything(connection) == b""
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize("action", [b"DescribeVpcs", b"CreateVpc"])
def test_a_bug_outside_the_pipeline_is_answered_and_the_connection_goes_on(action: bytes) -> None:
    front = Front()

    def broken(begun: object) -> HttpResponse:
        raise RuntimeError(begun)

    front.pipeline.finish = broken  # type: ignore[assignment, method-assign]
    with live(front) as server, server.connection() as connection:
        for _ in range(2):
            connection.sendall(raw(signed(b"Action=" + action)))
            status, _, body = answer(connection)
            assert (status, b"<Code>InternalError</Code>" in body) == (500, True)


def test_a_long_answer_comes_whole_and_in_order() -> None:
    """Past the size that is copied behind its head, and past what the socket takes at once."""
    front = Front()
    ec2 = front.client("ec2")
    for number in range(300):
        ec2.create_security_group(GroupName=f"g{number}", Description="d" * 255)
    request = raw(signed(b"Action=DescribeSecurityGroups"))
    with live(front) as server, server.connection() as connection:
        connection.sendall(request * 12 + ask_identity())
        for _ in range(12):
            status, _, body = answer(connection)
            assert (status, body.count(b"<groupName>g")) == (200, 300)
            assert body.endswith(b"</DescribeSecurityGroupsResponse>")
        assert b"GetCallerIdentityResponse" in answer(connection)[2]


def test_a_request_in_small_pieces_is_served(running: Live) -> None:
    with running.connection() as connection:
        for byte in ask_identity():
            connection.send(bytes((byte,)))
        assert answer(connection)[0] == 200


def test_a_chunked_body_is_served(running: Live) -> None:
    request = signed(IDENTITY, service="sts")
    head = (
        raw(request)
        .partition(b"\r\n\r\n")[0]
        .replace(b"content-length: %d" % len(IDENTITY), b"transfer-encoding: chunked")
    )
    with running.connection() as connection:
        connection.sendall(
            head
            + b"\r\n\r\n"
            + b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (7, IDENTITY[:7], len(IDENTITY) - 7, IDENTITY[7:])
        )
        assert answer(connection)[0] == 200


def test_expect_continue_is_honoured(running: Live) -> None:
    head, _, body = raw(signed(IDENTITY, service="sts"), b"expect: 100-continue\r\n").partition(b"\r\n\r\n")
    with running.connection() as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert answer(connection)[0] == 200


def test_reads_are_answered_while_a_write_waits_for_the_disk() -> None:
    front = Front()
    begun = _slow_write(front, 2)
    with live(front) as server, server.connection() as writing:
        writing.sendall(raw(signed(b"Action=CreateVpc&CidrBlock=10.2.0.0/16")))
        assert begun.wait(5)
        with server.connection() as reading:
            asked = time.monotonic()
            reading.sendall(raw(signed(b"Action=DescribeVpcs")))
            assert answer(reading)[0] == 200
            assert time.monotonic() - asked < 1
        assert answer(writing)[0] == 200


def _where_writes_run(front: Front) -> list[str]:
    """The threads of the writes to come, in order."""
    names: list[str] = []
    front.client("ec2").describe_vpcs()
    front.pipeline.after_write = lambda: names.append(threading.current_thread().name)
    return names


def _write(connection: socket.socket, times: int) -> None:
    for number in range(times):
        form = f"Action=CreateSecurityGroup&GroupName=g-{time.monotonic_ns()}-{number}&GroupDescription=x".encode()
        connection.sendall(raw(signed(form)))
        assert answer(connection)[0] == 200


def test_writes_of_a_client_that_is_alone_run_on_the_loop_while_they_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nobody whom they hold up. One that was slow sends the next ones back to their thread."""
    monkeypatch.setattr("ringfence.api.server.QUICK_WRITES", 3)
    monkeypatch.setattr("ringfence.api.server.QUICK_SECONDS", 0.5)
    front = Front()
    names = _where_writes_run(front)
    with live(front) as server, server.connection() as first:
        _write(first, 5)
        assert [name == "writer-0" for name in names] == [True, True, True, False, False]
        with server.connection() as second:
            assert answer(_asked(second))[0] == 200
            _write(first, 2)
        assert names[5:] == ["writer-0"] * 2
        front.pipeline.after_write = lambda: (names.append(threading.current_thread().name), time.sleep(0.6))[0]
        _until(lambda: len(server.server.server_state.connections) == 1)
        _write(first, 2)
        assert [name == "writer-0" for name in names[7:]] == [False, True]


def _asked(connection: socket.socket) -> socket.socket:
    connection.sendall(ask_identity())
    return connection


def _until(done: Callable[[], bool]) -> None:
    ends = time.monotonic() + 5
    while not done():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_stop_lets_a_write_end_and_answer() -> None:
    front = Front()
    begun = _slow_write(front, 0.3)
    server = Live(front)
    try:
        with server.connection() as writing:
            writing.sendall(raw(signed(b"Action=CreateVpc&CidrBlock=10.2.0.0/16")))
            assert begun.wait(5)
            server.server.should_exit = True
            assert answer(writing)[0] == 200
    finally:
        server.stop()


# ---------------------------------------------------------------------- too large
def _declaring(size: int) -> bytes:
    return raw(signed(b"")).replace(b"content-length: 0", b"content-length: %d" % size)


def test_a_body_that_is_too_large_is_refused_as_aws_does(running: Live) -> None:
    """The client gets to read the refusal: what it still sends is taken and dropped."""
    with pytest.raises(ClientError, match="RequestEntityTooLarge"):
        running.client().create_security_group(GroupName="g", Description="x" * (4 * MAX_BODY))
    assert running.front.audit()[-1]["errorCode"] == "Client.RequestEntityTooLarge"


def test_a_body_that_is_too_large_is_read_to_its_end_so_that_the_refusal_arrives(running: Live) -> None:
    with running.connection() as connection:
        connection.sendall(raw(signed(b"a" * (8 * MAX_BODY))))
        time.sleep(0.1)
        assert answer(connection)[0] == 413


def test_the_largest_body_is_not_refused_for_its_size(running: Live) -> None:
    form = b"Action=DescribeVpcs&x="
    for size, status in ((MAX_BODY, b"UnknownParameter"), (MAX_BODY + 1, b"RequestEntityTooLarge")):
        with running.connection() as connection:
            connection.sendall(raw(signed(form + b"a" * (size - len(form)))))
            assert status in answer(connection)[2]


def test_a_body_declared_huge_is_refused_unread(running: Live) -> None:
    with running.connection() as connection:
        connection.sendall(_declaring(10**12))
        status, _, body = answer(connection)
        assert (status, b"RequestEntityTooLarge" in body) == (413, True)
        assert everything(connection) == b""


def test_a_large_body_is_not_asked_for(running: Live) -> None:
    with running.connection() as connection:
        connection.sendall(_declaring(MAX_BODY * 2).replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n"))
        assert answer(connection)[0] == 413


def test_the_bodies_of_all_connections_have_a_budget_together() -> None:
    """What waits, is read or is executed counts; what is answered or has gone does not; small bodies cost nothing."""
    front = Front()
    form = b"Action=DescribeVpcs&x="
    large = raw(signed(form + b"a" * (400 << 10)))
    with live(front, protocol=Connection) as server:
        budget = server.application.budget(MAX_BODY)
        budget.limit = 500 << 10
        with server.connection() as slow, server.connection() as other:
            slow.sendall(large[:-1])
            eventually(lambda: budget.held > 300 << 10)
            other.sendall(large)
            status, _, body = answer(other)
            assert (status, b"<Code>ServiceUnavailable</Code>" in body) == (503, True)
            assert server.client("sts").get_caller_identity()["Account"] == ACCOUNT
            assert budget.held > 300 << 10
            slow.sendall(large[-1:])
            assert b"UnknownParameter" in answer(slow)[2]
            assert budget.held == 0
            slow.sendall(large[:-1])
            eventually(lambda: budget.held > 300 << 10)
        eventually(lambda: budget.held == 0)  # it went away in the middle
        begun = _slow_write(front, 0.5)
        with server.connection() as pipelining:
            pipelining.sendall(raw(signed(b"Action=CreateVpc&CidrBlock=10.2.0.0/16")) + large)
            assert begun.wait(5)
            eventually(lambda: budget.held > 300 << 10)  # whole, and waiting for its turn
        eventually(lambda: budget.held == 0)


def test_a_chunked_body_without_end_is_cut_off(running: Live) -> None:
    head = raw(signed(b"")).replace(b"content-length: 0", b"transfer-encoding: chunked")
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    with running.connection() as connection:
        connection.sendall(head)
        sent = 0
        try:
            while sent < 64 << 20:
                connection.sendall(chunk)
                sent += len(chunk)
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert sent < 64 << 20


HEADERS: dict[str, bytes] = {
    "one long header": b"x: " + b"a" * (MAX_HEADER_BYTES + 1),
    "many headers": b"\r\n".join(b"x%d: y" % number for number in range(20_000)),
    "a header without end": b"x: " + b"a" * (16 * MAX_HEADER_BYTES),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_are_too_large_are_refused(running: Live, name: str) -> None:
    end = b"" if name == "a header without end" else b"\r\n\r\n"
    with running.connection() as connection:
        begun = time.process_time()
        try:
            connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\n" + HEADERS[name] + end)
            got = everything(connection)
        except (ConnectionResetError, BrokenPipeError):
            got = b""  # the kernel may drop the refusal when more was on its way
        assert got == b"" or (got.startswith(b"HTTP/1.1 400") and b"<Code>InvalidRequest</Code>" in got)
        assert time.process_time() - begun < 2
    assert running.client("sts").get_caller_identity()


def test_a_long_url_is_refused(running: Live) -> None:
    with running.connection() as connection:
        connection.sendall(b"GET /?" + b"a" * (MAX_HEADER_BYTES + 1) + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"InvalidRequest" in everything(connection)


# ---------------------------------------------------------------------- too slow
SLOW: dict[str, tuple[bytes, bytes]] = {
    "silent": (b"", b""),
    "half a request line": (b"POS", b"RequestTimeout"),
    "headers without end": (b"POST / HTTP/1.1\r\nhost: x\r\n", b"RequestTimeout"),
    "a body that does not come": (_declaring(10), b"RequestTimeout"),
    "half a body": (_declaring(10) + b"12345", b"RequestTimeout"),
    "chunks without end": (raw(signed(b"")).replace(b"content-length: 0", b"transfer-encoding: chunked") + b"5\r\nab", b"RequestTimeout"),
    "an answered request, then half of one": (raw(signed(b"Action=X")) + b"POST / HT", b"RequestTimeout"),
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_request_does_not_hold_its_connection(running: Live, name: str) -> None:
    sent, expected = SLOW[name]
    with running.connection() as connection:
        connection.sendall(sent)
        begun = time.monotonic()
        got = everything(connection)
        assert time.monotonic() - begun < 3
        assert expected in got if expected else got == b""


@pytest.mark.parametrize("drop", [b"a", b"\r\n"])
def test_dripping_does_not_prolong_the_time(running: Live, drop: bytes) -> None:
    """A byte now and then is no progress: the whole request has one deadline."""
    with running.connection() as connection:
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < 5:
                connection.sendall(drop)
                time.sleep(0.05)
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert time.monotonic() - begun < 3


def test_a_client_that_does_not_read_is_cut_off() -> None:
    front = Front()
    ec2 = front.client("ec2")
    for number in range(40):
        ec2.create_security_group(GroupName=f"g{number}", Description="d" * 200)
    with live(front) as server, server.connection() as connection:
        request = raw(signed(b"Action=DescribeSecurityGroups"))
        try:
            for _ in range(20_000):
                connection.sendall(request)
        except (ConnectionResetError, BrokenPipeError, TimeoutError):
            pass
        deadline = time.monotonic() + 5
        while server.server.server_state.connections and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not server.server.server_state.connections


def test_connections_are_limited() -> None:
    with live() as server:
        held = []
        try:
            for _ in range(Impatient.max_connections):
                context = server.connection()
                held.append(context)
                context.__enter__()
            with server.connection() as connection:
                assert b"<Code>ServiceUnavailable</Code>" in everything(connection)
        finally:
            for context in held:
                context.__exit__(None, None, None)
        deadline = time.monotonic() + 5
        while server.server.server_state.connections and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.client("sts").get_caller_identity()


# ---------------------------------------------------------------------- not HTTP
NOT_HTTP: dict[str, bytes] = {
    "noise": b"\x00\x01\x02\xff\r\n\r\n",
    "words": b"hello there\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
    "unknown method": b"BREW / HTTP/1.1\r\nhost: x\r\n\r\n",
    "bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nhost: x\x00y\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "length and chunks": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    "a length past all bounds": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
    "a bad chunk": b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "unknown transfer encoding": b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\nx",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", NOT_HTTP)
def test_what_is_not_http_is_refused_in_an_aws_shape_and_closed(running: Live, name: str) -> None:
    with running.connection() as connection:
        connection.sendall(NOT_HTTP[name])
        got = everything(connection)
    assert got.startswith(b"HTTP/1.1 4"), got
    assert b"<Code>" in got
    assert running.front.pipeline.internal_errors == 0


PROPER: dict[str, bytes] = {
    "a target that is a star": b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    "absolute target": b"POST http://elsewhere/ HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
    "no host": b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.0": b"POST / HTTP/1.0\r\ncontent-length: 0\r\n\r\n",
    "upgrade to a web socket": b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    "upgrade to HTTP/2": b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\r\n",
    "escapes that are none": b"GET /%zz%?%=%&&=& HTTP/1.1\r\nhost: x\r\n\r\n",
    "bytes in the query": b"GET /?\xff\xfe=\x80 HTTP/1.1\r\nhost: x\r\n\r\n",
    "bytes in a header": b"GET / HTTP/1.1\r\nhost: \xff\xfe\r\nauthorization: \xc3\x28\r\n\r\n",
    "proxy headers": b"POST /_ringfence/reset HTTP/1.1\r\nhost: x\r\norigin: http://evil.example\r\ncontent-length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", PROPER)
def test_odd_but_proper_requests_get_an_aws_error(running: Live, name: str) -> None:
    with running.connection() as connection:
        connection.sendall(PROPER[name])
        status, headers, body = answer(connection)
    assert 400 <= status < 500
    assert headers["content-type"].startswith(("text/xml", "application/json"))
    assert b"Code" in body or b"message" in body
    assert running.front.pipeline.internal_errors == 0


def test_head_is_answered_without_a_body(running: Live) -> None:
    with running.connection() as connection:
        connection.sendall(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n" + ask_identity())
        assert answer(connection, "HEAD")[0] == 403
        assert answer(connection)[0] == 200


def test_forwarded_addresses_are_not_believed(running: Live) -> None:
    """Only the peer of the connection decides what is loopback."""
    with running.connection() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.9\r\ncontent-length: 0\r\n\r\n")
        answer(connection)
    assert running.front.audit()[-1]["sourceIPAddress"] == "127.0.0.1"


# ---------------------------------------------------------------------- TLS
@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    directory = tmp_path_factory.mktemp("tls")
    chain, secret = directory / "chain.pem", directory / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, secret


@pytest.fixture(scope="module")
def secured(certificate: tuple[Path, Path]) -> Iterator[Live]:
    with live(tls=certificate) as server:
        yield server


def test_clients_are_served_over_tls(secured: Live) -> None:
    """IAM-13."""
    assert secured.client("sts").get_caller_identity()["Account"] == ACCOUNT


@pytest.mark.parametrize(
    ("version", "works"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_older_than_1_2_is_refused(secured: Live, version: ssl.TLSVersion, works: bool) -> None:
    """IAM-13."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with secured.connection() as connection:
        if works:
            assert context.wrap_socket(connection).version() == version.name.replace("v1_", "v1.")
        else:
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                context.wrap_socket(connection)


def test_plain_http_to_a_tls_port_gets_nothing(secured: Live) -> None:
    with secured.connection() as connection:
        connection.sendall(ask_identity())
        with pytest.raises(ConnectionResetError):
            answer(connection)
