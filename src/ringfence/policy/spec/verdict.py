"""The executable specification: what AWS says happens to a packet, slowly and plainly, straight from the rows.

Independent of the compiler, the IR and the evaluator (import-linter checks it): when these and this disagree, one of them is
wrong. Sources: Amazon VPC User Guide ("Security groups", "Network ACLs", "Route tables", "Internet gateways", "Managed prefix
lists"), Amazon EC2 User Guide ("Connection tracking"), Amazon VPC Peering Guide and AWS PrivateLink Guide ("Gateway
endpoints"); row ids are those of the requirement spec.

A conversation is a packet and its answer. `Tables` remembers, per interface, the conversations its groups have let through.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address, ip_network

from ringfence.model.aws_prefix_lists import find_list
from ringfence.model.kinds import (
    ELASTIC_IP,
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
from ringfence.model.net import IPV6_POOL, Address, Network
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.nouns.network import InternetGateway, Subnet, Vpc
from ringfence.model.nouns.network_acl import NetworkAclEntry
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.nouns.peering import PeeringConnection, PeeringStatus
from ringfence.model.nouns.routing import ListRoute, Route, RouteTable, RouteTarget
from ringfence.model.nouns.security_group import SecurityGroupRule
from ringfence.model.nouns.vpc_endpoint import VpcEndpoint
from ringfence.model.world import World
from ringfence.policy.packet import Packet

INTERNET = "internet"
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
#: IGW-08, RFC 6890: what must not cross an internet gateway, but for the installation's own IPv6 blocks
NOT_PUBLIC = [ip_network(n) for n in (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "0.0.0.0/8",
    "224.0.0.0/3", "::/8", "fc00::/7", "fe80::/10", "ff00::/8")]  # fmt: skip
#: NET-13, RT-09: what no route leads to
NOT_FORWARDED = [ip_network(n) for n in (
    "0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/127", "fe80::/10", "ff00::/8",
    "169.254.168.0/22", "fd00:ec2::/32")]  # fmt: skip
RESOLVERS = [ip_address("169.254.169.253"), ip_address("fd00:ec2::253")]
TIME = [ip_address("169.254.169.123"), ip_address("fd00:ec2::123")]
EVERYONE = ip_address("255.255.255.255")
METADATA = [ip_address("169.254.169.254"), ip_address("fd00:ec2::254")]
SERVED = [(TCP, 443)]  # VPE-06: what the service behind a gateway endpoint answers, besides echo
QUESTIONS = {8: 0, 13: 14, 15: 16, 17: 18, 128: 129}  # ICMP types that are answered, and by which type


class Dropped(Exception):
    """The packet ends here."""

    def __init__(self, layer: str) -> None:
        super().__init__(layer)
        self.layer = layer


@dataclass
class Tables:
    """Connection tables: (interface, packet that opened the conversation) -> who opened it if tracked, else None."""

    known: dict[tuple[str, Packet], str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What became of a packet: where it arrived (an interface id, `internet`, `service`) and how it looked, or the layer.

    `through`: the endpoint through which it reached a service; the service's answer is sent from there.
    """

    at: str | None
    packet: Packet
    dropped_at: str | None = None
    through: str | None = None


# ---------------------------------------------------------------------- security groups
def rule_matches(world: World, vpc_id: str, rule: SecurityGroupRule, packet: Packet, origin: str | None) -> bool:
    """SG-33, SG-39..SG-42, SG-67, SG-68, SG-70, SG-73, SG-75, SG-78. `origin`: the VPC whose interface sent it, with nothing between."""
    other = packet.dst if rule.egress else packet.src
    if rule.group is not None:
        named = carriers(world, vpc_id, rule.group.group_id)
        there = any(has(eni, other) and (rule.egress or eni.vpc_id == origin) for eni in named)
    else:
        there = any(other in block for block in blocks_of(world, rule))
    return there and service_matches(rule.protocol, packet, (rule.from_port, rule.to_port))


