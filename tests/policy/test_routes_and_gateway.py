"""Where packets go: routes, the internet gateway, source/destination check, services (RT, IGW, NET-21, UF)."""

from __future__ import annotations

import pytest

from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.trace import trace_request
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.nouns.routing import Route
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from ringfence.policy.evaluate import INTERNET, SERVICE, CannotSend, exchange, judge
from ringfence.policy.flows import Flows
from ringfence.policy.packet import Packet
from ringfence.policy.spec.verdict import converse
from tests.builders import (
    ANY,
    ANY6,
    OPEN,
    acl,
    changed,
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
from tests.policy.asking import Session, dropped

V6, CLIENT, CLIENT6 = "2001:db8:1:", "203.0.113.9", "2001:db8:f::9"
A, B, BOX, PUBLIC = "10.0.0.10", "10.0.1.10", "10.0.2.10", "198.18.0.1"
IGW, TO_BOX = ident("igw", "igw"), ident("eni", "box")


def site(*routes: Route, extra: tuple[object, ...] = ()) -> World:
    """`a` is in a subnet with these routes; `b` and `box` elsewhere; everything is open."""
    return world(
        vpc(ipv6=[f"{V6}:/56"]), gateway(), group("open", ingress(ANY), ingress(ANY6), *OPEN),
        subnet("a", "10.0.0.0/24", ipv6=[f"{V6}:/64"]), subnet("b", "10.0.1.0/24"), subnet("c", "10.0.2.0/24"),
        table("t", *routes, subnets=["a"]), elastic_ip(PUBLIC, "a", A),
        host("a", A, groups=["open"], ipv6=[f"{V6}:10"]), host("b", B, subnet="b", groups=["open"]),
        host("box", BOX, subnet="c", groups=["open"], check=False), *extra,  # type: ignore[arg-type]
    )  # fmt: skip


OUT, OUT6 = packet(A, CLIENT, "tcp", 443), packet(f"{V6}:10", CLIENT6, "tcp", 443)


@pytest.mark.parametrize(
    ("row", "routes", "sent", "expected"),
    [
        ("RT-02", (), packet(A, B, "tcp", 80), "ok"),
        ("RT-02", (), OUT, "no-route"),
        ("IGW-03", to_gateway(), OUT, "ok"),
        ("RT-05", (route(ANY, IGW),), OUT6, "no-route"),
        ("IGW-07", (route(ANY6, IGW),), OUT6, "ok"),
        ("RT-05", (route(ANY, IGW), route("203.0.113.0/24", TO_BOX)), OUT, "no-route"),  # the appliance has no way on
        ("RT-05", (route("203.0.113.0/24", IGW), route("203.0.0.0/16", TO_BOX)), OUT, "ok"),
        ("RT-12", (route(ANY, ident("igw", "gone")),), OUT, "no-route"),
        ("RT-12", (route(ANY, ident("eni", "gone")),), OUT, "no-route"),
        ("IGW-08", to_gateway(), packet(A, "192.168.1.1", "tcp", 80), "gateway"),
        ("IGW-08", to_gateway(), packet(A, "172.31.255.255", "tcp", 80), "gateway"),
        ("IGW-08", to_gateway(), packet(A, "100.127.0.1", "udp", 80), "gateway"),
        ("IGW-08", to_gateway(), packet(A, "100.128.0.1", "udp", 80), "ok"),
        ("IGW-08", to_gateway(), packet(A, "240.0.0.1", "udp", 80), "gateway"),
        ("IGW-08", to_gateway(), packet(f"{V6}:10", "fd99::1", "tcp", 80), "gateway"),
        ("NET-13", to_gateway(), packet(A, "224.0.0.5", "udp", 80), "no-route"),
        ("NET-13", to_gateway(), packet(A, "255.255.255.255", "udp", 9), "no-route"),
        ("UF-02", (), packet(A, "255.255.255.255", "udp", 67), "ok"),
        ("UF-02", (), packet(A, "255.255.255.255", "tcp", 67), "no-route"),
        ("NET-13", (), packet(A, "10.0.0.255", "udp", 80), "no-route"),
        ("NET-13", to_gateway(), packet(f"{V6}:10", "ff02::1", "udp", 80), "no-route"),
        ("RT-09", to_gateway(), packet(A, "169.254.168.1", "tcp", 80), "no-route"),
        ("RT-09", (route("169.254.0.0/16", TO_BOX),), packet(A, "169.254.171.9", "tcp", 80), "no-route"),
        ("RT-09", to_gateway(), packet(f"{V6}:10", "fd00:ec2::1", "tcp", 80), "no-route"),
        ("nobody", (), packet(A, "10.0.1.99", "tcp", 80), "no-route"),
        ("nobody", (), packet(A, "10.0.0.99", "tcp", 80), "no-route"),
    ],
)  # fmt: skip
def test_routes(row: str, routes: tuple[Route, ...], sent: Packet, expected: str) -> None:
    assert dropped(site(*routes), "a", sent) == expected, row


def test_igw_07_nobody_on_the_internet_has_an_address_of_a_vpc_without_a_gateway() -> None:
    """All voices say so, also of what an impostor outside would be answered; a gateway makes it a matter of the VPC's rules."""
    there, beside = "2001:db8:2::10", "2001:db8:2:100::10"
    far = (vpc("far", "10.9.0.0/16", ipv6=["2001:db8:2::/56"]), table("far", vpc="far"), acl("far", vpc="far"))
    site_and_far = site(*to_gateway(), extra=far)
    for address, outcome in ((there, "no-route"), (beside, "ok")):
        sent = packet(f"{V6}:10", address, "tcp", 443)
        assert (dropped(site_and_far, "a", sent), converse(site_and_far, sent, ident("eni", "a"))) == (outcome, outcome)
        assert Engine(compile_world(site_and_far)).ask(ident("eni", "a"), sent) is (outcome == "ok")
        sent = packet(address, f"{V6}:10", "tcp", 443)
        told = "reply-no-route" if outcome == "no-route" else "ok"
        assert (dropped(site_and_far, "internet", sent), converse(site_and_far, sent, "internet")) == (told, told)
        assert Engine(compile_world(site_and_far)).ask("internet", sent) is (told == "ok")
    told = trace_request(site_and_far, {"source": ident("eni", "a"), "destination": there, "port": 443})
    assert (told["dropped_at"], told["component"]) == ("no-route", "internet")
    assert there in told["reason"]


def test_rt_04_main_table_governs_implicit_subnets_only() -> None:
    w = site(*to_gateway(), extra=(elastic_ip("198.18.0.2", "b", B),))
    assert dropped(w, "b", packet(B, CLIENT, "tcp", 443)) == "no-route"
    w = changed(w, table("main", *to_gateway()))
    assert dropped(w, "b", packet(B, CLIENT, "tcp", 443)) == "ok"
    w = changed(w, table("t", subnets=["a"]))
    assert dropped(w, "a", OUT) == "no-route"


def test_rt_08_and_rt_18_both_ways_through_an_appliance() -> None:
    there, back = route("10.0.1.0/24", TO_BOX), table("r", route("10.0.0.0/24", TO_BOX), subnets=["b"])
    w = site(there, extra=(back,))
    done = exchange(compile_world(w), packet(A, B, "tcp", 80), ident("eni", "a"))
    assert done.verdict.allowed
    assert done.there.through == (TO_BOX,)
    assert done.back is not None
    assert done.back.through == (TO_BOX,)


@pytest.mark.parametrize("check", [True, False])
def test_net_21_destination_check(check: bool) -> None:
    w = site(route("10.0.1.0/24", TO_BOX))
    w = changed(w, host("box", BOX, subnet="c", groups=["open"], check=check))
    assert dropped(w, "a", packet(A, B, "tcp", 80)) == ("dest-check" if check else "ok")


def test_appliances_pass_packets_on_only_if_told_so() -> None:
    w = site(route("10.0.1.0/24", TO_BOX))
    arrival = judge(compile_world(w), Flows(), packet(A, B, "tcp", 80), ident("eni", "a"), forward=False)
    assert arrival.at == TO_BOX


def test_appliances_in_a_circle_end() -> None:
    """Two appliances that send a packet to each other for ever."""
    w = site(
        route("10.0.9.0/24", TO_BOX),
        extra=(
            table("loop", route("10.0.9.0/24", TO_BOX), subnets=["c"]), subnet("z", "10.0.9.0/24"),
        ),
    )  # fmt: skip
    assert dropped(w, "a", packet(A, "10.0.9.9", "tcp", 80)) == "no-route"


@pytest.mark.parametrize(
    ("row", "change"),
    [
        ("stopped", instance("box", InstanceState.STOPPED)),
        ("terminated", instance("box", InstanceState.TERMINATED)),
        ("detached", eni("box", BOX, subnet="c", groups=["open"], check=False)),
    ],
)
def test_rt_12_a_route_to_what_does_not_run_drops(row: str, change: object) -> None:
    w = changed(site(route("10.0.1.0/24", TO_BOX)), change)  # type: ignore[arg-type]
    assert dropped(w, "a", packet(A, B, "tcp", 80)) == "no-route", row


def test_net_21_and_l6_spoofed_sources() -> None:
    """NET-21, NET-22, E2E-L6: any source but the interface's own is dropped, also another interface's."""
    w = site(*to_gateway())
    for source in (B, "10.0.0.99", CLIENT):
        assert dropped(w, "a", packet(source, "10.0.2.10", "tcp", 80)) == "source-check"
    assert dropped(w, "a", packet("2001:db8:1::99", CLIENT6, "tcp", 80)) == "source-check"
    assert judge(compile_world(w), Flows(), packet(CLIENT, B, "tcp", 80), TO_BOX).at == ident("eni", "b")


# ---------------------------------------------------------------------- the internet gateway
IN = packet(CLIENT, PUBLIC, "tcp", 80)


def test_igw_04_addresses_are_exchanged_one_to_one() -> None:
    session = Session(site(*to_gateway()))
    arrival = session.send("a", OUT)
    assert (arrival.at, str(arrival.packet.src), str(arrival.packet.dst)) == (INTERNET, PUBLIC, CLIENT)
    arrival = session.send(INTERNET, IN)
    assert (arrival.at, str(arrival.packet.src), str(arrival.packet.dst)) == (ident("eni", "a"), CLIENT, A)
    six = session.send("a", OUT6)
    assert (six.at, str(six.packet.src)) == (INTERNET, f"{V6}:10")


@pytest.mark.parametrize(
    ("row", "change", "out", "into"),
    [
        ("IGW-03 whole", (), "ok", "ok"),
        ("IGW-03 detached", (gateway(vpc=None),), "no-route", "no-route"),
        ("IGW-03 no route", (table("t", subnets=["a"]),), "no-route", "reply-no-route"),
        ("IGW-05 no address", (elastic_ip(PUBLIC),), "gateway", "no-route"),
        ("IGW-03 no rule", (group("open", *OPEN),), "ok", "sg-ingress"),
        ("IGW-03 no egress", (group("open", ingress(ANY)),), "sg-egress", "ok"),
        ("IGW-03 no ACL", (acl("main"),), "nacl-out", "nacl-in"),
    ],
)
def test_igw_03_every_part_is_needed(row: str, change: tuple[object, ...], out: str, into: str) -> None:
    w = changed(site(*to_gateway()), *change)  # type: ignore[arg-type]
    assert (dropped(w, "a", OUT), dropped(w, INTERNET, IN)) == (out, into), row


def test_igw_06_public_address_in_a_private_subnet() -> None:
    w = site(*to_gateway(), extra=(elastic_ip("198.18.0.2", "b", B),))
    assert dropped(w, INTERNET, packet(CLIENT, "198.18.0.2", "tcp", 80)) == "reply-no-route"
    assert dropped(w, "b", packet(B, CLIENT, "tcp", 80)) == "no-route"


@pytest.mark.parametrize("source", ["10.9.9.9", "192.168.0.1", "172.16.0.1", "100.64.0.1", "169.254.1.1", "127.0.0.1"])
def test_igw_08_private_sources_from_outside(source: str) -> None:
    assert dropped(site(*to_gateway()), INTERNET, packet(source, PUBLIC, "tcp", 80)) == "gateway"


@pytest.mark.parametrize("source", [f"{V6}1::7", "fd99::1"])
def test_igw_08_own_and_private_ipv6_from_outside(source: str) -> None:
    assert dropped(site(*to_gateway()), INTERNET, packet(source, f"{V6}:10", "tcp", 80)) == "gateway"


def test_igw_08_own_public_address_from_outside() -> None:
    """Nobody outside can have one of the VPC's public addresses; the same packet by way of the gateway is a hairpin."""
    w = site(*to_gateway(), extra=(elastic_ip("198.18.0.2", "b", B),))
    assert dropped(w, INTERNET, packet("198.18.0.2", PUBLIC, "tcp", 80)) == "gateway"
    assert dropped(w, INTERNET, packet("198.18.0.3", PUBLIC, "tcp", 80)) == "ok"


def test_igw_08_the_installations_ipv6_blocks_are_public() -> None:
    """The pool is a unique local block on the outside, public address space within."""
    w = site(*to_gateway())
    assert dropped(w, INTERNET, packet("fd52:4946:77::1", f"{V6}:10", "tcp", 80)) == "ok"
    assert dropped(w, INTERNET, packet("fd52:4947::1", f"{V6}:10", "tcp", 80)) == "gateway"


def test_igw_13_elastic_instead_of_the_lent_address() -> None:
    w = changed(site(*to_gateway()), host("a", A, groups=["open"], public="198.18.9.9", ipv6=[f"{V6}:10"]))
    assert dropped(w, INTERNET, packet(CLIENT, "198.18.9.9", "tcp", 80)) == "no-route"
    assert dropped(w, INTERNET, IN) == "ok"
    w = changed(w, elastic_ip(PUBLIC))
    assert dropped(w, INTERNET, packet(CLIENT, "198.18.9.9", "tcp", 80)) == "ok"


def test_two_vpcs_meet_only_on_the_internet() -> None:
    """NET-03: equal blocks, no way across; by public addresses each sees the other's public one."""
    other = (
        vpc("v2"), subnet("z", "10.0.0.0/24", vpc="v2"), gateway("igw2", vpc="v2"),
        table("t2", *to_gateway("igw2"), subnets=["z"], vpc="v2"), group("open2", ingress(ANY), *OPEN, vpc="v2"),
        host("z", "10.0.0.77", subnet="z", vpc="v2", groups=["open2"]), elastic_ip("198.18.0.77", "z", "10.0.0.77"),
    )  # fmt: skip
    w = site(*to_gateway(), extra=other)
    assert dropped(w, "a", packet(A, "10.0.0.77", "tcp", 80)) == "no-route"
    done = exchange(compile_world(w), packet(A, "198.18.0.77", "tcp", 80), ident("eni", "a"))
    assert done.verdict.allowed
    assert done.there.at == ident("eni", "z")
    assert str(done.there.packet.src) == PUBLIC


def test_rt_16_routes_do_not_apply_inside_a_subnet() -> None:
    """RT-16: neighbours talk directly, also where the whole block of their subnet is routed to an appliance (RT-08)."""
    neighbour, sent = host("a2", "10.0.0.11", groups=["open"]), packet(A, "10.0.0.11", "tcp", 80)
    w = site(route("10.0.0.0/24", TO_BOX), route("10.0.1.0/24", TO_BOX), extra=(neighbour,))
    done = exchange(compile_world(w), sent, ident("eni", "a"))
    assert done.verdict.dropped_at is None
    assert TO_BOX not in {hop.interface for hop in done.verdict.hops}
    across = exchange(compile_world(w), packet(A, B, "tcp", 80), ident("eni", "a"))
    assert TO_BOX in {hop.interface for hop in across.verdict.hops}


def test_rt_13_and_rt_14_gateway_route_table() -> None:
    """RT-14: traffic from the internet passes the appliance first; RT-15: the answer's way is its own."""
    edge = table("edge", route("10.0.0.0/24", TO_BOX), edge="igw")
    w = site(*to_gateway(), extra=(edge,))
    done = exchange(compile_world(w), IN, INTERNET)
    assert done.there.through == (TO_BOX,)
    assert done.there.at == ident("eni", "a")
    w = changed(w, host("box", BOX, subnet="c", groups=["open"], check=True))
    assert dropped(w, INTERNET, IN) == "dest-check"
    w = changed(w, instance("box", InstanceState.STOPPED))
    assert dropped(w, INTERNET, IN) == "no-route"
    assert dropped(without(w, edge), INTERNET, IN) == "ok"


# ---------------------------------------------------------------------- services and who can send
CLOSED = (group("open"), acl("main"))


@pytest.mark.parametrize(
    ("row", "sent", "expected"),
    [
        ("UF-01", packet(A, "10.0.0.2", "udp", 53), SERVICE),
        ("UF-01", packet(A, "10.0.0.2", "tcp", 53), SERVICE),
        ("UF-01", packet(A, "169.254.169.253", "udp", 53), SERVICE),
        ("UF-01", packet(f"{V6}:10", "fd00:ec2::253", "udp", 53), SERVICE),
        ("UF-03", packet(A, "169.254.169.254", "tcp", 80), SERVICE),
        ("UF-03", packet(f"{V6}:10", "fd00:ec2::254", "tcp", 80), SERVICE),
        ("UF-02", packet(A, "10.0.0.1", "udp", 67), SERVICE),
        ("UF-02", packet(A, "10.0.1.1", "udp", 67), SERVICE),
        ("UF-02", packet(A, "255.255.255.255", "udp", 67), SERVICE),
        ("UF-02", packet(A, "10.0.0.2", "udp", 67), None),
        ("UF-02", packet(A, CLIENT, "udp", 67), None),
        ("UF-05", packet(A, "169.254.169.123", "udp", 123), SERVICE),
        ("UF-05", packet(f"{V6}:10", "fd00:ec2::123", "udp", 123), SERVICE),
        ("UF-05", packet(A, "169.254.169.123", "tcp", 123), None),
        ("UF-05", packet(A, "169.254.169.254", "udp", 123), None),
        ("UF-08", packet(A, CLIENT, "udp", 53), None),
        ("closed port", packet(A, "169.254.169.254", "tcp", 443), None),
        ("closed port", packet(A, "10.0.0.1", "tcp", 22), None),
        ("no resolver", packet(A, "10.0.0.1", "udp", 53), None),
        ("closed port", packet(A, "10.0.0.2", "icmp"), None),
    ],
)
def test_services_are_not_filtered(row: str, sent: Packet, expected: str | None) -> None:
    """UF-01..UF-05, UF-07: with no egress rule and an ACL that denies all. What nothing serves, the router drops."""
    w = changed(site(*to_gateway()), *CLOSED)
    arrival = judge(compile_world(w), Flows(), sent, ident("eni", "a"))
    assert arrival.at == expected, row
    assert dropped(w, "a", sent) == ("ok" if expected else arrival.verdict.dropped_at)


def test_dns_01_no_resolver_without_dns_support() -> None:
    w = changed(site(), vpc(ipv6=[f"{V6}:/56"], dns_support=False))
    assert dropped(w, "a", packet(A, "10.0.0.2", "udp", 53)) == "no-route"
    assert dropped(w, "a", packet(A, "169.254.169.254", "tcp", 80)) == "ok"


def test_services_still_ask_for_the_source() -> None:
    """NET-22: a spoofed query is dropped before the resolver."""
    assert dropped(site(), "a", packet(B, "10.0.0.2", "udp", 53)) == "source-check"


def test_stopped_instances_send_and_receive_nothing() -> None:
    w = changed(site(), instance("b", InstanceState.STOPPED))
    assert dropped(w, "a", packet(A, B, "tcp", 80)) == "no-route"
    with pytest.raises(CannotSend, match="not running"):
        dropped(w, "b", packet(B, A, "tcp", 80))
    with pytest.raises(CannotSend, match="no network interface"):
        dropped(w, "nobody", packet(B, A, "tcp", 80))
