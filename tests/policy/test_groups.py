"""Security groups on packets: SG-63..SG-81, table by table."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.model.nouns.security_group import SecurityGroupRule
from ringfence.model.world import World
from tests.builders import (
    ANY,
    ANY6,
    OPEN,
    changed,
    egress,
    elastic_ip,
    eni,
    gateway,
    group,
    host,
    ident,
    ingress,
    instance,
    packet,
    route,
    subnet,
    table,
    to_gateway,
    vpc,
    without,
    world,
)
from tests.policy.asking import dropped

V6 = "2001:db8:1::"
CLIENT, SERVER = "10.0.0.10", "10.0.0.20"


def pair(*rules: SecurityGroupRule, client: tuple[SecurityGroupRule, ...] = OPEN, second: bool = False) -> World:
    """A client and a server in one subnet; the server's group has these rules."""
    return world(
        vpc(ipv6=[f"{V6}/56"]), subnet("a", "10.0.0.0/24", ipv6=[f"{V6}/64"]),
        group("client", *client), group("server", *rules), group("other", ingress("10.0.0.10/32", "tcp", 9000)),
        host("client", CLIENT, groups=["client"], ipv6=[f"{V6}10"]),
        host("server", SERVER, groups=["server", "other"] if second else ["server"], ipv6=[f"{V6}20"]),
    )  # fmt: skip


TCP80 = packet(CLIENT, SERVER, "tcp", 80)


@pytest.mark.parametrize(
    ("row", "rules", "sent", "expected"),
    [
        ("SG-63", (), TCP80, "sg-ingress"),
        ("SG-63", (ingress(ANY, "tcp", 80),), TCP80, "ok"),
        ("SG-63", (ingress(ANY, "tcp", 80),), packet(CLIENT, SERVER, "udp", 80), "sg-ingress"),
        ("SG-64", (ingress(ANY, "tcp", 80),), TCP80, "ok"),  # the server has no egress rule and still answers
        ("SG-67", (ingress("client", "tcp", 80),), TCP80, "ok"),
        ("SG-67", (ingress("client"),), packet(f"{V6}10", f"{V6}20", "udp", 9), "ok"),
        ("SG-67", (ingress("server", "tcp", 80),), TCP80, "sg-ingress"),
        ("SG-87", (ingress("sg-0123456789abcdef0", "tcp", 80),), TCP80, "sg-ingress"),
        ("SG-69", (ingress("other"),), packet(CLIENT, SERVER, "tcp", 9000), "sg-ingress"),
        ("SG-73", (ingress(ANY, "tcp", 40000),), TCP80, "sg-ingress"),
        ("SG-75", (ingress(ANY),), packet(f"{V6}10", f"{V6}20", "tcp", 80), "sg-ingress"),
        ("SG-75", (ingress(ANY6),), TCP80, "sg-ingress"),
        ("SG-75", (ingress(ANY6),), packet(f"{V6}10", f"{V6}20", "tcp", 80), "ok"),
        ("SG-40", (ingress(ANY, "47", 80),), packet(CLIENT, SERVER, "47"), "ok"),
        ("SG-40", (ingress(ANY, "47"),), packet(CLIENT, SERVER, "50"), "sg-ingress"),
        ("SG-40", (ingress(ANY, "-1"),), packet(CLIENT, SERVER, "50"), "ok"),
        ("SG-42", (ingress(ANY, "icmp", icmp=(8, -1)),), packet(CLIENT, SERVER, "icmp", icmp=(8, 3)), "ok"),
        ("SG-42", (ingress(ANY, "icmp", icmp=(8, 0)),), packet(CLIENT, SERVER, "icmp", icmp=(8, 3)), "sg-ingress"),
        ("SG-42", (ingress(ANY, "icmp", icmp=(-1, -1)),), packet(CLIENT, SERVER, "icmp", icmp=(13, 0)), "ok"),
        ("SG-42", (ingress(ANY, "icmp", icmp=(13, 0)),), packet(CLIENT, SERVER, "icmp"), "sg-ingress"),
        ("SG-80", (ingress(ANY, "tcp", 80),), packet(CLIENT, SERVER, "icmp", icmp=(3, 4)), "sg-ingress"),
        ("SG-80", (ingress(ANY, "icmp", icmp=(3, 4)),), packet(CLIENT, SERVER, "icmp", icmp=(3, 3)), "sg-ingress"),
    ],
)  # fmt: skip
def test_ingress(row: str, rules: tuple[SecurityGroupRule, ...], sent: object, expected: str) -> None:
    assert dropped(pair(*rules), "client", sent) == expected, row  # type: ignore[arg-type]


