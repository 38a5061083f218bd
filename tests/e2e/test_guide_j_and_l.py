"""E2E-J (connection tracking and rule removal) and the rows of E2E-L that need no NAT, peering or sharing."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e.lab import CLIENT, Lab, Row, permission

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]
ANY = "0.0.0.0/0"


@pytest.fixture(scope="module")
def tracked(lab: Lab) -> Iterator[Lab]:
    """One public instance, ingress 22 from one address, 80 and ICMP from anywhere (CT-07)."""
    vpc, _ = lab.vpc("10.3.0.0/16")
    subnet = lab.subnet(vpc, "10.3.0.0/24")
    lab.internet(vpc, subnet)
    lab.names["vpc"], lab.names["subnet"] = vpc, subnet
    lab.names["group"] = lab.group(vpc, "ct", RULES)
    lab.instance("server", subnet, lab.names["group"], public=True)
    lab.running("server")
    lab.wait()
    lab.names["public"] = lab.interface("server")["Association"]["PublicIp"]
    return lab


SSH, HTTP, PING = (
    permission("tcp", 22, None, "203.0.113.9/32"),
    permission("tcp", 80, None, ANY),
    permission("icmp", -1, -1, ANY),
)
RULES = [SSH, HTTP, PING]


def allow(lab: Lab, *permissions: object) -> None:
    lab.ec2.authorize_security_group_ingress(GroupId=lab.names["group"], IpPermissions=list(permissions))
    lab.wait()


def forbid(lab: Lab, *permissions: object) -> None:
    lab.ec2.revoke_security_group_ingress(GroupId=lab.names["group"], IpPermissions=list(permissions))
    lab.wait()


def test_j1_and_j5_tracked_session_survives_rule_but_not_acl(tracked: Lab) -> None:
    """J1 (CT-06): the open SSH session goes on, a second is refused. J5 (CT-11): a network ACL deny cuts it."""
    lab = tracked
    with lab.session(CLIENT, "server", lab.names["public"], 22) as ssh:
        assert ssh.alive()
        forbid(lab, SSH)
        try:
            assert ssh.alive()
            lab.check([Row("J1", CLIENT, "server", "sg-ingress", 22)])
            assert ssh.alive()
            acls = lab.ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [lab.names["vpc"]]}])
            acl = acls["NetworkAcls"][0]["NetworkAclId"]
            entry = {"NetworkAclId": acl, "RuleNumber": 50, "Egress": False}
            lab.ec2.create_network_acl_entry(**entry, Protocol="-1", RuleAction="deny", CidrBlock="203.0.113.9/32")
            lab.wait()
            try:
                assert not ssh.alive()
            finally:
                lab.ec2.delete_network_acl_entry(**entry)
        finally:
            allow(lab, SSH)


def test_j2_untracked_session_is_cut_at_once(tracked: Lab) -> None:
    """J2 (CT-05, D-06)."""
    lab = tracked
    with lab.session(CLIENT, "server", lab.names["public"], 80) as web:
        assert web.alive()
        forbid(lab, HTTP)
        try:
            assert not web.alive()
        finally:
            allow(lab, HTTP)


def test_j3_without_egress_http_is_tracked(tracked: Lab) -> None:
    """J3 (CT-07): once egress is closed, HTTP is tracked and outlives its rule."""
    lab = tracked
    everything = permission("-1", -1, None, ANY)
    lab.ec2.revoke_security_group_egress(GroupId=lab.names["group"], IpPermissions=[everything])
    lab.wait()
    try:
        with lab.session(CLIENT, "server", lab.names["public"], 80) as web:
            assert web.alive()
            forbid(lab, HTTP)
            try:
                assert web.alive()
            finally:
                allow(lab, HTTP)
    finally:
        lab.ec2.authorize_security_group_egress(GroupId=lab.names["group"], IpPermissions=[everything])
        lab.wait()


def test_j6_idle_timeout(tracked: Lab) -> None:
    """J6 (CT-13): SSH idle longer than TcpEstablishedTimeout is forgotten; the next packet finds no rule."""
    lab = tracked
    eni = lab.interface("server")["NetworkInterfaceId"]
    lab.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=eni, ConnectionTrackingSpecification={"TcpEstablishedTimeout": 60}
    )
    lab.wait()
    with lab.session(CLIENT, "server", lab.names["public"], 22) as ssh:
        assert ssh.alive()
        forbid(lab, SSH)
        try:
            assert ssh.alive()
            time.sleep(64)
            assert not ssh.alive()
        finally:
            allow(lab, SSH)


def test_l1_l6_l10(tracked: Lab) -> None:
    """L1: a group reference does not match a public source (SG-68). L10: the default group (SG-32)."""
    lab = tracked
    vpc, subnet = lab.names["vpc"], lab.names["subnet"]
    caller = lab.group(vpc, "caller")
    callee = lab.group(vpc, "callee", [permission("tcp", 8080, None, caller)])
    lab.instance("a", subnet, caller, public=True)
    lab.instance("b", subnet, callee, public=True)
    lab.instance("d1", subnet, public=True)
    lab.instance("d2", subnet, public=True)
    lab.running("a", "b", "d1", "d2")
    public = lab.interface("b")["Association"]["PublicIp"]
    lab.check(
        [
            Row("L1", "a", "b", "ok", 8080),
            Row("L1", "a", public, "sg-ingress", 8080),
            Row("L10", "d1", "d2", "ok", 12345),
            Row("L10", "d2", "d1", "ok", 5000, "udp"),
            Row("L10", CLIENT, "d1", "sg-ingress", 443),
            Row("L10", "d1", CLIENT, "ok", 443),
            Row("L10", "a", "d1", "sg-ingress", 443),
        ]
    )


def test_l5_group_reference_through_a_middlebox(lab: Lab) -> None:
    """L5 (D-05, SG-78): through an appliance a group reference does not match; the address form does."""
    vpc, _ = lab.vpc("10.4.0.0/16")
    left, middle, right = (lab.subnet(vpc, f"10.4.{n}.0/24") for n in range(3))
    client = lab.group(vpc, "client")
    open_group = lab.group(vpc, "open", [permission("-1", -1, None, "10.4.0.0/16")])
    server = lab.group(vpc, "server", [permission("tcp", 80, None, client), permission("tcp", 81, None, "10.4.0.0/24")])
    lab.instance("left", left, client, open_group)
    lab.instance("box", middle, open_group)
    lab.instance("right", right, server)
    lab.running("left", "box", "right")
    lab.check([Row("L5", "left", "right", "ok", 80), Row("L5", "left", "right", "ok", 81)])
    eni = lab.interface("box")["NetworkInterfaceId"]
    lab.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
    for subnet, destination in ((left, "10.4.2.0/24"), (right, "10.4.0.0/24")):
        table = lab.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        lab.ec2.create_route(RouteTableId=table, DestinationCidrBlock=destination, NetworkInterfaceId=eni)
        lab.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    lab.wait()
    forward = "import pathlib; pathlib.Path('/proc/sys/net/ipv4/ip_forward').write_text('1')"
    lab.run("exec", lab.names["box"], "--", "python3", "-c", forward, check=True)
    right_address = lab.interface("right")["PrivateIpAddress"]
    with lab.session("left", "right", right_address, 81) as by_address:
        assert by_address.alive()
    probed = lab.json("probe", lab.names["left"], lab.names["right"], "--port", "80", "--timeout", "1")
    assert probed["outcome"] == "dropped"
    assert not probed["forward_delivered"]
