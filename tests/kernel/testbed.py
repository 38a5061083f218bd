"""A small VPC on real kernel objects: fresh namespaces, the conventions' topology, rules through `Filter`.

    with Testbed(fragments) as bed:
        bed.apply(other_fragments)                 # incremental, like the agent
        bed.delivered([Shot("eni-a", packet)])     # crafted packets: which arrived where they should
        bed.guests["eni-a"].run(lambda: ...)       # anything else, inside that namespace

Works as root and inside `unshare -Urnm`. Namespaces have no names: they vanish with the process whatever happens.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import groupby
from pathlib import Path
from threading import Thread
from typing import TypeVar

from ringfence.dataplane import linux, topology
from ringfence.dataplane.nftables.apply import Filter
from ringfence.dataplane.nftables.assembly import EdgeTables, VpcTables
from ringfence.dataplane.plan import EDGE_INTERNET, INTERNET_NS, edge_ns, kernel_table, link, suffix
from ringfence.model.net import Address
from ringfence.policy.ir import Edge, Fragment, Interface, Key, RouteTable, Subnet, Vpc, key_of
from ringfence.policy.packet import Packet
from tests.kernel import frames

T = TypeVar("T")

GUEST_LINK = "eth0"
INTERNET = "internet"
GATEWAY_ID = "igw-1"
OUTSIDE = f"x{suffix(GATEWAY_ID)}"  # the internet's link to the edge


class Namespace:
    """A network namespace without a name, held by a file descriptor."""

    def __init__(self) -> None:
        opened: list[int] = []

        def make() -> None:
            linux.unshare(linux.CLONE_NEWNET)
            opened.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))

        thread = Thread(target=make)
        thread.start()
        thread.join()
        self.fd = opened[0]

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def run(self, action: Callable[[], T]) -> T:
        with linux.inside(self.fd):
            return action()

    def ip(self, *lines: str) -> None:
        """Commands in order, by `ip -batch`; `-4 ` or `-6 ` before a command names the family."""
        for option, run in groupby(lines, key=lambda line: line[:2] if line.startswith(("-4 ", "-6 ")) else ""):
            text = "\n".join(line.removeprefix(option).lstrip() for line in run)
            self.command("ip", *([option] if option else []), "-batch", "-", text=text)

    def command(self, *words: str, text: str = "", check: bool = True) -> str:
        done = subprocess.run(
            ["nsenter", f"--net={self.path}", *words], input=text, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"{words}: {done.stderr}\n{text}")
        return done.stdout

    def set(self, **settings: object) -> None:
        """Network settings; `__` stands for a slash."""

        def write() -> None:
            for name, value in settings.items():
                Path("/proc/sys/net", name.replace("__", "/")).write_text(str(value))

        self.run(write)

    def close(self) -> None:
        os.close(self.fd)


@dataclass(frozen=True)
class Shot:
    """A crafted packet leaving an ENI (or INTERNET). `to`: where it should arrive; default: the owner of its destination."""

    source: str
    packet: Packet
    to: str | None = None
    flags: int = frames.SYN
    size: int = 0


@dataclass
class Testbed:
    """The namespaces of one VPC. `answering`: guests have addresses and a TCP/IP stack that answers."""

    fragments: Iterable[Fragment]
    outside: Sequence[Address] = (ip_address("203.0.113.9"), ip_address("198.51.100.7"), ip_address("2001:db8:ffff::9"))
    answering: bool = True
    __test__ = False
    guests: dict[str, Namespace] = field(default_factory=dict)
    router_macs: dict[str, str] = field(default_factory=dict)
    _rules: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.vpc, self.edge, self.internet = Namespace(), Namespace(), Namespace()
        self._raw: dict[str, socket.socket] = {}
        self._marker = 0
        self.current: dict[Key, Fragment] = {}
        try:
            self._fixed_parts()
            self.filter = Filter(self.vpc.fd, VpcTables)
            self.edge_filter = Filter(self.edge.fd, EdgeTables)
            self.filter.converge(())
            self.edge_filter.converge(())
            self.apply(self.fragments)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Testbed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for raw in self._raw.values():
            raw.close()
        for filter_ in (getattr(self, "filter", None), getattr(self, "edge_filter", None)):
            if filter_ is not None:
                filter_.close()
        for namespace in (*self.guests.values(), self.vpc, self.edge, self.internet):
            with contextlib.suppress(OSError):
                namespace.close()

    def unwatch(self) -> None:
        """Close the sockets that capture and craft packets: they cost every packet a copy."""
        while self._raw:
            self._raw.popitem()[1].close()

    # --- the topology -----------------------------------------------------------------------------------------------

    def _fixed_parts(self) -> None:
        for router in (self.vpc, self.edge, self.internet):
            topology.write_sysctls(router.fd, topology.ROUTER_SYSCTLS)
        self.internet.set(ipv6__conf__all__forwarding=0)
        self.vpc.ip(*topology.router_base())
        inside, edge, outside = topology.edge_base(GATEWAY_ID)
        names = {edge_ns(GATEWAY_ID): self.edge.path, INTERNET_NS: self.internet.path}
        for namespace, lines in ((self.vpc, inside), (self.edge, edge), (self.internet, outside)):
            namespace.ip(*(_renamed(line, names) for line in lines))
        self.internet.ip(
            *topology.internet_base(),
            *(f"addr replace {a} dev lo{' nodad' if a.version == 6 else ''}" for a in self.outside),
            f"neigh replace 169.254.253.2 lladdr {self._mac(self.edge, EDGE_INTERNET)} dev {OUTSIDE} nud permanent",
        )
        self.internet_mac = self._mac(self.internet, OUTSIDE)
        self.edge_mac = self._mac(self.edge, EDGE_INTERNET)
        self._raw[INTERNET] = self.internet.run(lambda: frames.packet_socket(OUTSIDE))

    @staticmethod
    def _mac(namespace: Namespace, link_name: str) -> str:
        return namespace.run(lambda: _hardware(link_name))

    def _plug(self, eni: Interface, subnet: Subnet) -> None:
        guest = self.guests[eni.eni_id] = Namespace()
        topology.write_sysctls(guest.fd, topology.GUEST_SYSCTLS)
        router, itself = topology.plug(eni, subnet, guest.path, GUEST_LINK)
        self.vpc.ip(*router)
        guest.ip(*(itself if self.answering else [f"link set {GUEST_LINK} up"]))
        self.router_macs[eni.eni_id] = self._mac(self.vpc, link(eni.number))
        self._raw[eni.eni_id] = guest.run(lambda: frames.packet_socket(GUEST_LINK))

    def _unplug(self, eni: Interface) -> None:
        self._raw.pop(eni.eni_id).close()
        self.vpc.ip(f"link del {link(eni.number)}")
        self.guests.pop(eni.eni_id).close()

    def _routes(self) -> None:
        """All route tables anew: tests change them rarely."""
        plugged = {f.eni_id: f for f in self.current.values() if isinstance(f, Interface)}
        tables = [f for f in self.current.values() if isinstance(f, RouteTable)]
        vpc = next((f for f in self.current.values() if isinstance(f, Vpc)), None)
        edge = next((f for f in self.current.values() if isinstance(f, Edge)), None)
        lines = []
        for table in tables:
            number = kernel_table(table.number)
            if number not in self._rules:
                lines += [
                    f"{v} rule add pref {number} fwmark {table.number:#x}/0xffff lookup {number}" for v in ("-4", "-6")
                ]
                self._rules.add(number)
            for version in ("-4", "-6"):
                self.vpc.command("ip", version, "route", "flush", "table", str(number), check=False)
            routes = topology.table_routes(table, plugged, gateway=edge is not None)
            lines += [f"{_family(route)} route replace {route} table {number}" for route in sorted(routes)]
        if vpc is not None:
            routes = topology.main_routes(vpc, plugged.values())
            lines += [f"{_family(route)} route replace {route}" for route in sorted(routes)]
            lines += [f"addr replace {a} dev lo" for a in topology.router_addresses(vpc, self._subnets())]
        self.vpc.ip(*lines)
        if edge is not None and vpc is not None:
            self.edge.ip(*(f"{_family(route)} route replace {route}" for route in topology.edge_routes(edge, vpc)))
            out = topology.internet_routes(edge)
            self.internet.ip(*(f"{_family(route)} route replace {route}" for route in out))

    def _subnets(self) -> list[Subnet]:
        return [fragment for fragment in self.current.values() if isinstance(fragment, Subnet)]

    # --- rules ------------------------------------------------------------------------------------------------------

    def apply(self, fragments: Iterable[Fragment]) -> None:
        """Bring topology and rules to this IR by the difference from the last one."""
        new = {key_of(fragment): fragment for fragment in fragments}
        put = [f for key, f in new.items() if self.current.get(key) != f]
        drop = [key for key in self.current if key not in new]
        old, self.current = self.current, new
        for key in drop:
            if isinstance(gone := old[key], Interface):
                self._unplug(gone)
        for fragment in put:
            if isinstance(fragment, Interface) and fragment.eni_id not in self.guests:
                subnet = new["Subnet", fragment.subnet_id]
                assert isinstance(subnet, Subnet)
                self._plug(fragment, subnet)
            elif isinstance(fragment, Interface):
                self.vpc.ip(*topology.neighbours(fragment))
        if any(isinstance(fragment, Interface | RouteTable | Vpc | Edge) for fragment in put) or drop:
            self._routes()
        self.filter.update(put, drop)
        self.edge_filter.update(put, drop)

    def change(self, *put: Fragment, drop: Sequence[Key] = ()) -> None:
        """Put some fragments, drop some keys."""
        fragments = {k: f for k, f in self.current.items() if k not in drop}
        fragments.update((key_of(f), f) for f in put)
        self.apply(fragments.values())

    def subnet_of(self, eni_id: str) -> Subnet:
        eni = self.current["Interface", eni_id]
        assert isinstance(eni, Interface)
        subnet = self.current["Subnet", eni.subnet_id]
        assert isinstance(subnet, Subnet)
        return subnet

    # --- crafted packets --------------------------------------------------------------------------------------------

    def owner(self, address: Address) -> str:
        """The ENI with that address; INTERNET when it is nobody's."""
        for fragment in self.current.values():
            if isinstance(fragment, Interface) and address in (*fragment.ipv4, *fragment.ipv6):
                return fragment.eni_id
        return INTERNET

    def delivered(self, shots: Sequence[Shot], settle: float = 0.1) -> list[bool]:
        """Send every shot; which of them arrived where they should. `settle`: seconds to wait for the last."""
        first = self._marker
        self.drain()
        for shot in shots:
            self.send(shot)
        wanted = {first + n: shot.to or self.owner(shot.packet.dst) for n, shot in enumerate(shots, 1)}
        arrived: set[int] = set()
        deadline = time.monotonic() + settle
        while len(arrived) < len(shots) and time.monotonic() < deadline:
            select.select(list(self._raw.values()), [], [], max(0.0, deadline - time.monotonic()))
            for where, seen in self.captured():
                if seen.marker is not None and wanted.get(seen.marker) == where:
                    arrived.add(seen.marker)
        return [number in arrived for number in wanted]

    def send(self, shot: Shot) -> int:
        """Send one crafted packet; its marker."""
        self._marker += 1
        body = frames.datagram(shot.packet, self._marker, flags=shot.flags, size=shot.size)
        self.inject(shot.source, body)
        return self._marker

    def inject(self, source: str, body: bytes, mac: str | None = None) -> None:
        """Send an IP packet as a frame from that place's link to its router."""
        if source == INTERNET:
            frame = frames.ethernet(self.edge_mac, mac or self.internet_mac, body)
        else:
            eni = self.current["Interface", source]
            assert isinstance(eni, Interface)
            frame = frames.ethernet(self.router_macs[source], mac or eni.mac, body)
        self._raw[source].send(frame)

    def drain(self) -> None:
        for _ in self.captured():
            pass

    def captured(self) -> Iterator[tuple[str, frames.Seen]]:
        """Incoming IP packets at every place, since the last call."""
        for where, raw in list(self._raw.items()):
            while True:
                try:
                    data, origin = raw.recvfrom(70000)
                except OSError as problem:  # nothing more; or a guest has lost its link
                    if problem.errno not in (errno.EAGAIN, errno.ENETDOWN):
                        raise
                    break
                if origin[2] == socket.PACKET_OUTGOING:
                    continue
                if (seen := frames.parse(data)) is not None:
                    yield where, seen

    # --- looking ----------------------------------------------------------------------------------------------------

    def connections(self) -> list[str]:
        """Entries of the VPC's connection tables, one line each, as conntrack(8) prints them."""
        lines = []
        for family in ("ipv4", "ipv6"):
            lines += self.vpc.command("conntrack", "-L", "-f", family, check=False).splitlines()
        return lines

    def listing(self) -> str:
        return self.vpc.command("nft", "list", "ruleset")


def _renamed(line: str, names: dict[str, str]) -> str:
    return " ".join(names.get(word, word) for word in line.split())


def _family(route: str) -> str:
    return "-6" if ":" in route.split(" via ")[0] else "-4"


def _hardware(name: str) -> str:
    """The MAC of a link of the current namespace."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((name, 0))
        return ":".join(f"{octet:02x}" for octet in raw.getsockname()[4])
