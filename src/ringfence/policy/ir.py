"""The packet-policy IR: what the compiler hands to the evaluator, the analyser and the data plane.

The IR of an installation is a flat map `(fragment type name, id) -> fragment`; every fragment is frozen, depends on
few resources and is reused (same object) while they do not change. The agent receives only added, changed and removed
fragments. Nothing here knows AWS's API; every verdict names the rule it comes from.

How a packet is judged (the two passes of docs/architecture.md; spec SG-63..81, CT-01..24, ACL-29..45):

1. `anti-spoof`     source ENI: unless `source_dest_check` is off, the source address must be one of the ENI's.
2. `sg-egress`      source ENI's groups, with the connection table of the source ENI.
3. `nacl-out`       ACL of the source subnet, unless source and destination address lie in the same subnet.
4. `route`          longest prefix in the route table of the source subnet.
5. `nacl-in`        ACL of the destination ENI's subnet, unless both addresses lie in that subnet.
6. `sg-ingress`     destination ENI's groups, with the connection table of the destination ENI.
7. `dest-check`     destination ENI: unless `source_dest_check` is off, the destination must be one of its addresses.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from ringfence.model.net import Address, Network, PortRange

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A condition on one packet. None means "any". `remote` is the source inbound, the destination outbound.

    `protocol` is an IANA number. `ports` = destination ports (TCP, UDP). `icmp_type`/`icmp_code` for 1 and 58.
    `group`: the remote must be an address of an ENI that carries this group and, inbound, the packet must come
    straight from that ENI, not through a middlebox, a gateway or a public address (SG-68, SG-78, D-05).
    `peer`: the group is one of this other VPC. Then ENIs there are meant too, while a connection of one Region joins both
    VPCs (`Peering`), inbound for what comes over it (SG-52, SG-54, PCX-09); otherwise only those of the rule's own VPC.
    """

    family: int | None = None  # 4 or 6
    remote: Network | None = None
    group: str | None = None
    peer: str | None = None
    protocol: int | None = None
    ports: PortRange | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """One allow rule of a group. `wide`: it covers its whole family, so the flow may be untracked (CT-03)."""

    rule_id: str
    match: Match
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A rule whose peer is a list with entries that are not known. Enforced as matching nothing, answered as unknown."""

    list_id: str
    egress: bool
    match: Match


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a group opens entirely in one direction, for CT-03: (family, protocol) pairs among {4,6} x {6,17}."""

    pairs: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A security group: rules of both directions and what each direction opens to everyone on all ports.

    A TCP/UDP flow admitted on an ENI by a `wide` rule is untracked when some group of that ENI opens, in the opposite
    direction, the flow's (family, protocol). ICMP and other protocols are always tracked (CT-08, CT-09).
    """

    group_id: str
    vpc_id: str  # where it is used: its own VPC, or one associated with it
    ingress: tuple[Allow, ...]
    egress: tuple[Allow, ...]
    opens_ingress: Opening = Opening()
    opens_egress: Opening = Opening()
    associated: bool = False
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMembers:
    """The private addresses of every ENI of a VPC that carries the group, sorted (SG-67, SG-70)."""

    group_id: str
    vpc_id: str
    ipv4: tuple[IPv4Address, ...]
    ipv6: tuple[IPv6Address, ...]
    associated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AclEntry:
    """One numbered entry; `allow` False = deny. The final deny (`*`) is implied, not listed."""

    number: int
    match: Match
    allow: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Acl:
    """A network ACL: entries in ascending order; first match decides; no match = deny (ACL-29, ACL-30)."""

    acl_id: str
    vpc_id: str
    ingress: tuple[AclEntry, ...]
    egress: tuple[AclEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """A subnet: its blocks, ACL and route table."""

    subnet_id: str
    vpc_id: str
    ipv4: IPv4Network | None
    ipv6: tuple[IPv6Network, ...]
    acl_id: str
    table_id: str


class Via(enum.StrEnum):
    """Where a route leads."""

    LOCAL = "local"  # to the ENI that owns the destination address; dropped when none does
    GATEWAY = "gateway"  # the VPC's internet gateway (`Edge`)
    PEERING = "peering"  # `target`: a connection; to the ENI of its far VPC that owns the address (`Peering`)
    ENDPOINT = "endpoint"  # `target`: a gateway endpoint (`Endpoint`), where a service answers
    INTERFACE = "interface"  # `target`: an ENI, whatever the destination
    BLACKHOLE = "blackhole"  # dropped (RT-12)
    UNMODELLED = "unmodelled"  # `target`: an element of an imported network; enforced as BLACKHOLE, answered as unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route; `target` is an ENI id for INTERFACE, a gateway id for GATEWAY.

    `list_id`: the prefix list whose entry the destination is, when the table names the list (PL-08).
    """

    destination: Network
    via: Via
    target: str | None = None
    list_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable:
    """Routes of one table; `number` (1..65535) is unique within the VPC. Longest prefix wins; destinations differ.

    `unread`: what adds routes that are not known.
    """

    table_id: str
    vpc_id: str
    number: int
    routes: tuple[Route, ...]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Idle timeouts of tracked connections, seconds."""

    tcp_established: int
    udp_stream: int
    udp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """Some flow log covers the interface. `flags`: one of them wants TCP flags; `passed`, `refused`: one wants packets that
    were accepted, one packets that were rejected."""

    flags: bool
    passed: bool = True
    refused: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """An ENI. `number` (1..65535, unique in the VPC) is its conntrack zone; `groups` are sorted.

    `instance_id`/`device_index` say where it is plugged in; an unattached ENI has None.
    """

    eni_id: str
    vpc_id: str
    subnet_id: str
    number: int
    mac: str
    ipv4: tuple[IPv4Address, ...]
    ipv6: tuple[IPv6Address, ...]
    groups: tuple[str, ...]
    source_dest_check: bool
    timeouts: Timeouts
    instance_id: str | None = None
    device_index: int | None = None
    counted: Counting | None = None  # None: no flow log covers it
    doubt: str | None = None  # why nothing can be said about its packets


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The attached internet gateway of a VPC: stateless 1:1 NAT between public and private IPv4 (IGW-04).

    `ipv6`: blocks routed to the VPC without translation (IGW-07). `table_id`: gateway route table, if any (RT-13).
    """

    gateway_id: str
    vpc_id: str
    nat: tuple[tuple[IPv4Address, IPv4Address], ...]  # (public, private), sorted
    ipv6: tuple[IPv6Network, ...]
    table_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peering:
    """An active peering connection as one of its VPCs sees it: the way to the blocks of the far one (PCX-05..PCX-07).

    A packet passes when its source lies in a block of the near VPC and its destination in one of `ipv4`/`ipv6`; then it
    goes to the ENI of the far VPC that owns the destination, and nowhere else. `same_region`: groups may be named across
    it (PCX-09), and packets be as large as in a VPC (PCX-10).
    """

    peering_id: str
    vpc_id: str
    far_vpc_id: str
    ipv4: tuple[IPv4Network, ...]
    ipv6: tuple[IPv6Network, ...]
    same_region: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerMembers:
    """Members of groups of the far VPC that rules of the near one name; sorted, without groups that have none."""

    peering_id: str
    vpc_id: str
    groups: tuple[GroupMembers, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A gateway endpoint: behind it a service answers at every address of `blocks`, on TCP port 443 and to pings, but only to the
    VPC's own interfaces (VPE-04, VPE-06). The answers come from nobody's interface."""

    endpoint_id: str
    vpc_id: str
    blocks: tuple[IPv4Network, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vpc:
    """A VPC: its blocks, resolver settings and DHCP options."""

    vpc_id: str
    region: str
    ipv4: tuple[IPv4Network, ...]
    ipv6: tuple[IPv6Network, ...]
    dns_support: bool
    dns_hostnames: bool
    domain: str  # ec2.internal or REGION.compute.internal
    dhcp: tuple[tuple[str, tuple[str, ...]], ...] = ()  # options its DHCP server tells, servers as addresses (UF-02)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the VPC resolver answers: (lower-case name without final dot, address) pairs, sorted (DNS-02)."""

    vpc_id: str
    records: tuple[tuple[str, Address], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An instance that should run. `boots` changes to reboot it; `metadata` is what IMDS serves, by path."""

    instance_id: str
    vpc_id: str
    root: str  # builtin | directory | OCI layout
    hostname: str
    boots: int
    user_data: bytes | None
    imds_enabled: bool
    imds_v1: bool  # http-tokens = optional
    imds_hop_limit: int
    imds_ipv6: bool
    metadata: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What an imported network lacks (`model/nouns/gap.py`). Nothing to enforce; answers about its VPC are unknown."""

    gap_id: str
    vpc_id: str
    element: str
    why: str


Fragment = (
    Group
    | GroupMembers
    | Acl
    | Subnet
    | RouteTable
    | Interface
    | Edge
    | Endpoint
    | Peering
    | PeerMembers
    | Vpc
    | Names
    | Machine
    | Gap
)


def key_of(fragment: Fragment) -> Key:
    """The fragment's place in the IR map: its type name and the first id field.

    A group has fragments for each VPC it is associated with besides those of its own VPC (SG-70), a peering connection
    has them for both VPCs.
    """
    id: str = getattr(fragment, _ID_FIELD[type(fragment)])
    if isinstance(fragment, Peering | PeerMembers) or (
        isinstance(fragment, Group | GroupMembers) and fragment.associated
    ):
        id = associated_key(id, fragment.vpc_id)
    return type(fragment).__name__, id


def associated_key(id: str, vpc_id: str) -> str:
    """The id part of the key of a group's fragment for a VPC other than its own, and of a connection's for either VPC."""
    return f"{id}@{vpc_id}"


_ID_FIELD: dict[type, str] = {
    Group: "group_id",
    GroupMembers: "group_id",
    Acl: "acl_id",
    Subnet: "subnet_id",
    RouteTable: "table_id",
    Interface: "eni_id",
    Edge: "gateway_id",
    Peering: "peering_id",
    PeerMembers: "peering_id",
    Endpoint: "endpoint_id",
    Vpc: "vpc_id",
    Names: "vpc_id",
    Machine: "instance_id",
    Gap: "gap_id",
}


@dataclass(frozen=True, slots=True)
class Ir:
    """The whole IR at one generation."""

    generation: int
    fragments: dict[Key, Fragment]  # treated as immutable


@dataclass(frozen=True, slots=True)
class Delta:
    """From one generation's IR to another's. `base` None = from nothing (a full load)."""

    base: int | None
    generation: int
    put: tuple[Fragment, ...]
    drop: tuple[Key, ...]
