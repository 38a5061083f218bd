"""What each row compiles to: groups, ACLs, routes, edges, names, machines."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, TypeVar

import pytest

from ringfence.model.net import PortRange
from ringfence.model.nouns.instance import InstanceState, MetadataOptions
from ringfence.model.nouns.network import DhcpOptions
from ringfence.model.nouns.network_interface import ConnectionTimeouts
from ringfence.model.nouns.routing import Route as RouteRow
from ringfence.model.nouns.security_group import SecurityGroupRule
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from ringfence.policy.ir import (
    Acl,
    Edge,
    Group,
    GroupMembers,
    Interface,
    Machine,
    Match,
    Names,
    Opening,
    Route,
    RouteTable,
    Subnet,
    Timeouts,
    Via,
    Vpc,
)
from tests.builders import (
    ANY,
    ANY6,
    OPEN,
    acl,
    changed,
    egress,
    elastic_ip,
    eni,
    entry,
    flat,
    gateway,
    group,
    host,
    ident,
    image,
    ingress,
    instance,
    key_pair,
    route,
    subnet,
    table,
    to_gateway,
    vpc,
    world,
)

F = TypeVar("F")
PROVIDED = ("domain-name-servers", ("AmazonProvidedDNS",))


def made(w: World, kind: type[F], id: str) -> F:
    found = compile_world(w).fragments[kind.__name__, id]
    assert isinstance(found, kind)
    return found


def site(*rows: Any) -> World:
    """A VPC with one subnet, unless a test gives its own."""
    given = list(flat(rows))
    ids = {row.id for row in given}
    return world(given, *(row for row in (vpc(), subnet("a", "10.0.0.0/24")) if row.id not in ids))


# ---------------------------------------------------------------------- groups
@pytest.mark.parametrize(
    ("row", "rule", "expected"),
    [
        ("SG-33", ingress("10.0.0.0/8", "tcp", (80, 90)),
         Match(family=4, remote=ip_network("10.0.0.0/8"), protocol=6, ports=PortRange(80, 90))),
        ("SG-75", ingress(ANY6, "udp", 53), Match(family=6, remote=ip_network(ANY6), protocol=17, ports=PortRange(53, 53))),
        ("SG-40", ingress(ANY), Match(family=4, remote=ip_network(ANY))),
        ("SG-40", ingress(ANY, "47"), Match(family=4, remote=ip_network(ANY), protocol=47)),
        ("SG-42", ingress(ANY, "icmp", icmp=(3, 4)), Match(family=4, remote=ip_network(ANY), protocol=1, icmp_type=3, icmp_code=4)),
        ("SG-42", ingress(ANY, "icmp", icmp=(8, -1)), Match(family=4, remote=ip_network(ANY), protocol=1, icmp_type=8)),
        ("SG-42", ingress(ANY, "icmp"), Match(family=4, remote=ip_network(ANY), protocol=1)),
        ("SG-42", ingress(ANY6, "icmpv6", icmp=(128, 0)),
         Match(family=6, remote=ip_network(ANY6), protocol=58, icmp_type=128, icmp_code=0)),
        ("SG-67", ingress("other", "tcp", 1), Match(group=ident("sg", "other"), protocol=6, ports=PortRange(1, 1))),
    ],
)  # fmt: skip
def test_rule(row: str, rule: SecurityGroupRule, expected: Match) -> None:
    fragment = made(site(group("g", rule), group("other")), Group, ident("sg", "g"))
    assert [allow.match for allow in fragment.ingress] == [expected], row
    assert fragment.egress == ()


@pytest.mark.parametrize(
    ("rule", "pairs"),
    [
        (ingress(ANY), {(4, 6), (4, 17)}),
        (ingress(ANY6), {(6, 6), (6, 17)}),
        (ingress(ANY, "tcp"), {(4, 6)}),
        (ingress(ANY, "udp", (0, 65535)), {(4, 17)}),
        (ingress(ANY, "tcp", (1, 65535)), set()),
        (ingress(ANY, "icmp"), set()),
        (ingress("0.0.0.0/1"), set()),
        (ingress("g"), set()),
    ],
)
def test_ct_03_openings(rule: SecurityGroupRule, pairs: set[tuple[int, int]]) -> None:
    fragment = made(site(group("g", rule)), Group, ident("sg", "g"))
    assert fragment.opens_ingress == Opening(pairs=frozenset(pairs))
    assert fragment.opens_egress == Opening()
    other = made(site(group("g", replace(rule, egress=True))), Group, ident("sg", "g"))
    assert other.opens_egress == Opening(pairs=frozenset(pairs))


def test_rules_of_unknown_prefix_lists_match_nothing() -> None:
    """SG-87: they are not compiled at all, so nothing can match them."""
    rule = replace(ingress(ANY, "tcp", 80), cidr=None, prefix_list_id="pl-0123456789abcdef0")
    assert made(site(group("g", rule)), Group, ident("sg", "g")).ingress == ()


def test_sg_67_members() -> None:
    """All private addresses of both families of every interface that carries the group, attached or not."""
    w = site(
        vpc(ipv6=["2001:db8:1::/56"]), group("g"), host("x", ["10.0.0.30", "10.0.0.9"], groups=["g"], ipv6=["2001:db8:1::5"]),
        eni("loose", "10.0.0.20", groups=["g"]), host("y", "10.0.0.40"),
    )  # fmt: skip
    fragment = made(w, GroupMembers, ident("sg", "g"))
    assert [str(a) for a in (*fragment.ipv4, *fragment.ipv6)] == ["10.0.0.9", "10.0.0.20", "10.0.0.30", "2001:db8:1::5"]


# ---------------------------------------------------------------------- ACLs and routes
def test_acl_29_ascending_order_per_direction() -> None:
    entries = (
        entry(200, ANY),
        entry(100, ANY, allow=False),
        entry(150, ANY, "icmp", icmp=(-1, -1), egress=True),
        entry(50, ANY6, "tcp", 80),
    )
    fragment = made(site(acl("c", *entries)), Acl, ident("acl", "c"))
    assert [(e.number, e.allow) for e in fragment.ingress] == [(50, True), (100, False), (200, True)]
    assert [e.match for e in fragment.egress] == [Match(family=4, remote=ip_network(ANY), protocol=1)]


def test_acl_15_icmpv6_with_an_ipv4_block() -> None:
    """ACL-15: no packet has both, so it matches none; it is compiled as written."""
    fragment = made(site(acl("c", entry(1, ANY, "icmpv6"))), Acl, ident("acl", "c"))
    assert fragment.ingress[0].match == Match(family=4, remote=ip_network(ANY), protocol=58)


NEVER = {Route(destination=ip_network(block), via=Via.BLACKHOLE) for block in ("169.254.168.0/22", "fd00:ec2::/32")}
IGW, ENI = ident("igw", "igw"), ident("eni", "x")


@pytest.mark.parametrize(
    ("row", "given", "expected"),
    [
        ("IGW-03", route(ANY, IGW), Route(destination=ip_network(ANY), via=Via.GATEWAY, target=IGW)),
        ("RT-12", route(ANY, ident("igw", "gone")), Route(destination=ip_network(ANY), via=Via.BLACKHOLE)),
        ("RT-12", route(ANY, ident("igw", "away")), Route(destination=ip_network(ANY), via=Via.BLACKHOLE)),
        ("RT-12", route(ANY, ident("igw", "other")), Route(destination=ip_network(ANY), via=Via.BLACKHOLE)),
        ("RT-08", route("10.0.0.0/24", ENI), Route(destination=ip_network("10.0.0.0/24"), via=Via.INTERFACE, target=ENI)),
        ("RT-12", route(ANY, ident("eni", "gone")), Route(destination=ip_network(ANY), via=Via.BLACKHOLE)),
        ("RT-12", route(ANY, ident("eni", "loose")), Route(destination=ip_network(ANY), via=Via.BLACKHOLE)),
        ("RT-12", route(ANY, ident("eni", "stopped")), Route(destination=ip_network(ANY), via=Via.BLACKHOLE)),
        ("RT-12", route(ANY, ident("eni", "foreign")), Route(destination=ip_network(ANY), via=Via.BLACKHOLE)),
    ],
)  # fmt: skip
def test_routes(row: str, given: RouteRow, expected: Route) -> None:
    w = site(
        vpc(secondary=["10.1.0.0/16"], ipv6=["2001:db8:1::/56"]), vpc("v2", "10.9.0.0/16"), subnet("z", "10.9.0.0/24", vpc="v2"),
        gateway(), gateway("away", vpc=None), gateway("other", vpc="v2"), host("x", "10.0.0.10"), eni("loose", "10.0.0.20"),
        host("stopped", "10.0.0.30", state=InstanceState.STOPPED), host("foreign", "10.9.0.10", subnet="z", vpc="v2"),
        table("t", given, subnets=["a"]),
    )  # fmt: skip
    local = {Route(destination=ip_network(b), via=Via.LOCAL) for b in ("10.0.0.0/16", "10.1.0.0/16", "2001:db8:1::/56")}
    routes = made(w, RouteTable, ident("rtb", "t")).routes
    assert set(routes) == local | NEVER | {expected}, row  # NET-07, RT-09
    assert len(routes) == len({r.destination for r in routes})


def test_rt_17_the_local_route_of_a_gateway_table_is_replaced() -> None:
    w = site(gateway(), host("x", "10.0.0.10"), table("e", route("10.0.0.0/16", ENI), edge="igw"))
    routes = made(w, RouteTable, ident("rtb", "e")).routes
    assert set(routes) == NEVER | {Route(destination=ip_network("10.0.0.0/16"), via=Via.INTERFACE, target=ENI)}


def test_rt_01_explicit_or_main_table() -> None:
    w = site(subnet("b", "10.0.1.0/24"), table("t", subnets=["a"]))
    assert made(w, Subnet, ident("subnet", "a")).table_id == ident("rtb", "t")
    assert made(w, Subnet, ident("subnet", "b")).table_id == ident("rtb", "main")


# ---------------------------------------------------------------------- edges and interfaces
def test_igw_04_pairs_of_elastic_and_lent_addresses() -> None:
    w = site(
        gateway(), host("x", ["10.0.0.10", "10.0.0.11"]), host("y", "10.0.0.20", public="198.18.9.1"),
        host("z", "10.0.0.30", public="198.18.9.2"), elastic_ip("198.18.0.1", "x", "10.0.0.11"),
        elastic_ip("198.18.0.2", "x", "10.0.0.10"), elastic_ip("198.18.0.3", "z", "10.0.0.30"), elastic_ip("198.18.0.4"),
    )  # fmt: skip
    pairs = [(str(public), str(private)) for public, private in made(w, Edge, IGW).nat]
    assert pairs == [
        ("198.18.0.1", "10.0.0.11"), ("198.18.0.2", "10.0.0.10"), ("198.18.0.3", "10.0.0.30"), ("198.18.9.1", "10.0.0.20"),
    ]  # fmt: skip


def test_a_detached_gateway_is_no_edge() -> None:
    assert ("Edge", IGW) not in compile_world(site(gateway(vpc=None))).fragments


def test_rt_13_edge_table() -> None:
    assert made(site(gateway(), table("e", edge="igw")), Edge, IGW).table_id == ident("rtb", "e")
    assert made(site(gateway()), Edge, IGW).table_id is None


def test_interface() -> None:
    timeouts = ConnectionTimeouts(tcp_established=60, udp_stream=61, udp=31)
    w = site(
        group("b"), group("c"), host("x", "10.0.0.10", groups=["c", "b"], timeouts=timeouts, check=False, device=2)
    )
    fragment = made(w, Interface, ENI)
    assert fragment.groups == tuple(sorted((ident("sg", "b"), ident("sg", "c"))))
    assert fragment.timeouts == Timeouts(tcp_established=60, udp_stream=61, udp=31)
    assert (fragment.instance_id, fragment.device_index, fragment.source_dest_check) == (ident("i", "x"), 2, False)
    loose = made(changed(w, eni("x", "10.0.0.10")), Interface, ENI)
    assert (loose.instance_id, loose.device_index) == (None, None)
    assert loose.timeouts == Timeouts(tcp_established=432000, udp_stream=180, udp=30)  # CT-13..CT-15


# ---------------------------------------------------------------------- names
def names(w: World) -> dict[str, str]:
    return {name: str(address) for name, address in made(w, Names, ident("vpc", "main")).records}


@pytest.mark.parametrize(
    ("region", "domain", "public"),
    [
        ("us-east-1", "ec2.internal", "ec2-198-18-0-1.compute-1.amazonaws.com"),
        ("eu-west-1", "eu-west-1.compute.internal", "ec2-198-18-0-1.eu-west-1.compute.amazonaws.com"),
    ],
)
def test_dns_02_and_dns_04_names(region: str, domain: str, public: str) -> None:
    """Public names resolve to the private address inside the VPC, and exist only with DNS hostnames."""
    w = site(
        vpc(region=region, dns_hostnames=True), host("x", "10.0.0.10"), elastic_ip("198.18.0.1", "x", "10.0.0.10"),
    )  # fmt: skip
    expected = {f"ip-10-0-0-10.{domain}": "10.0.0.10", f"{ident('i', 'x')}.{domain}": "10.0.0.10"}
    assert names(w) == expected | {public: "10.0.0.10"}
    assert names(changed(w, vpc(region=region))) == expected
    assert made(w, Vpc, ident("vpc", "main")).domain == domain


def test_dns_01_without_support_no_names() -> None:
    assert names(site(vpc(dns_support=False, dns_hostnames=True), host("x", "10.0.0.10"))) == {}


# ---------------------------------------------------------------------- machines
def metadata(w: World) -> dict[str, str]:
    return dict(made(w, Machine, ident("i", "x")).metadata)


def machine_site(**fields: Any) -> World:
    return site(
        group("web"), image(root="/srv/image"), eni("x", ["10.0.0.10", "10.0.0.11"], groups=["web"], instance="x"),
        instance("x", **fields), elastic_ip("198.18.0.1", "x", "10.0.0.10"), key_pair("k", "ssh-ed25519 AAAA me"),
    )  # fmt: skip


def test_machine() -> None:
    options = MetadataOptions(
        http_tokens="optional", http_endpoint="disabled", hop_limit=5, http_protocol_ipv6="enabled"
    )
    data = base64.b64encode(b"#!/bin/sh\n").decode()
    fragment = made(machine_site(metadata_options=options, user_data=data, boots=3), Machine, ident("i", "x"))
    assert (fragment.root, fragment.boots, fragment.user_data) == ("/srv/image", 3, b"#!/bin/sh\n")
    assert fragment.hostname == "ip-10-0-0-10.ec2.internal"
    assert (fragment.imds_enabled, fragment.imds_v1, fragment.imds_hop_limit, fragment.imds_ipv6) == (
        False,
        True,
        5,
        True,
    )


def test_metadata_paths() -> None:
    found = metadata(machine_site(key_name="k"))
    mac = "02:00:00:00:00:0a"
    at = f"meta-data/network/interfaces/macs/{mac}/"
    for path, value in {
        "meta-data/instance-id": ident("i", "x"), "meta-data/ami-id": ident("ami", "builtin"),
        "meta-data/hostname": "ip-10-0-0-10.ec2.internal", "meta-data/local-hostname": "ip-10-0-0-10.ec2.internal",
        "meta-data/local-ipv4": "10.0.0.10", "meta-data/public-ipv4": "198.18.0.1", "meta-data/mac": mac,
        "meta-data/instance-type": "t3.micro", "meta-data/placement/availability-zone": "us-east-1a",
        "meta-data/placement/region": "us-east-1", "meta-data/reservation-id": ident("r", "x"),
        "meta-data/security-groups": "web", "meta-data/public-keys/0/openssh-key": "ssh-ed25519 AAAA me",
        at + "local-ipv4s": "10.0.0.10\n10.0.0.11", at + "interface-id": ident("eni", "x"),
        at + "subnet-id": ident("subnet", "a"), at + "vpc-id": ident("vpc", "main"), at + "security-groups": "web",
        at + "vpc-ipv4-cidr-block": "10.0.0.0/16", at + "subnet-ipv4-cidr-block": "10.0.0.0/24",
    }.items():  # fmt: skip
        assert found[path] == value, path
    document = json.loads(found["dynamic/instance-identity/document"])
    assert (document["instanceId"], document["privateIp"], document["region"]) == (
        ident("i", "x"),
        "10.0.0.10",
        "us-east-1",
    )
    assert "meta-data/public-hostname" not in found


def test_metadata_follows_what_it_shows() -> None:
    plain = metadata(machine_site())
    assert not [path for path in plain if path.startswith(("meta-data/public-keys", "meta-data/tags"))]
    tagged = MetadataOptions(instance_metadata_tags="enabled")
    assert (
        metadata(machine_site(tags=(("Name", "web 1"),), metadata_options=tagged))["meta-data/tags/instance/Name"]
        == "web 1"
    )
    assert "meta-data/tags/instance/Name" not in metadata(machine_site(tags=(("Name", "web 1"),)))
    assert "meta-data/public-ipv4" not in metadata(changed(machine_site(), elastic_ip("198.18.0.1")))
    hostnames = metadata(changed(machine_site(), vpc(dns_hostnames=True)))
    assert hostnames["meta-data/public-hostname"] == "ec2-198-18-0-1.compute-1.amazonaws.com"


@pytest.mark.parametrize("state", list(InstanceState))
def test_only_pending_and_running_instances_are_machines(state: InstanceState) -> None:
    """A stopped instance's interface stays; no traffic comes from it."""
    fragments = compile_world(machine_site(state=state)).fragments
    assert (("Machine", ident("i", "x")) in fragments) == (state in (InstanceState.PENDING, InstanceState.RUNNING))
    assert ("Interface", ident("eni", "x")) in fragments


