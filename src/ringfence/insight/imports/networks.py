"""VPCs, subnets, internet gateways and route tables of an import (NET-01..NET-19, RT-01..RT-17, IGW-01)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import IPv6Network
from typing import Any

from ringfence.insight.imports import endpoints
from ringfence.insight.imports.draft import Draft, Source, region_of_zone
from ringfence.insight.imports.record import Damaged, Record
from ringfence.insight.imports.rules import Lists
from ringfence.model.net import Network, contains
from ringfence.model.nouns.instance import RUNNABLE, Instance
from ringfence.model.nouns.network import CidrAssociation, DhcpOptions, InternetGateway, Subnet, Vpc
from ringfence.model.nouns.network_acl import NetworkAcl
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.nouns.peering import PeeringConnection
from ringfence.model.nouns.routing import (
    BY_ENDPOINT,
    ListRoute,
    Route,
    RouteTable,
    RouteTableAssociation,
    RouteTarget,
)
from ringfence.model.nouns.security_group import SecurityGroup
from ringfence.model.nouns.vpc_endpoint import VpcEndpoint
from ringfence.model.regions import REGIONS

_HELD = {"associated", "associating"}  # NET-08: blocks in other states are not the VPC's


# ---------------------------------------------------------------------- VPCs
def vpcs(draft: Draft) -> None:
    """Regions of VPCs are told by their subnets' zones: the record itself has none."""
    zones: dict[str, str] = {}
    for record, _ in draft.archive.records.get("Subnets", []):
        region = region_of_zone(str(record.data.get("AvailabilityZone") or ""))
        if region is not None:
            zones.setdefault(str(record.data.get("VpcId")), region)
    attributes = _attributes(draft)

    def make(record: Record, source: Source) -> None:
        id = record.need("VpcId")
        own = draft.owned(record, source, zones.get(id))
        ipv4 = _blocks(draft, record, "CidrBlockAssociationSet", "CidrBlock", "vpc-cidr-assoc-")
        primary = record.ipv4_block("CidrBlock")
        if primary is not None:
            held = [each for each in ipv4 if each.block == primary]
            ipv4 = [
                *(held or [CidrAssociation(id=_made(draft, "vpc-cidr-assoc-", id, primary), block=primary)]),
                *(each for each in ipv4 if each.block != primary),
            ]
        if not ipv4:
            raise Damaged("it has no IPv4 block")
        record.ignore("State", "EncryptionControl")
        draft.put(
            Vpc(
                id=id, **own, tags=record.tags(), ipv4=tuple(ipv4),
                ipv6=tuple(_blocks(draft, record, "Ipv6CidrBlockAssociationSet", "Ipv6CidrBlock", "vpc-cidr-assoc-")),
                is_default=record.flag("IsDefault"), tenancy=record.text("InstanceTenancy") or "default",
                dhcp_options_id=record.text("DhcpOptionsId") or "default", **_dns(draft, id, attributes.get(id, {})),
            )
        )  # fmt: skip
        _public_access(draft, record, id, id)

    draft.each("Vpcs", "VpcId", make)


def _attributes(draft: Draft) -> dict[str, dict[str, bool]]:
    """Answers of DescribeVpcAttribute, one attribute each."""
    found: dict[str, dict[str, bool]] = {}
    for record, _ in draft.archive.records.get("VpcAttributes", []):
        held = found.setdefault(record.need("VpcId"), {})
        for key in ("EnableDnsSupport", "EnableDnsHostnames"):
            value = record.child(key)
            if value is not None:
                held[key] = value.flag("Value")
        record.ignore("EnableNetworkAddressUsageMetrics").done(draft.notes)
    return found


def _dns(draft: Draft, vpc_id: str, known: dict[str, bool]) -> dict[str, Any]:
    """AWS's defaults where they were not recorded; they decide about the resolver and names alone (DNS-01)."""
    if "EnableDnsSupport" not in known:
        draft.notes.assumed.setdefault(
            vpc_id, "its DNS attributes are AWS's defaults (describe-vpc-attribute has them)"
        )
    return {
        "dns_support": known.get("EnableDnsSupport", True),
        "dns_hostnames": known.get("EnableDnsHostnames", False),
    }


