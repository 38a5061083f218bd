"""What each kind of namespace should hold besides its tables: routes, policy rules, neighbours, addresses, links, settings.

Taken from the words that `topology` writes, so that there is one place that says them.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from ringfence.dataplane import topology
from ringfence.dataplane.nftables.apply import Filter
from ringfence.dataplane.nftables.objects import Table
from ringfence.dataplane.plan import (
    EDGE_INTERNET,
    EDGE_VPC,
    GATEWAY,
    LOOP_IN,
    LOOP_OUT,
    LOOP_TABLE,
    OWNED,
    PASS_ONE,
    RELAY,
    SERVICE,
    endpoint_link,
    kernel_table,
    link,
    link_group,
    peer_links,
    policy_rule,
    suffix,
)
from ringfence.dataplane.verify.rtnetlink import Neighbour, PolicyRule, Route
from ringfence.model import endpoints
from ringfence.model.net import Address, Network
from ringfence.policy.ir import Edge, Endpoint, Fragment, Interface, RouteTable, Subnet, Vpc

TABLES = {"local": 255, "main": 254, "default": 253}
DEFAULT_METRIC = {4: 0, 6: 1024}
_STANDARD = (
    *(PolicyRule(version, 0, 0, 0, TABLES["local"]) for version in (4, 6)),
    *(PolicyRule(version, 32766, 0, 0, TABLES["main"]) for version in (4, 6)),
    PolicyRule(4, 32767, 0, 0, TABLES["default"]),
)


@dataclass(frozen=True, slots=True)
class Place:
    """One namespace and what it should hold. `component`: the VPC or gateway it belongs to.

    `absent`: links that guests may have taken away with their own end; what leads through them goes with them.
    """

    component: str
    tables: tuple[Table, ...]
    routes: frozenset[Route] = frozenset()
    rules: frozenset[PolicyRule] = frozenset(_STANDARD)
    neighbours: frozenset[Neighbour] = frozenset()
    addresses: frozenset[tuple[str, str]] = frozenset()
    links: frozenset[str] = frozenset()
    groups: Mapping[str, int] = field(default_factory=dict)  # of the links that rules know by their group
    settings: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)  # link, address or number of an interface → its id
    table_names: Mapping[int, str] = field(default_factory=dict)  # kernel table → id of the route table
    guests: frozenset[str] = frozenset()  # links whose other end a guest has
    entrances: tuple[str, ...] = ("forward",)  # the hooks at which it is closed


@dataclass(frozen=True, slots=True)
class Location:
    """A place as it can be reached: the name and a descriptor of its namespace, who keeps its tables, what they are made of.

    `plugged`: the interfaces that have a link here now; of the internet, the addresses of the outside hosts.
    """

    place: Place
    name: str
    namespace: int
    filter: Filter
    fragments: tuple[Fragment, ...] = ()
    plugged: frozenset[str] = frozenset()

    def whole(self) -> Place:
        """The place with its tables: they are large, and most looks need none of them."""
        return replace(self.place, tables=tuple(self.filter.tables()))


def route_of(words: str, table: int) -> Route:
    """A route in the words of `topology`."""
    parts = words.split()
    kind = parts.pop(0) if parts[0] in ("blackhole", "throw", "unreachable", "local") else "unicast"
    destination: Network = ip_network(_full(parts.pop(0)))
    said = dict(zip(parts[0::2], parts[1::2], strict=False))
    via = ip_address(said["via"]) if "via" in said else None
    metric = int(said.get("metric", DEFAULT_METRIC[destination.version]))
    return Route(destination.version, table, kind, destination, metric, via, said.get("dev", ""))


def _addresses(eni: Interface) -> tuple[Address, ...]:
    return (*eni.ipv4, *eni.ipv6)


def _full(destination: str) -> str:
    return {"default": "0.0.0.0/0"}.get(destination, destination)


def _routes(words: Iterable[str], table: int) -> Iterable[Route]:
    return (route_of(each, table) for each in words)


def vpc(
    tables: Iterable[Table],
    vpc: Vpc,
    subnets: Iterable[Subnet],
    route_tables: Iterable[RouteTable],
    plugged: Mapping[str, Interface],
    interfaces: Iterable[Interface],
    endpoints: Iterable[Endpoint] = (),
    *,
    gateway: bool,
    peers: Collection[str] = (),
) -> Place:
    """A VPC's router. `peers`: the peering connections that have their links."""
    subnets, route_tables, endpoints = tuple(subnets), tuple(route_tables), tuple(endpoints)
    routes = set(_routes(topology.main_routes(vpc, plugged.values()), TABLES["main"]))
    rules = {rule for rule in _STANDARD if rule.priority}
    for version, hop in ((4, topology.LOOP_HOP4), (6, topology.LOOP_HOP6)):
        everywhere = "0.0.0.0/0" if version == 4 else "::/0"
        routes.add(route_of(f"{everywhere} via {hop} dev {LOOP_OUT}", LOOP_TABLE))
        rules.add(PolicyRule(version, 90, OWNED, OWNED, TABLES["main"]))
        rules.add(PolicyRule(version, 100, PASS_ONE, PASS_ONE, LOOP_TABLE))
        rules.add(PolicyRule(version, topology.LOCAL_RULE[version], 0, 0, TABLES["local"]))
    for table in route_tables:
        for number in (table.number, *([table.number + RELAY] if topology.leads_to_peers(table) else [])):
            words = topology.table_routes(
                table, dict(plugged), gateway=gateway, peers=peers, relayed=number >= RELAY, endpoints=endpoints
            )
            routes |= set(_routes(words, kernel_table(number)))
            preference, mark, mask = policy_rule(number)
            rules |= {PolicyRule(version, preference, mark, mask, kernel_table(number)) for version in (4, 6)}
    neighbours = {Neighbour(ip_address(hop), LOOP_OUT, topology.LOOP_MACS[1]) for hop in topology.LOOP_HOPS}
    owners: dict[str, str] = {}
    for eni in interfaces:
        owners |= {str(a): eni.eni_id for a in (*eni.ipv4, *eni.ipv6)} | {link(eni.number): eni.eni_id}
    for eni in plugged.values():
        neighbours |= {Neighbour(a, link(eni.number), eni.mac) for a in _addresses(eni)}
    joins = {name for id in peers for name in peer_links(id)}
    neighbours |= {Neighbour(ip_address(hop), name, topology.PEER_MAC) for name in joins for hop in topology.PEER_HOPS}
    own = {f"{a}/32" for a in topology.SERVICES4} | {f"{a}/128" for a in topology.SERVICES6}
    own |= topology.router_addresses(vpc, subnets)
    addresses = {("lo", each) for each in own}
    if gateway:
        addresses.add((GATEWAY, f"{topology.GATEWAY_LINK[0]}/30"))
    ways = {endpoint_link(each.endpoint_id) for each in endpoints}
    neighbours |= {Neighbour(ip_address(topology.ENDPOINT_LINK[1]), way, topology.ENDPOINT_MACS[1]) for way in ways}
    guests = {link(eni.number) for eni in plugged.values()}
    links = frozenset({"lo", LOOP_OUT, LOOP_IN, *([GATEWAY] if gateway else []), *joins, *ways, *guests})
    return Place(
        component=vpc.vpc_id, tables=tuple(tables), routes=frozenset(routes), rules=frozenset(rules),
        neighbours=frozenset(neighbours), addresses=frozenset(addresses),
        links=links, groups={name: group for name in links if (group := link_group(name))},
        settings=topology.ROUTER_SYSCTLS, owners=owners, guests=frozenset(guests),
        table_names={kernel_table(table.number + n): table.table_id for table in route_tables for n in (0, RELAY)},
    )  # fmt: skip


