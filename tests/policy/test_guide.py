"""The guide's architectures (spec section 16) as tables, asked as `ringfence trace` is: E2E-A, B, D, K, L and D-01."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.model.nouns.network_acl import NetworkAclEntry
from ringfence.model.world import World
from tests.builders import (
    ANY,
    ANY6,
    OPEN,
    acl,
    changed,
    egress,
    elastic_ip,
    entry,
    gateway,
    group,
    host,
    ident,
    ingress,
    packet,
    route,
    subnet,
    table,
    to_gateway,
    vpc,
    without,
    world,
)
from tests.policy.asking import Session, asked

HOME, HOME6 = "198.51.100.0/24", "2001:db8:aaaa::/48"
CLI, CLI6, AT_HOME, AT_HOME6 = (
    "internet:203.0.113.9", "internet:2001:db8:ffff::9", "internet:198.51.100.7", "internet:2001:db8:aaaa::7",
)  # fmt: skip
V6 = "2001:db8:1:"
WEB_AND_ADMIN = (
    *(ingress(peer, "tcp", port) for port in (80, 443) for peer in (ANY, ANY6)),
    *(ingress(peer, "tcp", port) for port in (22, 3389) for peer in (HOME, HOME6)),
)


# ---------------------------------------------------------------------- E2E-A
def development(*, public: bool = True) -> World:
    return world(
        vpc(ipv6=[f"{V6}:/56"]), subnet("a", "10.0.0.0/24", ipv6=[f"{V6}:/64"]), gateway(),
        table("t", *to_gateway(), subnets=["a"]), group("dev", *WEB_AND_ADMIN, *OPEN),
        host("dev", "10.0.0.10", groups=["dev"], ipv6=[f"{V6}:10"], public="198.18.0.1" if public else None),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "source", "destination", "protocol", "port", "more", "expected"),
    [
        ("A1", CLI, "dev", "tcp", 80, {}, "ok"),
        ("A1", CLI, "dev", "tcp", 443, {}, "ok"),
        ("A1", CLI6, "dev", "tcp", 80, {"ipv6": True}, "ok"),
        ("A1", CLI6, "dev", "tcp", 443, {"ipv6": True}, "ok"),
        ("A2", AT_HOME, "dev", "tcp", 22, {}, "ok"),
        ("A2", AT_HOME, "dev", "tcp", 3389, {}, "ok"),
        ("A2", AT_HOME6, "dev", "tcp", 22, {"ipv6": True}, "ok"),
        ("A3", CLI, "dev", "tcp", 22, {}, "sg-ingress"),
        ("A3", CLI, "dev", "tcp", 3389, {}, "sg-ingress"),
        ("A3", CLI, "dev", "tcp", 8080, {}, "sg-ingress"),
        ("A3", CLI, "dev", "udp", 443, {}, "sg-ingress"),
        ("A3", CLI, "dev", "icmp", 0, {}, "sg-ingress"),
        ("A3", CLI6, "dev", "icmpv6", 0, {"ipv6": True}, "sg-ingress"),
        ("A4", "dev", CLI, "tcp", 8443, {}, "ok"),
        ("A4", "dev", CLI, "udp", 53, {}, "ok"),
        ("A4", "dev", CLI, "icmp", 0, {}, "ok"),
        ("A4", "dev", CLI6, "tcp", 443, {"ipv6": True}, "ok"),
    ],
)
def test_e2e_a(
    row: str, source: str, destination: str, protocol: str, port: int, more: dict[str, Any], expected: str
) -> None:
    assert asked(development(), source, destination, protocol, port, **more) == expected, row


def test_e2e_a5_without_a_public_address() -> None:
    w = development(public=False)
    assert asked(w, "dev", CLI, "tcp", 443) == "gateway"
    assert asked(w, CLI, "dev", "tcp", 80) == "no-route"
    assert asked(w, "dev", CLI6, "tcp", 443, ipv6=True) == "ok"
    assert asked(w, CLI6, "dev", "tcp", 80, ipv6=True) == "ok"


@pytest.mark.parametrize(
    ("change", "into", "out"),
    [
        ((table("t", subnets=["a"]),), "reply-no-route", "no-route"),
        ((gateway(vpc=None),), "no-route", "no-route"),
    ],
)
def test_e2e_a6_no_route_or_no_gateway(change: tuple[Any, ...], into: str, out: str) -> None:
    w = changed(development(), *change)
    for source, more in ((CLI, {}), (CLI6, {"ipv6": True})):
        assert asked(w, source, "dev", "tcp", 80, **more) == into
        assert asked(w, "dev", source, "tcp", 443, **more) == out


# ---------------------------------------------------------------------- E2E-B
DB_GROUP = group(
    "db", ingress("web", "tcp", 1433), ingress("web", "tcp", 3306), egress(ANY, "tcp", 80), egress(ANY, "tcp", 443)
)
WEB_GROUP = group(
    "web", *WEB_AND_ADMIN, egress("db", "tcp", 1433), egress("db", "tcp", 3306),
)  # fmt: skip


def web_and_database() -> World:
    """Two zones; public and private subnets; no NAT gateway (D-02)."""
    return world(
        vpc(), gateway(), subnet("a", "10.0.0.0/24"), subnet("a2", "10.0.1.0/24"), subnet("p", "10.0.2.0/24"),
        subnet("p2", "10.0.3.0/24"), table("public", *to_gateway(), subnets=["a", "a2"]), table("private", subnets=["p", "p2"]),
        WEB_GROUP, DB_GROUP, group("own", ingress(ANY), *OPEN),
        host("web", "10.0.0.10", groups=["web"], public="198.18.0.1"),
        host("web2", "10.0.1.10", subnet="a2", groups=["web"], public="198.18.0.2"),
        host("db", "10.0.2.10", subnet="p", groups=["db"]), host("db2", "10.0.3.10", subnet="p2", groups=["db"]),
        host("other", "10.0.0.50", groups=["own"]), elastic_ip("198.18.0.9"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "source", "destination", "protocol", "port", "expected"),
    [
        ("B1", CLI, "web", "tcp", 80, "ok"),
        ("B1", CLI, "web", "tcp", 443, "ok"),
        ("B2", AT_HOME, "web", "tcp", 22, "ok"),
        ("B2", CLI, "web", "tcp", 22, "sg-ingress"),
        ("B2", CLI, "web", "udp", 443, "sg-ingress"),
        ("B3", "web", "db", "tcp", 3306, "ok"),
        ("B3", "web", "db2", "tcp", 1433, "ok"),
        ("B4", "web", "db", "tcp", 5432, "sg-egress"),
        ("B5", "web", "web2", "tcp", 80, "sg-egress"),
        ("B6", "web", CLI, "tcp", 443, "sg-egress"),
        ("B6", "web", "10.0.0.2", "udp", 53, "ok"),
        ("B7", "db", "web", "tcp", 80, "ok"),
        ("B7", "db", "web", "tcp", 443, "ok"),
        ("B8", "db", "web", "tcp", 22, "sg-egress"),
        ("B8", "db", "db2", "tcp", 3306, "sg-egress"),
        ("B9", "db", CLI, "tcp", 443, "no-route"),
        ("B11", CLI, "db", "tcp", 3306, "no-route"),
        ("B12", "other", "db", "tcp", 3306, "sg-ingress"),
        ("B12", "other", "web", "tcp", 80, "ok"),
        ("B15", "web2", "db2", "tcp", 3306, "ok"),
    ],
)
def test_e2e_b(row: str, source: str, destination: str, protocol: str, port: int, expected: str) -> None:
    assert asked(web_and_database(), source, destination, protocol, port) == expected, row


def test_e2e_b11_also_with_an_elastic_ip() -> None:
    """B11: the database admits nobody but the web group; what it admitted could not answer either."""
    w = changed(web_and_database(), elastic_ip("198.18.0.9", "db", "10.0.2.10"))
    assert asked(w, CLI, "db", "tcp", 3306) == "sg-ingress"
    opened = changed(w, group("db", ingress(ANY)))
    assert asked(opened, CLI, "db", "tcp", 3306) == "reply-no-route"


def test_e2e_b13_new_interface_of_the_web_group() -> None:
    w = changed(web_and_database(), host("web3", "10.0.0.60", groups=["web"]))
    assert asked(w, "web3", "db", "tcp", 3306) == "ok"


def test_e2e_b14_group_removed_from_an_open_session() -> None:
    session = Session(web_and_database())
    sent = packet("10.0.0.10", "10.0.2.10", "tcp", 3306)
    assert session.round("web", sent) == "ok"
    session.world = changed(session.world, host("web", "10.0.0.10", groups=["own"], public="198.18.0.1"))
    assert session.round("web", sent) == "ok"
    assert session.round("web", packet("10.0.0.10", "10.0.2.10", "tcp", 3306, sport=40001)) == "sg-ingress"


def test_e2e_b15_a_zone_is_lost() -> None:
    w = web_and_database()
    w = without(w, *host("web", "10.0.0.10"), *host("db", "10.0.2.10"))
    assert asked(w, "web2", "db2", "tcp", 3306) == "ok"


# ---------------------------------------------------------------------- E2E-D and D-01
EPHEMERAL = (32768, 65535)


def _recommended(peer: str, home: str, first_in: int, first_out: int) -> tuple[NetworkAclEntry, ...]:
    inbound = ((80, peer), (443, peer), (22, home), (3389, home), (EPHEMERAL, peer))
    outbound = (80, 443, EPHEMERAL)
    return (
        *(entry(first_in + 10 * n, block, "tcp", ports) for n, (ports, block) in enumerate(inbound)),
        *(entry(first_out + 10 * n, peer, "tcp", ports, egress=True) for n, ports in enumerate(outbound)),
    )


def single_subnet() -> World:
    return world(
        vpc(ipv6=[f"{V6}:/56"]), subnet("a", "10.0.0.0/24", acl="d", ipv6=[f"{V6}:/64"]), gateway(),
        table("t", *to_gateway(), subnets=["a"]),
        acl("d", *_recommended(ANY, HOME, 100, 100), *_recommended(ANY6, HOME6, 150, 130)),
        group("g", *WEB_AND_ADMIN, ingress("g"), *OPEN),
        host("one", "10.0.0.10", groups=["g"], public="198.18.0.1", ipv6=[f"{V6}:10"]),
        host("two", "10.0.0.20", groups=["g"], public="198.18.0.2", ipv6=[f"{V6}:20"]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "source", "destination", "protocol", "port", "more", "expected"),
    [
        ("D1", CLI, "one", "tcp", 80, {"source_port": 40000}, "ok"),
        ("D1", CLI6, "one", "tcp", 80, {"source_port": 40000, "ipv6": True}, "ok"),
        ("D2", CLI, "one", "tcp", 80, {"source_port": 2000}, "reply-nacl-out"),
        ("D2", CLI6, "one", "tcp", 80, {"source_port": 2000, "ipv6": True}, "reply-nacl-out"),
        ("D3", AT_HOME, "one", "tcp", 22, {"source_port": 40000}, "ok"),
        ("D3", CLI, "one", "tcp", 22, {"source_port": 40000}, "nacl-in"),
        ("D4", "one", CLI, "tcp", 443, {}, "ok"),
        ("D4", "one", CLI6, "tcp", 443, {"ipv6": True}, "ok"),
        ("D5", "one", CLI, "tcp", 22, {}, "nacl-out"),
        ("D5", "one", CLI, "udp", 53, {}, "nacl-out"),
        ("D6", "one", "two", "udp", 9999, {}, "ok"),
        ("D6", "two", "one", "udp", 9999, {}, "ok"),
        ("D7", CLI, "one", "tcp", 33000, {}, "sg-ingress"),
    ],
)
def test_e2e_d(
    row: str, source: str, destination: str, protocol: str, port: int, more: dict[str, Any], expected: str
) -> None:
    assert asked(single_subnet(), source, destination, protocol, port, **more) == expected, row


@pytest.mark.parametrize(
    ("edition", "rule_120", "expected"),
    [
        ("2021", entry(120, "192.0.2.0/24", "tcp", 22, egress=True), "reply-nacl-out"),
        ("2023", entry(120, "192.0.2.0/24", "tcp", (1024, 65535), egress=True), "ok"),
    ],
)
def test_d_01_both_editions_of_the_custom_acl(edition: str, rule_120: NetworkAclEntry, expected: str) -> None:
    """D-01: with the 2021 table the answer to an SSH client on a low port is really dropped."""
    inbound = (
        entry(100, ANY, "tcp", 80), entry(110, ANY, "tcp", 443), entry(120, "192.0.2.0/24", "tcp", 22),
        entry(130, "192.0.2.0/24", "tcp", 3389), entry(140, ANY, "tcp", EPHEMERAL),
    )  # fmt: skip
    outbound = (
        entry(100, ANY, "tcp", 80, egress=True), entry(110, ANY, "tcp", 443, egress=True), rule_120,
        entry(140, ANY, "tcp", EPHEMERAL, egress=True),
    )  # fmt: skip
    w = changed(single_subnet(), acl("d", *inbound, *outbound), group("g", ingress("192.0.2.0/24", "tcp", 22), *OPEN))
    assert asked(w, "internet:192.0.2.7", "one", "tcp", 22, source_port=2000) == expected, edition
    assert asked(w, "internet:192.0.2.7", "one", "tcp", 22, source_port=40000) == "ok"


# ---------------------------------------------------------------------- E2E-K
WEB_K = (
    ingress("kdb"),
    ingress(ANY, "tcp", 80),
    ingress(ANY, "tcp", 443),
    ingress("203.0.113.123/32", "tcp", 22),
    egress(ANY),
)
DB_K = group("kdb", ingress("kweb", "tcp", 3306), egress(ANY))


def migrated(*extra: Any) -> World:
    """After IPv6 blocks, routes and addresses were added; the groups still are as made for IPv4 (D-20)."""
    return world(
        vpc(ipv6=[f"{V6}:/56"]), gateway(), subnet("a", "10.0.0.0/24", ipv6=[f"{V6}:/64"]),
        subnet("b", "10.0.1.0/24", ipv6=[f"{V6}1::/64"]), table("t", *to_gateway(), subnets=["a"]), DB_K,
        group("kweb", *WEB_K, *extra), host("web", "10.0.0.10", groups=["kweb"], ipv6=[f"{V6}:10"], public="198.18.0.1"),
        host("db", "10.0.1.10", subnet="b", groups=["kdb"], ipv6=[f"{V6}1::10"]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "extra", "source", "destination", "port", "ipv6", "expected"),
    [
        ("K1", (), CLI, "web", 80, False, "ok"),
        ("K1", (), CLI6, "web", 80, True, "sg-ingress"),
        ("K1", (ingress(ANY6, "tcp", 80),), CLI6, "web", 80, True, "ok"),
        ("K2", (), "web", "db", 3306, False, "ok"),
        ("K2", (), "web", "db", 3306, True, "sg-egress"),
        ("K2", (egress(ANY6),), "web", "db", 3306, True, "ok"),
        ("K2", (egress("kdb", "tcp", 3306),), "web", "db", 3306, True, "ok"),
    ],
)
def test_e2e_k(
    row: str, extra: tuple[Any, ...], source: str, destination: str, port: int, ipv6: bool, expected: str
) -> None:  # fmt: skip
    assert asked(migrated(*extra), source, destination, "tcp", port, ipv6=ipv6) == expected, row


# ---------------------------------------------------------------------- E2E-L
def test_e2e_l9_path_mtu_messages_need_the_acl() -> None:
    """L9, ACL-42: "fragmentation needed" from the internet passes with an ICMP 3/4 entry, and only then."""
    w = development()
    allow = (entry(200, ANY, "tcp"), entry(200, ANY, egress=True))
    needed = {"icmp_type": 3, "icmp_code": 4}
    opened = changed(w, group("dev", ingress(ANY, "icmp", icmp=(3, 4)), *OPEN))
    assert asked(changed(opened, acl("main", *allow)), CLI, "dev", "icmp", **needed) == "nacl-in"
    with_icmp = acl("main", *allow, entry(100, ANY, "icmp", icmp=(3, 4)))
    assert asked(changed(opened, with_icmp), CLI, "dev", "icmp", **needed) == "ok"


def test_e2e_l5_and_l1() -> None:
    """L1 and L5 as trace tells them; the layers are in test_groups."""
    w = changed(
        web_and_database(), group("own", ingress("web", "tcp", 8080), ingress("10.0.0.0/24", "tcp", 8081), *OPEN),
        group("web", egress(ANY)), host("target", "10.0.1.50", subnet="a2", groups=["own"], public="198.18.0.5"),
        host("box", "10.0.2.66", subnet="p", groups=["free"], check=False), group("free", ingress(ANY), *OPEN),
    )  # fmt: skip
    assert asked(w, "web", "target", "tcp", 8080) == "ok"
    assert asked(w, "web", "198.18.0.5", "tcp", 8080) == "sg-ingress"
    via = (
        table("public", *to_gateway(), route("10.0.1.0/24", ident("eni", "box")), subnets=["a"]),
        table("second", *to_gateway(), route("10.0.0.0/24", ident("eni", "box")), subnets=["a2"]),
    )  # fmt: skip
    w = changed(w, *via)
    assert asked(w, "web", "target", "tcp", 8080) == "sg-ingress"
    assert asked(w, "web", "target", "tcp", 8081) == "ok"
