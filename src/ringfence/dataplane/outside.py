"""Outside of the VPCs: a namespace for each internet gateway, the one that plays the internet, and the hosts in it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from ringfence.dataplane import linux, topology
from ringfence.dataplane.gateway_endpoints import Announce, listening
from ringfence.dataplane.nftables.apply import Filter
from ringfence.dataplane.nftables.assembly import EdgeTables, InternetTables
from ringfence.dataplane.plan import EDGE_INTERNET, EDGE_VPC, GATEWAY, INTERNET_NS, edge_ns, suffix, vpc_ns
from ringfence.dataplane.router import Router, quietly
from ringfence.dataplane.slices import VpcSlice
from ringfence.dataplane.topology import Routes, run_batch
from ringfence.dataplane.verify import wanted
from ringfence.dataplane.verify.wanted import Location
from ringfence.model import endpoints
from ringfence.model.net import Address
from ringfence.policy.ir import Edge, Vpc

log = logging.getLogger("ringfence.network")


@dataclass
class EdgeState:
    """One internet gateway's namespace."""

    edge: Edge
    netns: int
    filter: Filter
    routes: Routes
    outside: set[str]  # the internet's routes to it


class Outside:
    """Gateways, the internet and its hosts."""

    def __init__(self, announce: Announce) -> None:
        self._announce = announce
        self.edges: dict[str, EdgeState] = {}
        self.hosts: set[str] = set()
        self._internet: Routes | None = None
        self._internet_netns = -1
        self._internet_filter: Filter | None = None
        self._host_routes: set[str] = set()  # written when the hosts are made; kept while they are
        self._lock = threading.Lock()

    def up(self, present: set[str]) -> None:
        if self._internet is not None:
            return
        if INTERNET_NS not in present:
            topology.make_namespace(INTERNET_NS)
        netns = topology.open_namespace(INTERNET_NS)  # an earlier agent may have died before all of this was done
        topology.write_sysctls(netns, topology.ROUTER_SYSCTLS)
        run_batch(INTERNET_NS, topology.internet_base())
        self._internet_netns, self._internet_filter = netns, Filter(netns, InternetTables)
        self._internet_filter.converge(())
        self._offer_apis(netns)
        self._internet = Routes(INTERNET_NS, "main", None if INTERNET_NS in present else set())
        self.hosts = {name for name in present if name.startswith("host-")}
        self._host_routes = self._known_host_routes()

    def _offer_apis(self, netns: int) -> None:
        """Listen where the AWS APIs are reached, and give the sockets to who answers there: nothing here reads them."""
        with linux.inside(netns):
            sockets = [listening(str(address)) for address in endpoints.SERVED_AT]
        try:
            self._announce(sockets, None)
        finally:
            for sock in sockets:
                sock.close()

    def edges_down(self, wanted: Mapping[str, VpcSlice], routers: Mapping[str, Router]) -> None:
        keep = {part.edge.gateway_id for part in wanted.values() if part.edge}
        for gateway_id in set(self.edges) - keep:
            held = self.edges.pop(gateway_id)
            held.filter.close()
            os.close(held.netns)
            topology.drop_namespace(edge_ns(gateway_id))  # its links go with it, and their routes with them
            if self._internet is not None:
                self._internet.link_gone(f"x{suffix(gateway_id)}")
            router = routers.get(held.edge.vpc_id)
            if router is not None:
                quietly(vpc_ns(held.edge.vpc_id), f"link del {GATEWAY}")
                router.forget_link(GATEWAY)

    def edge_up(self, part: VpcSlice) -> None:
        edge, vpc = part.edge, part.vpc
        assert edge is not None
        held = self.edges.get(edge.gateway_id)
        if held is None:
            held = self._new_edge(edge, vpc)
        held.filter.sync((edge, vpc))
        held.routes.sync(topology.edge_routes(edge, vpc))
        held.edge, held.outside = edge, topology.internet_routes(edge)

    def _new_edge(self, edge: Edge, vpc: Vpc) -> EdgeState:
        name = edge_ns(edge.gateway_id)
        fresh = name not in topology.namespaces()
        if not fresh and not topology.edge_is_whole(edge.gateway_id, vpc_ns(vpc.vpc_id)):
            log.warning("%s was left half made: made anew", name)
            topology.drop_namespace(name)
            quietly(vpc_ns(vpc.vpc_id), f"link del {GATEWAY}")
            fresh = True
        if fresh:
            topology.make_namespace(name)
        netns = topology.open_namespace(name)
        routes = Routes(name, "main", set() if fresh else None)
        state = EdgeState(edge, netns, Filter(netns, EdgeTables), routes, topology.internet_routes(edge))
        if fresh:
            topology.write_sysctls(netns, topology.ROUTER_SYSCTLS | {"net/ipv4/conf/default/proxy_arp": "0"})
            state.filter.sync((edge, vpc))  # rules before links
            inside, itself, outside = topology.edge_base(edge.gateway_id)
            run_batch(vpc_ns(vpc.vpc_id), inside)
            run_batch(name, itself)
            run_batch(INTERNET_NS, outside)
        else:
            run_batch(vpc_ns(vpc.vpc_id), [topology.gateway_up()])
        self.edges[edge.gateway_id] = state
        return state

    def sync(self) -> None:
        assert self._internet is not None
        routes = set[str]().union(*(held.outside for held in self.edges.values()))
        self._internet.sync(routes | self._host_routes | topology.NOWHERE_ELSE)

    def _known_host_routes(self) -> set[str]:
        """Routes to the outside hosts an earlier agent made."""
        out = set()
        for item in (
            *topology.listed(INTERNET_NS, "-4", "route", "show"),
            *topology.listed(INTERNET_NS, "-6", "route", "show"),
        ):
            device = str(item.get("dev", ""))
            if device.startswith("h") and item.get("protocol") != "kernel" and item["dst"] != "default":
                dst = item["dst"] if "/" in item["dst"] else item["dst"] + ("/128" if ":" in item["dst"] else "/32")
                out.add(f"{dst} dev {device}")
        return out

    def host(self, address: Address) -> str:
        """The namespace of an outside host, made on demand. ValueError for an address a VPC has."""
        name = topology.host_ns(address)
        with self._lock:
            if name in self.hosts:
                return name
            if address in endpoints.SERVED_AT:
                raise ValueError(f"{address} is where instances reach the AWS APIs: it is no host")
            if any(address == public for held in self.edges.values() for public, _ in held.edge.nat) or any(
                address in block
                for held in self.edges.values()
                for block in held.edge.ipv6
                if block.version == address.version
            ):
                raise ValueError(f"{address} belongs to a VPC")
            topology.make_namespace(name)
            netns = topology.open_namespace(name)
            topology.write_sysctls(netns, topology.GUEST_SYSCTLS)
            os.close(netns)
            internet, host = topology.host_commands(address)
            run_batch(INTERNET_NS, internet)
            run_batch(name, host)
            self.hosts.add(name)
            self._host_routes |= {f"{address}/{32 if address.version == 4 else 128} dev h{name.removeprefix('host-')}"}
        return name

    # ------------------------------------------------------------------ for verification
    def locations(self, routers: Mapping[str, Router]) -> Iterator[Location]:
        """The namespaces of gateways and of the internet, and what they should hold."""
        for held in self.edges.values():
            part = routers[held.edge.vpc_id].slice
            if part is not None:
                place = wanted.edge((), held.edge, part.vpc)
                name = edge_ns(held.edge.gateway_id)
                yield Location(place, name, held.netns, held.filter, (held.edge, part.vpc))
        if self._internet is not None and self._internet_filter is not None:
            with self._lock:
                edges = [held.edge for held in self.edges.values()]
                hosts = self._host_addresses()
            place, netns, rules = wanted.internet((), edges, hosts), self._internet_netns, self._internet_filter
            yield Location(place, INTERNET_NS, netns, rules, tuple(edges), frozenset(map(str, hosts.values())))

    def _host_addresses(self) -> dict[str, Address]:
        """Link → address of the outside hosts."""
        words = (route.split() for route in self._host_routes)
        return {parts[-1]: ip_address(parts[0].partition("/")[0]) for parts in words}

    def lay_again(self, component: str, routers: Mapping[str, Router]) -> None:
        """The links of the gateways that a finding names."""
        for held in self.edges.values():
            if component in (held.edge.gateway_id, held.edge.vpc_id, "internet"):
                self._lay_edge(held, routers.get(held.edge.vpc_id))

    def _lay_edge(self, held: EdgeState, router: Router | None) -> None:
        """The links of a gateway: an end takes the other with it."""
        gateway_id, vpc_id = held.edge.gateway_id, held.edge.vpc_id
        name, there = edge_ns(gateway_id), topology.links(held.netns)
        if router is not None and not (GATEWAY in topology.links(router.netns) and EDGE_VPC in there):
            quietly(vpc_ns(vpc_id), f"link del {GATEWAY}")
            quietly(name, f"link del {EDGE_VPC}")
            inside, itself = topology.edge_inward(gateway_id)
            run_batch(vpc_ns(vpc_id), inside)
            run_batch(name, itself)
        outside = f"x{suffix(gateway_id)}"
        if not (EDGE_INTERNET in there and outside in topology.links(self._internet_netns)):
            quietly(name, f"link del {EDGE_INTERNET}")
            quietly(INTERNET_NS, f"link del {outside}")
            itself, far = topology.edge_outward(gateway_id)
            run_batch(name, itself)
            run_batch(INTERNET_NS, far)
