"""An instance with interfaces in two VPCs (EC2 User Guide: "Elastic network interfaces"): each obeys its own VPC, and nothing
passes from one to the other (NET-03, INF-03)."""

from __future__ import annotations

import time

import pytest

from tests.e2e.lab import Lab, Row, permission

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def both(lab: Lab) -> Lab:
    """`two` and `near` in one VPC; the second interface of `two`, and `far`, in another."""
    near, _ = lab.vpc("10.1.0.0/16")
    far, _ = lab.vpc("10.2.0.0/16")
    zone = lab.ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    subnets = {}
    for vpc, cidr in ((near, "10.1.0.0/24"), (far, "10.2.0.0/24")):
        made = lab.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)
        subnets[vpc] = made["Subnet"]["SubnetId"]
    groups = {
        near: lab.group(near, "near", [permission("udp", 7000, None, "10.0.0.0/8")]),
        far: lab.group(far, "far", [permission("udp", 8000, None, "10.0.0.0/8")]),
    }
    lab.instance("two", subnets[near], groups[near])
    lab.instance("near", subnets[near], groups[near])
    lab.instance("far", subnets[far], groups[far])
    lab.running("two", "near", "far")
    made = lab.ec2.create_network_interface(SubnetId=subnets[far], Groups=[groups[far]])["NetworkInterface"]
    lab.names |= {"second": made["NetworkInterfaceId"], "its address": made["PrivateIpAddress"]}
    lab.ec2.attach_network_interface(
        NetworkInterfaceId=made["NetworkInterfaceId"], InstanceId=lab.names["two"], DeviceIndex=1
    )
    return lab


def rows(lab: Lab) -> list[Row]:
    there, away = lab.names["its address"], lab.interface("far")["PrivateIpAddress"]
    return [
        Row("own VPC", "near", "two", "ok", 7000, "udp"),
        Row("own VPC, other group's port", "near", "two", "sg-ingress", 8000, "udp"),
        Row("other VPC", "far", there, "ok", 8000, "udp"),
        Row("other VPC, other group's port", "far", there, "sg-ingress", 7000, "udp"),
        Row("from the second interface", lab.names["second"], away, "ok", 8000, "udp"),
        Row("NET-03: not through the instance", "near", there, "no-route", 8000, "udp"),
        Row("NET-03: nor back", "far", lab.interface("near")["PrivateIpAddress"], "no-route", 7000, "udp"),
    ]


def test_each_interface_obeys_its_own_vpc(both: Lab) -> None:
    both.check(rows(both))
    found = both.ec2.describe_instances(InstanceIds=[both.names["two"]])["Reservations"][0]["Instances"][0]
    assert len({eni["VpcId"] for eni in found["NetworkInterfaces"]}) == 2
    assert found["VpcId"] == both.interface("near")["VpcId"]


def test_both_come_back_with_the_instance(both: Lab) -> None:
    """Stopped and started by the API; and when the guest ends by itself."""
    id = both.names["two"]
    both.ec2.stop_instances(InstanceIds=[id])
    both.ec2.get_waiter("instance_stopped").wait(InstanceIds=[id], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    both.ec2.start_instances(InstanceIds=[id])
    both.running("two")
    both.check(rows(both))
    both.run("exec", id, "--", "sh", "-c", "echo > /tmp/before; kill -TERM 2")  # the guest's own init
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and both.run("exec", id, "--", "test", "!", "-e", "/tmp/before").returncode != 0:
        time.sleep(0.3)
    assert both.run("exec", id, "--", "test", "-e", "/tmp/before").returncode == 1
    both.check(rows(both))