def test_an_instance_without_interfaces_is_no_machine() -> None:
    assert ("Machine", ident("i", "bare")) not in compile_world(site(instance("bare"))).fragments


def test_secondary_interfaces_in_metadata() -> None:
    second = eni("second", "10.0.0.50", instance="x", device=1)
    found = metadata(changed(machine_site(), second))
    assert found["meta-data/network/interfaces/macs/02:00:00:00:00:32/device-number"] == "1"
    assert found["meta-data/local-ipv4"] == "10.0.0.10"


def test_everything_of_a_world_is_in_the_ir() -> None:
    w = site(
        gateway(),
        table("t", *to_gateway(), subnets=["a"]),
        group("g", *OPEN, egress("10.0.0.0/8")),
        host("x", "10.0.0.10"),
    )
    kinds = {kind for kind, _ in compile_world(w).fragments}
    assert kinds == {
        "Vpc", "Names", "Subnet", "RouteTable", "Edge", "Group", "GroupMembers", "Acl", "Interface", "Machine",
    }  # fmt: skip
    assert ip_address("10.0.0.10") in made(w, Interface, ENI).ipv4
    assert isinstance(made(w, Interface, ENI).ipv4[0], IPv4Address)


@pytest.mark.parametrize(
    ("options", "ipv6", "expected"),
    [
        ((("domain-name", ("ec2.internal",)), PROVIDED), (),
         (("domain-name", ("ec2.internal",)), ("domain-name-servers", ("10.0.0.2",)))),
        ((PROVIDED,), ("fd52:4946:0:100::/56",), (("domain-name-servers", ("10.0.0.2", "fd00:ec2::253")),)),
        ((("domain-name-servers", ("10.1.1.1", "AmazonProvidedDNS")),), (),
         (("domain-name-servers", ("10.1.1.1", "10.0.0.2")),)),
        ((("ntp-servers", ("169.254.169.123",)),), (), (("ntp-servers", ("169.254.169.123",)),)),
        (None, (), ()),
    ],
)  # fmt: skip
def test_uf_02_dhcp_options_reach_the_data_plane(
    options: tuple[tuple[str, tuple[str, ...]], ...] | None, ipv6: tuple[str, ...], expected: object
) -> None:
    """DNS-04..DNS-07: the resolver as its addresses; nothing for "default"."""
    id = ident("dopt", "d") if options is not None else "default"
    w = world(vpc(ipv6=ipv6, dhcp_options_id=id))
    if options is not None:
        made_options = DhcpOptions(id=id, owner_id="123456789012", region="us-east-1", options=options)
        w = changed(w, made_options)
    assert made(w, Vpc, ident("vpc", "main")).dhcp == expected
