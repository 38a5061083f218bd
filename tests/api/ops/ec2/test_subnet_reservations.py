"""Subnet CIDR reservations (Amazon VPC User Guide: "Subnet CIDR reservations"; EC2 API Reference)."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.model.errors import ApiError
from tests.api.ops.harness import Api


@pytest.fixture
def api() -> Api:
    return Api()


def reserve(api: Api, subnet: str, cidr: str, kind: str = "explicit", **more: Any) -> dict[str, Any]:
    reply = api.call("CreateSubnetCidrReservation", SubnetId=subnet, Cidr=cidr, ReservationType=kind, **more)
    made: dict[str, Any] = reply["SubnetCidrReservation"]
    return made


def address(api: Api, subnet: str, **more: Any) -> str:
    interface = api.call("CreateNetworkInterface", SubnetId=subnet, **more)["NetworkInterface"]
    return str(interface["PrivateIpAddress"])


def test_reserved_addresses_are_given_out_only_when_asked_for(api: Api) -> None:
    subnet = api.subnet(api.vpc(), "10.0.0.0/28")
    reserve(api, subnet, "10.0.0.4/30")
    reserve(api, subnet, "10.0.0.8/31", "prefix")
    assert [address(api, subnet) for _ in range(5)] == [f"10.0.0.{last}" for last in (10, 11, 12, 13, 14)]
    assert api.error("CreateNetworkInterface", SubnetId=subnet) == "InsufficientFreeAddressesInSubnet"
    assert address(api, subnet, PrivateIpAddress="10.0.0.5") == "10.0.0.5"


def test_addresses_in_use_stay_and_deletion_frees_the_rest(api: Api) -> None:
    subnet = api.subnet(api.vpc(), "10.0.0.0/28")
    assert address(api, subnet) == "10.0.0.4"
    made = reserve(api, subnet, "10.0.0.0/29", Description="appliances")
    assert address(api, subnet) == "10.0.0.8"
    id = made["SubnetCidrReservationId"]
    assert api.call("DeleteSubnetCidrReservation", SubnetCidrReservationId=id) == {"DeletedSubnetCidrReservation": made}
    assert {address(api, subnet) for _ in range(9)} == {f"10.0.0.{last}" for last in (5, 6, 7, 9, 10, 11, 12, 13, 14)}


def test_families_are_shown_apart_and_filtered(api: Api) -> None:
    vpc = api.vpc()
    block = api.call("AssociateVpcCidrBlock", VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)["Ipv6CidrBlockAssociation"]
    six = block["Ipv6CidrBlock"].replace("/56", "/64")
    subnet = api.call("CreateSubnet", VpcId=vpc, CidrBlock="10.0.0.0/24", Ipv6CidrBlock=six)["Subnet"]["SubnetId"]
    tags = [{"ResourceType": "subnet-cidr-reservation", "Tags": [{"Key": "for", "Value": "pods"}]}]
    first = reserve(api, subnet, "10.0.0.77/28", TagSpecifications=tags)
    second = reserve(api, subnet, six.replace("/64", "/80"), "prefix")
    assert (first["Cidr"], first["OwnerId"], first["SubnetId"]) == ("10.0.0.64/28", "111122223333", subnet)
    shown = api.call("GetSubnetCidrReservations", SubnetId=subnet)
    assert shown == {"SubnetIpv4CidrReservations": [first], "SubnetIpv6CidrReservations": [second]}
    for name, value in (("reservationType", "explicit"), ("tag:for", "pods")):
        only = api.call("GetSubnetCidrReservations", SubnetId=subnet, Filters=[{"Name": name, "Values": [value]}])
        assert only == {"SubnetIpv4CidrReservations": [first], "SubnetIpv6CidrReservations": []}
    api.call("CreateTags", Resources=[first["SubnetCidrReservationId"]], Tags=[{"Key": "a", "Value": "b"}])
    api.call("DeleteSubnet", SubnetId=subnet)
    assert api.error("DeleteSubnetCidrReservation", SubnetCidrReservationId=first["SubnetCidrReservationId"]) == (
        "InvalidSubnetCidrReservationID.NotFound"
    )


@pytest.mark.parametrize(
    ("cidr", "message"),
    [
        ("10.1.0.0/31", "Reservation CIDR should be within subnet CIDR block (10.0.0.0/24)"),
        ("10.0.0.0/16", "Reservation CIDR should be within subnet CIDR block (10.0.0.0/24)"),
        ("2001:db8::/80", "Reservation CIDR should be within subnet CIDR block ()"),
        ("10.0.0.34/31", "Reservation CIDR 10.0.0.34/31 has overlap with existing reserved CIDR block"),
        ("10.0.0.0/25", "Reservation CIDR 10.0.0.0/25 has overlap with existing reserved CIDR block"),
        ("ten", "Value (ten) for parameter cidr is invalid. This is not a valid CIDR block."),
    ],
)
def test_blocks_that_cannot_be_reserved(api: Api, cidr: str, message: str) -> None:
    subnet = api.subnet(api.vpc(), "10.0.0.0/24")
    reserve(api, subnet, "10.0.0.32/30")
    with pytest.raises(ApiError) as refused:
        reserve(api, subnet, cidr)
    assert (refused.value.code, refused.value.message) == ("InvalidParameterValue", message)
