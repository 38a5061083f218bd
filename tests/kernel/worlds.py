"""Small IRs for kernel tests: terse builders for groups, ACLs, subnets and ENIs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from ringfence.model.net import Network, PortRange, parse_network
from ringfence.policy.ir import (
    Acl,
    AclEntry,
    Allow,
    Edge,
    Fragment,
    Group,
    GroupMembers,
    Interface,
    Match,
    Opening,
    Route,
    RouteTable,
    Subnet,
    Timeouts,
    Via,
    Vpc,
)
from ringfence.policy.packet import Packet

VPC = "vpc-0000000000000001"
DEFAULT_TIMEOUTS = Timeouts(tcp_established=432000, udp_stream=180, udp=30)
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "all": None}
BOTH_FAMILIES = ("0.0.0.0/0", "::/0")


def match(
    protocol: str | int = "all", ports: str = "", peer: str = "", *, icmp: tuple[int, int | None] | None = None
) -> Match:
    """`peer`: a block, a group id (`sg-…`) or nothing; `ports`: "80" or "80-90"."""
    number = PROTOCOLS[protocol] if isinstance(protocol, str) else protocol
    low, _, high = ports.partition("-")
    span = PortRange(int(low), int(high or low)) if ports else None
    group = peer if peer.startswith("sg-") else None
    remote: Network | None = parse_network(peer) if peer and group is None else None
    family = remote.version if remote else None
    kind, code = icmp or (None, None)
    return Match(family=family, remote=remote, group=group, protocol=number, ports=span, icmp_type=kind, icmp_code=code)


def allow(
    protocol: str | int = "all", ports: str = "", peer: str = "0.0.0.0/0", *, icmp: tuple[int, int | None] | None = None
) -> Allow:
    made = match(protocol, ports, peer, icmp=icmp)
    wide = made.remote is not None and made.remote.prefixlen == 0 and made.protocol in (None, 6, 17)
    return Allow(rule_id=f"sgr-{protocol}-{ports}-{peer}-{icmp}", match=made, wide=wide)


ANYWHERE = (allow(), allow(peer="::/0"))


def _opening(rules: Iterable[Allow]) -> Opening:
    pairs = set()
    for rule in rules:
        ports = rule.match.ports
        if rule.wide and rule.match.remote is not None and (ports is None or ports.is_all):
            pairs |= {(rule.match.remote.version, p) for p in (6, 17) if rule.match.protocol in (None, p)}
    return Opening(pairs=frozenset(pairs))


def group(group_id: str, ingress: Iterable[Allow] = (), egress: Iterable[Allow] = ANYWHERE) -> Group:
    ingress, egress = tuple(ingress), tuple(egress)
    return Group(
        group_id=group_id, vpc_id=VPC, ingress=ingress, egress=egress,
        opens_ingress=_opening(ingress), opens_egress=_opening(egress),
    )  # fmt: skip


def entry(number: int, action: str, protocol: str | int = "all", ports: str = "", peer: str = "0.0.0.0/0",
          icmp: tuple[int, int | None] | None = None) -> AclEntry:  # fmt: skip
    return AclEntry(number=number, match=match(protocol, ports, peer, icmp=icmp), allow=action == "allow")


OPEN_ENTRIES = (entry(100, "allow"), entry(101, "allow", peer="::/0"))


def acl(
    acl_id: str = "acl-open", ingress: Iterable[AclEntry] = OPEN_ENTRIES, egress: Iterable[AclEntry] = OPEN_ENTRIES
) -> Acl:
    return Acl(acl_id=acl_id, vpc_id=VPC, ingress=tuple(ingress), egress=tuple(egress))


def subnet(subnet_id: str, number: int, acl_id: str = "acl-open", table_id: str = "rtb-1") -> Subnet:
    """Subnet 10.0.NUMBER.0/24 and 2001:db8:1:NUMBER::/64."""
    return Subnet(
        subnet_id=subnet_id, vpc_id=VPC, ipv4=IPv4Network(f"10.0.{number}.0/24"),
        ipv6=(IPv6Network(f"2001:db8:1:{number}::/64"),), acl_id=acl_id, table_id=table_id,
    )  # fmt: skip


LOCAL_ROUTES = (
    Route(destination=IPv4Network("10.0.0.0/16"), via=Via.LOCAL),
    Route(destination=IPv6Network("2001:db8:1::/56"), via=Via.LOCAL),
)
INTERNET_ROUTES = (
    Route(destination=IPv4Network("0.0.0.0/0"), via=Via.GATEWAY, target="igw-1"),
    Route(destination=IPv6Network("::/0"), via=Via.GATEWAY, target="igw-1"),
)


def table(
    table_id: str = "rtb-1", number: int = 1, routes: Iterable[Route] = (*LOCAL_ROUTES, *INTERNET_ROUTES)
) -> RouteTable:
    return RouteTable(table_id=table_id, vpc_id=VPC, number=number, routes=tuple(routes))


def to_eni(destination: str, eni_id: str) -> Route:
    return Route(destination=parse_network(destination), via=Via.INTERFACE, target=eni_id)


def eni(eni_id: str, number: int, subnet_number: int, host: int, groups: Iterable[str], *, check: bool = True,
        timeouts: Timeouts = DEFAULT_TIMEOUTS) -> Interface:  # fmt: skip
    """ENI 10.0.SUBNET.HOST in subnet `subnet-SUBNET`."""
    return Interface(
        eni_id=eni_id, vpc_id=VPC, subnet_id=f"subnet-{subnet_number}", number=number,
        mac=f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}",
        ipv4=(IPv4Address(f"10.0.{subnet_number}.{host}"),),
        ipv6=(IPv6Address(f"2001:db8:1:{subnet_number}::{host}"),),
        groups=tuple(sorted(groups)), source_dest_check=check, timeouts=timeouts,
    )  # fmt: skip


def vpc() -> Vpc:
    return Vpc(
        vpc_id=VPC, region="us-east-1", ipv4=(IPv4Network("10.0.0.0/16"),), ipv6=(IPv6Network("2001:db8:1::/56"),),
        dns_support=True, dns_hostnames=True, domain="ec2.internal",
    )  # fmt: skip


def edge(nat: dict[str, str], table_id: str | None = None) -> Edge:
    """`nat`: public → private."""
    pairs = sorted((IPv4Address(public), IPv4Address(private)) for public, private in nat.items())
    return Edge(
        gateway_id="igw-1", vpc_id=VPC, nat=tuple(pairs), ipv6=(IPv6Network("2001:db8:1::/56"),), table_id=table_id
    )


def members(*parts: Fragment) -> list[Fragment]:
    """The parts plus the members of every group among them, as the compiler would add them."""
    enis = [part for part in parts if isinstance(part, Interface)]
    result = list(parts)
    for each in parts:
        if isinstance(each, Group):
            own = [e for e in enis if each.group_id in e.groups]
            result.append(
                GroupMembers(
                    group_id=each.group_id, vpc_id=VPC, ipv4=tuple(sorted(a for e in own for a in e.ipv4)),
                    ipv6=tuple(sorted(a for e in own for a in e.ipv6)),
                )
            )  # fmt: skip
    return result


A, B, C, D = "eni-a", "eni-b", "eni-c", "eni-d"


def pair(b_rules: Iterable[Allow] = (), *more: Fragment, b_egress: Iterable[Allow] = ANYWHERE, a_rules: Iterable[Allow] = (),
         a_egress: Iterable[Allow] = ANYWHERE, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> list[Fragment]:  # fmt: skip
    """Two ENIs in two subnets: A 10.0.1.10 (sg-a), B 10.0.2.10 (sg-b). `more` replaces or adds parts."""
    parts: dict[object, Fragment] = {}
    standard: list[Fragment] = [
        vpc(), table(), acl(), subnet("subnet-1", 1), subnet("subnet-2", 2), group("sg-a", a_rules, a_egress),
        group("sg-b", b_rules, b_egress), eni(A, 1, 1, 10, ["sg-a"], timeouts=timeouts),
        eni(B, 2, 2, 10, ["sg-b"], timeouts=timeouts), edge({}),
    ]  # fmt: skip
    for part in (*standard, *more):
        parts[type(part), next(iter(_identity(part)))] = part
    return members(*parts.values())


def _identity(part: Fragment) -> tuple[str, ...]:
    from ringfence.policy.ir import key_of

    return (key_of(part)[1],)


def address(eni_id: str, fragments: Iterable[Fragment], version: int = 4) -> IPv4Address | IPv6Address:
    found = next(f for f in fragments if isinstance(f, Interface) and f.eni_id == eni_id)
    return found.ipv4[0] if version == 4 else found.ipv6[0]


def tcp(src: str, dst: str, dport: int, sport: int = 40000) -> Packet:
    return _packet(src, dst, 6, sport=sport, dport=dport)


def udp(src: str, dst: str, dport: int, sport: int = 40000) -> Packet:
    return _packet(src, dst, 17, sport=sport, dport=dport)


def icmp(src: str, dst: str, kind: int = 8, code: int = 0) -> Packet:
    return _packet(src, dst, 1, icmp_type=kind, icmp_code=code)


def icmp6(src: str, dst: str, kind: int = 128, code: int = 0) -> Packet:
    return _packet(src, dst, 58, icmp_type=kind, icmp_code=code)


def other(src: str, dst: str, protocol: int) -> Packet:
    return _packet(src, dst, protocol)


def _packet(src: str, dst: str, protocol: int, **rest: int) -> Packet:
    made = Packet(src=IPv4Address("0.0.0.0"), dst=IPv4Address("0.0.0.0"), protocol=protocol, **rest)
    family = IPv6Address if ":" in src else IPv4Address
    return replace(made, src=family(src), dst=family(dst))


A4, B4, A6, B6 = "10.0.1.10", "10.0.2.10", "2001:db8:1:1::10", "2001:db8:1:2::10"
