"""Tiny functions that build Worlds for tests: rows by name, with every default filled in.

Names become well-formed ids (`ident("sg", "web")`), so tests name what they mean. `world(...)` takes rows and tuples of
rows, adds what every VPC has (main route table, default network ACL, default group) where a test does not give it, and
checks that interface and route table numbers are unique.

    w = world(
        vpc(), subnet("a", "10.0.0.0/24"),
        group("web", ingress(ANY, "tcp", 80), *OPEN),
        host("client", "10.0.0.10", groups=["web"]), host("server", "10.0.0.11", groups=["web"]),
    )
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Any

from ringfence.model.kinds import KINDS, NETWORK_INTERFACE, ROUTE_TABLE, Kind
from ringfence.model.net import PortRange, parse_address, parse_network, parse_protocol
from ringfence.model.nouns.instance import Image, Instance, InstanceState, KeyPair, MetadataOptions
from ringfence.model.nouns.network import CidrAssociation, InternetGateway, Subnet, Vpc
from ringfence.model.nouns.network_acl import NetworkAcl, NetworkAclEntry
from ringfence.model.nouns.network_interface import Attachment, ConnectionTimeouts, ElasticIp, NetworkInterface
from ringfence.model.nouns.peering import PeeringConnection, PeeringSide, PeeringStatus
from ringfence.model.nouns.prefix_list import PrefixList, PrefixListEntry
from ringfence.model.nouns.routing import ListRoute, Route, RouteTable, RouteTableAssociation, RouteTarget
from ringfence.model.nouns.security_group import GroupAssociation, GroupReference, SecurityGroup, SecurityGroupRule
from ringfence.model.nouns.vpc_endpoint import VpcEndpoint
from ringfence.model.row import Row
from ringfence.model.world import Change, Put, World, delete
from ringfence.policy.packet import Packet

ACCOUNT, REGION, ZONE = "111122223333", "us-east-1", "us-east-1a"
OTHER_ACCOUNT, OTHER_REGION = "444455556666", "eu-west-1"
ANY, ANY6 = "0.0.0.0/0", "::/0"
MAIN = "main"
Ports = int | tuple[int, int] | None


def ident(prefix: str, name: str) -> str:
    """A well-formed id made from a name; what already is one stays as it is."""
    if name.startswith(prefix + "-"):
        return name
    return f"{prefix}-0{hashlib.sha256(f'{prefix}/{name}'.encode()).hexdigest()[:16]}"


def _owned(prefix: str, name: str) -> dict[str, Any]:
    return {"id": ident(prefix, name), "owner_id": ACCOUNT, "region": REGION}


# ---------------------------------------------------------------------- worlds
_KIND_OF: dict[type, Kind[Any]] = {kind.row: kind for kind in KINDS.values()}
Rows = Row | Iterable["Rows"]


def flat(rows: Iterable[Rows]) -> Iterable[Row]:
    """Rows, and rows in rows."""
    for row in rows:
        if isinstance(row, Row):
            yield row
        else:
            yield from flat(row)


def world(*rows: Rows) -> World:
    """A World of these rows, completed."""
    given = list(flat(rows))
    ids = {row.id for row in given}
    assert len(ids) == len(given), "a row is given twice; use `changed` for a later version"
    extra = [part for row in given if isinstance(row, Vpc) for part in _defaults(row) if part.id not in ids]
    made = World().apply(Change(tuple(Put(_KIND_OF[type(row)], row) for row in (*given, *extra))))
    for kind in (NETWORK_INTERFACE, ROUTE_TABLE):
        numbers = [(row.vpc_id, row.number) for row in made.all(kind)]
        assert len(set(numbers)) == len(numbers), f"{kind.noun} numbers collide"
    return made


def changed(before: World, *rows: Rows) -> World:
    """The World after these rows were put."""
    return before.apply(Change(tuple(Put(_KIND_OF[type(row)], row) for row in flat(rows))))


def without(before: World, *rows: Rows) -> World:
    """The World after these rows were deleted."""
    steps = [delete(_KIND_OF[type(row)], row.id) for row in flat(rows)]
    return before.apply(sum(steps, Change()))


def elsewhere(*rows: Rows, owner: str = ACCOUNT, region: str = REGION) -> tuple[Row, ...]:
    """These rows, and what their VPCs come with, in another account or Region."""
    given = list(flat(rows))
    ids = {row.id for row in given}
    given += [part for row in given if isinstance(row, Vpc) for part in _defaults(row) if part.id not in ids]
    return tuple(replace(row, owner_id=owner, region=region) for row in given)


def _defaults(row: Vpc) -> tuple[Row, ...]:
    """What a VPC comes with (NET-02)."""
    table = RouteTable(
        id=row.main_route_table_id, owner_id=ACCOUNT, region=row.region, vpc_id=row.id, number=65535,
        associations=(RouteTableAssociation(id=ident("rtbassoc", row.id), main=True),),
    )  # fmt: skip
    entries = (entry(100, ANY), entry(100, ANY, egress=True), entry(101, ANY6), entry(101, ANY6, egress=True))
    default_acl = NetworkAcl(
        id=row.default_network_acl_id, owner_id=ACCOUNT, region=row.region, vpc_id=row.id, is_default=True,
        entries=entries,
    )  # fmt: skip
    default_group = SecurityGroup(
        id=row.default_security_group_id, owner_id=ACCOUNT, region=row.region, vpc_id=row.id, name="default",
        description="default VPC security group", rules=(ingress(row.default_security_group_id), egress(ANY)),
    )  # fmt: skip
    return table, default_acl, default_group


# ---------------------------------------------------------------------- networks
def _blocks(prefix: str, blocks: Iterable[str]) -> tuple[CidrAssociation, ...]:
    return tuple(CidrAssociation(id=ident(prefix, block), block=parse_network(block)) for block in blocks)


def vpc(
    name: str = MAIN, cidr: str = "10.0.0.0/16", *, secondary: Sequence[str] = (), ipv6: Sequence[str] = (),
    **fields: Any,
) -> Vpc:  # fmt: skip
    """A VPC; its defaults are named after it: `ident("rtb", name)`, `ident("acl", name)`, `ident("sg", name)`."""
    return Vpc(
        **{**_owned("vpc", name), "region": fields.pop("region", REGION)},
        ipv4=_blocks("vpc-cidr-assoc", (cidr, *secondary)),
        ipv6=_blocks("vpc-cidr-assoc", ipv6),
        main_route_table_id=ident("rtb", name),
        default_network_acl_id=ident("acl", name),
        default_security_group_id=ident("sg", name),
        **fields,
    )


def subnet(
    name: str, cidr: str, *, vpc: str = MAIN, acl: str | None = None, ipv6: Sequence[str] = (), **fields: Any
) -> Subnet:
    """A subnet with its VPC's default ACL unless another is named."""
    return Subnet(
        **_owned("subnet", name), vpc_id=ident("vpc", vpc), cidr=IPv4Network(cidr), availability_zone=ZONE,
        availability_zone_id="use1-az1", network_acl_id=ident("acl", acl or vpc),
        network_acl_association_id=ident("aclassoc", name), ipv6=_blocks("subnet-cidr-assoc", ipv6), **fields,
    )  # fmt: skip


