"""A small VPC on real kernel objects: fresh namespaces, the conventions' topology, rules through `Filter`.

    with Testbed(fragments) as bed:
        bed.apply(other_fragments)                 # incremental, like the agent
        bed.delivered([Shot("eni-a", packet)])     # crafted packets: which arrived where they should
        bed.guests["eni-a"].run(lambda: ...)       # anything else, inside that namespace

Works as root and inside `unshare -Urnm`. Namespaces have no names: they vanish with the process whatever happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import TypeVar

from ringfence.dataplane.nftables.apply import Filter
from ringfence.dataplane.nftables.netns import inside
from ringfence.dataplane.nftables.plan import EdgePlan, VpcPlan
from ringfence.model.net import Address, Network
from ringfence.policy.ir import Edge, Fragment, Interface, Key, Route, RouteTable, Subnet, Via, Vpc, key_of
from ringfence.policy.packet import Packet
from tests.kernel import frames

T = TypeVar("T")

ROUTER_MAC, GUEST_LINK = "02:fe:00:00:00:01", "eth0"
LOOP_TABLE = 900
INTERNET = "internet"


class Namespace:
    """A network namespace without a name, held by a file descriptor."""

    def __init__(self) -> None:
        opened: list[int] = []

        def make() -> None:
            if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            opened.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))

        thread = Thread(target=make)
        thread.start()
        thread.join()
        self.fd = opened[0]
        self.run(lambda: socket.if_nametoindex("lo"))

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def run(self, action: Callable[[], T]) -> T:
        return inside(self.fd, action)

    def ip(self, *lines: str) -> None:
        """`ip -batch`; IPv6 lines begin with -6."""
        for option in ("-4", "-6"):
            chosen = [line.removeprefix("-6 ") for line in lines if line.startswith("-6 ") == (option == "-6")]
            if chosen:
                self.command("ip", option, "-batch", "-", text="\n".join(chosen))

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


def _peer(namespace: Namespace, name: str, mac: str) -> str:
    return f"peer name {name} address {mac} netns {namespace.path}"


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

    def __post_init__(self) -> None:
        self.vpc, self.edge, self.internet = Namespace(), Namespace(), Namespace()
        self._raw: dict[str, socket.socket] = {}
        self._marker = 0
        self.current: dict[Key, Fragment] = {}
        try:
            self._fixed_parts()
            self.filter = Filter(self.vpc.fd, VpcPlan)
            self.edge_filter = Filter(self.edge.fd, EdgePlan)
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

    # --- the topology -----------------------------------------------------------------------------------------------

    def _fixed_parts(self) -> None:
        for router in (self.vpc, self.edge, self.internet):
            router.set(
                ipv4__ip_forward=1, ipv6__conf__all__forwarding=1, ipv4__conf__all__rp_filter=0,
                ipv4__conf__default__rp_filter=0, ipv4__conf__all__send_redirects=0,
                ipv4__conf__default__send_redirects=0, ipv6__conf__default__accept_dad=0,
            )  # fmt: skip
        self.internet.set(ipv6__conf__all__forwarding=0)
        self.vpc.ip(
            "link set lo up",
            "link add l0 address 02:fe:00:00:00:10 type veth peer name l1 address 02:fe:00:00:00:11",
            f"link add g0 address 02:fe:00:00:00:20 type veth {_peer(self.edge, 'v0', '02:fe:00:00:00:21')}",
            "link set l0 mtu 65535",
            "link set l1 mtu 65535",
            "link set l0 up",
            "link set l1 up",
            "link set g0 up",
            "neigh add 169.254.1.2 lladdr 02:fe:00:00:00:11 dev l0 nud permanent",
            "-6 neigh add fe80::2 lladdr 02:fe:00:00:00:11 dev l0 nud permanent",
            "neigh add 169.254.2.2 lladdr 02:fe:00:00:00:21 dev g0 nud permanent",
            "-6 neigh add fe80::2 lladdr 02:fe:00:00:00:21 dev g0 nud permanent",
            *both(f"route add default via {{gw}} dev l0 onlink table {LOOP_TABLE}", "169.254.1.2", "fe80::2"),
            *both("route add blackhole default metric 4000000000"),
            *(
                f"{v}rule add pref {p} iif {i} goto 100"
                for v in ("", "-6 ")
                for p, i in ((10, "l1"), (11, "g0"), (12, "lo"))
            ),
            *both(f"rule add pref 20 lookup {LOOP_TABLE}"),
            *both("rule add pref 100 lookup 32000"),
        )
        self.edge.ip(
            "link set lo up",
            f"link add i0 address 02:fe:00:00:00:30 type veth {_peer(self.internet, 'x0', '02:fe:00:00:00:31')}",
            "link set v0 up",
            "link set i0 up",
            "neigh add 169.254.3.2 lladdr 02:fe:00:00:00:31 dev i0 nud permanent",
            "-6 neigh add fe80::2 lladdr 02:fe:00:00:00:31 dev i0 nud permanent",
            "neigh add 169.254.2.1 lladdr 02:fe:00:00:00:20 dev v0 nud permanent",
            "-6 neigh add fe80::1 lladdr 02:fe:00:00:00:20 dev v0 nud permanent",
            *both("route add default via {gw} dev i0 onlink", "169.254.3.2", "fe80::2"),
        )
        self.internet.ip(
            "link set lo up",
            "link set x0 up",
            *(
                f"{'-6 ' if a.version == 6 else ''}addr add {a} dev lo{' nodad' if a.version == 6 else ''}"
                for a in self.outside
            ),
            "neigh add 169.254.3.1 lladdr 02:fe:00:00:00:30 dev x0 nud permanent",
            "-6 neigh add fe80::1 lladdr 02:fe:00:00:00:30 dev x0 nud permanent",
            f"route add default via 169.254.3.1 dev x0 onlink src {self.outside[0]}",
            "-6 route add default via fe80::1 dev x0 onlink",
        )
        self._raw[INTERNET] = self.internet.run(lambda: frames.packet_socket("x0"))

    def _plug(self, eni: Interface) -> None:
        guest = self.guests[eni.eni_id] = Namespace()
        link = f"e{eni.number}"
        self.vpc.ip(
            f"link add {link} address {ROUTER_MAC} type veth {_peer(guest, GUEST_LINK, eni.mac)}",
            f"link set {link} addrgenmode none",
            f"link set {link} up",
            f"-6 addr add fe80::1/64 dev {link} nodad",
        )
        for address in (*eni.ipv4, *eni.ipv6):
            six = "-6 " if address.version == 6 else ""
            self.vpc.ip(
                f"{six}neigh replace {address} lladdr {eni.mac} dev {link} nud permanent",
                f"{six}route replace {address} dev {link}",
            )
        guest.set(ipv6__conf__default__accept_dad=0, ipv4__ping_group_range="0 2147483647")
        lines = ["link set lo up", f"link set {GUEST_LINK} up"]
        if self.answering:
            lines += [f"addr add {a}/32 dev {GUEST_LINK}" for a in eni.ipv4]
            lines += [f"-6 addr add {a}/128 dev {GUEST_LINK} nodad" for a in eni.ipv6]
            lines += [
                f"neigh add 169.254.0.1 lladdr {ROUTER_MAC} dev {GUEST_LINK} nud permanent",
                f"-6 neigh add fe80::1 lladdr {ROUTER_MAC} dev {GUEST_LINK} nud permanent",
                f"route add default via 169.254.0.1 dev {GUEST_LINK} onlink"
                + (f" src {eni.ipv4[0]}" if eni.ipv4 else ""),
                f"-6 route add default via fe80::1 dev {GUEST_LINK} onlink",
            ]
        guest.ip(*lines)
        self._raw[eni.eni_id] = guest.run(lambda: frames.packet_socket(GUEST_LINK))

    def _unplug(self, eni: Interface) -> None:
        self._raw.pop(eni.eni_id).close()
        self.vpc.ip(f"link del e{eni.number}")
        self.guests.pop(eni.eni_id).close()

    def _routes(self, table: RouteTable) -> None:
        where = f"table {1000 + table.number}"
        self.vpc.command("ip", "-4", "route", "flush", *where.split(), check=False)
        self.vpc.command("ip", "-6", "route", "flush", *where.split(), check=False)
        for version in ("-4", "-6"):
            listed = self.vpc.command("ip", version, "rule", "list", "pref", str(200 + table.number))
            if not listed:
                mark = f"{table.number}/0xffff"
                rule = [
                    "rule",
                    "add",
                    "pref",
                    str(200 + table.number),
                    "fwmark",
                    mark,
                    "lookup",
                    str(1000 + table.number),
                ]
                self.vpc.command("ip", version, *rule)
        self.vpc.ip(
            *(line for route in table.routes for line in self._route(route, where)),
            *both(f"route add blackhole default metric 4000000000 {where}"),
        )

    def _route(self, route: Route, where: str) -> Iterator[str]:
        six = "-6 " if route.destination.version == 6 else ""
        to = str(route.destination)
        if route.via is Via.LOCAL:
            yield f"{six}route add throw {to} {where}"
        elif route.via is Via.BLACKHOLE:
            yield f"{six}route add blackhole {to} {where}"
        elif route.via is Via.GATEWAY:
            yield f"{six}route add {to} via {'fe80::2' if six else '169.254.2.2'} dev g0 onlink {where}"
        else:
            eni = next(f for f in self.current.values() if isinstance(f, Interface) and f.eni_id == route.target)
            addresses = [a for a in (*eni.ipv4, *eni.ipv6) if a.version == route.destination.version]
            yield f"{six}route add {to} via {addresses[0]} dev e{eni.number} onlink {where}"

    def _edge_routes(self, edge: Edge, vpc: Vpc | None) -> None:
        blocks: list[Network] = [*(vpc.ipv4 if vpc else ()), *edge.ipv6]
        four = [f"route replace {block} via 169.254.2.1 dev v0 onlink" for block in blocks if block.version == 4]
        six = [f"-6 route replace {block} via fe80::1 dev v0 onlink" for block in blocks if block.version == 6]
        self.edge.ip(*four, *six)

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
                self._plug(fragment)
        for fragment in put:
            if isinstance(fragment, RouteTable):
                self._routes(fragment)
        edge = next((f for f in new.values() if isinstance(f, Edge)), None)
        if edge is not None:
            self._edge_routes(edge, next((f for f in new.values() if isinstance(f, Vpc)), None))
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
            frame = frames.ethernet("02:fe:00:00:00:30", mac or "02:fe:00:00:00:31", body)
        else:
            eni = self.current["Interface", source]
            assert isinstance(eni, Interface)
            frame = frames.ethernet(ROUTER_MAC, mac or eni.mac, body)
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
                except BlockingIOError:
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


def both(line: str, four: str = "", six: str = "") -> tuple[str, str]:
    return line.replace("{gw}", four), "-6 " + line.replace("{gw}", six)
