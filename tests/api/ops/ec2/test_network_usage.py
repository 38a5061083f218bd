"""Network address usage: what weighs how much, and what is refused past the quotas (MON-09, MON-10, Q-28)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ringfence.model import network_usage
from ringfence.model.kinds import NETWORK_INTERFACE
from ringfence.model.network_usage import peered_usage, usage, weight
from ringfence.model.world import World
from tests.api.ops.harness import Api


def made(**quotas: int) -> tuple[Api, str, str]:
    """An API, a VPC and a subnet of it."""
    api = Api(quotas={name.replace("_", "-"): value for name, value in quotas.items()}, defaults=True)
    vpc = api.vpc("10.0.0.0/16")
    return api, vpc, api.subnet(vpc, "10.0.0.0/24")


def launch(api: Api, subnet: str, count: int = 1, **interface: Any) -> list[str]:
    given = {"DeviceIndex": 0, "SubnetId": subnet, **interface}
    params = {"ImageId": api.image(), "MinCount": count, "MaxCount": count, "NetworkInterfaces": [given]}
    return [one["InstanceId"] for one in api.call("RunInstances", **params)["Instances"]]


def test_what_weighs_how_much() -> None:
    """MON-09: addresses of instances, private, public and of IPv6; further interfaces; nothing that no instance has."""
    api, vpc, subnet = made()
    (instance,) = launch(api, subnet, SecondaryPrivateIpAddressCount=2)
    assert usage(api.world, vpc) == 3
    loose = api.interface(subnet, api.group(vpc))
    assert usage(api.world, vpc) == 3
    api.settle()
    api.call("AttachNetworkInterface", NetworkInterfaceId=loose, InstanceId=instance, DeviceIndex=1)
    assert usage(api.world, vpc) == 5
    gateway = api.call("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    api.call("AttachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    address = api.call("AllocateAddress", Domain="vpc")["AllocationId"]
    api.call("AssociateAddress", AllocationId=address, NetworkInterfaceId=loose)
    assert usage(api.world, vpc) == 6
    launch(api, subnet, AssociatePublicIpAddress=True)
    assert usage(api.world, vpc) == peered_usage(api.world, vpc) == 8


def _worlds(api: Api, vpc: str, subnets: list[str]) -> list[World]:
    """Each World on a way on which interfaces, addresses and instances come and go."""
    chance, worlds = random.Random(5), [api.world]

    def do(action: str, **params: Any) -> Any:
        done = api.call(action, **params)
        api.settle()
        worlds.append(api.world)
        return done

    gateway = do("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    do("AttachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    public = [do("AllocateAddress", Domain="vpc")["AllocationId"] for _ in range(2)]
    held: list[dict[str, Any]] = []
    for number in range(24):
        given = {"DeviceIndex": 0, "SubnetId": chance.choice(subnets)}
        made = do("RunInstances", ImageId=api.image(), MinCount=1, MaxCount=1, NetworkInterfaces=[given])["Instances"][
            0
        ]
        held.append(made)
        eni = made["NetworkInterfaces"][0]["NetworkInterfaceId"]
        do("AssignPrivateIpAddresses", NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1)
        if any(subnets[0] == each["SubnetId"] for each in held):
            first = next(each for each in held if each["SubnetId"] == subnets[0])["NetworkInterfaces"][0]
            do("AssociateAddress", AllocationId=public[number % 2], NetworkInterfaceId=first["NetworkInterfaceId"],
               AllowReassociation=True)  # fmt: skip
        if number % 3 == 2:
            do("TerminateInstances", InstanceIds=[held.pop(chance.randrange(len(held)))["InstanceId"]])
    return worlds


def test_sums_follow_what_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever World is asked after whatever other one: what a VPC's interfaces weigh there."""
    api, vpc, subnet = made()
    other = api.vpc("10.1.0.0/16")
    worlds = _worlds(api, vpc, [subnet, api.subnet(other, "10.1.0.0/24")])
    counted: list[str] = []

    def counting(world: World, eni: Any) -> int:
        counted.append(eni.id)
        return weight(world, eni)

    asked = [*worlds, *random.Random(7).sample(worlds, len(worlds)), worlds[-1], World(), worlds[-1]]
    for world in asked:
        for each in (vpc, other):
            assert usage(world, each) == sum(weight(world, eni) for eni in world.by(NETWORK_INTERFACE, "vpc", each))
    usage(worlds[-2], vpc)
    monkeypatch.setattr(network_usage, "weight", counting)
    usage(worlds[-1], vpc)
    assert len(counted) <= 4  # the interfaces that the last change was about, before and after; not all there are


