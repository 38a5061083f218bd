"""Corners where analysis and packets once disagreed: the router's services, IPv6 between VPCs, targets that do not run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.lab import CLIENT, CLIENT_V6, Lab, Row, permission

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]
ANY, ANY6 = "0.0.0.0/0", "::/0"


@pytest.fixture(scope="module")
def two(lab: Lab) -> Lab:
    """Two VPCs with internet gateways and IPv6; `left` and `right` let everything in, `shut` lets nothing out."""
    for name, cidr in (("left", "10.8.0.0/16"), ("right", "10.9.0.0/16")):
        vpc, prefix = lab.vpc(cidr, ipv6=True)
        subnet = lab.subnet(vpc, cidr.replace("/16", "/24"), prefix)
        _, table = lab.internet(vpc, subnet, ipv6=True)
        lab.names |= {f"{name}-vpc": vpc, f"{name}-table": table, f"{name}-subnet": subnet}
        group = lab.group(vpc, "open", [permission("-1", -1, None, ANY, ANY6)])
        lab.instance(name, subnet, group, public=True, ipv6=True)
    lab.instance("shut", lab.names["left-subnet"], lab.group(lab.names["left-vpc"], "shut", egress=False), ipv6=True)
    lab.running("left", "right", "shut")
    for name in ("left", "right"):
        found = lab.interface(name)
        lab.names |= {f"{name}6": found["Ipv6Addresses"][0]["Ipv6Address"], f"{name}-eni": found["NetworkInterfaceId"]}
        lab.names[f"{name}4"] = found["Association"]["PublicIp"]
    lab.wait()
    return lab


RESOLVERS = ("169.254.169.253", "fd00:ec2::253", "10.8.0.2")
TIME = ("169.254.169.123", "fd00:ec2::123")
METADATA = ("169.254.169.254", "fd00:ec2::254")


def test_uf_01_uf_03_the_routers_services(two: Lab) -> None:
    """UF-01..UF-07: answered with everything closed; the router takes nothing else."""
    rows = [Row("UF-01", "shut", a, "ok", 53, protocol=p) for a in RESOLVERS for p in ("tcp", "udp")]
    rows += [Row("UF-03", "shut", a, "ok", 80) for a in METADATA]
    rows += [Row("UF-02", "shut", a, "ok", 67, protocol="udp") for a in ("10.8.0.1", "255.255.255.255")]
    rows += [Row("UF-05", "shut", a, "ok", 123, protocol="udp") for a in TIME]
    rows += [Row("UF-05", "left", a, "no-route", 123) for a in TIME]
    rows += [Row("UF-07", "left", a, "no-route", 81) for a in (*RESOLVERS, *METADATA, "10.8.0.1")]
    rows += [Row("UF-08", "shut", CLIENT, "sg-egress", 53, protocol="udp")]
    two.check(rows)


def test_a_probe_of_a_service_counts_as_delivered(two: Lab) -> None:
    probed = two.json("probe", two.names["shut"], "10.8.0.2", "--protocol", "udp", "--port", "53", "--count", "3")
    assert probed["outcome"] == "ok"
    assert probed["forward_delivered"]
    assert (probed["sent"], probed["received"]) == (3, 3)


def test_igw_07_ipv6_between_vpcs(two: Lab) -> None:
    """IGW-07, NET-03: the installation's IPv6 blocks are public space: VPCs reach each other over their gateways."""
    rows = [Row("IGW-07", "left", two.names["right6"], "ok", 80, ipv6=True)]
    rows += [Row("IGW-07", "right", two.names["left6"], "ok", 443, protocol="udp", ipv6=True)]
    rows += [Row("IGW-07", CLIENT_V6, two.names["left6"], "ok", 80, ipv6=True)]
    rows += [Row("IGW-04", "left", two.names["right4"], "ok", 80)]
    rows += [Row("IGW-08", "left", "internet:fd99::1", "gateway", 80, ipv6=True)]
    two.check(rows)


def state(lab: Lab, table: str, destination: str) -> Any:
    found = lab.ec2.describe_route_tables(RouteTableIds=[lab.names[table]])["RouteTables"][0]["Routes"]
    return next(route["State"] for route in found if route.get("DestinationCidrBlock") == destination)


def test_rt_12_a_stopped_appliance_is_a_black_hole(two: Lab) -> None:
    """RT-12: the route to an interface of a stopped instance says so, drops, and works again once it runs."""
    box, destination = two.names["right"], "203.0.113.0/24"
    call = {"RouteTableId": two.names["right-table"], "DestinationCidrBlock": destination}
    two.instance("client", two.names["right-subnet"], two.group(two.names["right-vpc"], "client"), public=True)
    two.running("client")
    two.ec2.create_route(**call, NetworkInterfaceId=two.names["right-eni"])
    try:
        assert state(two, "right-table", destination) == "active"
        two.ec2.stop_instances(InstanceIds=[box])
        two.ec2.get_waiter("instance_stopped").wait(InstanceIds=[box], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        assert state(two, "right-table", destination) == "blackhole"
        two.check([Row("RT-12", "client", CLIENT, "no-route", 80)])
        two.ec2.start_instances(InstanceIds=[box])
        two.running("right")
        assert state(two, "right-table", destination) == "active"
    finally:
        two.ec2.delete_route(**call)
    two.check([Row("RT-12", "client", CLIENT, "ok", 80)])
