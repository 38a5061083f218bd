"""Namespaces, links, addresses and routes: where packets can go, before anything is filtered.

Everything is told to `ip -batch` in idempotent words (replace, not add), so that an agent that knows nothing can run it
again; what should not be there is deleted by comparing with what the kernel lists.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import socket
import subprocess
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.dataplane import linux
from ringfence.dataplane.plan import (
    EDGE_INTERNET,
    EDGE_VPC,
    ENDPOINTS,
    GATEWAY,
    INTERNET_NS,
    LOOP_IN,
    LOOP_OUT,
    LOOP_TABLE,
    OWNED,
    PASS_ONE,
    SERVICE,
    edge_ns,
    endpoint_link,
    endpoint_ns,
    link,
    link_group,
    peer_links,
    suffix,
)
from ringfence.model import endpoints
from ringfence.model.net import Address
from ringfence.policy.ir import Edge, Endpoint, Interface, Route, RouteTable, Subnet, Via, Vpc

NETNS = Path("/run/netns")
MTU, INTERNET_MTU = 9001, 1500  # IGW-09
_ROUTER_LINK_LOCAL = "fe80:ec2::1"  # the router's other address on every link (NET-12)
LOOP_MACS = ("02:52:46:00:00:00", "02:52:46:00:00:01")
LOOP_HOP4, LOOP_HOP6 = "169.254.255.1", "fe80::fffe"
LOOP_HOPS = (LOOP_HOP4, LOOP_HOP6)
GATEWAY_LINK = ("169.254.254.1", "169.254.254.2")  # VPC side, edge side
INTERNET_LINK = ("169.254.253.1", "169.254.253.2")  # internet side, edge side
EDGE_SPEAKS6 = "fd00:ec2::fffe"  # errors of the gateway need a source that routers pass on: "packet too big" (IGW-09)
PEER_HOPS, PEER_MAC = ("169.254.252.1", "fe80::fffd"), "02:52:46:00:00:03"  # of links between peer VPCs, either end
ENDPOINT_LINK = ("169.254.251.1", "169.254.251.2")  # VPC side, service's side: next hops without addresses
ENDPOINT_MACS = ("02:52:46:00:00:04", "02:52:46:00:00:05")
HOST_MAC = "02:52:46:00:00:02"  # of every outside host's own end
#: the end of every table: what no route leads to is dropped silently
NOWHERE_ELSE = {"blackhole 0.0.0.0/0 metric 20000", "blackhole ::/0 metric 20000"}
SERVICES4 = ("169.254.169.253", "169.254.169.254", "169.254.169.123")
SERVICES6 = ("fd00:ec2::253", "fd00:ec2::254", "fd00:ec2::123")

#: preference of the rule that asks for the router's own addresses, by version
LOCAL_RULE = {4: 150, 6: 95}

ROUTER_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    # sources are checked by the filter; without this the kernel looks up a route to every packet's source, in both passes
    "net/ipv4/conf/all/accept_local": "1",
    # the router has few connections of its own: no look for one of them with every packet it forwards
    "net/ipv4/ip_early_demux": "0",
    # a packet's priority says of how many segments it is (segments.py), not what its service class stands for
    "net/ipv4/ip_forward_update_priority": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/conf/default/proxy_arp": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/conf/default/forwarding": "1",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/netfilter/nf_conntrack_tcp_be_liberal": "1",
}
GUEST_SYSCTLS = {
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/all/accept_ra": "0",
}


#: of a gateway endpoint's namespace: it hears only those whom a route leads back to, and only by IPv4 (VPE-04)
SERVICE_SYSCTLS = {
    "net/ipv4/ip_forward": "0",
    "net/ipv4/conf/all/rp_filter": "1",
    "net/ipv4/conf/default/rp_filter": "1",
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
}


class TopologyError(Exception):
    """`ip` refused something."""


def run_batch(netns: str, lines: Iterable[str], *, may_fail: bool = False) -> None:
    """Commands for one namespace, in order; `-6 ` before a command names the family. TopologyError at the first that fails.

    `may_fail`: go on past failures, for deleting what the kernel may have removed by itself with its link.
    """
    for family, run in itertools.groupby(lines, key=_family_option):
        text = "\n".join(line.removeprefix(family).lstrip() for line in run)
        options = [*([family] if family else []), *(["-force"] if may_fail else [])]
        done = subprocess.run(
            ["ip", *options, "-n", netns, "-batch", "-"],
            input=text + "\n", capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode != 0 and not may_fail:
            raise TopologyError(f"{netns}: {done.stderr.strip()} in:\n{text}")


def _family_option(line: str) -> str:
    return line[:2] if line.startswith(("-4 ", "-6 ")) else ""


def listed(netns: str, *what: str) -> list[dict[str, Any]]:
    """`ip -json` output; nothing for a table that does not exist."""
    done = subprocess.run(["ip", "-n", netns, "-json", *what], capture_output=True, text=True, timeout=60, check=False)
    found: list[dict[str, Any]] = json.loads(done.stdout if done.returncode == 0 and done.stdout.strip() else "[]")
    return found


# ---------------------------------------------------------------------- namespaces
def namespaces() -> set[str]:
    """The namespaces there are."""
    return set(os.listdir(NETNS))


def make_namespace(name: str) -> None:
    """A new, empty namespace."""
    subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True, timeout=30)


def name_namespace(descriptor: int, name: str) -> None:
    """Give a namespace held by a descriptor a name."""
    path = NETNS / name
    if path.exists():
        drop_namespace(name)
    path.touch()
    linux.mount(f"/proc/self/fd/{descriptor}", str(path), flags=linux.MS_BIND)


def drop_namespace(name: str) -> None:
    """Remove a namespace and every link in it."""
    linux.unmount(str(NETNS / name))
    (NETNS / name).unlink()


def open_namespace(name: str) -> int:
    """A descriptor of a named namespace; the caller closes it."""
    return os.open(NETNS / name, os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def opened(name: str) -> Iterator[int]:
    """A descriptor of a named namespace, for the while. OSError when there is none."""
    descriptor = open_namespace(name)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_sysctls(descriptor: int, values: dict[str, str]) -> None:
    """Settings of one namespace."""
    with linux.inside(descriptor):
        for name, value in values.items():
            path = Path("/proc/sys") / name
            if path.exists():
                path.write_text(value)


def links(descriptor: int) -> set[str]:
    """The names of a namespace's links."""
    with linux.inside(descriptor):
        return {name for _, name in socket.if_nameindex()}