@pytest.mark.parametrize("room", [0, 1])
def test_at_exhausted_usage_new_resources_are_refused(room: int) -> None:
    """MON-10: each of the guide's calls, up to the last unit and not past it; nothing is changed then."""
    api, vpc, subnet = made(network_address_usage=4 + room)
    (instance, _) = launch(api, subnet, 2)
    api.settle()
    loose = api.interface(subnet, api.group(vpc))  # weighs nothing before it is attached
    (eni,) = (
        one["NetworkInterfaceId"]
        for one in api.call("DescribeNetworkInterfaces")["NetworkInterfaces"]
        if one.get("Attachment", {}).get("InstanceId") == instance
    )
    api.call("AssignPrivateIpAddresses", NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=2)
    code = "NetworkAddressUsageLimitExceeded"
    assert api.error("AttachNetworkInterface", NetworkInterfaceId=loose, InstanceId=instance, DeviceIndex=1) == code
    if room:
        launch(api, subnet)
    params = {"ImageId": api.image(), "MinCount": 1, "MaxCount": 1, "SubnetId": subnet}
    assert api.error("RunInstances", **params) == code
    assert api.error("AssignPrivateIpAddresses", NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1) == code
    api.call("AssignPrivateIpAddresses", NetworkInterfaceId=loose, SecondaryPrivateIpAddressCount=1)
    assert usage(api.world, vpc) == 4 + room


def test_ipv6_addresses_are_refused_past_the_usage() -> None:
    api, vpc, subnet = made(network_address_usage=1)
    api.call("AssociateVpcCidrBlock", VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
    block = api.call("DescribeVpcs", VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    api.call("AssociateSubnetCidrBlock", SubnetId=subnet, Ipv6CidrBlock=block.replace("/56", "/64"))
    launch(api, subnet)
    (eni,) = (one["NetworkInterfaceId"] for one in api.call("DescribeNetworkInterfaces")["NetworkInterfaces"])
    assert (
        api.error("AssignIpv6Addresses", NetworkInterfaceId=eni, Ipv6AddressCount=1)
        == "NetworkAddressUsageLimitExceeded"
    )


def test_peers_of_the_region_count_together() -> None:
    """MON-09, MON-10: a request to peer is no peering yet; its acceptance, and whatever either side adds then, is refused past the
    quota."""
    api, vpc, subnet = made(peered_network_address_usage=3)
    other = api.vpc("10.1.0.0/16")
    there = api.subnet(other, "10.1.0.0/24")
    launch(api, subnet, 2)
    asked = api.call("CreateVpcPeeringConnection", VpcId=vpc, PeerVpcId=other)["VpcPeeringConnection"]
    accept = {"VpcPeeringConnectionId": asked["VpcPeeringConnectionId"]}
    (too_many, _) = launch(api, there, 2)
    assert api.error("AcceptVpcPeeringConnection", **accept) == "NetworkAddressUsagePeeredLimitExceeded"
    api.settle()
    api.call("TerminateInstances", InstanceIds=[too_many])
    api.settle()
    api.call("AcceptVpcPeeringConnection", **accept)
    assert (peered_usage(api.world, vpc), peered_usage(api.world, other), usage(api.world, other)) == (3, 3, 1)
    for place in (subnet, there):
        params = {"ImageId": api.image(), "MinCount": 1, "MaxCount": 1, "SubnetId": place}
        assert api.error("RunInstances", **params) == "NetworkAddressUsagePeeredLimitExceeded"