def gateway(name: str = "igw", *, vpc: str | None = MAIN) -> InternetGateway:
    """An internet gateway, attached unless `vpc` is None."""
    return InternetGateway(**_owned("igw", name), vpc_id=None if vpc is None else ident("vpc", vpc))


_TARGETS = {
    "igw": RouteTarget.INTERNET_GATEWAY, "eni": RouteTarget.NETWORK_INTERFACE, "local": RouteTarget.LOCAL,
    "pcx": RouteTarget.PEERING_CONNECTION, "vpce": RouteTarget.GATEWAY_ENDPOINT,
}  # fmt: skip


def route(destination: str, target: str = "local") -> Route:
    """A route to `local`, or to an `igw-…`, `eni-…` or `pcx-…` id."""
    kind = _TARGETS[target.split("-")[0]]
    return Route(
        destination=parse_network(destination), target=kind, target_id=None if kind is RouteTarget.LOCAL else target
    )


def list_route(name: str, target: str) -> ListRoute:
    """A route to every block of a prefix list; `target` as for `route`, or a `vpce-…` id."""
    return ListRoute(prefix_list_id=ident("pl", name), target=_TARGETS[target.split("-")[0]], target_id=target)


def to_gateway(name: str = "igw") -> tuple[Route, Route]:
    """Default routes of both families to an internet gateway."""
    return route(ANY, ident("igw", name)), route(ANY6, ident("igw", name))