def _blocks(draft: Draft, record: Record, key: str, field: str, prefix: str) -> list[CidrAssociation]:
    found = []
    for each in record.items(key):
        each.ignore("NetworkBorderGroup", "Ipv6Pool", "Ipv6AddressAttribute", "IpSource")
        state = each.child(f"{field}State")
        name = state.need("State") if state is not None else "associated"
        if state is not None:
            state.ignore("StatusMessage")
        block, id = each.block(field), each.text("AssociationId")
        if block is not None and name in _HELD:
            id = id or _made(draft, prefix, record.element, block)
            found.append(CidrAssociation(id=id, block=block, state=name or "associated"))
    return found


def _made(draft: Draft, prefix: str, *of: object) -> str:
    return draft.made(prefix, *of, what="ids of associations")


def _public_access(draft: Draft, record: Record, vpc_id: str, element: str) -> None:
    """Block Public Access is not modelled: where it is on, nothing can be said."""
    states = record.child("BlockPublicAccessStates")
    mode = states.text("InternetGatewayBlockMode") if states is not None else None
    if mode not in (None, "off"):
        draft.notes.not_modelled[element] = f"VPC Block Public Access, {mode}"
        draft.gap(vpc_id, element, f"VPC Block Public Access ({mode}) is not modelled")


def dhcp_options(draft: Draft) -> None:
    """What DHCP tells; it decides about no packet."""

    def make(record: Record, source: Source) -> None:
        options = []
        for each in record.items("DhcpConfigurations"):
            values = tuple(value.need("Value") for value in each.items("Values"))
            options.append((each.need("Key"), values))
        draft.put(
            DhcpOptions(
                id=record.need("DhcpOptionsId"), **draft.owned(record, source), tags=record.tags(),
                options=tuple(options),
            )
        )  # fmt: skip

    draft.each("DhcpOptions", "DhcpOptionsId", make)


# ---------------------------------------------------------------------- subnets
_SUBNET_IGNORED = (
    "State", "AvailableIpAddressCount", "SubnetArn", "OutpostArn", "EnableLniAtDeviceIndex", "MapCustomerOwnedIpOnLaunch",
    "CustomerOwnedIpv4Pool", "Type", "Ipv6Native",
)  # fmt: skip


def subnets(draft: Draft, acl_of: dict[str, tuple[str, str]]) -> None:
    """`acl_of`: subnet → network ACL and association id."""

    def make(record: Record, source: Source) -> None:
        id = record.need("SubnetId")
        vpc = draft.vpc_of(record, id)
        if vpc is None:
            return
        vpc_id = vpc.id
        cidr = record.ipv4_block("CidrBlock")
        if cidr is None:
            draft.notes.not_modelled[id] = "a subnet without IPv4"
            draft.gap(vpc_id, id, "subnets without IPv4 are not modelled")
            record.ignore(*record.data)
            return
        ipv6 = tuple(_blocks(draft, record, "Ipv6CidrBlockAssociationSet", "Ipv6CidrBlock", "subnet-cidr-assoc-"))
        for block in (cidr, *(a.block for a in ipv6)):
            if not any(contains(a.block, block) for a in (*vpc.ipv4, *vpc.ipv6)):
                draft.problem(vpc_id, id, f"its block {block} lies outside its VPC")
                _hold(draft, vpc_id, block)
        acl_id, association = acl_of.get(id, ("", ""))
        if not acl_id:
            draft.problem(vpc_id, id, "its network ACL is not in the import (describe-network-acls)")
        zone, options = record.text("AvailabilityZone") or "", record.child("PrivateDnsNameOptionsOnLaunch")
        draft.put(
            Subnet(
                id=id, **draft.owned(record, source, vpc.region, vpc.owner_id), tags=record.tags(), vpc_id=vpc_id, cidr=cidr,
                availability_zone=zone,
                availability_zone_id=record.text("AvailabilityZoneId") or _zone_id(vpc.region, zone),
                network_acl_id=acl_id, network_acl_association_id=association,
                ipv6=ipv6,
                default_for_az=record.flag("DefaultForAz"),
                map_public_ip_on_launch=record.flag("MapPublicIpOnLaunch"),
                assign_ipv6_address_on_creation=record.flag("AssignIpv6AddressOnCreation"),
                enable_dns64=record.flag("EnableDns64"), **_names(options),
            )
        )  # fmt: skip
        _public_access(draft, record.ignore(*_SUBNET_IGNORED), vpc_id, id)

    draft.each("Subnets", "SubnetId", make)
    _overlaps(draft)


