"""Packets between peer VPCs, on the whole data plane: what the evaluator says, the kernel does (PCX-05..PCX-10, SG-52, SG-78).

One lab for all rows. VPC `a` is peered with `b`, `c` (of another Region) and `d`, which has the addresses of `b`; `b` with `c`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest

from ringfence.dataplane import linux, topology
from ringfence.dataplane.network import Network
from ringfence.dataplane.plan import guest_ns, peer_links, vpc_ns
from ringfence.dataplane.verify.watch import Verifier
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.nouns.peering import PeeringStatus
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from ringfence.policy.evaluate import exchange
from ringfence.policy.ir import Ir
from tests import builders
from tests.builders import (
    ANY,
    ANY6,
    OPEN,
    acl,
    changed,
    egress,
    elsewhere,
    entry,
    group,
    host,
    ident,
    ingress,
    packet,
    peer_group,
    peering,
    route,
    subnet,
    vpc,
    world,
)
from tests.kernel.any_path import BareGuests
from tests.kernel.isolation import isolated

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]

PATIENCE = 0.4
AB, AC, AD, BC = (ident("pcx", name) for name in ("ab", "ac", "ad", "bc"))
SIX = "fd52:4946:0:"


def table(name: str, *routes: Any, **fields: Any) -> Any:
    """A route table with a number as the API gives them."""
    return builders.table(name, *routes, number=2 if "subnets" in fields else 1, **fields)


def estate() -> World:
    """Ports tell the rules apart: 80 for everyone, 81 for group `ga` of VPC `a`, 82 for `ga` seen from `a` itself and `gb`."""
    of_a, of_b = peer_group("ga", vpc="a", over="ab"), peer_group("gb", vpc="b", over="ab")
    wide = (ingress(ANY, "udp", 80), ingress(ANY6, "udp", 80), *OPEN)
    far = elsewhere(
        vpc("c", "10.2.0.0/16"), subnet("c", "10.2.0.0/24", vpc="c"),
        group("gc", *wide, ingress(peer_group("ga", vpc="a", over="ac"), "udp", 81), vpc="c"),
        host("c", "10.2.0.10", subnet="c", vpc="c", groups=["gc"]),
        table("c", route("10.0.0.0/16", AC), route("10.1.0.0/16", BC), vpc="c"), region="eu-west-1",
    )  # fmt: skip
    return world(
        vpc("a", "10.0.0.0/16", ipv6=[f"{SIX}000::/56"]), subnet("a", "10.0.0.0/24", vpc="a", ipv6=[f"{SIX}000::/64"]),
        subnet("box", "10.0.2.0/24", vpc="a"), subnet("behind", "10.0.3.0/24", vpc="a"),
        group("ga", *wide, ingress(of_b, "udp", 82), vpc="a"), group("gx", *wide, vpc="a"),
        group("tight", egress(of_b, "udp", 80), vpc="a"),
        host("a", "10.0.0.10", subnet="a", vpc="a", groups=["ga"], ipv6=[f"{SIX}000::10"]),
        host("x", "10.0.0.11", subnet="a", vpc="a", groups=["gx"]),
        host("t", "10.0.0.12", subnet="a", vpc="a", groups=["tight"]),
        host("box", "10.0.2.10", subnet="box", vpc="a", groups=["ga"], check=False),
        host("h", "10.0.3.10", subnet="behind", vpc="a", groups=["ga"]),
        table("a", route("10.1.0.0/24", AB), route("10.1.4.0/24", AB), route("10.1.1.0/24", AD), route("10.2.0.0/16", AC),
              route(f"{SIX}100::/56", AB), route("192.0.2.0/24", AB), vpc="a"),
        table("behind", route("10.1.0.0/16", ident("eni", "box")), subnets=["behind"], vpc="a"),
        vpc("b", "10.1.0.0/16", ipv6=[f"{SIX}100::/56"]), subnet("b", "10.1.0.0/24", vpc="b", ipv6=[f"{SIX}100::/64"]),
        subnet("shut", "10.1.4.0/24", vpc="b", acl="shut"),
        acl("shut", entry(10, ANY, allow=False), entry(10, ANY, egress=True), vpc="b"),
        group("gb", *wide, ingress(of_a, "udp", 81), vpc="b"),
        host("b", "10.1.0.10", subnet="b", vpc="b", groups=["gb"], ipv6=[f"{SIX}100::10"]),
        host("s", "10.1.4.10", subnet="shut", vpc="b", groups=["gb"]),
        table("b", route("10.0.0.0/16", AB), route("10.2.0.0/16", BC), route(f"{SIX}000::/56", AB), vpc="b"),
        vpc("d", "10.1.0.0/16"), subnet("d", "10.1.0.0/16", vpc="d"), group("gd", *wide, vpc="d"),
        host("d", "10.1.1.10", subnet="d", vpc="d", groups=["gd"]),
        host("e", "10.1.0.10", subnet="d", vpc="d", groups=["gd"], number=4000),  # the address of `b`
        table("d", route("10.0.0.0/16", AD), vpc="d"),
        far,
        peering("ab", "a", "b"), peering("ad", "d", "a"), peering("ac", "a", "c", regions=("us-east-1", "eu-west-1")),
        peering("bc", "b", "c", regions=("us-east-1", "eu-west-1")),
    )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A conversation: what it shows, who asks, from which to which address, which port."""

    what: str
    source: str
    sender: str
    target: str
    dst: str
    port: int


