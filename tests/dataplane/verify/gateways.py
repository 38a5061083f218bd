"""What the proof must say of an internet gateway and of the internet: as they should be, and with one thing wrong."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network

from ringfence.dataplane.nftables.assembly import EdgeTables, InternetTables
from ringfence.dataplane.plan import suffix
from ringfence.dataplane.topology import host_ns
from ringfence.dataplane.verify import wanted
from ringfence.dataplane.verify.compare import compare
from ringfence.dataplane.verify.program import Decide, Instruction, LookUp, Strange, Write
from ringfence.dataplane.verify.prover import run
from ringfence.dataplane.verify.rtnetlink import Route
from ringfence.dataplane.verify.snapshot import Entry, HookPoint, Rules, Snapshot
from ringfence.dataplane.verify.wanted import Place
from ringfence.model.net import Address
from ringfence.policy.ir import Edge, Fragment, Vpc
from tests.dataplane.verify.simulated import snapshot_of

INET, GATEWAY, OTHER = (1, "ringfence"), "igw-1", "igw-2"
ACCEPT = Decide("accept")
HOSTS: tuple[Address, ...] = (ip_address("203.0.113.9"), ip_address("2001:db8:ffff::9"))


def _vpc() -> Vpc:
    return Vpc(
        vpc_id="vpc-1", region="us-east-1", ipv4=(IPv4Network("10.0.0.0/16"), IPv4Network("198.20.0.0/16")),
        ipv6=(IPv6Network("2001:db8:1::/56"),), dns_support=True, dns_hostnames=False, domain="ec2.internal",
    )  # fmt: skip


def _edge(id: str, nat: dict[str, str], ipv6: str) -> Edge:
    pairs = tuple((IPv4Address(public), IPv4Address(private)) for public, private in sorted(nat.items()))
    return Edge(gateway_id=id, vpc_id="vpc-1", nat=pairs, ipv6=(IPv6Network(ipv6),))


def edges() -> list[Edge]:
    nat = {"198.18.5.1": "10.0.1.10", "198.18.5.2": "10.0.1.11", "198.18.5.9": "198.20.2.10"}
    return [_edge(GATEWAY, nat, "2001:db8:1::/56"), _edge(OTHER, {"198.18.1.1": "10.0.1.10"}, "2001:db8:2::/56")]


#: other places, by name: what each should hold, its fragments, what is plugged in
MORE: dict[str, Callable[[], tuple[Place, list[Fragment], frozenset[str]]]] = {}


def place_of(name: str) -> tuple[Place, list[Fragment], frozenset[str]]:
    if name in MORE:
        return MORE[name]()
    if name == "internet":
        links = {"h" + host_ns(each).removeprefix("host-"): each for each in HOSTS}
        place = wanted.internet(InternetTables().desired.tables(), edges(), links)
        return place, list(edges()), frozenset(map(str, HOSTS))
    tables, edge, vpc = EdgeTables(), edges()[0], _vpc()
    tables.change([edge, vpc], ())
    return wanted.edge(tables.desired.tables(), edge, vpc), [edge, vpc], frozenset()


@cache
def _held(name: str) -> tuple[Place, list[Fragment], frozenset[str], bytes]:
    place, fragments, plugged = place_of(name)
    return place, fragments, plugged, pickle.dumps(snapshot_of(place))


class Held:
    """What a namespace holds, to be changed."""

    def __init__(self, found: Snapshot) -> None:
        self.found, self.paths, self.table = found, found.paths, found.tables[INET]

    def rules(self, name: str) -> list[tuple[Instruction, ...]]:
        return self.table.chains[name].programs

    def set(self, name: str) -> list[Entry]:
        return self.table.sets[name].entries

    def each(self, chain: str, change: Callable[[Instruction], Instruction]) -> None:
        rules = self.rules(chain)
        rules[:] = [tuple(change(each) for each in rule) for rule in rules]

    def insert(self, chain: str, *rule: Instruction) -> None:
        self.rules(chain).insert(0, rule)


@dataclass(frozen=True)
class Wrong:
    """`proof`: what the proof must say ("" = packets fare the same)."""

    name: str
    proof: str
    change: Callable[[Held], object]
    place: str = GATEWAY


def _checksum(do: Instruction) -> Instruction:
    return Write((*do.what[:4], 0, 0, 0), do.register) if isinstance(do, Write) else do


def _map(name: str) -> Callable[[Instruction], Instruction]:
    return lambda do: replace(do, name=name) if isinstance(do, LookUp) and do.into is not None else do


def _route(held: Held, destination: str, link: str) -> None:
    network = ip_network(destination)
    held.paths.routes.append(Route(network.version, 254, "unicast", network, 0, None, link))


def _no_route(held: Held, destination: str) -> None:
    held.paths.routes[:] = [each for each in held.paths.routes if str(each.destination) != destination]


def _open(held: Held, name: str) -> None:
    """A base chain that accepts what its rules refuse."""
    chain = held.table.chains[name]
    assert chain.hook is not None
    held.table.chains[name] = Rules(replace(chain.hook, accepts=True), chain.programs[:-1])


def _address(text: str) -> bytes:
    return IPv4Address(text).packed


def _value(text: str) -> bytes:
    return struct.pack("=HH", 8, 1) + _address(text)


_X, _H = f"x{suffix(GATEWAY)}", f"h{host_ns(HOSTS[0]).removeprefix('host-')}"
WRONG = (
    Wrong("gateway opened", "admits", lambda h: h.insert("from-internet", ACCEPT)),
    Wrong("the VPC may send anything", "admits", lambda h: h.insert("from-vpc", ACCEPT)),
    Wrong("private sources from outside", "admits", lambda h: h.rules("from-internet").pop(1)),
    Wrong("the VPC's sources from outside", "admits", lambda h: h.rules("from-internet").pop(2)),
    Wrong("the VPC's public sources from outside", "admits", lambda h: h.rules("from-internet").pop(3)),
    Wrong("one public source from outside", "admits", lambda h: h.set("own-public").pop()),
    Wrong("private destinations on the internet", "admits", lambda h: h.rules("from-vpc").pop(1)),
    Wrong("the VPC's blocks on the internet", "admits", lambda h: h.rules("not-to-vpc").pop(1)),
    Wrong("a reserved block forgotten", "admits", lambda h: h.rules("unroutable-source").pop(2)),
    Wrong("the pool of IPv6 refused", "refuses", lambda h: h.rules("unroutable-source").pop(0)),
    Wrong("IPv6 of others out", "admits", lambda h: h.insert("ipv6-from-vpc", ACCEPT)),
    Wrong("IPv6 of others in", "admits", lambda h: h.insert("ipv6-to-vpc", ACCEPT)),
    Wrong("no IPv6 in", "refuses", lambda h: h.rules("ipv6-to-vpc").pop(0)),
    Wrong("what has no public address", "admits", lambda h: h.rules("to-public").__setitem__(-1, (ACCEPT,))),
    Wrong("sources not exchanged", "admits", lambda h: h.insert("to-public", ACCEPT)),
    Wrong("destinations not exchanged", "admits", lambda h: h.rules("from-internet").__setitem__(-2, (ACCEPT,))),
    Wrong("nothing comes in", "refuses", lambda h: h.rules("from-internet").pop(-2)),
    Wrong("own public addresses from inside", "admits", lambda h: h.rules("from-vpc").pop(-2)),
    Wrong("the other map", "admits", lambda h: h.each("to-public", _map("private"))),
    Wrong("checksums not corrected", "admits", lambda h: h.each("to-public", _checksum)),
    Wrong("quoted packets not exchanged", "refuses", lambda h: h.rules("to-public").__delitem__(slice(0, 2))),
    Wrong("quoted packets of some errors not", "refuses", lambda h: h.rules("from-internet").pop(5)),
    Wrong("translation added", "admits", lambda h: h.set("private").append(
        Entry(_address("198.18.99.99"), b"", _value("10.0.2.10")))),
    Wrong("translation removed", "refuses", lambda h: h.set("private").pop()),
    Wrong("translation changed", "admits", lambda h: h.set("private").__setitem__(
        0, replace(h.set("private")[0], value=_value("10.0.1.99")))),
    Wrong("source changed", "admits", lambda h: h.set("public").__setitem__(
        0, replace(h.set("public")[0], value=_value("198.18.5.2")))),
    Wrong("a translation that expires", "unknown", lambda h: h.set("private").__setitem__(
        0, replace(h.set("private")[0], strange=True))),
    Wrong("no map", "unknown", lambda h: h.table.sets.pop("private")),
    Wrong("gateway route", "refuses", lambda h: _route(h, "198.51.100.0/24", "v0")),
    Wrong("no route to the VPC", "refuses", lambda h: _no_route(h, "198.20.0.0/16")),
    Wrong("no route to the internet", "refuses", lambda h: _no_route(h, "0.0.0.0/0")),
    Wrong("a part of the VPC outside", "admits", lambda h: _route(h, "10.0.1.0/24", "i0")),
    Wrong("back to the internet", "admits", lambda h: h.insert("forward", ACCEPT)),
    Wrong("forward open", "admits", lambda h: _open(h, "forward")),
    Wrong("arrive open", "admits", lambda h: _open(h, "arrive")),
    Wrong("input open", "admits", lambda h: _open(h, "input")),
    Wrong("output open", "admits", lambda h: _open(h, "output")),
    Wrong("asleep", "admits", lambda h: setattr(h.table, "asleep", True)),
    Wrong("a base chain more", "unknown", lambda h: h.table.chains.__setitem__(
        "early", Rules(HookPoint(0, -500, accepts=True, kind="filter"), []))),
    Wrong("no tables", "admits", lambda h: h.found.tables.clear()),
    Wrong("not understood", "unknown", lambda h: h.insert("to-public", Strange("limit", b""), ACCEPT)),
    Wrong("looks at what it exchanged", "unknown", lambda h: h.rules("to-public").insert(0, h.rules("to-public")[-2][:-1])),
    Wrong("a chain looks at what was exchanged before", "unknown", lambda h: h.rules("leave").insert(
        0, h.rules("to-public")[-2][:-1])),
    Wrong("hosts may have any address", "admits", lambda h: h.insert("spoof", ACCEPT), "internet"),
    Wrong("no host may send", "refuses", lambda h: h.insert("spoof", Decide("drop")), "internet"),
    Wrong("another's address", "admits", lambda h: _route(h, "203.0.113.77/32", _H), "internet"),
    Wrong("a public address elsewhere", "admits", lambda h: _route(h, "198.18.1.0/24", _X), "internet"),
    Wrong("a host that gets no answer", "refuses", lambda h: _no_route(h, "203.0.113.9/32"), "internet"),
    Wrong("a public address less", "refuses", lambda h: _no_route(h, "198.18.5.1/32"), "internet"),
    Wrong("no tables on the internet", "admits", lambda h: h.found.tables.clear(), "internet"),
)  # fmt: skip
PLACES = (GATEWAY, "internet")


def said(wrong: Wrong | None, name: str = GATEWAY) -> set[str]:
    """What the proof says."""
    _, fragments, plugged, held = _held(wrong.place if wrong else name)
    found: Snapshot = pickle.loads(held)
    if wrong is not None:
        wrong.change(Held(found))
    _, findings = run([(wrong.place if wrong else name, tuple(fragments), plugged, found)])
    return {each.drift.value for each in findings}


def differs(wrong: Wrong) -> bool:
    """Does the comparison see it?"""
    place, _, _, held = _held(wrong.place)
    found: Snapshot = pickle.loads(held)
    wrong.change(Held(found))
    return bool(compare(place, found))


def problems() -> Iterator[str]:
    """Everything that is not said as it should be, the healthy places first."""
    for name in PLACES:
        if told := said(None, name):
            yield f"{name}: {told}"
    for wrong in WRONG:
        told = said(wrong)
        if not (wrong.proof in told if wrong.proof else not told):
            yield f"{wrong.name}: {told or 'nothing'}, not {wrong.proof or 'nothing'}"
