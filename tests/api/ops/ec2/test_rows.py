"""Rows of the specification that no other test names: groups, network ACLs, VPCs, interfaces, and every quota of the EC2 API."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.wire import model
from ringfence.model.kinds import NETWORK_INTERFACE
from ringfence.model.quotas import Limits
from ringfence.model.world import put
from tests.api.ops.harness import Api, tcp


@pytest.fixture
def api() -> Api:
    return Api()


def group_of(api: Api, id: str) -> Any:
    return api.call("DescribeSecurityGroups", GroupIds=[id])["SecurityGroups"][0]


# ---------------------------------------------------------------------- security groups
def test_sg_11_21_34_what_no_operation_can_do() -> None:
    """SG-11: no operation takes a new name or description of a group. SG-21: delete takes one group. SG-34: no rule denies."""
    names = {
        name: set(model.operation("ec2", name).input_shape.members)  # type: ignore[union-attr]
        for service, name in OPERATIONS
        if service == "ec2" and "SecurityGroup" in name
    }
    takes_description = {name for name, members in names.items() if "Description" in members}
    assert takes_description == {"CreateSecurityGroup"}
    assert not any("NewGroupName" in members for members in names.values())
    assert "GroupIds" not in names["DeleteSecurityGroup"]
    permission = model.operation("ec2", "AuthorizeSecurityGroupIngress").input_shape.members["IpPermissions"].member  # type: ignore[union-attr]
    assert not {"RuleAction", "Action", "Deny", "Effect"} & set(permission.members)


def test_sg_14_a_tag_key_is_unique_and_its_value_replaced(api: Api) -> None:
    group = api.group(api.vpc())
    for value in ("one", "two"):
        api.call(
            "CreateTags", Resources=[group], Tags=[{"Key": "Stack", "Value": value}, {"Key": "stack", "Value": "x"}]
        )
    assert group_of(api, group)["Tags"] == [{"Key": "Stack", "Value": "two"}, {"Key": "stack", "Value": "x"}]


def test_sg_24_the_legacy_group_does_not_exist() -> None:
    api = Api(defaults=True)
    names = {group["GroupName"] for group in api.call("DescribeSecurityGroups")["SecurityGroups"]}
    assert names == {"default"}
    assert api.error("DescribeSecurityGroups", GroupNames=["2009-07-15-default"]) == "InvalidGroup.NotFound"


def test_sg_29_31_the_default_group_changes_like_any_and_goes_with_its_vpc(api: Api) -> None:
    vpc = api.vpc()
    by_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    default = api.call("DescribeSecurityGroups", Filters=by_vpc)["SecurityGroups"][0]
    id = default["GroupId"]
    api.call("AuthorizeSecurityGroupIngress", GroupId=id, IpPermissions=[tcp(22)])
    api.call("RevokeSecurityGroupIngress", GroupId=id, IpPermissions=default["IpPermissions"])
    api.call("RevokeSecurityGroupEgress", GroupId=id, IpPermissions=default["IpPermissionsEgress"])
    changed = group_of(api, id)
    assert [rule["FromPort"] for rule in changed["IpPermissions"]] == [22]
    assert changed["IpPermissionsEgress"] == []
    assert api.error("DeleteVpc", VpcId=api.vpc() + "x") == "InvalidVpcID.Malformed"
    api.call("DeleteVpc", VpcId=vpc)
    assert api.call("DescribeSecurityGroups", Filters=by_vpc)["SecurityGroups"] == []
    assert api.error("DescribeSecurityGroups", GroupIds=[id]) == "InvalidGroup.NotFound"


# ---------------------------------------------------------------------- network ACLs
def acl_of(api: Api, vpc: str) -> Any:
    return api.call("DescribeNetworkAcls", Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"][0]


def entry(number: int, protocol: str = "-1", **more: Any) -> dict[str, Any]:
    return {"RuleNumber": number, "Protocol": protocol, "RuleAction": "allow", "Egress": False,
            "CidrBlock": "10.0.0.0/8"} | more  # fmt: skip


def test_acl_17_entries_take_neither_prefix_lists_nor_groups() -> None:
    for name in ("CreateNetworkAclEntry", "ReplaceNetworkAclEntry"):
        members = set(model.operation("ec2", name).input_shape.members)  # type: ignore[union-attr]
        assert not {member for member in members if "Prefix" in member or "Group" in member}


def test_acl_26_what_a_description_shows(api: Api) -> None:
    vpc = api.vpc()
    subnet = api.subnet(vpc)
    acl = acl_of(api, vpc)
    assert acl.keys() == {"Associations", "Entries", "IsDefault", "NetworkAclId", "OwnerId", "Tags", "VpcId"}
    assert [each["SubnetId"] for each in acl["Associations"]] == [subnet]
    api.call("CreateNetworkAclEntry", NetworkAclId=acl["NetworkAclId"], **entry(7, "6", PortRange={"From": 1, "To": 9}))
    shown = next(each for each in acl_of(api, vpc)["Entries"] if each["RuleNumber"] == 7)
    assert shown == entry(7, "6", PortRange={"From": 1, "To": 9})


def test_acl_27_net_20_what_stays_when_an_ipv6_block_goes(api: Api) -> None:
    """NET-08 as well: the association says so, then is gone."""
    vpc = api.vpc()
    by_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    made = api.call("AssociateVpcCidrBlock", VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)["Ipv6CidrBlockAssociation"]
    assert made["Ipv6CidrBlockState"]["State"] == "associating"
    found = api.call("DescribeVpcs", VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]
    assert found["Ipv6CidrBlockState"]["State"] == "associated"
    table = api.call("DescribeRouteTables", Filters=by_vpc)["RouteTables"][0]["RouteTableId"]
    gateway = api.gateway(vpc)
    api.call("CreateRoute", RouteTableId=table, DestinationIpv6CidrBlock="::/0", GatewayId=gateway)

    def ipv6() -> tuple[list[Any], list[Any], list[Any]]:
        groups = api.call("DescribeSecurityGroups", Filters=by_vpc)["SecurityGroups"][0]["IpPermissionsEgress"]
        routes = api.call("DescribeRouteTables", RouteTableIds=[table])["RouteTables"][0]["Routes"]
        return (
            [e for e in acl_of(api, vpc)["Entries"] if "Ipv6CidrBlock" in e and e["RuleNumber"] < 32767],
            [permission["Ipv6Ranges"] for permission in groups],
            [route for route in routes if route.get("DestinationIpv6CidrBlock") == "::/0"],
        )

    before = ipv6()
    assert [len(part) for part in before] == [2, 1, 1]
    gone = api.call("DisassociateVpcCidrBlock", AssociationId=found["AssociationId"])["Ipv6CidrBlockAssociation"]
    assert gone["Ipv6CidrBlockState"]["State"] == "disassociating"
    assert ipv6() == before


def test_acl_28_delete_then_add_past_the_quota_leaves_the_deletes_done() -> None:
    api = Api(quotas={"rules-per-network-acl": 2})
    acl = acl_of(api, api.vpc())["NetworkAclId"]
    api.call("CreateNetworkAclEntry", NetworkAclId=acl, **entry(101))
    api.call("DeleteNetworkAclEntry", NetworkAclId=acl, RuleNumber=100, Egress=False)
    api.call("CreateNetworkAclEntry", NetworkAclId=acl, **entry(102))
    assert api.error("CreateNetworkAclEntry", NetworkAclId=acl, **entry(103)) == "NetworkAclEntryLimitExceeded"
    numbers = [e["RuleNumber"] for e in api.call("DescribeNetworkAcls", NetworkAclIds=[acl])["NetworkAcls"][0]["Entries"]
               if not e["Egress"]]  # fmt: skip
    assert numbers == [101, 102, 32767]


# ---------------------------------------------------------------------- VPCs, subnets, interfaces
@pytest.mark.parametrize("block", ["10.1.0.0/16", "10.1.4.0/24", "10.0.0.0/12"])
def test_net_05_a_secondary_block_may_not_swallow_a_routes_destination(api: Api, block: str) -> None:
    vpc = api.vpc()
    table = api.call("DescribeRouteTables", Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0][
        "RouteTableId"
    ]
    api.call("CreateRoute", RouteTableId=table, DestinationCidrBlock="10.1.4.0/24", GatewayId=api.gateway(vpc))
    assert api.error("AssociateVpcCidrBlock", VpcId=vpc, CidrBlock=block) == "InvalidVpc.Range"
    api.call("AssociateVpcCidrBlock", VpcId=vpc, CidrBlock="10.1.4.0/25")  # smaller than the destination


def test_net_08_09_ipv6_blocks_are_56_of_a_vpc_and_64_of_a_subnet(api: Api) -> None:
    vpc = api.vpc(AmazonProvidedIpv6CidrBlock=True)
    found = api.call("DescribeVpcs", VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]
    prefix, _, width = found["Ipv6CidrBlock"].partition("/")
    assert (width, found["Ipv6CidrBlockState"]) == ("56", {"State": "associated"})
    wrong = {"VpcId": vpc, "CidrBlock": "10.0.0.0/24"}
    assert api.error("CreateSubnet", **wrong, Ipv6CidrBlock=f"{prefix}/56") == "InvalidSubnet.Range"
    assert api.error("CreateSubnet", **wrong, Ipv6CidrBlock=f"{prefix}/80") == "InvalidSubnet.Range"
    api.subnet(vpc, Ipv6CidrBlock=f"{prefix}/64")


def test_net_14_a_subnet_lies_in_one_zone_whose_id_is_stable(api: Api) -> None:
    zones = {zone["ZoneName"]: zone["ZoneId"] for zone in api.call("DescribeAvailabilityZones")["AvailabilityZones"]}
    assert len(set(zones.values())) == len(zones) >= 2
    vpc = api.vpc()
    by_name = api.call("CreateSubnet", VpcId=vpc, CidrBlock="10.0.0.0/24", AvailabilityZone="us-east-1b")["Subnet"]
    by_id = api.call("CreateSubnet", VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZoneId=zones["us-east-1b"])[
        "Subnet"
    ]
    for subnet in (by_name, by_id):
        assert (subnet["AvailabilityZone"], subnet["AvailabilityZoneId"]) == ("us-east-1b", zones["us-east-1b"])
    other = {"VpcId": vpc, "CidrBlock": "10.0.2.0/24", "AvailabilityZone": "us-east-1z"}
    assert api.error("CreateSubnet", **other) == "InvalidParameterValue"


def test_net_23_an_interface_of_a_service_is_seen_but_not_edited() -> None:
    api = Api(defaults=True)
    eni = api.interface(api.call("DescribeSubnets")["Subnets"][0]["SubnetId"])
    address = api.call("AllocateAddress", Domain="vpc")["AllocationId"]
    made = api.call("RunInstances", ImageId=api.image(), MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    api.settle()
    api.world = api.world.apply(
        put(NETWORK_INTERFACE, replace(api.world.get(NETWORK_INTERFACE, eni), requester_managed=True))
    )
    by = [{"Name": "requester-managed", "Values": ["true"]}]
    (shown,) = api.call("DescribeNetworkInterfaces", Filters=by)["NetworkInterfaces"]
    assert (shown["NetworkInterfaceId"], shown["RequesterManaged"]) == (eni, True)
    for action, params in {
        "DeleteNetworkInterface": {},
        "ModifyNetworkInterfaceAttribute": {"SourceDestCheck": {"Value": False}},
        "ResetNetworkInterfaceAttribute": {"SourceDestCheck": "true"},
        "AttachNetworkInterface": {"InstanceId": made, "DeviceIndex": 1},
        "AssignPrivateIpAddresses": {"SecondaryPrivateIpAddressCount": 1},
        "AssignIpv6Addresses": {"Ipv6AddressCount": 1},
        "AssociateAddress": {"AllocationId": address},
    }.items():
        assert api.error(action, NetworkInterfaceId=eni, **params) == "OperationNotPermitted", action


def test_net_24_an_instance_has_one_private_address_and_its_name() -> None:
    api = Api(defaults=True)
    made = api.call("RunInstances", ImageId=api.image(), MinCount=1, MaxCount=1)["Instances"][0]
    address = made["PrivateIpAddress"]
    assert made["PrivateDnsName"] == f"ip-{address.replace('.', '-')}.ec2.internal"
    assert [each["PrivateIpAddress"] for each in made["NetworkInterfaces"][0]["PrivateIpAddresses"]] == [address]


def test_igw_02_a_subnet_is_public_by_its_route_table_alone(api: Api) -> None:
    """The API has no attribute that says so: the route to the gateway makes it, through whichever table applies."""
    vpc = api.vpc()
    subnet, gateway = api.subnet(vpc), api.gateway(vpc)
    by_gateway = [{"Name": "route.gateway-id", "Values": [gateway]}]
    assert api.call("DescribeRouteTables", Filters=by_gateway)["RouteTables"] == []
    table = api.call("CreateRouteTable", VpcId=vpc)["RouteTable"]["RouteTableId"]
    api.call("AssociateRouteTable", RouteTableId=table, SubnetId=subnet)
    api.call("CreateRoute", RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    (found,) = api.call("DescribeRouteTables", Filters=by_gateway)["RouteTables"]
    assert [each["SubnetId"] for each in found["Associations"]] == [subnet]


# ---------------------------------------------------------------------- quotas (section 15)
def _subnets(api: Api, n: int) -> tuple[str, dict[str, Any]]:
    vpc = api.vpc() if n == 0 else api.call("DescribeVpcs")["Vpcs"][0]["VpcId"]
    return "CreateSubnet", {"VpcId": vpc, "CidrBlock": f"10.0.{n}.0/24"}


def _in_vpc(action: str, **more: Any) -> Any:
    def make(api: Api, n: int) -> tuple[str, dict[str, Any]]:
        vpc = api.vpc() if n == 0 else api.call("DescribeVpcs")["Vpcs"][0]["VpcId"]
        return action, {"VpcId": vpc} | {name: value(n) if callable(value) else value for name, value in more.items()}

    return make


def _interface(api: Api, n: int) -> tuple[str, dict[str, Any]]:
    subnets = api.call("DescribeSubnets")["Subnets"]
    return "CreateNetworkInterface", {"SubnetId": subnets[0]["SubnetId"] if subnets else api.subnet(api.vpc())}


def _route(api: Api, n: int) -> tuple[str, dict[str, Any]]:
    if n == 0:
        vpc = api.vpc()
        api.gateway(vpc)
    table = api.call("DescribeRouteTables")["RouteTables"][0]["RouteTableId"]
    gateway = api.call("DescribeInternetGateways")["InternetGateways"][0]["InternetGatewayId"]
    return "CreateRoute", {"RouteTableId": table, "DestinationCidrBlock": f"192.0.{n}.0/24", "GatewayId": gateway}


def _rule(api: Api, n: int) -> tuple[str, dict[str, Any]]:
    group = api.group(api.vpc(), "q14") if n == 0 else next(
        g["GroupId"] for g in api.call("DescribeSecurityGroups")["SecurityGroups"] if g["GroupName"] == "q14"
    )  # fmt: skip
    return "AuthorizeSecurityGroupIngress", {"GroupId": group, "IpPermissions": [tcp(1000 + n)]}


def _acl_entry(api: Api, n: int) -> tuple[str, dict[str, Any]]:
    """One is there from the start."""
    acl = acl_of(api, api.vpc() if n == 0 else api.call("DescribeVpcs")["Vpcs"][0]["VpcId"])["NetworkAclId"]
    if n == 0:
        api.call("DeleteNetworkAclEntry", NetworkAclId=acl, RuleNumber=100, Egress=False)
    return "CreateNetworkAclEntry", {"NetworkAclId": acl, **entry(n + 1)}


def _groups_of_interface(api: Api, n: int) -> tuple[str, dict[str, Any]]:
    if n == 0:
        vpc = api.vpc()
        api.interface(api.subnet(vpc))
        for number in range(4):
            api.group(vpc, f"g{number}")
    groups = [g["GroupId"] for g in api.call("DescribeSecurityGroups")["SecurityGroups"]]
    eni = api.call("DescribeNetworkInterfaces")["NetworkInterfaces"][0]["NetworkInterfaceId"]
    return "ModifyNetworkInterfaceAttribute", {"NetworkInterfaceId": eni, "Groups": groups[: n + 1]}


QUOTAS: dict[str, tuple[str, str, str, Any, int]] = {
    # row: (name, Service Quotas code, error, what to make, how many of it there are before)
    "Q-01": ("vpcs", "L-F678F1CE", "VpcLimitExceeded", lambda _, n: ("CreateVpc", {"CidrBlock": "10.0.0.0/16"}), 0),
    "Q-02": ("subnets-per-vpc", "L-407747CB", "SubnetLimitExceeded", _subnets, 0),
    "Q-03": ("ipv4-cidrs-per-vpc", "L-83CA0A9D", "CidrLimitExceeded",
             _in_vpc("AssociateVpcCidrBlock", CidrBlock=lambda n: f"10.{n + 1}.0.0/16"), 1),
    "Q-04": ("ipv6-cidrs-per-vpc", "L-085A6257", "CidrLimitExceeded",
             _in_vpc("AssociateVpcCidrBlock", AmazonProvidedIpv6CidrBlock=True), 0),
    "Q-05": ("internet-gateways", "L-A4707A72", "InternetGatewayLimitExceeded", lambda _, n: ("CreateInternetGateway", {}), 0),
    "Q-08": ("elastic-ips", "L-0263D0A3", "AddressLimitExceeded", lambda _, n: ("AllocateAddress", {"Domain": "vpc"}), 0),
    "Q-11": ("network-acls-per-vpc", "L-B4A6D682", "NetworkAclLimitExceeded", _in_vpc("CreateNetworkAcl"), 1),
    "Q-12": ("rules-per-network-acl", "L-2AEEBF1A", "NetworkAclEntryLimitExceeded", _acl_entry, 0),
    "Q-13": ("security-groups", "L-E79EC296", "SecurityGroupLimitExceeded",
             _in_vpc("CreateSecurityGroup", GroupName=lambda n: f"g{n}", Description="q"), 1),
    "Q-14": ("rules-per-security-group", "L-0EA8095F", "RulesPerSecurityGroupLimitExceeded", _rule, 0),
    "Q-15": ("security-groups-per-interface", "L-2AFB9258", "SecurityGroupsPerInterfaceLimitExceeded", _groups_of_interface, 0),
    "Q-16": ("network-interfaces", "L-DF5E4CA3", "NetworkInterfaceLimitExceeded", _interface, 0),
    "Q-17": ("route-tables-per-vpc", "L-589F43AA", "RouteTableLimitExceeded", _in_vpc("CreateRouteTable"), 1),
    "Q-18": ("routes-per-table", "L-93826ACB", "RouteLimitExceeded", _route, 0),
}  # fmt: skip
DEFAULTS = {"Q-01": 5, "Q-02": 200, "Q-03": 5, "Q-04": 5, "Q-05": 5, "Q-08": 5, "Q-11": 200, "Q-12": 20, "Q-13": 2500,
            "Q-14": 60, "Q-15": 5, "Q-16": 5000, "Q-17": 200, "Q-18": 500}  # fmt: skip


@pytest.mark.parametrize("row", QUOTAS)
def test_every_quota_has_its_default_its_code_and_its_error(row: str) -> None:
    """Section 15 (ACL-19, NET-25 among them): as many as the quota, then the error; changed by name or by AWS's code."""
    name, code, error, make, before = QUOTAS[row]
    assert Limits()[name] == DEFAULTS[row]
    assert Limits({code: 3})[name] == 3
    api = Api(quotas={name: 3})
    for n in range(3 - before):
        action, params = make(api, n)
        api.call(action, **params)
    action, params = make(api, 3 - before)
    assert api.error(action, **params) == error