ROWS = [
    Row("PCX-05", "a", "10.0.0.10", "b", "10.1.0.10", 80),
    Row("PCX-05 the accepter begins", "b", "10.1.0.10", "a", "10.0.0.10", 80),
    Row("PCX-05 groups apply", "a", "10.0.0.10", "b", "10.1.0.10", 83),
    Row("PCX-05 IPv6", "a", f"{SIX}000::10", "b", f"{SIX}100::10", 80),
    Row("PCX-05 the far network ACL", "a", "10.0.0.10", "s", "10.1.4.10", 80),
    Row("SG-52 in", "a", "10.0.0.10", "b", "10.1.0.10", 81),
    Row("SG-52 in, IPv6", "a", f"{SIX}000::10", "b", f"{SIX}100::10", 81),
    Row("SG-52 not a member", "x", "10.0.0.11", "b", "10.1.0.10", 81),
    Row("SG-52 back", "b", "10.1.0.10", "a", "10.0.0.10", 82),
    Row("SG-52 another peer with that address", "e", "10.1.0.10", "a", "10.0.0.10", 82),
    Row("SG-52 out", "t", "10.0.0.12", "b", "10.1.0.10", 80),
    Row("SG-52 out, to nobody of the group", "t", "10.0.0.12", "d", "10.1.1.10", 80),
    Row("SG-78 through an appliance, by address", "h", "10.0.3.10", "b", "10.1.0.10", 80),
    Row("SG-78 through an appliance, by group", "h", "10.0.3.10", "b", "10.1.0.10", 81),
    Row("PCX-07 a source that is not the VPC's", "box", "172.16.0.1", "b", "10.1.0.10", 80),
    Row("PCX-07 a source that is another's of the VPC", "box", "10.0.0.10", "b", "10.1.0.10", 81),
    Row("PCX-09 another Region", "a", "10.0.0.10", "c", "10.2.0.10", 80),
    Row("PCX-09 another Region, by group", "a", "10.0.0.10", "c", "10.2.0.10", 81),
    Row("PCX-06 overlapping peers", "a", "10.0.0.10", "d", "10.1.1.10", 80),
    Row("PCX-08 the far resolver", "a", "10.0.0.10", "b", "10.1.0.2", 53),
    Row("PCX-06 in the middle", "b", "10.1.0.10", "c", "10.2.0.10", 80),
]  # fmt: skip


# ---------------------------------------------------------------------- in the lab
@contextmanager
def _socket(instance: str, address: str, port: int) -> Iterator[socket.socket]:
    """A UDP socket of a guest; of any address, also one that is not its own."""
    with topology.opened(guest_ns(ident("i", instance))) as netns, linux.inside(netns):
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(
        *((socket.IPPROTO_IPV6, 75) if ":" in address else (socket.IPPROTO_IP, 19)), 1
    )  # transparent: any source
    sock.settimeout(PATIENCE)
    sock.bind((address, port))
    with contextlib.closing(sock):
        yield sock


def kernel_says(row: Row, port: int) -> tuple[bool, bool]:
    """(it arrived, and so did its answer)."""
    listens = row.dst if row.what != "PCX-08 the far resolver" else "10.1.0.10"
    with _socket(row.target, listens, row.port) as server, _socket(row.source, row.sender, port) as client:
        client.sendto(b"question", (row.dst, row.port))
        try:
            _, asker = server.recvfrom(100)
        except TimeoutError:
            return False, False
        assert (ip_address(asker[0]), asker[1]) == (ip_address(row.sender), port), (row, asker)
        server.sendto(b"answer", asker)
        try:
            return True, client.recv(100) == b"answer"
        except TimeoutError:
            return True, False


