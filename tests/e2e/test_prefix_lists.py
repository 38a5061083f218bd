"""Rules and routes that name a prefix list: packets follow the list, with no call about a rule or a route (PL-08, SG-77, RT-07,
PL-13)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.e2e.lab import Lab, Row, permission

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]
OUTSIDE, ELSEWHERE = "internet:203.0.113.9", "internet:192.0.2.9"


@pytest.fixture(scope="module")
def listed(lab: Lab) -> Lab:
    """`a` and `b`; the group of `b` admits TCP 7000 from `peers`; the table of both leads to `far` by the internet gateway."""
    vpc, _ = lab.vpc("10.1.0.0/16")
    subnet = lab.subnet(vpc, "10.1.0.0/24")
    gateway = lab.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    lab.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    for name in ("peers", "far"):
        made = lab.ec2.create_managed_prefix_list(PrefixListName=name, MaxEntries=5, AddressFamily="IPv4")
        lab.names[name] = made["PrefixList"]["PrefixListId"]
    table = lab.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    lab.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    lab.ec2.create_route(RouteTableId=table, DestinationPrefixListId=lab.names["far"], GatewayId=gateway)
    group = lab.group(vpc, "b")
    peer = {**permission("tcp", 7000), "PrefixListIds": [{"PrefixListId": lab.names["peers"]}]}
    lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[peer])
    lab.instance("a", subnet, group, public=True)
    lab.instance("b", subnet, group)
    lab.running("a", "b")
    return lab


def change(lab: Lab, name: str, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    given = {"AddEntries": [{"Cidr": block} for block in add], "RemoveEntries": [{"Cidr": block} for block in remove]}
    lab.ec2.modify_managed_prefix_list(
        PrefixListId=lab.names[name], **{key: value for key, value in given.items() if value}
    )


def test_packets_follow_the_list(listed: Lab) -> None:
    a = listed.interface("a")["PrivateIpAddress"]
    inside, outside, elsewhere = (
        Row("PL-08", "a", "b", "sg-ingress", 7000, "tcp"), Row("PL-08", "a", OUTSIDE, "no-route", 80, "tcp"),
        Row("PL-08", "a", ELSEWHERE, "no-route", 80, "tcp"),
    )  # fmt: skip
    listed.check([inside, outside, elsewhere])
    change(listed, "peers", (f"{a}/32", "172.16.0.0/12"))
    change(listed, "far", ("203.0.113.0/24",))
    listed.check([_ok(inside), _ok(outside), elsewhere])
    change(listed, "far", ("192.0.2.0/24",), ("203.0.113.0/24",))
    change(listed, "peers", (), (f"{a}/32",))
    listed.check([inside, outside, _ok(elsewhere)])
    restored = {"PreviousVersion": 2, "CurrentVersion": 3}
    listed.ec2.restore_managed_prefix_list_version(PrefixListId=listed.names["peers"], **restored)
    listed.check([_ok(inside)])
    listed.nothing_drifted()


def _ok(row: Row) -> Row:
    return replace(row, expected="ok")