def blocks_of(world: World, peer: SecurityGroupRule | ListRoute) -> list[Network]:
    """The block that a rule names, or all that a list holds now (PL-08); a list that is gone holds none. AWS's lists are no rows of
    anybody's (PL-10)."""
    if isinstance(peer, SecurityGroupRule) and peer.cidr is not None:
        return [peer.cidr]
    found = find_list(world, peer.prefix_list_id) if peer.prefix_list_id else None
    return [entry.cidr for entry in found.entries] if found is not None else []


def carriers(world: World, vpc_id: str, group_id: str) -> list[NetworkInterface]:
    """SG-67: the interfaces that carry a group, in this VPC or (SG-52, SG-54, PCX-09) in the peer VPC whose group it is.

    A reference is stale when the group or the peering is gone; it names nobody then (SG-82, SG-87).
    """
    group = world.find(SECURITY_GROUP, group_id)
    near = [vpc_id] if group is None or not peered(world, vpc_id, group.vpc_id) else [vpc_id, group.vpc_id]
    return [eni for eni in world.by(NETWORK_INTERFACE, "group", group_id) if eni.vpc_id in near]


def peered(world: World, one: str, other: str) -> bool:
    """Are two VPCs of one Region joined by an active connection?"""
    return any(
        pcx.status is PeeringStatus.ACTIVE
        and pcx.requester.region == pcx.accepter.region
        and {pcx.requester.vpc_id, pcx.accepter.vpc_id} == {one, other}
        for pcx in world.by(PEERING_CONNECTION, "vpc", one)
    )


def service_matches(protocol: int, packet: Packet, numbers: tuple[int, int] | None) -> bool:
    """Protocol, then destination port range, or ICMP type and code with -1 for all."""
    if protocol == -1:
        return True
    if protocol != packet.protocol:
        return False
    if numbers is None:
        return True
    if protocol in (TCP, UDP):
        return numbers[0] <= packet.dport <= numbers[1]
    if protocol in (ICMP, ICMPV6):
        kind, code = numbers
        return kind == -1 or (kind == packet.icmp_type and code in (-1, packet.icmp_code))
    return True


def is_everyone(world: World, rule: SecurityGroupRule, version: int) -> bool:
    return any(block.version == version and block.prefixlen == 0 for block in blocks_of(world, rule))


def groups_allow(
    world: World, tables: Tables, eni: NetworkInterface, packet: Packet, *, egress: bool, origin: str | None
) -> bool:
    """CT-01..CT-09, SG-65: state first; else some rule of some group; remembers what must be remembered."""
    opener = opened_by(tables, eni, packet)
    me = "out" if egress else "in"
    if opener is not None:
        opening, who = opener
        if who is not None and who == (me if opening else ("in" if egress else "out")):
            return True
    rules = [r for id in eni.groups for r in world.get(SECURITY_GROUP, id).rules]
    fitting = [r for r in rules if r.egress is egress and rule_matches(world, eni.vpc_id, r, packet, origin)]
    if not fitting:
        return False
    untracked = packet.protocol in (TCP, UDP) and any(is_everyone(world, r, packet.family) for r in fitting) and any(
        r.egress is not egress
        and is_everyone(world, r, packet.family)
        and (r.protocol == -1 or (r.protocol == packet.protocol and (r.from_port, r.to_port) == (0, 65535)))
        for r in rules
    )  # fmt: skip
    remember(tables, eni, packet, None if untracked else me, opener)
    return True


def opened_by(tables: Tables, eni: NetworkInterface, packet: Packet) -> tuple[bool, str | None] | None:
    """(is this packet of the direction that opened the conversation?, who opened it if tracked); None if unknown."""
    opening = conversation(packet)
    if opening is not None and (eni.id, opening) in tables.known:
        return True, tables.known[eni.id, opening]
    asked = question(packet)
    if asked is not None and (eni.id, asked) in tables.known:
        return False, tables.known[eni.id, asked]
    return None


def conversation(packet: Packet) -> Packet | None:
    """The packet as the key of a conversation it opens; ICMP answers and errors open none."""
    if packet.protocol in (ICMP, ICMPV6) and packet.icmp_type not in QUESTIONS:
        return None
    return packet


