"""What the router's services owe whom: hop limit of metadata responses (UF-11), queries per second (UF-10)."""

from __future__ import annotations

import http.client
import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from dnslib import DNSRecord

from ringfence.dataplane.services.dns import QUERIES_PER_SECOND, DnsServer, Limiter, Zone
from ringfence.dataplane.services.imds import ImdsServer, Tokens
from ringfence.policy.ir import Machine, Names
from tests.kernel import frames
from tests.kernel.testbed import Namespace

METADATA = ("169.254.169.254", "fd00:ec2::254")


@pytest.fixture
def router() -> Iterator[Namespace]:
    """A namespace with the services' addresses; questions come over its loopback."""
    made = Namespace()
    addresses = ("169.254.169.254/32", "fd00:ec2::254/128", "10.0.0.2/32", "10.0.0.10/32", "10.0.0.11/32")
    made.ip("link set lo up", *(f"addr replace {a} dev lo{' nodad' if ':' in a else ''}" for a in addresses))
    yield made
    made.close()


def machine(hops: int) -> Machine:
    return Machine(
        instance_id="i-1", vpc_id="vpc-1", root="builtin", hostname="h", boots=1, user_data=None, imds_enabled=True,
        imds_v1=True, imds_hop_limit=hops, imds_ipv6=True, metadata=(("meta-data/hostname", "h"),),
    )  # fmt: skip


@pytest.mark.netns
@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("hops", [1, 2, 64])
def test_uf_11_every_metadata_response_has_the_hop_limit(router: Namespace, address: str, hops: int) -> None:
    """HttpPutResponseHopLimit: the packets that carry a response go so many hops, by IPv4 and IPv6."""
    server = router.run(lambda: ImdsServer(lambda _: machine(hops), Tokens(), lambda _id, _version: {}))
    watch = router.run(lambda: frames.packet_socket("lo"))
    try:
        assert answered(router, address) == [200, 200]
        carried = [seen for seen in captured(watch) if str(seen.src) == address and b"HTTP/1.1 200" in seen.body]
        assert carried
        assert {seen.ttl for seen in carried} == {hops}
    finally:
        watch.close()
        server.close()


def answered(router: Namespace, address: str) -> list[int]:
    """Status of a token and of a question with it, on a connection each."""
    out = []
    token = ""
    for method, path in (("PUT", "/latest/api/token"), ("GET", "/latest/meta-data/hostname")):
        sock = router.run(lambda: socket.create_connection((address, 80), 2))
        connection = http.client.HTTPConnection("metadata")
        connection.sock = sock
        with closing(connection):
            header = (
                {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
                if method == "PUT"
                else {"X-aws-ec2-metadata-token": token}
            )
            connection.request(method, path, headers=header)
            reply = connection.getresponse()
            out.append(reply.status)
            token = reply.read().decode()
    return out


def captured(watch: socket.socket) -> Iterator[frames.Seen]:
    while True:
        try:
            data = watch.recv(70000)
        except BlockingIOError:
            return
        if (seen := frames.parse(data)) is not None:
            yield seen


@pytest.mark.netns
def test_uf_10_at_most_1024_queries_per_second_and_source(router: Namespace) -> None:
    """UF-10: further ones get no answer; another interface's do, and so do this one's a second later."""
    zone = Zone(Names(vpc_id="vpc-1", records=()))
    server = router.run(lambda: DnsServer(lambda: zone))
    query = DNSRecord.question("nothing.here").pack()
    try:
        with asking(router, "10.0.0.10") as greedy, asking(router, "10.0.0.11") as modest:
            beginning_of_a_second()
            answers = sum(1 for _ in itertools.takewhile(bool, (asked(greedy, query) for _ in range(20_000))))
            assert QUERIES_PER_SECOND <= answers < 20_000
            assert (
                answers % QUERIES_PER_SECOND == 0 or answers > QUERIES_PER_SECOND
            )  # more: a slow machine, a later second
            assert asked(modest, query)
            time.sleep(1.05)
            assert asked(greedy, query)
    finally:
        server.close()


def asking(router: Namespace, source: str) -> socket.socket:
    sock = router.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.bind((source, 0))
    sock.connect(("10.0.0.2", 53))
    sock.settimeout(0.1)
    return sock


def asked(sock: socket.socket, query: bytes) -> bool:
    sock.send(query)
    try:
        return bool(sock.recv(512))
    except TimeoutError:
        return False


def beginning_of_a_second() -> None:
    time.sleep(1 - time.monotonic() % 1)


def test_uf_10_counts_each_source_by_itself() -> None:
    limiter = Limiter(3)
    beginning_of_a_second()
    assert [limiter.allows("a") for _ in range(5)] == [True, True, True, False, False]
    assert limiter.allows("b")