def model_says(ir: Ir, row: Row) -> tuple[bool, bool]:
    sent = packet(row.sender, row.dst, "udp", row.port)
    done = exchange(ir, sent, ident("eni", row.source))
    return done.there.at == ident("eni", row.target), done.verdict.allowed


def asked(ir: Ir, rows: list[Row]) -> list[list[Any]]:
    """Row, what the model says, what the kernel does: all rows at once, each with a port of its own."""
    found: dict[int, tuple[bool, bool]] = {}

    def ask(number: int) -> None:
        found[number] = kernel_says(rows[number], 20000 + number)

    servers: dict[tuple[str, int], threading.Lock] = {}
    threads = []
    for number, row in enumerate(rows):
        lock = servers.setdefault((row.target, row.port), threading.Lock())

        def one(number: int = number, lock: threading.Lock = lock) -> None:
            with lock:
                ask(number)

        threads.append(threading.Thread(target=one))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return [
        [row.what, list(model_says(ir, row)), list(found.get(n, ("failed", "failed")))] for n, row in enumerate(rows)
    ]


class Life:
    """An agent's: what it brings and sees."""

    def __init__(self) -> None:
        self.network = Network(BareGuests())  # type: ignore[arg-type]
        self.ir = Ir(0, {})

    def bring(self, made: World) -> None:
        self.ir = compile_world(made)
        list(self.network.bring(self.ir))

    def asked(self, rows: list[Row]) -> list[list[Any]]:
        """What the model says and what the kernel does, row by row; all at once, those of one listener in turn."""
        found: dict[int, tuple[bool, bool]] = {}
        locks = {(row.target, row.port): threading.Lock() for row in rows}

        def ask(number: int, row: Row) -> None:
            with locks[row.target, row.port]:
                found[number] = kernel_says(row, 20000 + number)

        threads = [threading.Thread(target=ask, args=each) for each in enumerate(rows)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [[row.what, model_says(self.ir, row), found.get(n)] for n, row in enumerate(rows)]

    def verified(self, *, mend: bool = False) -> dict[str, Any]:
        return Verifier(self.network, threading.Lock(), lambda _event: None).verify(prove=True, mend=mend).as_json()


def apart(part: Callable[[Life], dict[str, Any]]) -> dict[str, Any]:
    """An agent's life, in a process of its own that ends without a word."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(part(Life())).encode())
        finally:
            traceback.print_exc()
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as told:
        found: dict[str, Any] = json.load(told)
    os.waitpid(child, 0)
    return found


def _links(name: str) -> list[str]:
    with topology.opened(vpc_ns(ident("vpc", name))) as netns:
        return sorted(each for each in topology.links(netns) if each[0] in "pq")


def _mtu(connection: str) -> int:
    (link,) = topology.listed(vpc_ns(ident("vpc", "a")), "link", "show", "dev", peer_links(connection)[0])
    return int(link["mtu"])


MADE = estate()
ENDED = changed(MADE, peering("ab", "a", "b", PeeringStatus.DELETED))
GONE = changed(ENDED, peering("ad", "d", "a", PeeringStatus.DELETED))
NEW = ident("pcx", "new")
AGAIN = changed(
    GONE, peering("new", "b", "a"), table("a", route("10.1.0.0/24", NEW), route(f"{SIX}100::/56", NEW), vpc="a"),
    table("b", route("10.0.0.0/16", NEW), route(f"{SIX}000::/56", NEW), vpc="b"),
)  # fmt: skip


def _log(vpc: str) -> FlowLog:
    return FlowLog(
        id=ident("fl", vpc), owner_id="111122223333", region="us-east-1", resource_id=ident("vpc", vpc), resource_type="VPC",
        traffic_type="ALL", destination_type="s3", fields=("version",), created=0.0,
    )  # fmt: skip


def counted(life: Life) -> dict[str, list[list[Any]]]:
    """What flow logs of both VPCs count of one conversation: (source, destination, packets) of each."""
    life.bring(changed(MADE, _log("a"), _log("b")))
    kernel_says(ROWS[0], 21000)
    out: dict[str, list[list[Any]]] = {}
    for name in ("a", "b"):
        tables = life.network.filters()[ident("vpc", name)]
        epoch = tables.counting
        assert epoch is not None
        tables.seal()
        time.sleep(1)
        found = tables.counted(epoch).flows.items()
        out[name] = sorted([str(ip_address(key[1])), str(ip_address(key[2])), said[0]] for key, said in found)
    return out


def told_too_large() -> bool:
    """PCX-10: is a sender told that a packet is too large for the way to another Region?"""
    with _socket("a", "10.0.0.10", 30000) as sock:
        sock.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: never fragment
        try:
            for _ in range(10):
                sock.sendto(bytes(3000), ("10.2.0.10", 80))
                time.sleep(0.05)
        except OSError as problem:
            return problem.errno == errno.EMSGSIZE
    return False


def first(life: Life) -> dict[str, Any]:
    life.bring(MADE)
    with topology.opened(guest_ns(ident("i", "box"))) as netns:
        topology.write_sysctls(netns, {"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/send_redirects": "0"})
    return {
        "rows": life.asked(ROWS),
        "mtu": [_mtu(AB), _mtu(AC)],
        "told": told_too_large(),
        "counted": counted(life),
        "verified": life.verified(),
    }


def second(life: Life) -> dict[str, Any]:
    """It knows nothing and takes over; somebody takes a link away; the connection ends."""
    life.bring(MADE)
    out: dict[str, Any] = {"adopted": {"rows": life.asked([*ROWS[:4], ROWS[5]]), "verified": life.verified()}}
    topology.run_batch(vpc_ns(ident("vpc", "a")), [f"link del {peer_links(AB)[0]}"])
    out["cut"] = life.asked(ROWS[:1])[0][2]
    out["found"] = [each["what"] for each in life.verified(mend=True)["findings"]]
    out["mended"] = {"rows": life.asked([*ROWS[:4], ROWS[5]]), "verified": life.verified()}
    life.bring(ENDED)
    return out | {"ended": {"rows": life.asked(ROWS[:8]), "verified": life.verified()}, "links": _links("a")}


def third(life: Life) -> dict[str, Any]:
    """It finds links of a connection that ended before it began."""
    life.bring(GONE)
    out: dict[str, Any] = {"links": _links("a"), "verified": life.verified()}
    life.bring(AGAIN)
    return out | {"again": {"rows": life.asked([*ROWS[:4], ROWS[5]]), "verified": life.verified()}}


def scenario() -> dict[str, Any]:
    return {"first": apart(first), **apart(second), "swept": (swept := apart(third)), "again": swept.pop("again")}


@pytest.fixture(scope="module")
def lab() -> Any:
    return isolated("test_peering", timeout=170)


def _agree(rows: list[list[Any]]) -> None:
    assert [(what, kernel) for what, _, kernel in rows] == [(what, model) for what, model, _ in rows]


def _whole(report: dict[str, Any]) -> None:
    assert (report["findings"], report["problems"]) == ([], [])
    assert report["proven"]


def test_every_row_does_what_the_model_says(lab: Any) -> None:
    _agree(lab["first"]["rows"])
    said = {what: model for what, model, _ in lab["first"]["rows"]}
    assert [said["PCX-05"], said["SG-52 in"], said["SG-52 not a member"]] == [
        [True, True],
        [True, True],
        [False, False],
    ]
    assert said["SG-52 another peer with that address"] == [False, False]
    barred = exchange(compile_world(MADE), packet("10.0.0.10", "10.1.4.10", "udp", 80), ident("eni", "a")).verdict
    assert barred.dropped_at == "nacl-in"
    assert said["PCX-07 a source that is another's of the VPC"] == [False, False]


def test_what_is_installed_is_proven(lab: Any) -> None:
    _whole(lab["first"]["verified"])
    assert lab["first"]["mtu"] == [9001, 1500]  # PCX-10
    assert lab["first"]["told"]


@pytest.mark.parametrize("when", ["adopted", "mended", "ended", "again"])
def test_after_a_restart_a_repair_an_end_and_a_new_connection(lab: Any, when: str) -> None:
    _agree(lab[when]["rows"])
    _whole(lab[when]["verified"])


def test_flow_logs_of_both_ends_count_every_packet_once(lab: Any) -> None:
    there, back = ["10.0.0.10", "10.1.0.10", 1], ["10.1.0.10", "10.0.0.10", 1]
    assert lab["first"]["counted"] == {"a": [there, back], "b": [there, back]}


def test_a_link_that_somebody_took_away_closes_and_is_found(lab: Any) -> None:
    assert lab["cut"] == [False, False]
    assert lab["found"]


def test_nothing_is_left_of_a_connection_that_ended(lab: Any) -> None:
    assert lab["links"] == sorted([*peer_links(AC), *peer_links(AD)])
    assert lab["swept"]["links"] == sorted(peer_links(AC))
    _whole(lab["swept"]["verified"])


if __name__ == "__main__":
    print(json.dumps(scenario()), flush=True)
    os._exit(0)  # the services' threads wait for questions for ever