def _hold(draft: Draft, vpc_id: str, block: Network) -> None:
    """What is for an IPv6 block that the VPC does not tell of is unknown with the VPC, and not for somebody on the internet."""
    vpc: Vpc = draft.find(Vpc, vpc_id)
    if isinstance(block, IPv6Network):
        held = CidrAssociation(id=_made(draft, "vpc-cidr-assoc-", vpc_id, block), block=block)
        draft.put(replace(vpc, ipv6=(*vpc.ipv6, held)))


def _names(options: Record | None) -> dict[str, Any]:
    if options is None:
        return {}
    return {
        "private_dns_hostname_type": options.text("HostnameType") or "ip-name",
        "resource_name_dns_a_record": options.flag("EnableResourceNameDnsARecord"),
        "resource_name_dns_aaaa_record": options.flag("EnableResourceNameDnsAAAARecord"),
    }


def _zone_id(region: str, zone: str) -> str:
    found = REGIONS[region].zone(zone) if region in REGIONS else None
    return found.id if found is not None else zone


def _overlaps(draft: Draft) -> None:
    held: dict[str, list[Subnet]] = {}
    for subnet in draft.all(Subnet):
        for other in held.setdefault(subnet.vpc_id, []):
            if subnet.cidr.overlaps(other.cidr):
                draft.problem(subnet.vpc_id, subnet.id, f"its block overlaps that of {other.id}")
        held[subnet.vpc_id].append(subnet)


# ---------------------------------------------------------------------- gateways
def internet_gateways(draft: Draft) -> None:
    """One VPC each (IGW-01)."""

    def make(record: Record, source: Source) -> None:
        record.need_list("Attachments")
        attached = [
            each.need("VpcId")
            for each in record.items("Attachments")
            if each.text("State") in (None, "available", "attached", "attaching")
        ]
        vpc = draft.find(Vpc, attached[0]) if attached else None
        id = record.need("InternetGatewayId")
        other = next((g for g in draft.all(InternetGateway) if attached and g.vpc_id == attached[0]), None)
        if other is not None:
            draft.problem(attached[0], id, f"{other.id} is attached to {attached[0]}, too")
        draft.put(
            InternetGateway(
                id=id, **draft.owned(record, source, vpc.region if vpc else None, vpc.owner_id if vpc else None), tags=record.tags(),
                vpc_id=vpc.id if vpc else None,
            )
        )  # fmt: skip

    draft.each("InternetGateways", "InternetGatewayId", make)


# ---------------------------------------------------------------------- route tables
#: fields of a route that name a target which is not modelled
_ELSEWHERE = (
    "NatGatewayId", "TransitGatewayId", "VpcPeeringConnectionId", "EgressOnlyInternetGatewayId", "LocalGatewayId",
    "CarrierGatewayId", "CoreNetworkArn", "OdbNetworkArn",
)  # fmt: skip


def route_tables(draft: Draft, lists: Lists) -> None:
    """`lists`: prefix lists whose entries are known."""
    numbers: Counter[str] = Counter()

    def make(record: Record, source: Source) -> None:
        id = record.need("RouteTableId")
        vpc = draft.vpc_of(record, id)
        if vpc is None:
            return
        vpc_id = vpc.id
        numbers[vpc_id] += 1
        routes: dict[Network, Route] = {}
        listed: dict[str, ListRoute] = {}
        unread = [each.need("GatewayId") for each in record.items("PropagatingVgws")] if _unknown(record) else []
        record.ignore("PropagatingVgws")
        record.need_list("Routes")
        record.need_list("Associations")
        for each in record.items("Routes"):
            if each.data.get("State") == "blackhole":
                draft.blackholes.add((id, _route(draft, vpc, each, lists, routes, listed, unread)))
            else:
                _route(draft, vpc, each, lists, routes, listed, unread)
        draft.put(
            RouteTable(
                id=id, **draft.owned(record, source, vpc.region, vpc.owner_id), tags=record.tags(), vpc_id=vpc_id,
                number=numbers[vpc_id], routes=tuple(routes.values()), listed=tuple(listed.values()),
                associations=tuple(_associations(draft, record, id, vpc)), unread=tuple(dict.fromkeys(unread)),
            )
        )  # fmt: skip
        for each_id in (*unread, *(list_id for list_id in listed if list_id not in lists)):
            draft.notes.not_modelled[each_id.removesuffix(BY_ENDPOINT)] = "adds routes that are not in the import"

    draft.each("RouteTables", "RouteTableId", make)
    _mains(draft)