def edge(tables: Iterable[Table], edge: Edge, vpc: Vpc) -> Place:
    """An internet gateway's namespace."""
    addresses = {
        (EDGE_VPC, f"{topology.GATEWAY_LINK[1]}/30"), (EDGE_INTERNET, f"{topology.INTERNET_LINK[1]}/30"),
        ("lo", f"{topology.EDGE_SPEAKS6}/128"),
    }  # fmt: skip
    return Place(
        component=edge.gateway_id, tables=tuple(tables), addresses=frozenset(addresses),
        routes=frozenset(_routes(topology.edge_routes(edge, vpc), TABLES["main"])),
        links=frozenset({"lo", EDGE_VPC, EDGE_INTERNET}),
        settings=topology.ROUTER_SYSCTLS | {"net/ipv4/conf/default/proxy_arp": "0"},
        owners={str(private): edge.gateway_id for _, private in edge.nat},
    )  # fmt: skip


def endpoint(tables: Iterable[Table], endpoint: Endpoint, interfaces: Iterable[Interface]) -> Place:
    """A gateway endpoint's namespace."""
    hop, mac = ip_address(topology.ENDPOINT_LINK[0]), topology.ENDPOINT_MACS[0]
    return Place(
        component=endpoint.endpoint_id, tables=tuple(tables),
        routes=frozenset((
            *_routes(topology.endpoint_routes(interfaces), TABLES["main"]),
            *_routes(topology.endpoint_addresses(endpoint), TABLES["local"]),
        )),
        neighbours=frozenset({Neighbour(hop, SERVICE, mac)}), links=frozenset({"lo", SERVICE}),
        settings=topology.SERVICE_SYSCTLS, entrances=("forward", "input"),
    )  # fmt: skip


def internet(tables: Iterable[Table], edges: Iterable[Edge], hosts: Mapping[str, Address]) -> Place:
    """The namespace that plays the internet. `hosts`: link → address of the outside hosts there are."""
    words = set(topology.NOWHERE_ELSE)
    links = {"lo", *hosts}
    apis = {("lo", f"{each}/{each.max_prefixlen}") for each in endpoints.SERVED_AT}
    for each in edges:
        words |= topology.internet_routes(each)
        links.add(f"x{suffix(each.gateway_id)}")
    words |= {f"{address}/{address.max_prefixlen} dev {name}" for name, address in hosts.items()}
    return Place(
        component="internet", tables=tuple(tables), routes=frozenset(_routes(words, TABLES["main"])),
        addresses=frozenset({("lo", f"{topology.INTERNET_LINK[0]}/32"), *apis}), links=frozenset(links),
        neighbours=frozenset(Neighbour(address, name, topology.HOST_MAC) for name, address in hosts.items()),
        settings=topology.ROUTER_SYSCTLS,
    )  # fmt: skip


def family_name(version: int) -> str:
    return {4: "ipv4", 6: "ipv6"}.get(version, socket.AddressFamily(version).name if version else "any family")