def question(packet: Packet) -> Packet | None:
    """The packet this one would be an answer to."""
    if packet.protocol in (ICMP, ICMPV6):
        asked = {answer: question for question, answer in QUESTIONS.items()}.get(packet.icmp_type)
        if asked is None:
            return None
        return Packet(
            src=packet.dst, dst=packet.src, protocol=packet.protocol, icmp_type=asked, icmp_code=packet.icmp_code
        )
    return Packet(src=packet.dst, dst=packet.src, protocol=packet.protocol, sport=packet.dport, dport=packet.sport)


def remember(
    tables: Tables, eni: NetworkInterface, packet: Packet, who: str | None, opener: tuple[bool, str | None] | None
) -> None:
    """The opening direction decides; a conversation known as untracked becomes tracked, never the other way round."""
    opening = conversation(packet)
    if opening is None or (opener is not None and not opener[0]):
        return
    if opener is None or who is not None:
        tables.known[eni.id, opening] = who


# ---------------------------------------------------------------------- network ACLs
def acl_allows(world: World, subnet: Subnet, packet: Packet, *, egress: bool) -> bool:
    """ACL-29..ACL-35: ascending numbers, first match decides, no match denies."""
    acl = world.get(NETWORK_ACL, subnet.network_acl_id)
    for entry in sorted((e for e in acl.entries if e.egress is egress), key=lambda e: e.number):
        if entry_matches(entry, packet):
            return entry.allow
    return False


def entry_matches(entry: NetworkAclEntry, packet: Packet) -> bool:
    other = packet.dst if entry.egress else packet.src
    if other.version != entry.cidr.version or other not in entry.cidr:
        return False
    numbers = (entry.ports.first, entry.ports.last) if entry.ports else entry.icmp
    return service_matches(entry.protocol, packet, numbers)


# ---------------------------------------------------------------------- where packets go
def has(eni: NetworkInterface, address: Address) -> bool:
    return address in eni.addresses or address in eni.ipv6


def owner(world: World, vpc_id: str, address: Address) -> NetworkInterface | None:
    """The interface with an address, if its instance runs (an unattached interface always answers)."""
    for eni in world.by(NETWORK_INTERFACE, "vpc", vpc_id):
        if has(eni, address):
            return eni if runs(world, eni) else None
    return None


def runs(world: World, eni: NetworkInterface) -> bool:
    if eni.attachment is None:
        return True
    return world.get(INSTANCE, eni.attachment.instance_id).state in (InstanceState.PENDING, InstanceState.RUNNING)


def in_subnet(subnet: Subnet, address: Address) -> bool:
    return address in subnet.cidr or any(address in association.block for association in subnet.ipv6)


def to_service(world: World, vpc_id: str, packet: Packet) -> bool:
    """UF-01..UF-07: resolver, DHCP, metadata and time service take their own; the router takes nothing else."""
    vpc = world.get(VPC, vpc_id)
    routers = [subnet.cidr[1] for subnet in world.by(SUBNET, "vpc", vpc_id)]
    if (packet.protocol, packet.dport) == (UDP, 67) and packet.dst in [EVERYONE, *routers]:
        return True
    if packet.dst in METADATA:
        served = (packet.protocol, packet.dport) == (TCP, 80)
    elif packet.dst in TIME:
        served = (packet.protocol, packet.dport) == (UDP, 123)
    elif packet.dst in [*RESOLVERS, *(association.block[2] for association in vpc.ipv4)]:
        served = vpc.dns_support and packet.protocol in (TCP, UDP) and packet.dport == 53
    elif any(packet.dst in (subnet.cidr[1], subnet.cidr[2]) for subnet in world.by(SUBNET, "vpc", vpc_id)):
        served = False
    else:
        return False
    if not served:
        raise Dropped("no-route")
    return True


def table_of(world: World, subnet: Subnet) -> RouteTable:
    explicit = world.by(ROUTE_TABLE, "subnet", subnet.id)
    return explicit[0] if explicit else world.get(ROUTE_TABLE, world.get(VPC, subnet.vpc_id).main_route_table_id)