def _unknown(record: Record) -> bool:
    """Are propagated routes missing from the list? EC2 lists them; a Terraform plan cannot."""
    return not record.flag("RoutesAreListed", default=True)


def _route(
    draft: Draft, vpc: Vpc, record: Record, lists: Lists, routes: dict[Network, Route], listed: dict[str, ListRoute],
    unread: list[str],
) -> str:  # fmt: skip
    """One route of the record, to a block or to a prefix list; none for a VPC's own. Its destination."""
    record.ignore("State", "InstanceOwnerId", "InstanceId", "IpAddress")
    target, target_id = _target(record)
    if target is RouteTarget.UNMODELLED and draft.find(PeeringConnection, target_id) is not None:
        target = RouteTarget.PEERING_CONNECTION
    by_endpoint = (target_id or "").startswith("vpce-") and endpoints.is_gateway(draft, target_id or "")
    origin = record.text("Origin") or "CreateRoute"
    block = record.block("DestinationCidrBlock") or record.block("DestinationIpv6CidrBlock")
    list_id = record.text("DestinationPrefixListId")
    if list_id is not None and list_id not in lists and not by_endpoint:
        unread.append(list_id)
        return list_id
    if list_id is not None:
        if draft.find(VpcEndpoint, target_id) is not None:
            target = RouteTarget.GATEWAY_ENDPOINT
        listed[list_id] = ListRoute(prefix_list_id=list_id, target=target, target_id=target_id or "", origin=origin)
    elif block is None:
        raise Damaged("a route has no destination")
    elif target is not RouteTarget.LOCAL or all(block != a.block for a in (*vpc.ipv4, *vpc.ipv6)):
        # local ones follow the VPC's blocks (RT-02)
        routes[block] = Route(destination=block, target=target, target_id=target_id, origin=origin)
    if target is RouteTarget.UNMODELLED and target_id is not None:
        draft.notes.not_modelled.setdefault(target_id, "a target of routes")
    return list_id or str(block)


def targets(draft: Draft) -> None:
    """Where routes lead must be in the import, and take packets, unless EC2 said that it does not (RT-12)."""
    kinds = {RouteTarget.INTERNET_GATEWAY: (InternetGateway, "describe-internet-gateways"),
             RouteTarget.NETWORK_INTERFACE: (NetworkInterface, "describe-network-interfaces")}  # fmt: skip
    for table in draft.all(RouteTable):
        ways = [(str(route.destination), route.target, route.target_id) for route in table.routes]
        ways += [(route.prefix_list_id, route.target, route.target_id or None) for route in table.listed]
        idle: set[str] = set()
        for destination, target, target_id in ways:
            kind, command = kinds.get(target, (None, ""))
            if kind is None or target_id is None or (table.id, destination) in draft.blackholes:
                continue
            found = draft.find(kind, target_id)
            if kind is InternetGateway:
                _attach(draft, table, target_id, found)
            if found is None:
                why = f"the route {destination} of {table.id} leads to it, and it is not in the import ({command})"
                draft.problem(table.vpc_id, target_id, why)
            elif kind is InternetGateway and found.vpc_id != table.vpc_id:
                why = f"the route {destination} of {table.id} leads to it, and it says that it is not attached there"
                draft.problem(table.vpc_id, target_id, why)
            elif kind is NetworkInterface and not _takes(draft, table, found):
                draft.notes.not_modelled[target_id] = (
                    f"a target of routes of {table.id}: what it does with packets is not told"
                )
                idle.add(destination)
        if idle:
            draft.put(_unmodelled(table, idle))


def _attach(draft: Draft, table: RouteTable, id: str, found: InternetGateway | None) -> None:
    """A gateway that is missing, or says that it is attached nowhere, is that of the VPC: what is for addresses behind it is unknown,
    then, and not for somebody on the internet."""
    vpc: Vpc = draft.find(Vpc, table.vpc_id)
    taken = any(gateway.vpc_id == vpc.id for gateway in draft.all(InternetGateway))
    if not taken and (found is None or found.vpc_id is None):
        draft.put(InternetGateway(id=id, owner_id=vpc.owner_id, region=vpc.region, vpc_id=vpc.id))