# ---------------------------------------------------------------------- a VPC's router
def router_base() -> Iterator[str]:
    """What every VPC namespace has: the loop, service addresses, policy rules."""
    yield "link set lo up"
    yield from loop()
    # a packet's mark says which table leads it on: there is no look into the router's own addresses first, as by the kernel's
    # rule 0. With IPv6 there is in pass 1: guests ask those for their neighbours
    for version, local in LOCAL_RULE.items():
        family = f"-{version}"
        yield f"{family} rule add pref 90 fwmark {OWNED:#x}/{OWNED:#x} lookup main"
        yield f"{family} rule add pref 100 fwmark {PASS_ONE:#x}/{PASS_ONE:#x} lookup {LOOP_TABLE}"
        yield f"{family} rule add pref {local} lookup local"
        yield f"{family} rule del pref 0"
    for address in SERVICES4:
        yield f"addr replace {address}/32 dev lo"
    for address in SERVICES6:
        yield f"addr replace {address}/128 dev lo nodad"


def loop() -> Iterator[str]:
    """The way from the first pass to the second."""
    yield f"link add {LOOP_OUT} mtu {MTU} address {LOOP_MACS[0]} type veth peer name {LOOP_IN} mtu {MTU} address {LOOP_MACS[1]}"
    yield from loop_up()
    yield f"neigh replace {LOOP_HOP4} lladdr {LOOP_MACS[1]} dev {LOOP_OUT} nud permanent"
    yield f"neigh replace {LOOP_HOP6} lladdr {LOOP_MACS[1]} dev {LOOP_OUT} nud permanent"
    yield f"route replace default via {LOOP_HOP4} dev {LOOP_OUT} onlink table {LOOP_TABLE}"
    yield f"-6 route replace default via {LOOP_HOP6} dev {LOOP_OUT} table {LOOP_TABLE}"


