"""Corners of the matrix that networks made by the API hardly have: by hand."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from ringfence.insight.reach.diff import diff
from ringfence.insight.reach.engine import Engine
from ringfence.model.net import PortRange
from ringfence.policy.ir import (
    Acl,
    AclEntry,
    Allow,
    Fragment,
    Group,
    Interface,
    Ir,
    Match,
    Route,
    RouteTable,
    Subnet,
    Timeouts,
    Via,
    Vpc,
    key_of,
)
from ringfence.policy.packet import Packet
from tests.insight.reach.test_matrix import brute, by_matrix

VPC, ANY, TIMES = "vpc-1", IPv4Network("0.0.0.0/0"), Timeouts(tcp_established=432000, udp_stream=180, udp=30)


def network(*blocks: str) -> list[Fragment]:
    """A VPC of subnets a, b … with these blocks, each with an open ACL of its own; the group "open" lets everything through."""
    every = Match(family=4, remote=ANY)
    allow = AclEntry(number=100, match=every, allow=True)
    nets = [IPv4Network(block) for block in blocks]
    table = tuple(Route(destination=net, via=Via.LOCAL) for net in nets)
    rules = (Allow(rule_id="sgr-1", match=every),)
    return [
        Vpc(vpc_id=VPC, region="us-east-1", ipv4=tuple(nets), ipv6=(), dns_support=False, dns_hostnames=False, domain="x"),
        RouteTable(table_id="rtb-1", vpc_id=VPC, number=1, routes=table),
        Group(group_id="open", vpc_id=VPC, ingress=rules, egress=rules),
        *(Acl(acl_id=f"acl-{name}", vpc_id=VPC, ingress=(allow,), egress=(allow,)) for name, _ in zip("abc", nets, strict=False)),
        *(Subnet(subnet_id=name, vpc_id=VPC, ipv4=net, ipv6=(), acl_id=f"acl-{name}", table_id="rtb-1")
          for name, net in zip("abc", nets, strict=False)),
    ]  # fmt: skip


def interface(subnet: str, address: str, *groups: str) -> Interface:
    return Interface(
        eni_id=f"eni-{address}", vpc_id=VPC, subnet_id=subnet, number=1, mac="", ipv4=(IPv4Address(address),), ipv6=(),
        groups=groups, source_dest_check=True, timeouts=TIMES,
    )  # fmt: skip


def engine(*fragments: Fragment) -> Engine:
    return Engine(Ir(1, {key_of(fragment): fragment for fragment in fragments}))


def https(host: str) -> Allow:
    block = IPv4Network(host)
    return Allow(rule_id=host, match=Match(family=4, remote=block, protocol=6, ports=PortRange(443, 443)))


def test_a_change_moves_what_sources_say_of_each_address_of_a_subnet() -> None:
    """Two destinations with the same groups; each source may speak to one of them only."""
    hosts = ("10.0.0.5", "10.0.0.6")
    server = Group(group_id="server", vpc_id=VPC, ingress=(), egress=())
    clients = [Group(group_id=f"to-{host}", vpc_id=VPC, ingress=(), egress=(https(host),)) for host in hosts]
    before = engine(
        *network("10.0.0.0/24"), server, *clients, *(interface("a", host, "server") for host in hosts),
        *(interface("a", f"10.0.0.2{n}", client.group_id) for n, client in enumerate(clients)),
    )  # fmt: skip
    opened = replace(server, ingress=(https("0.0.0.0/0"),))
    after = before.update(Ir(2, {**before.ir.fragments, key_of(server): opened}))
    pairs = {(s.source.members[0][0], s.destination.members[0][0]) for s in diff(before, after)}
    assert pairs == {("eni-10.0.0.20", "eni-10.0.0.5"), ("eni-10.0.0.21", "eni-10.0.0.6")}
    assert by_matrix(after) == brute(after)


def test_no_acl_is_asked_inside_a_subnet_around_another() -> None:
    """Subnets of a VPC do not overlap on AWS; files may say that they do."""
    parts = network("10.0.0.0/16", "10.0.1.0/24")
    silent = [replace(part, egress=()) if isinstance(part, Acl) and part.acl_id == "acl-a" else part for part in parts]
    found = engine(*silent, interface("a", "10.0.0.10", "open"), interface("b", "10.0.1.10", "open"))
    assert by_matrix(found) == brute(found) != {}


def test_no_route_leads_to_what_is_never_routed() -> None:
    """Loopback addresses, whatever the tables say (`evaluate.UNROUTED`)."""
    a, b = interface("a", "10.0.0.10", "open"), interface("b", "127.9.9.10", "open")
    found = engine(*network("10.0.0.0/24", "127.9.9.0/24"), a, b)
    packet = Packet(src=a.ipv4[0], dst=b.ipv4[0], protocol=6, sport=40000, dport=443)
    assert by_matrix(found) == brute(found)
    assert found.ask(a.eni_id, packet) is False