@pytest.mark.parametrize(("port", "expected"), [(79, "sg-ingress"), (80, "ok"), (90, "ok"), (91, "sg-ingress")])
def test_port_range_edges(port: int, expected: str) -> None:
    assert dropped(pair(ingress(ANY, "tcp", (80, 90))), "client", packet(CLIENT, SERVER, "tcp", port)) == expected


@pytest.mark.parametrize(
    ("row", "rules", "port", "expected"),
    [
        ("SG-64", (), 80, "sg-egress"),
        ("SG-64", (egress("10.0.0.20/32", "tcp", 80),), 80, "ok"),
        ("SG-64", (egress("10.0.0.21/32", "tcp", 80),), 80, "sg-egress"),
        ("SG-64", (egress("10.0.0.20/32", "tcp", 443),), 80, "sg-egress"),
        ("SG-67", (egress("server", "tcp", 80),), 80, "ok"),
        ("SG-67", (egress("client", "tcp", 80),), 80, "sg-egress"),
    ],
)
def test_egress(row: str, rules: tuple[SecurityGroupRule, ...], port: int, expected: str) -> None:
    """Answers come back without any ingress rule of the client (CT-02)."""
    assert dropped(pair(ingress(ANY), client=rules), "client", packet(CLIENT, SERVER, "tcp", port)) == expected, row


def test_sg_65_groups_are_united() -> None:
    w = pair(ingress(ANY, "tcp", 80), second=True)
    assert [dropped(w, "client", packet(CLIENT, SERVER, "tcp", port)) for port in (80, 9000, 81)] == [
        "ok", "ok", "sg-ingress",
    ]  # fmt: skip


RULES = [
    ingress("10.0.0.0/24", "tcp", 80), ingress(ANY, "tcp", (0, 65535)), ingress("client"), ingress(ANY, "udp", 53),
    ingress("10.0.0.10/32", "icmp"), egress(ANY), egress("10.0.0.0/16", "tcp", (1024, 65535)), ingress(ANY6),
]  # fmt: skip


@given(st.lists(st.sampled_from(RULES), unique_by=lambda r: r.id, max_size=5), st.sampled_from(["tcp", "udp", "icmp"]),
       st.sampled_from([53, 80, 443]), st.randoms())  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_sg_65_order_is_irrelevant(
    rules: list[SecurityGroupRule], protocol: str, port: int, chance: object
) -> None:  # fmt: skip
    """The verdict, and whether the flow is tracked, do not depend on the order of rules."""
    shuffled = list(rules)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    sent = packet(CLIENT, SERVER, protocol, port)
    assert dropped(pair(*rules), "client", sent) == dropped(pair(*shuffled), "client", sent)


def test_sg_66_same_group_alone_opens_nothing() -> None:
    w = world(
        vpc(), subnet("a", "10.0.0.0/24"), group("g", *OPEN), host("x", "10.0.0.1", groups=["g"]),
        host("y", "10.0.0.9", groups=["g"]),
    )  # fmt: skip
    assert dropped(w, "x", packet("10.0.0.1", "10.0.0.9", "tcp", 80)) == "sg-ingress"


def test_sg_32_default_group() -> None:
    """SG-32, E2E-L10: members reach each other on everything; nothing comes in through the gateway."""
    w = world(
        vpc(), subnet("a", "10.0.0.0/24"), gateway(), table("t", *to_gateway(), subnets=["a"]),
        host("x", "10.0.0.10", public="198.18.0.1"), host("y", "10.0.0.20"),
    )  # fmt: skip
    for protocol, port in (("tcp", 5), ("udp", 65535), ("icmp", 0), ("47", 0)):
        assert dropped(w, "x", packet("10.0.0.10", "10.0.0.20", protocol, port)) == "ok"
        assert dropped(w, "internet", packet("203.0.113.9", "198.18.0.1", protocol, port)) == "sg-ingress"
    assert dropped(w, "x", packet("10.0.0.10", "203.0.113.9", "tcp", 443)) == "ok"


