"""The door of instances: TLS only, shares that one guest cannot exceed, sockets that are exchanged (docs/adr/0009)."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.api.instance_door import InstanceDoor
from ringfence.api.tls import Certificate
from ringfence.certificates import Authority
from ringfence.model import endpoints
from tests.api.front import Front, signed
from tests.api.live import Live, eventually

GET = b"GET / HTTP/1.1\r\nHost: sts.amazonaws.com\r\n\r\n"


class Narrow(InstanceDoor):
    max_held, max_of_one = 3, 2


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("gate") / "tls", endpoints.CERTIFICATE_NAMES)
    made.ensure()
    return made


@pytest.fixture
def door(authority: Authority) -> InstanceDoor:
    return Narrow(Certificate(*authority.served))


@pytest.fixture
def live(door: InstanceDoor) -> Iterator[Live]:
    made = Live(Front(), door=door)
    try:
        yield made
    finally:
        made.stop()


def listening(*, again: int = 0) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", again))
    sock.listen(16)
    return sock


def dial(port: int, authority: Authority, *, source: str = "127.0.0.1") -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(authority.ca))
    raw = socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))
    return context.wrap_socket(raw, server_hostname="sts.amazonaws.com")


def ask(sock: ssl.SSLSocket) -> bytes:
    sock.sendall(GET)
    return sock.recv(65536)


def answers(port: int, authority: Authority) -> bool:
    try:
        with dial(port, authority) as sock:
            return ask(sock).startswith(b"HTTP/1.1 ")
    except OSError:
        return False


def test_sockets_may_come_before_and_after_the_start(authority: Authority, door: InstanceDoor) -> None:
    first, second = listening(), listening()
    ports = [sock.getsockname()[1] for sock in (first, second)]
    door.listen([first])
    live = Live(Front(), door=door)
    try:
        eventually(lambda: answers(ports[0], authority))
        door.listen([second])
        eventually(lambda: answers(ports[1], authority))
        eventually(lambda: first.fileno() == -1)
        assert not answers(ports[0], authority)
    finally:
        live.stop()
    assert second.fileno() == -1
    late = listening()
    door.listen([late])
    assert late.fileno() == -1


def test_a_new_socket_of_the_same_address_takes_over_and_conversations_go_on(
    live: Live, door: InstanceDoor, authority: Authority
) -> None:
    first = listening()
    port = first.getsockname()[1]
    door.listen([first])
    with dial(port, authority) as held:
        assert ask(held).startswith(b"HTTP/1.1 403")
        door.listen([listening(again=port)])
        eventually(lambda: first.fileno() == -1)
        assert answers(port, authority)
        assert ask(held).startswith(b"HTTP/1.1 403")


def test_one_address_and_all_together_have_a_share(live: Live, door: InstanceDoor, authority: Authority) -> None:
    """Unfinished handshakes count; what ends is free again; the operator's listener is not concerned."""
    sock = listening()
    port = sock.getsockname()[1]
    door.listen([sock])
    with dial(port, authority) as one, socket.create_connection(("127.0.0.1", port)):  # the second says nothing
        assert ask(one).startswith(b"HTTP/1.1 ")
        with pytest.raises(OSError, match=r"reset|EOF"):
            dial(port, authority)
        with dial(port, authority, source="127.0.0.2") as other:
            assert ask(other).startswith(b"HTTP/1.1 ")
            with pytest.raises(OSError, match=r"reset|EOF"):
                dial(port, authority, source="127.0.0.3")
        assert live.client("sts").get_caller_identity()["Account"]
    eventually(lambda: answers(port, authority))


def test_the_installations_own_paths_are_not_there(live: Live, door: InstanceDoor, authority: Authority) -> None:
    """The peer is on loopback here, which is let in elsewhere."""
    sock = listening()
    door.listen([sock])
    before = live.front.store.world
    for target in (b"/_ringfence/reset", b"http://sts.amazonaws.com/_ringfence/reset"):
        reset = b"POST " + target + b" HTTP/1.1\r\nHost: x\r\ncontent-length: 0\r\n\r\n"
        with dial(sock.getsockname()[1], authority) as inside:
            inside.sendall(reset)
            assert inside.recv(100).startswith(b"HTTP/1.1 404 ")
        assert live.front.store.world is before
        with live.connection() as outside:
            outside.sendall(reset)
            assert outside.recv(100).startswith(b"HTTP/1.1 200 ")
        before = live.front.store.world


def test_no_plain_http(live: Live, door: InstanceDoor) -> None:
    sock = listening()
    door.listen([sock])
    with socket.create_connection(sock.getsockname(), 5) as plain:
        plain.sendall(GET)
        with contextlib.suppress(ConnectionResetError):
            assert not plain.recv(100).startswith(b"HTTP")


def test_bad_rounds_are_survived(live: Live, door: InstanceDoor, authority: Authority) -> None:
    """Connections that end at once, or speak no TLS, cost nobody his share."""
    sock = listening()
    port = sock.getsockname()[1]
    door.listen([sock])
    for data in (b"", b"\x16\x03\x01\xff\xff", b"\x00" * 100) * 5:
        with socket.create_connection(("127.0.0.1", port), 5) as bad:
            bad.sendall(data)
    eventually(lambda: answers(port, authority))


def test_the_certificate_is_for_the_endpoints_and_nothing_else(
    door: InstanceDoor, live: Live, authority: Authority
) -> None:
    sock = listening()
    door.listen([sock])
    context = ssl.create_default_context(cafile=str(authority.ca))
    for name, good in (
        ("ec2.us-east-1.amazonaws.com", True),
        ("b.s3.eu-west-1.amazonaws.com", True),
        ("example.com", False),
    ):
        with socket.create_connection(sock.getsockname(), 5) as raw:
            try:
                context.wrap_socket(raw, server_hostname=name).close()
                assert good, name
            except ssl.SSLCertVerificationError:
                assert not good, name


def test_files_are_private(authority: Authority) -> None:
    assert {path.name: path.stat().st_mode & 0o77 for path in Path(authority.directory).iterdir() if path.name != "ca.pem"} == {
        "ca.key": 0, "server.pem": 0,
    }  # fmt: skip


def test_the_socket_tells_the_endpoint(live: Live, door: InstanceDoor, authority: Authority) -> None:
    """VPE-01: what comes in by an endpoint's socket is for S3 alone; endpoints come and go without the others."""
    internet, one, two = listening(), listening(), listening()
    ports = [sock.getsockname()[1] for sock in (internet, one, two)]
    door.listen([internet])
    door.listen([one], "vpce-1")
    door.listen([two], "vpce-2")
    asked = signed(b"Action=GetCallerIdentity&Version=2011-06-15", service="sts", url="https://sts.amazonaws.com/")
    head = "".join(f"{name}: {value}\r\n" for name, value in asked.headers)
    raw = f"POST / HTTP/1.1\r\n{head}\r\n".encode() + asked.body
    for port, status in zip(ports, (b"200", b"400", b"400"), strict=True):
        with dial(port, authority) as sock:
            sock.sendall(raw)
            answer = sock.recv(65536)
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert (b"belongs to" in answer) is (status == b"400")
    door.listen([listening(again=ports[1])], "vpce-1")
    eventually(lambda: one.fileno() == -1)
    assert answers(ports[1], authority)
    door.keep(["vpce-2"])
    eventually(lambda: not answers(ports[1], authority))
    assert answers(ports[0], authority)
    assert answers(ports[2], authority)
    door.keep([])
    eventually(lambda: two.fileno() == -1)
    assert answers(ports[0], authority)