def loop_up() -> list[str]:
    """Also for a loop that an earlier version made, when rules knew links by name."""
    return [f"link set {name} group {link_group(name)} up" for name in (LOOP_OUT, LOOP_IN)]


def gateway_up() -> str:
    """The same for the gateway's link."""
    return f"link set {GATEWAY} group {link_group(GATEWAY)} up"


def router_is_whole(name: str) -> bool:
    """Did an earlier agent come to the end of `router_base`? Its last command is the last service address."""
    found = listed(name, "addr", "show", "dev", "lo")
    return any(address.get("local") == SERVICES6[-1] for link in found for address in link.get("addr_info", ()))


def router_addresses(vpc: Vpc, subnets: Iterable[Subnet]) -> set[str]:
    """Addresses the router answers to: .1 and .2 of each subnet, .2 of each VPC block (NET-11, UF-01)."""
    out = {f"{block.network_address + 2}/32" for block in vpc.ipv4}
    for subnet in subnets:
        if subnet.ipv4 is not None:
            out |= {f"{subnet.ipv4.network_address + 1}/32", f"{subnet.ipv4.network_address + 2}/32"}
    return out


def main_routes(vpc: Vpc, plugged: Iterable[Interface]) -> set[str]:
    """The VPC's own addresses; what nobody has is dropped silently."""
    out = {f"blackhole {block}" for block in (*vpc.ipv4, *vpc.ipv6)} | NOWHERE_ELSE
    for eni in plugged:
        out |= {
            f"{address}/{32 if address.version == 4 else 128} dev {link(eni.number)}"
            for address in (*eni.ipv4, *eni.ipv6)
        }
    return out


def table_routes(
    table: RouteTable,
    plugged: dict[str, Interface],
    *,
    gateway: bool,
    peers: Collection[str] = (),
    relayed: bool = False,
    endpoints: Iterable[Endpoint] = (),
) -> set[str]:
    """One route table as kernel routes of its table (RT-05, RT-12). `peers`: the connections that have their links;
    `relayed`: for what appliances pass on."""
    # a guest may delete its interface, and the kernel the routes through it: no wider route must take their place
    behind = {
        f"blackhole {route.destination} metric 20000"
        for route in table.routes
        if route.via is Via.INTERFACE or route.via is Via.PEERING
    }
    there = frozenset(each.endpoint_id for each in endpoints)
    kernel = {
        _peer_route(route, relayed=relayed)
        if route.via is Via.PEERING and route.target in peers
        else _kernel_route(route, plugged, there, gateway=gateway)
        for route in table.routes
    }
    return kernel | behind | NOWHERE_ELSE


def leads_to_peers(table: RouteTable) -> bool:
    """Does the table need another one for what appliances pass on?"""
    return any(route.via is Via.PEERING for route in table.routes)


def _peer_route(route: Route, *, relayed: bool) -> str:
    assert route.target is not None
    name = peer_links(route.target)[relayed]
    hop = f"{PEER_HOPS[0]} dev {name} onlink" if route.destination.version == 4 else f"{PEER_HOPS[1]} dev {name}"
    return f"{route.destination} via {hop}"


def peer_base(peering_id: str, far: str, *, same_region: bool) -> list[str]:
    """Commands for new links of a peering connection, in one VPC's namespace; `far`: the other's."""
    mtu = MTU if same_region else INTERNET_MTU  # PCX-10
    return [
        f"link add {name} mtu {mtu} address {PEER_MAC} type veth peer name {name} mtu {mtu} address {PEER_MAC} netns {far}"
        for name in peer_links(peering_id)
    ]


def peer_up(peering_id: str) -> list[str]:
    """For each of the two VPCs; the peer is never asked for its address, and never answers."""
    out = []
    for name in peer_links(peering_id):
        out += [f"neigh replace {hop} lladdr {PEER_MAC} dev {name} nud permanent" for hop in PEER_HOPS]
        out.append(f"link set {name} group {link_group(name)} up")
    return out