def table(
    name: str, *routes: Route | ListRoute, subnets: Sequence[str] = (), edge: str | None = None, vpc: str = MAIN,
    number: int | None = None,
) -> RouteTable:  # fmt: skip
    """A route table for these subnets, or (`edge`) for traffic from an internet gateway; `name` == vpc: the main one."""
    at = [RouteTableAssociation(id=ident("rtbassoc", f"{name}/{s}"), subnet_id=ident("subnet", s)) for s in subnets]
    if edge is not None:
        at.append(RouteTableAssociation(id=ident("rtbassoc", f"{name}/{edge}"), gateway_id=ident("igw", edge)))
    if name == vpc:
        at.append(RouteTableAssociation(id=ident("rtbassoc", ident("vpc", vpc)), main=True))
    default = 65535 if name == vpc else int(ident("rtb", name)[-4:], 16) % 65533 + 1
    return RouteTable(
        **_owned("rtb", name), vpc_id=ident("vpc", vpc), number=number or default,
        routes=tuple(r for r in routes if isinstance(r, Route)),
        listed=tuple(r for r in routes if isinstance(r, ListRoute)), associations=tuple(at),
    )  # fmt: skip


def prefix_list(name: str, *blocks: str, family: int | None = None, most: int = 20, **fields: Any) -> PrefixList:
    """A managed prefix list; its family is that of its blocks unless it is given."""
    entries = tuple(PrefixListEntry(cidr=parse_network(block)) for block in blocks)
    version = family or (entries[0].cidr.version if entries else 4)
    return PrefixList(
        **{**_owned("pl", name), "name": name, "family": version, "max_entries": most, "entries": entries, **fields}
    )


def peering(
    name: str, requester: str, accepter: str, status: PeeringStatus = PeeringStatus.ACTIVE, *,
    owners: tuple[str, str] = (ACCOUNT, ACCOUNT), regions: tuple[str, str] = (REGION, REGION), **fields: Any,
) -> PeeringConnection:  # fmt: skip
    """A peering connection of two VPCs, active unless it says otherwise."""
    sides = [
        PeeringSide(vpc_id=ident("vpc", vpc), owner_id=owner, region=region)
        for vpc, owner, region in zip((requester, accepter), owners, regions, strict=True)
    ]
    defaults: dict[str, Any] = {
        "id": ident("pcx", name), "owner_id": owners[0], "region": regions[0], "requester": sides[0],
        "accepter": sides[1], "status": status, "message": status.value, "created": 0.0, "expires": 604800.0,
    }  # fmt: skip
    return PeeringConnection(**{**defaults, **fields})


def gateway_endpoint(
    name: str, prefix_list: str, tables: Sequence[str] = (), *, vpc: str = MAIN, **fields: Any
) -> VpcEndpoint:
    """A gateway endpoint; each of `tables` holds `list_route(prefix_list, ident("vpce", name))` as well."""
    defaults: dict[str, Any] = {
        "vpc_id": ident("vpc", vpc), "service_name": f"com.amazonaws.{REGION}.s3",
        "prefix_list_id": ident("pl", prefix_list), "route_table_ids": tuple(ident("rtb", t) for t in tables),
        "created": 0.0,
    }  # fmt: skip
    return VpcEndpoint(**{**_owned("vpce", name), **defaults, **fields})


# ---------------------------------------------------------------------- rules
def _ports(ports: Ports) -> tuple[int, int]:
    return (0, 65535) if ports is None else (ports, ports) if isinstance(ports, int) else ports