Hop = NetworkInterface | InternetGateway | PeeringConnection | VpcEndpoint


def next_hop(world: World, table: RouteTable, address: Address) -> Hop:
    """RT-01..RT-12: longest prefix; the local route covers every block of the VPC unless the table replaces it.

    Of the same prefix, a route to a block comes before one to a list that holds it (RT-07); of two lists the elder's.
    """
    if any(address in block for block in NOT_FORWARDED):
        raise Dropped("no-route")
    vpc = world.get(VPC, table.vpc_id)
    own = {route.destination: route for route in table.routes}
    choices: list[tuple[Network, Route | ListRoute | None]] = [(block, own.get(block)) for block in blocks_in(vpc)]
    choices += list(own.items())
    choices += [(block, route) for route in table.listed for block in blocks_of(world, route)]
    fitting = [(block, route) for block, route in choices if block.version == address.version and address in block]
    if not fitting:
        raise Dropped("no-route")
    _, route = max(fitting, key=lambda choice: choice[0].prefixlen)
    if route is None:
        return local(world, vpc.id, address)
    found = target_of(world, vpc.id, route)
    if found is None:
        raise Dropped("no-route")  # RT-12
    return found


def target_of(world: World, vpc_id: str, route: Route | ListRoute) -> Hop | None:
    """What a route leads to, if it is there and of use to this VPC."""
    if route.target is RouteTarget.INTERNET_GATEWAY:
        gateway = world.find(INTERNET_GATEWAY, route.target_id)
        return gateway if gateway is not None and gateway.vpc_id == vpc_id else None
    if route.target is RouteTarget.NETWORK_INTERFACE:
        eni = world.find(NETWORK_INTERFACE, route.target_id)
        return eni if eni is not None and eni.attachment is not None and runs(world, eni) else None
    if route.target is RouteTarget.PEERING_CONNECTION:
        pcx = world.find(PEERING_CONNECTION, route.target_id)
        if pcx is None or vpc_id not in (pcx.requester.vpc_id, pcx.accepter.vpc_id):
            return None
        return pcx if pcx.status is PeeringStatus.ACTIVE else None
    if route.target is RouteTarget.GATEWAY_ENDPOINT:
        endpoint = world.find(VPC_ENDPOINT, route.target_id)
        return endpoint if endpoint is not None and endpoint.vpc_id == vpc_id else None
    return None


def blocks_in(vpc: Vpc) -> list[Network]:
    return [association.block for association in (*vpc.ipv4, *vpc.ipv6)]


def in_vpc(world: World, vpc_id: str, address: Address) -> bool:
    vpc = world.find(VPC, vpc_id)
    return vpc is not None and any(address in block for block in blocks_in(vpc))


def local(world: World, vpc_id: str, address: Address) -> NetworkInterface:
    found = owner(world, vpc_id, address)
    if found is None:
        raise Dropped("no-route")
    return found


def public_of(world: World, eni: NetworkInterface, private: Address) -> IPv4Address | None:
    """IGW-11, IGW-13."""
    for elastic in world.by(ELASTIC_IP, "interface", eni.id):
        if elastic.private_ip == private:
            return elastic.public_ip
    return eni.auto_public_ip if private == eni.addresses[0] else None


# ---------------------------------------------------------------------- one packet
def send(world: World, tables: Tables, packet: Packet, source: str) -> Answer:
    """A packet sent by an interface, from the internet or (an answer) by an endpoint's service, until it arrives or is dropped."""
    where = [packet]
    try:
        if source == INTERNET:
            return from_internet(world, tables, packet, where)
        endpoint = world.find(VPC_ENDPOINT, source)
        if endpoint is not None:
            return from_endpoint(world, tables, endpoint, packet)
        return from_interface(world, tables, world.get(NETWORK_INTERFACE, source), packet, where)
    except Dropped as drop:
        return Answer(None, where[-1], drop.layer)