def _kernel_route(route: Route, plugged: dict[str, Interface], there: frozenset[str], *, gateway: bool) -> str:
    destination = route.destination
    if route.via is Via.LOCAL:
        return f"throw {destination}"
    if route.via is Via.GATEWAY and gateway:
        hop = f"{GATEWAY_LINK[1]} dev {GATEWAY} onlink" if destination.version == 4 else f"fe80::2 dev {GATEWAY}"
        return f"{destination} via {hop}"
    if route.via is Via.ENDPOINT and route.target in there and destination.version == 4:
        return f"{destination} via {ENDPOINT_LINK[1]} dev {endpoint_link(route.target or '')} onlink"
    if route.via is Via.INTERFACE and route.target in plugged:
        eni = plugged[route.target]
        hops: tuple[Address, ...] = eni.ipv4 if destination.version == 4 else eni.ipv6
        if hops:
            return f"{destination} via {hops[0]} dev {link(eni.number)} onlink"
    return f"blackhole {destination}"


def plug(eni: Interface, subnet: Subnet, place: str, device: str) -> tuple[list[str], list[str]]:
    """Commands that connect an interface to a place (a namespace): for the router, and for the place."""
    dev = link(eni.number)
    router = [
        f"link add {dev} group {link_group(dev)} mtu {MTU} type veth peer name {device} mtu {MTU} address {eni.mac} netns {place}",
        # a namespace has no defaults of its own for this: unset, proxy ARP answers up to 0.8 s late
        f"ntable change name arp_cache dev {dev} proxy_delay 0",
        f"addr replace fe80::1/64 dev {dev} nodad",
        f"addr replace {_ROUTER_LINK_LOCAL}/128 dev {dev} nodad",
        f"link set {dev} group {link_group(dev)} up",
    ]
    return router + neighbours(eni), guest_side(eni, subnet, device)


def neighbours(eni: Interface) -> list[str]:
    """The router never asks who has an interface's addresses, so no guest can answer for another (NET-22)."""
    dev = link(eni.number)
    return [f"neigh replace {address} lladdr {eni.mac} dev {dev} nud permanent" for address in (*eni.ipv4, *eni.ipv6)]


def guest_side(eni: Interface, subnet: Subnet, device: str) -> list[str]:
    """Addresses and the default route in the guest."""
    out = ["link set lo up", f"link set {device} up"]
    if subnet.ipv4 is not None:
        out += [f"addr replace {address}/{subnet.ipv4.prefixlen} dev {device}" for address in eni.ipv4]
    out += [f"addr replace {address}/128 dev {device} nodad" for address in eni.ipv6]
    if eni.device_index in (0, None):
        if subnet.ipv4 is not None:
            out.append(f"route replace default via {subnet.ipv4.network_address + 1} dev {device}")
        if eni.ipv6:
            out.append(f"-6 route replace default via fe80::1 dev {device}")
    return out


# ---------------------------------------------------------------------- the gateway and the internet
def edge_base(gateway_id: str) -> tuple[list[str], list[str], list[str]]:
    """Commands for a new edge: in the VPC's namespace, in the edge's, in the internet's."""
    vpc, inward = edge_inward(gateway_id)
    outward, internet = edge_outward(gateway_id)
    return vpc, ["link set lo up", f"addr replace {EDGE_SPEAKS6}/128 dev lo nodad", *inward, *outward], internet


def edge_inward(gateway_id: str) -> tuple[list[str], list[str]]:
    """The link to the VPC: commands in the VPC's namespace, then in the edge's."""
    vpc = [
        f"link add {GATEWAY} mtu {MTU} type veth peer name {EDGE_VPC} mtu {MTU} netns {edge_ns(gateway_id)}",
        f"addr replace {GATEWAY_LINK[0]}/30 dev {GATEWAY}",
        f"addr replace fe80::1/64 dev {GATEWAY} nodad",
        gateway_up(),
    ]
    edge = [
        f"addr replace {GATEWAY_LINK[1]}/30 dev {EDGE_VPC}",
        f"addr replace fe80::2/64 dev {EDGE_VPC} nodad",
        f"link set {EDGE_VPC} up",
    ]
    return vpc, edge