def ingress(
    peer: str | GroupReference, protocol: str = "-1", ports: Ports = None, *, icmp: tuple[int, int] = (-1, -1),
    out: bool = False, id: str | None = None,
) -> SecurityGroupRule:  # fmt: skip
    """A rule from a CIDR block, a prefix list (its id), or a group (its name, its id, or `peer_group`).

    `ports`: one, (first, last), or None = all.
    """
    number = parse_protocol(protocol)
    first, last = icmp if number in (1, 58) else _ports(ports) if number in (6, 17) else (-1, -1)
    return SecurityGroupRule(
        id=id or ident("sgr", f"{out}/{peer}/{protocol}/{first}/{last}"), egress=out, protocol=number, from_port=first,
        to_port=last, **_peer(peer),
    )  # fmt: skip


def _peer(peer: str | GroupReference) -> dict[str, Any]:
    if isinstance(peer, GroupReference):
        return {"group": peer}
    if "/" in peer:
        return {"cidr": parse_network(peer)}
    if peer.startswith("pl-"):
        return {"prefix_list_id": peer}
    return {"group": GroupReference(group_id=ident("sg", peer), owner_id=ACCOUNT)}


def peer_group(name: str, *, vpc: str, over: str, owner: str = ACCOUNT) -> GroupReference:
    """A group of a peer VPC, as a rule names it (SG-52)."""
    return GroupReference(
        group_id=ident("sg", name), owner_id=owner, vpc_id=ident("vpc", vpc), peering_connection_id=ident("pcx", over)
    )


def egress(peer: str | GroupReference, protocol: str = "-1", ports: Ports = None, **fields: Any) -> SecurityGroupRule:
    """A rule to a CIDR block, a prefix list or a group."""
    return ingress(peer, protocol, ports, out=True, **fields)


#: what a new group's egress is in a VPC with IPv6 (SG-03)
OPEN: tuple[SecurityGroupRule, ...] = (egress(ANY), egress(ANY6))


def group(name: str, *rules: SecurityGroupRule, vpc: str = MAIN) -> SecurityGroup:
    """A group with exactly these rules; rule ids are made unique to the group."""
    own = tuple(_in_group(name, rule) for rule in rules)
    return SecurityGroup(**_owned("sg", name), vpc_id=ident("vpc", vpc), name=name, description=name, rules=own)


def association(name: str, vpc: str) -> GroupAssociation:
    """Lets a group be used in a further VPC (SG-70)."""
    group_id, vpc_id = ident("sg", name), ident("vpc", vpc)
    return GroupAssociation(
        id=GroupAssociation.id_of(group_id, vpc_id), owner_id=ACCOUNT, region=REGION, group_id=group_id, vpc_id=vpc_id
    )


def _in_group(name: str, rule: SecurityGroupRule) -> SecurityGroupRule:
    values = {field: getattr(rule, field) for field in rule.__dataclass_fields__}
    return SecurityGroupRule(**{**values, "id": ident("sgr", f"{name}/{rule.id}")})


def entry(
    number: int, cidr: str, protocol: str = "-1", ports: Ports = None, *, allow: bool = True, egress: bool = False,
    icmp: tuple[int, int] = (-1, -1),
) -> NetworkAclEntry:  # fmt: skip
    """A numbered entry of a network ACL."""
    protocol_number = parse_protocol(protocol)
    return NetworkAclEntry(
        number=number, egress=egress, protocol=protocol_number, allow=allow, cidr=parse_network(cidr),
        ports=PortRange(*_ports(ports)) if protocol_number in (6, 17) else None,
        icmp=icmp if protocol_number in (1, 58) else None,
    )  # fmt: skip


def acl(name: str, *entries: NetworkAclEntry, vpc: str = MAIN) -> NetworkAcl:
    """A network ACL; `name` == vpc: the default one."""
    return NetworkAcl(**_owned("acl", name), vpc_id=ident("vpc", vpc), is_default=name == vpc, entries=entries)