def from_interface(
    world: World, tables: Tables, eni: NetworkInterface, packet: Packet, where: list[Packet], hops: int = 0
) -> Answer:
    if hops == 8:
        raise Dropped("no-route")
    subnet = world.get(SUBNET, eni.subnet_id)
    if eni.source_dest_check and not has(eni, packet.src):  # NET-21
        raise Dropped("source-check")
    if to_service(world, subnet.vpc_id, packet):
        return Answer("service", packet)
    inside = in_subnet(subnet, packet.dst)
    snapshot = dict(tables.known)
    if not groups_allow(world, tables, eni, packet, egress=True, origin=None):
        raise Dropped("sg-egress")
    if not inside and not acl_allows(world, subnet, packet, egress=True):  # ACL-32
        tables.known = snapshot  # what never left is no conversation
        raise Dropped("nacl-out")
    target = local(world, eni.vpc_id, packet.dst) if inside else next_hop(world, table_of(world, subnet), packet.dst)
    if isinstance(target, InternetGateway):
        return leave(world, tables, eni, packet, where)
    if isinstance(target, VpcEndpoint):
        return serve(world, target, packet)
    if isinstance(target, PeeringConnection):
        target = across(world, target, eni.vpc_id, packet)
    deliver(world, tables, target, packet, origin=eni.vpc_id if has(eni, packet.src) else None, inside=inside)
    if has(target, packet.dst):
        return Answer(target.id, packet)
    return from_interface(world, tables, target, packet, where, hops + 1)  # an appliance passes it on


def deliver(
    world: World, tables: Tables, eni: NetworkInterface, packet: Packet, *, origin: str | None, inside: bool
) -> None:
    """ACL-40: network ACL of the subnet, then the groups, then the destination check."""
    if not inside and not acl_allows(world, world.get(SUBNET, eni.subnet_id), packet, egress=False):
        raise Dropped("nacl-in")
    snapshot = dict(tables.known)
    if not groups_allow(world, tables, eni, packet, egress=False, origin=origin):
        raise Dropped("sg-ingress")
    if eni.source_dest_check and not has(eni, packet.dst):
        tables.known = snapshot
        raise Dropped("dest-check")


def across(world: World, pcx: PeeringConnection, vpc_id: str, packet: Packet) -> NetworkInterface:
    """PCX-05..PCX-08: from the one VPC's addresses to the other's interfaces; the far VPC's routes and services take nothing."""
    if not in_vpc(world, vpc_id, packet.src):
        raise Dropped("no-route")
    return local(world, pcx.far_side(vpc_id).vpc_id, packet.dst)


def serve(world: World, endpoint: VpcEndpoint, packet: Packet) -> Answer:
    """VPE-04, VPE-06: IPv4 from the VPC's own interfaces, for the service or an echo."""
    ours = any(has(eni, packet.src) for eni in world.by(NETWORK_INTERFACE, "vpc", endpoint.vpc_id))
    echo = packet.protocol == ICMP and packet.icmp_type == 8
    if packet.family != 4 or not ours or not (echo or (packet.protocol, packet.dport) in SERVED):
        raise Dropped("endpoint")
    return Answer("service", packet, through=endpoint.id)


def from_endpoint(world: World, tables: Tables, endpoint: VpcEndpoint, packet: Packet) -> Answer:
    """VPE-05: the service's answer, to the private address that asked; network ACL and groups judge it like any other."""
    target = local(world, endpoint.vpc_id, packet.dst)
    deliver(world, tables, target, packet, origin=None, inside=False)
    return Answer(target.id, packet)


def leave(world: World, tables: Tables, eni: NetworkInterface, packet: Packet, where: list[Packet]) -> Answer:
    """IGW-03..IGW-08: through the internet gateway."""
    if packet.family == 6:
        own = any(packet.src in association.block for association in world.get(VPC, eni.vpc_id).ipv6)
        if not own or not is_public(packet.dst):
            raise Dropped("gateway")
        return arrive_outside(world, tables, packet, where)
    sender = next((e for e in world.by(NETWORK_INTERFACE, "vpc", eni.vpc_id) if has(e, packet.src)), None)
    public = public_of(world, sender, packet.src) if sender is not None else None
    if public is None or not is_public(packet.dst):
        raise Dropped("gateway")
    return arrive_outside(world, tables, translated(packet, src=public), where)