def _takes(draft: Draft, table: RouteTable, eni: NetworkInterface) -> bool:
    """Is it an instance's that runs? Of one that is stopped, EC2 says that the route is a black hole."""
    instance = draft.find(Instance, eni.attachment.instance_id) if eni.attachment is not None else None
    return instance is not None and instance.state in RUNNABLE and eni.vpc_id == table.vpc_id


def _unmodelled(table: RouteTable, destinations: set[str]) -> RouteTable:
    elsewhere = RouteTarget.UNMODELLED
    routes = (replace(r, target=elsewhere) if str(r.destination) in destinations else r for r in table.routes)
    listed = (replace(r, target=elsewhere) if r.prefix_list_id in destinations else r for r in table.listed)
    return replace(table, routes=tuple(routes), listed=tuple(listed))


def _target(record: Record) -> tuple[RouteTarget, str | None]:
    """Where it leads. A route without any target stays one: it is a blackhole (RT-12)."""
    gateway, eni = record.text("GatewayId"), record.text("NetworkInterfaceId")
    elsewhere = next((found for key in _ELSEWHERE if (found := record.text(key))), None)
    if elsewhere is not None:
        return RouteTarget.UNMODELLED, elsewhere
    if gateway == "local":
        return RouteTarget.LOCAL, None
    if gateway is not None and gateway.startswith("igw-"):
        return RouteTarget.INTERNET_GATEWAY, gateway
    if gateway is not None:
        return RouteTarget.UNMODELLED, gateway
    if eni is not None:
        return RouteTarget.NETWORK_INTERFACE, eni
    named = sorted(set(record.data) - {"DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId"})
    if record.data.get("State") == "blackhole":
        return RouteTarget.NETWORK_INTERFACE, None
    return RouteTarget.UNMODELLED, f"a target among {', '.join(named) or 'no fields'}"


def _associations(draft: Draft, record: Record, table_id: str, vpc: Vpc) -> list[RouteTableAssociation]:
    found = []
    for each in record.items("Associations"):
        each.ignore("RouteTableId", "PublicIpv4Pool")
        state = each.child("AssociationState")
        name = state.need("State") if state is not None else "associated"
        if state is not None:
            state.ignore("StatusMessage")
        subnet_id, gateway_id, main = each.text("SubnetId"), each.text("GatewayId"), each.flag("Main")
        id = each.text("RouteTableAssociationId") or _made(draft, "rtbassoc-", table_id, subnet_id or gateway_id)
        if name not in ("associated", "associating"):
            continue
        if not main and subnet_id is None and gateway_id is None:
            raise Damaged(f"{id} associates nothing")
        if gateway_id is not None and not gateway_id.startswith("igw-"):
            draft.notes.not_modelled[gateway_id] = "a gateway with a route table"
            continue  # what enters by it is not modelled either
        found.append(RouteTableAssociation(id=id, main=main, subnet_id=subnet_id, gateway_id=gateway_id))
    return found


def _mains(draft: Draft) -> None:
    """What a VPC names as its own: main route table, default network ACL, default group (NET-02)."""
    for vpc in draft.all(Vpc):
        tables = [t for t in draft.all(RouteTable) if t.vpc_id == vpc.id]
        mains = [t.id for t in tables if any(a.main for a in t.associations)]
        if len(mains) != 1:
            why = (
                "has no main route table in the import (describe-route-tables)"
                if not mains
                else "has several main route tables"
            )
            draft.problem(vpc.id, vpc.id, f"it {why}")
        acl = next((a.id for a in draft.all(NetworkAcl) if a.vpc_id == vpc.id and a.is_default), "")
        group = next((g.id for g in draft.all(SecurityGroup) if g.vpc_id == vpc.id and g.is_default), "")
        draft.put(replace(vpc, main_route_table_id=mains[0] if mains else "", default_network_acl_id=acl,
                           default_security_group_id=group))  # fmt: skip
        taken: dict[str, str] = {}
        for table in tables:
            for association in table.associations:
                if association.subnet_id and taken.setdefault(association.subnet_id, table.id) != table.id:
                    draft.problem(
                        vpc.id,
                        association.subnet_id,
                        f"it is associated with {taken[association.subnet_id]} and {table.id}",
                    )