# ---------------------------------------------------------------------- interfaces and instances
def eni(
    name: str, address: str | Sequence[str], *, subnet: str = "a", groups: Sequence[str] = (), vpc: str = MAIN,
    ipv6: Sequence[str] = (), instance: str | None = None, device: int = 0, check: bool = True,
    timeouts: ConnectionTimeouts | None = None, public: str | None = None, number: int | None = None,
) -> NetworkInterface:  # fmt: skip
    """An interface; unattached without `instance`. No groups = the VPC's default one. `public`: lent, not Elastic."""
    addresses = tuple(IPv4Address(a) for a in ([address] if isinstance(address, str) else address))
    attachment = instance and Attachment(
        id=ident("eni-attach", name), instance_id=ident("i", instance), device_index=device,
        attach_time="2026-01-01T00:00:00Z",
    )  # fmt: skip
    n = number or int(addresses[0]) & 0xFFFF or 1
    return NetworkInterface(
        **_owned("eni", name), vpc_id=ident("vpc", vpc), subnet_id=ident("subnet", subnet), availability_zone=ZONE,
        number=n, mac=f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}", addresses=addresses,
        ipv6=tuple(IPv6Address(a) for a in ipv6), groups=tuple(ident("sg", g) for g in groups or (vpc,)),
        source_dest_check=check, attachment=attachment or None, timeouts=timeouts,
        auto_public_ip=None if public is None else IPv4Address(public),
    )  # fmt: skip


def instance(
    name: str, state: InstanceState = InstanceState.RUNNING, *, subnet: str = "a", vpc: str = MAIN, **fields: Any
) -> Instance:
    """An instance without its interfaces."""
    defaults: dict[str, Any] = {
        "reservation_id": ident("r", name), "image_id": ident("ami", "builtin"), "instance_type": "t3.micro",
        "launch_time": "2026-01-01T00:00:00.000Z", "availability_zone": ZONE,
        "metadata_options": MetadataOptions(),
    }  # fmt: skip
    return Instance(
        **_owned("i", name), state=state, vpc_id=ident("vpc", vpc), subnet_id=ident("subnet", subnet),
        **{**defaults, **fields},
    )  # fmt: skip


def host(
    name: str, address: str | Sequence[str], *, state: InstanceState = InstanceState.RUNNING, subnet: str = "a",
    vpc: str = MAIN, **fields: Any,
) -> tuple[NetworkInterface, Instance]:  # fmt: skip
    """A running instance with one interface of the same name; fields as for `eni`."""
    return (
        eni(name, address, subnet=subnet, vpc=vpc, instance=name, **fields),
        instance(name, state, subnet=subnet, vpc=vpc),
    )


def elastic_ip(public: str, interface: str | None = None, private: str | None = None) -> ElasticIp:
    """An Elastic IP, associated with a private address of an interface when both are given."""
    return ElasticIp(
        **_owned("eipalloc", public), public_ip=IPv4Address(public), network_border_group=REGION,
        association_id=None if interface is None else ident("eipassoc", public),
        network_interface_id=None if interface is None else ident("eni", interface),
        private_ip=None if private is None else IPv4Address(private),
    )  # fmt: skip


def image(name: str = "builtin", root: str = "builtin") -> Image:
    return Image(**_owned("ami", name), name=name, description=name, root=root)


def key_pair(name: str, public_key: str = "ssh-ed25519 AAAA") -> KeyPair:
    return KeyPair(
        **_owned("key", name), name=name, key_type="ed25519", fingerprint="f", public_key=public_key,
        created="2026-01-01T00:00:00Z",
    )  # fmt: skip


# ---------------------------------------------------------------------- packets
def packet(
    src: str,
    dst: str,
    protocol: str = "tcp",
    dport: int = 0,
    *,
    sport: int = 40000,
    icmp: tuple[int, int] | None = None,
) -> Packet:
    """A packet; ICMP is an echo request unless it says otherwise."""
    number = parse_protocol(protocol)
    ported = number in (6, 17)
    kind, code = icmp or ((128 if number == 58 else 8), 0)
    in_icmp = number in (1, 58)
    return Packet(
        src=parse_address(src), dst=parse_address(dst), protocol=number, sport=sport if ported else 0,
        dport=dport if ported else 0, icmp_type=kind if in_icmp else 0, icmp_code=code if in_icmp else 0,
    )  # fmt: skip