def edge_outward(gateway_id: str) -> tuple[list[str], list[str]]:
    """The link to the internet: commands in the edge's namespace, then in the internet's."""
    outside = f"x{suffix(gateway_id)}"
    edge = [
        f"link add {EDGE_INTERNET} mtu {INTERNET_MTU} type veth peer name {outside} mtu {INTERNET_MTU} netns {INTERNET_NS}",
        f"addr replace {INTERNET_LINK[1]}/30 dev {EDGE_INTERNET}",
        f"addr replace fe80::2/64 dev {EDGE_INTERNET} nodad",
        f"link set {EDGE_INTERNET} up",
    ]
    return edge, [f"addr replace fe80::1/64 dev {outside} nodad", f"link set {outside} up"]


def edge_is_whole(gateway_id: str, vpc_namespace: str) -> bool:
    """Did an earlier agent come to the end of `edge_base`? It ends by raising the internet's end; the VPC's came first."""
    outside = listed(INTERNET_NS, "link", "show", "dev", f"x{suffix(gateway_id)}")
    inside = listed(vpc_namespace, "link", "show", "dev", GATEWAY)
    return all(link and "UP" in link[0]["flags"] for link in (outside, inside))


def edge_routes(edge: Edge, vpc: Vpc) -> set[str]:
    """Towards the VPC and towards the internet."""
    out = {f"{block} via {GATEWAY_LINK[0]} dev {EDGE_VPC} onlink" for block in vpc.ipv4}
    out |= {f"{block} via fe80::1 dev {EDGE_VPC}" for block in edge.ipv6}
    return out | {
        f"0.0.0.0/0 via {INTERNET_LINK[0]} dev {EDGE_INTERNET} onlink",
        f"::/0 via fe80::1 dev {EDGE_INTERNET}",
    }


def endpoint_base(endpoint: Endpoint) -> tuple[list[str], list[str]]:
    """Commands for a new gateway endpoint: in the VPC's namespace, in its own. Neither side ever asks who the other is."""
    name, place = endpoint_link(endpoint.endpoint_id), endpoint_ns(endpoint.endpoint_id)
    vpc = [
        f"link add {name} group {link_group(ENDPOINTS)} mtu {MTU} address {ENDPOINT_MACS[0]} type veth "
        f"peer name {SERVICE} mtu {MTU} address {ENDPOINT_MACS[1]} netns {place}",
        f"neigh replace {ENDPOINT_LINK[1]} lladdr {ENDPOINT_MACS[1]} dev {name} nud permanent",
        f"link set {name} group {link_group(ENDPOINTS)} up",
    ]
    itself = [
        "link set lo up",
        *(f"route replace {each} table local" for each in sorted(endpoint_addresses(endpoint))),
        f"neigh replace {ENDPOINT_LINK[0]} lladdr {ENDPOINT_MACS[0]} dev {SERVICE} nud permanent",
        f"link set {SERVICE} up",
    ]
    return vpc, itself


def endpoint_addresses(endpoint: Endpoint) -> set[str]:
    """Where its service listens: at every address of its list. Routes, not addresses: AWS's own list of S3, which an import may
    have, holds hundreds of thousands."""
    return {f"local {block} dev lo" for block in endpoint.blocks}


def endpoint_is_whole(endpoint_id: str, vpc_namespace: str) -> bool:
    """Did an earlier agent come to the end of `endpoint_base`? Each side ends by raising its link."""
    inside = listed(vpc_namespace, "link", "show", "dev", endpoint_link(endpoint_id))
    itself = listed(endpoint_ns(endpoint_id), "link", "show", "dev", SERVICE)
    return all(link and "UP" in link[0]["flags"] for link in (inside, itself))


def endpoint_routes(interfaces: Iterable[Interface]) -> set[str]:
    """Back to the VPC's own interfaces, and to nobody else."""
    back = f"via {ENDPOINT_LINK[0]} dev {SERVICE} onlink"
    return {f"{address}/32 {back}" for eni in interfaces for address in eni.ipv4} | {"blackhole 0.0.0.0/0 metric 20000"}


def internet_base() -> list[str]:
    """The internet: one router that knows public addresses and nothing else, and has those of the AWS APIs."""
    return [
        "link set lo up",
        f"addr replace {INTERNET_LINK[0]}/32 dev lo",
        *(f"addr replace {each}/32 dev lo" for each in endpoints.SERVED_AT if each.version == 4),
        f"addr replace {endpoints.ADDRESS6}/128 dev lo nodad",  # tentative for a moment otherwise, and nothing can listen
        *(f"{_family(route)} route replace {route}" for route in sorted(NOWHERE_ELSE)),
    ]


