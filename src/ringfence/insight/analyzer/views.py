"""The words of an analysis, as the EC2 API writes them: components, rules, routes, headers (API Reference: `PathComponent`)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_network
from typing import Any

from ringfence.model.kinds import (
    INSTANCE,
    INTERNET_GATEWAY,
    KINDS,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    PEERING_CONNECTION,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
    VPC_ENDPOINT,
    Kind,
)
from ringfence.model.net import Network, PortRange, parse_network, protocol_name
from ringfence.model.nouns.network_acl import FINAL_RULE_IPV4, FINAL_RULE_IPV6
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.nouns.peering import PeeringConnection
from ringfence.model.nouns.routing import ListRoute, Route, RouteTarget
from ringfence.model.nouns.security_group import SecurityGroupRule
from ringfence.model.row import Row
from ringfence.model.world import World
from ringfence.policy.compile.routing import named_by

View = dict[str, Any]
_BY_PREFIX: dict[str, Kind[Any]] = {
    kind.prefix: kind
    for kind in (
        INSTANCE,
        INTERNET_GATEWAY,
        NETWORK_ACL,
        NETWORK_INTERFACE,
        PEERING_CONNECTION,
        ROUTE_TABLE,
        SECURITY_GROUP,
        SUBNET,
        VPC,
        VPC_ENDPOINT,
    )
}


def kind_of(id: str) -> Kind[Any] | None:
    """The kind of component that an id's prefix tells."""
    return _BY_PREFIX.get(id.rpartition("-")[0] + "-")


def kind_of_arn(arn: str) -> tuple[Kind[Any], str] | None:
    """The kind and id that an EC2 ARN names; None for what it is not."""
    parts = arn.split(":", 5)
    noun, _, id = parts[5].partition("/") if len(parts) == 6 and parts[:3] == ["arn", "aws", "ec2"] else ("", "", "")
    kind = KINDS.get(noun)
    return (kind, id) if kind is not None and id else None


def component(world: World, id: str) -> View:
    """`AnalysisComponent`."""
    kind = kind_of(id)
    row: Row | None = world.find(kind, id) if kind is not None else None
    if kind is None or row is None:
        return {"Id": id}
    shared = isinstance(row, PeeringConnection) and row.requester.owner_id != row.accepter.owner_id
    name = None if shared else row.tag("Name")  # each side's tags are its own
    return {"Id": id, "Arn": kind.arn(row), **({"Name": name} if name else {})}


def owner_of(world: World, id: str) -> str | None:
    """The account a component belongs to."""
    kind = kind_of(id)
    row: Row | None = world.find(kind, id) if kind is not None else None
    return None if row is None else row.owner_id


def owners_of(world: World, id: str) -> frozenset[str]:
    """The accounts that may see a component: its owner, both of a peering connection's."""
    row = world.find(PEERING_CONNECTION, id) if id.startswith(PEERING_CONNECTION.prefix) else None
    if row is not None:
        return frozenset({row.requester.owner_id, row.accepter.owner_id})
    owner = owner_of(world, id)
    return frozenset() if owner is None else frozenset({owner})


def place(world: World, eni: NetworkInterface) -> View:
    """Where an interface is."""
    out = {"Subnet": component(world, eni.subnet_id), "Vpc": component(world, eni.vpc_id)}
    if eni.attachment is not None:
        out["AttachedTo"] = component(world, eni.attachment.instance_id)
    return out


def ports_view(ports: PortRange) -> View:
    """`PortRange`."""
    return {"From": ports.first, "To": ports.last}


def _protocol(number: int) -> str:
    return "all" if number == -1 else protocol_name(number)


def group_rule(group_id: str, rule: SecurityGroupRule) -> View:
    """`AnalysisSecurityGroupRule`: whom it names is a block, a prefix list, or a group."""
    out: View = {"Direction": "egress" if rule.egress else "ingress", "Protocol": _protocol(rule.protocol)}
    if rule.cidr is not None:
        out["Cidr"] = str(rule.cidr)
    elif rule.prefix_list_id is not None:
        out["PrefixListId"] = rule.prefix_list_id
    out["SecurityGroupId"] = rule.group.group_id if rule.group is not None else group_id
    if rule.protocol in (6, 17):
        out["PortRange"] = {"From": rule.from_port, "To": rule.to_port}
    return out