def translated(packet: Packet, *, src: Address | None = None, dst: Address | None = None) -> Packet:
    return Packet(src=src or packet.src, dst=dst or packet.dst, protocol=packet.protocol, sport=packet.sport, dport=packet.dport,
                  icmp_type=packet.icmp_type, icmp_code=packet.icmp_code)  # fmt: skip


def is_public(address: Address) -> bool:
    return address in IPV6_POOL or not any(address in block for block in NOT_PUBLIC)


def behind(world: World, address: Address) -> tuple[InternetGateway, Address] | None:
    """The gateway that leads to an address of the internet, and the address as the VPC knows it."""
    for gateway in world.all(INTERNET_GATEWAY):
        if gateway.vpc_id is None:
            continue
        if any(address in association.block for association in world.get(VPC, gateway.vpc_id).ipv6):
            return gateway, address
        for eni in world.by(NETWORK_INTERFACE, "vpc", gateway.vpc_id):
            for private in eni.addresses:
                if public_of(world, eni, private) == address:
                    return gateway, private
    return None


def from_internet(world: World, tables: Tables, packet: Packet, where: list[Packet]) -> Answer:
    there, mine = behind(world, packet.dst), behind(world, packet.src)
    if there is not None and mine is not None and there[0] == mine[0]:
        raise Dropped("gateway")  # IGW-08: nobody outside has an address of the VPC
    answer = arrive_outside(world, tables, packet, where)
    if answer.at == INTERNET:
        raise Dropped("no-route")
    return answer


def arrive_outside(world: World, tables: Tables, packet: Packet, where: list[Packet]) -> Answer:
    """On the internet: into the VPC that has the address, or to an outside host."""
    where.append(packet)
    found = behind(world, packet.dst)
    if found is None:
        if any(packet.dst in association.block for vpc in world.all(VPC) for association in vpc.ipv6):
            raise Dropped("no-route")  # IGW-07: a VPC's addresses, and no gateway leads there
        return Answer(INTERNET, packet)
    return enter(world, tables, found[0], packet, translated(packet, dst=found[1]), where)


def enter(
    world: World, tables: Tables, gateway: InternetGateway, outside: Packet, inside: Packet, where: list[Packet]
) -> Answer:
    """Into the VPC, by the gateway's own route table if it has one (RT-13, RT-14)."""
    assert gateway.vpc_id is not None
    if not is_public(outside.src) or in_vpc(world, gateway.vpc_id, outside.src):
        raise Dropped("gateway")
    where.append(inside)
    tables_of_gateway = world.by(ROUTE_TABLE, "gateway", gateway.id)
    if tables_of_gateway:
        target = next_hop(world, tables_of_gateway[0], inside.dst)
    else:
        target = local(world, gateway.vpc_id, inside.dst)
    if not isinstance(target, NetworkInterface):
        raise Dropped("no-route")  # RT-13
    deliver(world, tables, target, inside, origin=None, inside=False)
    if has(target, inside.dst):
        return Answer(target.id, inside)
    return from_interface(world, tables, target, inside, where)


# ---------------------------------------------------------------------- a conversation
def converse(world: World, packet: Packet, source: str, tables: Tables | None = None) -> str:
    """`ok` when the packet and its answer arrive; else where they are dropped, `reply-` before the answer's layers."""
    tables = tables if tables is not None else Tables()
    there = send(world, tables, packet, source)
    if there.at is None:
        return str(there.dropped_at)
    if there.at == "service" and there.through is None:
        return "ok"
    back = send(world, tables, there.packet.reply(), there.through or there.at)
    if back.at is None:
        return f"reply-{back.dropped_at}"
    home = back.at == source and (back.packet.src, back.packet.dst) == (packet.dst, packet.src)
    return "ok" if home else "reply-no-route"