def internet_routes(edge: Edge) -> set[str]:
    """An edge's public addresses, as the internet sees them."""
    outside = f"x{suffix(edge.gateway_id)}"
    out = {f"{public}/32 via {INTERNET_LINK[1]} dev {outside} onlink" for public, _ in edge.nat}
    return out | {f"{block} via fe80::2 dev {outside}" for block in edge.ipv6}


def host_ns(address: Address) -> str:
    """The namespace of an outside host."""
    return "host-" + hashlib.sha256(str(address).encode()).hexdigest()[:10]


def host_commands(address: Address) -> tuple[list[str], list[str]]:
    """Commands for a new outside host: in the internet's namespace, in its own."""
    name = host_ns(address)
    dev = "h" + name.removeprefix("host-")
    width = address.max_prefixlen
    internet = [
        f"link add {dev} mtu {INTERNET_MTU} type veth peer name eth0 mtu {INTERNET_MTU} address {HOST_MAC} netns {name}",
        f"addr replace fe80::1/64 dev {dev} nodad",
        f"link set {dev} up",
        f"neigh replace {address} lladdr {HOST_MAC} dev {dev} nud permanent",
        f"route replace {address}/{width} dev {dev}",
    ]
    host = [
        "link set lo up",
        "link set eth0 up",
        f"addr replace {address}/{width} dev eth0" + (" nodad" if width == 128 else ""),
    ]
    hop = f"{INTERNET_LINK[0]} dev eth0 onlink" if width == 32 else "fe80::1 dev eth0"
    return internet, [*host, f"{'-4' if width == 32 else '-6'} route replace default via {hop}"]


# ---------------------------------------------------------------------- keeping routes as wanted
@dataclass
class Routes:
    """The routes of one kernel table of one namespace, as last written; None = unknown."""

    netns: str
    table: str
    applied: set[str] | None = None

    def sync(self, wanted: set[str]) -> None:
        """Write what is new, delete what is gone."""
        if self.applied == wanted:
            return
        held = self.applied if self.applied is not None else self._listed()
        keys = {_key(route) for route in wanted}
        # `replace` takes the place of a route of any type to the same destination with the same metric; to delete that one too
        # would take away another: the kernel asks for a metric only if it is not 0
        taken = {key[1:] for key in keys}
        gone_keys = {key for key in {_key(route) for route in held} - keys if key[1:] not in taken}
        run_batch(self.netns, [f"{_family(r)} route replace {r} table {self.table}" for r in sorted(wanted - held)])
        gone = [
            f"{'-6' if ':' in dst else '-4'} route del {kind}{dst}{metric} table {self.table}"
            for kind, dst, metric in sorted(gone_keys)
        ]
        run_batch(self.netns, gone, may_fail=True)  # a route goes by itself with its link
        self.applied = set(wanted)

    def link_gone(self, device: str) -> None:
        """The kernel has dropped the routes of a link that was removed."""
        if self.applied is not None:
            self.applied = {route for route in self.applied if f" dev {device} " not in f"{route} "}

    def _listed(self) -> set[str]:
        out = set()
        for family, everything in (("-4", "0.0.0.0/0"), ("-6", "::/0")):
            for route in listed(self.netns, family, "route", "show", "table", self.table):
                kind = route.get("type", "unicast")
                dst = everything if route["dst"] == "default" else route["dst"]
                if kind in ("local", "broadcast", "multicast", "anycast") or route.get("protocol") == "kernel":
                    continue
                if "/" not in dst:
                    dst += "/128" if ":" in dst else "/32"
                metric = f" metric {route['metric']}" if route.get("metric") == 20000 else ""
                out.add(("" if kind == "unicast" else kind + " ") + dst + metric + " listed")
        return out


def _key(route: str) -> tuple[str, str, str]:
    """(type with a space, destination, metric with a space): what names a route to the kernel."""
    words = route.split()
    kind = words.pop(0) + " " if words[0] in ("blackhole", "throw", "unreachable") else ""
    metric = " metric 20000" if "20000" in words else ""
    return kind, words[0], metric


def _family(route: str) -> str:
    return "-6" if ":" in _key(route)[1] else "-4"