def find_group_rule(world: World, group_id: str, rule_id: str | None) -> View | None:
    """A rule of a group by its id."""
    group = world.find(SECURITY_GROUP, group_id)
    rule = next((rule for rule in group.rules if rule.id == rule_id), None) if group is not None else None
    return None if rule is None else group_rule(group_id, rule)


def acl_rule(world: World, acl_id: str, number: str | None, *, egress: bool, family: int) -> View:
    """`AnalysisAclRule`; the final deny is number 32767, 32768 for IPv6."""
    acl = world.find(NETWORK_ACL, acl_id)
    entries = acl.entries if acl is not None else ()
    entry = next((e for e in entries if str(e.number) == number and e.egress is egress), None)
    if entry is None:
        final, cidr = (FINAL_RULE_IPV4, "0.0.0.0/0") if family == 4 else (FINAL_RULE_IPV6, "::/0")
        return {"Cidr": cidr, "Egress": egress, "Protocol": "all", "RuleAction": "deny", "RuleNumber": final}
    out: View = {
        "Cidr": str(entry.cidr), "Egress": egress, "Protocol": _protocol(entry.protocol),
        "RuleAction": "allow" if entry.allow else "deny", "RuleNumber": entry.number,
    }  # fmt: skip
    return out | ({"PortRange": ports_view(entry.ports)} if entry.ports is not None else {})


def route_view(route: Route | ListRoute, *, active: bool) -> View:
    """`AnalysisRouteTableRoute`: its destination is a block or a prefix list."""
    to: View = {"DestinationPrefixListId": route.prefix_list_id} if isinstance(route, ListRoute) else {
        "DestinationCidr": str(route.destination)
    }  # fmt: skip
    out: View = {**to, "Origin": route.origin, "State": "active" if active else "blackhole"}
    if route.target is RouteTarget.NETWORK_INTERFACE:
        return out | {"NetworkInterfaceId": route.target_id}
    if route.target is RouteTarget.PEERING_CONNECTION:
        return out | {"VpcPeeringConnectionId": route.target_id}
    return out | {"GatewayId": "local" if route.target is RouteTarget.LOCAL else route.target_id}


def find_route(world: World, table_id: str, destination: str, *, active: bool = True) -> View:
    """A route of a table by its destination, a block: one of its own, one to a list, or the VPC's local one."""
    table = world.find(ROUTE_TABLE, table_id)
    route = named_by(world, table, parse_network(destination)) if table is not None and "/" in destination else None
    if route is not None:
        return route_view(route, active=active)
    return {
        "DestinationCidr": destination, "GatewayId": "local", "Origin": "CreateRouteTable",
        "State": "active" if active else "blackhole",
    }  # fmt: skip


def header(
    protocol: str, sources: Iterable[Network], destinations: Iterable[Network],
    source_ports: Iterable[PortRange], destination_ports: Iterable[PortRange],
) -> View:  # fmt: skip
    """`AnalysisPacketHeader`; without ports for protocols that have none."""
    out: View = {
        "Protocol": protocol,
        "SourceAddresses": list(_texts(tuple(sources))),
        "DestinationAddresses": list(_texts(tuple(destinations))),
    }
    ranges = {"SourcePortRanges": source_ports, "DestinationPortRanges": destination_ports}
    shown = {name: [ports_view(ports) for ports in given] for name, given in ranges.items()}
    return out | {name: given for name, given in shown.items() if given}


@lru_cache(1024)  # the blocks of the outside stand in thousands of headers
def _texts(blocks: tuple[Network, ...]) -> tuple[str, ...]:
    return tuple(str(block) for block in blocks)


def host(address: Any) -> Network:
    """One address as a block."""
    return ip_network(address)