def public_pair() -> World:
    """A and B with Elastic IPs; B's group admits A's group on 8080."""
    return world(
        vpc(), subnet("a", "10.0.0.0/24"), gateway(), table("t", *to_gateway(), subnets=["a"]),
        group("caller", *OPEN), group("callee", ingress("caller", "tcp", 8080), *OPEN),
        host("x", "10.0.0.10", groups=["caller"]), host("y", "10.0.0.20", groups=["callee"]),
        elastic_ip("198.18.0.1", "x", "10.0.0.10"), elastic_ip("198.18.0.2", "y", "10.0.0.20"),
    )  # fmt: skip


def test_sg_68_reference_does_not_match_a_public_address() -> None:
    """SG-68, E2E-L1."""
    w = public_pair()
    assert dropped(w, "x", packet("10.0.0.10", "10.0.0.20", "tcp", 8080)) == "ok"
    assert dropped(w, "x", packet("10.0.0.10", "198.18.0.2", "tcp", 8080)) == "sg-ingress"
    by_address = group("callee", ingress("198.18.0.1/32", "tcp", 8080), *OPEN)
    assert dropped(changed(w, by_address), "x", packet("10.0.0.10", "198.18.0.2", "tcp", 8080)) == "ok"


def test_sg_68_reference_does_not_match_a_forged_source_from_outside() -> None:
    w = public_pair()
    assert dropped(w, "internet", packet("10.0.0.10", "198.18.0.2", "tcp", 8080)) == "gateway"


def middlebox(rule: SecurityGroupRule) -> World:
    """Left → right through an appliance in a subnet of its own."""
    box = ident("eni", "box")
    return world(
        vpc(), *(subnet(n, f"10.0.{i}.0/24") for i, n in enumerate("abc")),
        table("left", route("10.0.2.0/24", box), subnets=["a"]),
        table("right", route("10.0.0.0/24", box), subnets=["c"]),
        group("left", *OPEN), group("open", ingress(ANY), *OPEN), group("right", rule, *OPEN),
        host("left", "10.0.0.10", groups=["left"]), host("right", "10.0.2.10", subnet="c", groups=["right"]),
        host("box", "10.0.1.10", subnet="b", groups=["open"], check=False),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (ingress("left", "tcp", 80), "sg-ingress"),
        (ingress("10.0.0.0/24", "tcp", 80), "ok"),
        (ingress("10.0.0.10/32", "tcp", 80), "ok"),
    ],
)
def test_sg_78_references_end_at_a_middlebox(rule: SecurityGroupRule, expected: str) -> None:
    """SG-78, D-05, E2E-L5: the address form matches across an appliance, the group form does not."""
    assert dropped(middlebox(rule), "left", packet("10.0.0.10", "10.0.2.10", "tcp", 80)) == expected


def test_sg_76_a_new_member_is_accepted_at_once() -> None:
    """SG-76, E2E-B13; and one that leaves the group is refused."""
    w = pair(ingress("client", "tcp", 80))
    w = changed(w, host("new", "10.0.0.30", groups=["client"]))
    sent = packet("10.0.0.30", SERVER, "tcp", 80)
    assert dropped(w, "new", sent) == "ok"
    w = changed(w, eni("new", "10.0.0.30", groups=["other"], instance="new"))
    assert dropped(w, "new", sent) == "sg-egress"  # `other` has no egress
    w = changed(w, group("other", *OPEN))
    assert dropped(w, "new", sent) == "sg-ingress"


def test_secondary_addresses_are_members() -> None:
    """SG-67: all private addresses of an interface."""
    w = changed(
        pair(ingress("client", "tcp", 80)), eni("client", [CLIENT, "10.0.0.11"], groups=["client"], instance="client")
    )
    assert dropped(w, "client", packet("10.0.0.11", SERVER, "tcp", 80)) == "ok"


def test_interfaces_of_gone_groups_let_nothing_through() -> None:
    """An interface whose groups have no rules admits nothing in any direction."""
    w = changed(pair(ingress(ANY)), group("client"), instance("client"))
    for protocol, dst in itertools.product(("tcp", "icmp", "99"), (SERVER, "10.0.0.77")):
        assert dropped(w, "client", packet(CLIENT, dst, protocol, 80)) == "sg-egress"


def test_deleted_interface_is_no_member() -> None:
    """SG-67: the address of a deleted interface is nobody's; a stranger who takes it is not admitted by the group."""
    w = pair(ingress("client", "tcp", 80))
    w = without(w, eni("client", CLIENT))
    w = changed(w, host("stranger", CLIENT, groups=["other"], number=999), group("other", *OPEN))
    assert dropped(w, "stranger", TCP80) == "sg-ingress"
