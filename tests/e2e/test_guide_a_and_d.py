"""E2E-A (development VPC) and E2E-D (single public subnet with the recommended network ACL) on real packets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.lab import CLIENT, CLIENT_V6, HOME, HOME_V6, Lab, Row, permission

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]
ANY = ("0.0.0.0/0", "::/0")
HOMES = ("198.51.100.0/24", "2001:db8:aaaa::/48")


@dataclass
class Dev:
    lab: Lab
    gateway: str
    table: str
    vpc: str


@pytest.fixture(scope="module")
def dev(lab: Lab) -> Iterator[Dev]:
    vpc, prefix = lab.vpc("10.1.0.0/16", ipv6=True)
    subnet = lab.subnet(vpc, "10.1.0.0/24", prefix)
    gateway, table = lab.internet(vpc, subnet, ipv6=True)
    group = lab.group(
        vpc,
        "dev",
        [permission("tcp", p, None, *ANY) for p in (80, 443)]
        + [permission("tcp", p, None, *HOMES) for p in (22, 3389)],
    )
    lab.instance("dev", subnet, group, public=True, ipv6=True)
    lab.instance("private", subnet, group, public=False, ipv6=True)
    lab.running("dev", "private")
    return Dev(lab, gateway, table, vpc)


def test_e2e_a1_to_a4(dev: Dev) -> None:
    dev.lab.check(
        [Row("A1", CLIENT, "dev", "ok", port) for port in (80, 443)]
        + [Row("A1", CLIENT_V6, "dev", "ok", port, ipv6=True) for port in (80, 443)]
        + [Row("A2", HOME, "dev", "ok", port) for port in (22, 3389)]
        + [Row("A2", HOME_V6, "dev", "ok", 22, ipv6=True)]
        + [Row("A3", CLIENT, "dev", "sg-ingress", port) for port in (22, 3389, 8080)]
        + [Row("A3", CLIENT, "dev", "sg-ingress", 443, "udp"), Row("A3", CLIENT, "dev", "sg-ingress", protocol="icmp")]
        + [Row("A3", CLIENT_V6, "dev", "sg-ingress", 22, ipv6=True)]
        + [Row("A4", "dev", CLIENT, "ok", 8443), Row("A4", "dev", CLIENT, "ok", 53, "udp")]
        + [Row("A4", "dev", CLIENT, "ok", protocol="icmp"), Row("A4", "dev", CLIENT_V6, "ok", 443, ipv6=True)]
    )


def test_e2e_a5_no_public_ipv4(dev: Dev) -> None:
    """A5: without a public IPv4 address the gateway drops IPv4; IPv6 works (IGW-05, IGW-07)."""
    dev.lab.check(
        [
            Row("A5", "private", CLIENT, "gateway", 443),
            Row("A5", "private", CLIENT_V6, "ok", 443, ipv6=True),
            Row("A5", CLIENT_V6, "private", "ok", 80, ipv6=True),
        ]
    )


def test_e2e_a6_route_removed(dev: Dev) -> None:
    """A6: without the route replies find no way; put back, all works again."""
    ec2, lab = dev.lab.ec2, dev.lab
    ec2.delete_route(RouteTableId=dev.table, DestinationCidrBlock="0.0.0.0/0")
    lab.check(
        [
            Row("A6", CLIENT, "dev", "reply-no-route", 80),
            Row("A6", "dev", CLIENT, "no-route", 443),
            Row("A6", CLIENT_V6, "dev", "ok", 80, ipv6=True),
        ]
    )
    ec2.create_route(RouteTableId=dev.table, DestinationCidrBlock="0.0.0.0/0", GatewayId=dev.gateway)
    lab.check([Row("A6", CLIENT, "dev", "ok", 80)])


@pytest.fixture(scope="module")
def single(lab: Lab) -> Iterator[Lab]:
    vpc, prefix = lab.vpc("10.2.0.0/16", ipv6=True)
    subnet = lab.subnet(vpc, "10.2.0.0/24", prefix)
    lab.internet(vpc, subnet, ipv6=True)
    acl = lab.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    inbound = [(100, 80, 80, ANY[0]), (110, 443, 443, ANY[0]), (120, 22, 22, HOMES[0]), (130, 3389, 3389, HOMES[0]),
               (140, 32768, 65535, ANY[0]), (150, 80, 80, ANY[1]), (160, 443, 443, ANY[1]), (170, 22, 22, HOMES[1]),
               (180, 3389, 3389, HOMES[1]), (190, 32768, 65535, ANY[1])]  # fmt: skip
    outbound = [(100, 80, 80, ANY[0]), (110, 443, 443, ANY[0]), (120, 32768, 65535, ANY[0]), (130, 80, 80, ANY[1]),
                (140, 443, 443, ANY[1]), (150, 32768, 65535, ANY[1])]  # fmt: skip
    for egress, entries in ((False, inbound), (True, outbound)):
        for number, first, last, cidr in entries:
            block = {"CidrBlock": cidr} if "." in cidr else {"Ipv6CidrBlock": cidr}
            lab.ec2.create_network_acl_entry(
                NetworkAclId=acl, RuleNumber=number, Protocol="6", RuleAction="allow", Egress=egress,
                PortRange={"From": first, "To": last}, **block,
            )  # fmt: skip
    found = lab.ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])
    association = next(a for a in found["NetworkAcls"][0]["Associations"] if a["SubnetId"] == subnet)
    lab.ec2.replace_network_acl_association(AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl)
    group = lab.group(vpc, "single", [permission("tcp", p, None, *ANY) for p in (80, 443)]
                      + [permission("tcp", p, None, *HOMES) for p in (22, 3389)])  # fmt: skip
    lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission("-1", -1, None, group)])
    lab.instance("one", subnet, group, public=True, ipv6=True)
    lab.instance("two", subnet, group, public=True, ipv6=True)
    lab.running("one", "two")
    return lab


def test_e2e_d(single: Lab) -> None:
    single.check(
        [
            Row("D1", CLIENT, "one", "ok", 80, sport=40000),
            Row("D1", CLIENT_V6, "one", "ok", 80, sport=40000, ipv6=True),
            Row("D2", CLIENT, "one", "reply-nacl-out", 80, sport=2000),
            Row("D3", HOME, "one", "ok", 22, sport=40001),
            Row("D3", CLIENT, "one", "nacl-in", 22, sport=40002),
            Row("D4", "one", CLIENT, "ok", 443, sport=40003),
            Row("D5", "one", CLIENT, "nacl-out", 22),
            Row("D5", "one", CLIENT, "nacl-out", 53, "udp"),
            Row("D6", "one", "two", "ok", 9999, "udp"),
            Row("D6", "two", "one", "ok", protocol="icmp"),
            Row("D7", CLIENT, "one", "sg-ingress", 33000),
        ]
    )
