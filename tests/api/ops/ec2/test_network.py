"""VPCs, subnets, routes, gateways, Elastic IPs, network ACLs (spec sections 4.1, 6.1-6.3, 15)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.ops.harness import Api


@pytest.fixture
def api() -> Api:
    return Api()


# ---------------------------------------------------------------------- VPC
@pytest.mark.parametrize("cidr", ["10.0.0.0/15", "10.0.0.0/29", "169.254.0.0/16", "127.0.0.0/16", "224.0.0.0/16"])
def test_net_01_06_vpc_range(api: Api, cidr: str) -> None:
    assert api.error("CreateVpc", CidrBlock=cidr) == "InvalidVpc.Range"


@pytest.mark.parametrize("cidr", ["10.0.0.0", "10.0.0.0/33", "x", "2001:db8::/32", "10.0.0.0/16 "])
def test_bad_cidr(api: Api, cidr: str) -> None:
    assert api.error("CreateVpc", CidrBlock=cidr) == "InvalidParameterValue"


def test_net_02_what_comes_with_a_vpc(api: Api) -> None:
    made = api.call("CreateVpc", CidrBlock="10.0.77.1/16")["Vpc"]
    assert made["CidrBlock"] == "10.0.0.0/16"
    only = [{"Name": "vpc-id", "Values": [made["VpcId"]]}]
    assert len(api.call("DescribeRouteTables", Filters=only)["RouteTables"]) == 1
    assert len(api.call("DescribeNetworkAcls", Filters=only)["NetworkAcls"]) == 1
    assert len(api.call("DescribeSecurityGroups", Filters=only)["SecurityGroups"]) == 1
    assert made["DhcpOptionsId"].startswith("dopt-")


def test_net_04_07_secondary_blocks(api: Api) -> None:
    vpc = api.vpc()
    for cidr in ("10.0.128.0/17", "192.168.0.0/16", "198.19.0.0/16"):
        assert api.error("AssociateVpcCidrBlock", VpcId=vpc, CidrBlock=cidr) == "InvalidVpc.Range"
    reply = api.call("AssociateVpcCidrBlock", VpcId=vpc, CidrBlock="10.1.0.0/16")
    table = api.call("DescribeRouteTables", Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]
    assert {r["DestinationCidrBlock"] for r in table["Routes"]} == {"10.0.0.0/16", "10.1.0.0/16"}
    primary = api.call("DescribeVpcs", VpcIds=[vpc])["Vpcs"][0]["CidrBlockAssociationSet"][0]["AssociationId"]
    assert api.error("DisassociateVpcCidrBlock", AssociationId=primary) == "OperationNotPermitted"
    api.call("DisassociateVpcCidrBlock", AssociationId=reply["CidrBlockAssociation"]["AssociationId"])


def test_net_17_delete_vpc(api: Api) -> None:
    vpc = api.vpc()
    subnet = api.subnet(vpc)
    assert api.error("DeleteVpc", VpcId=vpc) == "DependencyViolation"
    api.call("DeleteSubnet", SubnetId=subnet)
    api.call("DeleteVpc", VpcId=vpc)
    assert api.error("DescribeVpcs", VpcIds=[vpc]) == "InvalidVpcID.NotFound"
    assert api.call("DescribeNetworkAcls")["NetworkAcls"] == []


def test_net_18_19_default_vpc() -> None:
    api = Api(defaults=True)
    vpc = api.call("DescribeVpcs", Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]
    assert vpc["CidrBlock"] == "172.31.0.0/16"
    subnets = api.call("DescribeSubnets")["Subnets"]
    assert {s["AvailableIpAddressCount"] for s in subnets} == {4091}  # NET-11
    assert all(s["MapPublicIpOnLaunch"] and s["DefaultForAz"] for s in subnets)
    assert api.error("CreateDefaultVpc") == "DefaultVpcAlreadyExists"
    zone = subnets[0]["AvailabilityZone"]
    assert api.error("CreateDefaultSubnet", AvailabilityZone=zone) == "DefaultSubnetAlreadyExistsInAvailabilityZone"


def test_q_01_vpc_quota() -> None:
    api = Api(quotas={"vpcs": 1})
    api.vpc()
    assert api.error("CreateVpc", CidrBlock="10.1.0.0/16") == "VpcLimitExceeded"


def test_vpc_attributes_read_back(api: Api) -> None:
    vpc = api.vpc()
    for name, member in (("enableDnsHostnames", "EnableDnsHostnames"), ("enableDnsSupport", "EnableDnsSupport")):
        for value in (True, False):
            api.call("ModifyVpcAttribute", VpcId=vpc, **{member: {"Value": value}})
            assert api.call("DescribeVpcAttribute", VpcId=vpc, Attribute=name)[member] == {"Value": value}


# ---------------------------------------------------------------------- subnets
@pytest.mark.parametrize(
    ("cidr", "code"),
    [
        ("10.0.0.0/24", "InvalidSubnet.Conflict"),
        ("10.0.0.128/25", "InvalidSubnet.Conflict"),
        ("10.1.0.0/24", "InvalidSubnet.Range"),
        ("10.0.1.0/29", "InvalidSubnet.Range"),
        ("10.0.0.0/15", "InvalidSubnet.Range"),
    ],
)
def test_net_10_subnet_blocks(api: Api, cidr: str, code: str) -> None:
    vpc = api.vpc()
    api.subnet(vpc)
    assert api.error("CreateSubnet", VpcId=vpc, CidrBlock=cidr) == code


def test_net_11_reserved_addresses(api: Api) -> None:
    subnet = api.subnet(api.vpc(), "10.0.0.0/28")
    for last in (0, 1, 2, 3, 15):
        assert (
            api.error("CreateNetworkInterface", SubnetId=subnet, PrivateIpAddress=f"10.0.0.{last}")
            == "InvalidParameterValue"
        )
    made = [api.interface(subnet) for _ in range(11)]
    assert len(set(made)) == 11
    assert api.error("CreateNetworkInterface", SubnetId=subnet) == "InsufficientFreeAddressesInSubnet"


def test_net_16_subnet_in_use(api: Api) -> None:
    subnet = api.subnet(api.vpc())
    api.interface(subnet)
    assert api.error("DeleteSubnet", SubnetId=subnet) == "DependencyViolation"


# ---------------------------------------------------------------------- routes
def test_rt_01_to_04_tables(api: Api) -> None:
    vpc = api.vpc()
    subnet = api.subnet(vpc)
    table = api.call("CreateRouteTable", VpcId=vpc)["RouteTable"]
    assert [r["GatewayId"] for r in table["Routes"]] == ["local"]
    id = api.call("AssociateRouteTable", RouteTableId=table["RouteTableId"], SubnetId=subnet)["AssociationId"]
    assert api.error("DeleteRouteTable", RouteTableId=table["RouteTableId"]) == "DependencyViolation"
    main = api.call("DescribeRouteTables", Filters=[{"Name": "association.main", "Values": ["true"]}])["RouteTables"][0]
    assert api.error("DeleteRouteTable", RouteTableId=main["RouteTableId"]) == "DependencyViolation"
    main_association = main["Associations"][0]["RouteTableAssociationId"]
    assert api.error("DisassociateRouteTable", AssociationId=main_association) == "InvalidParameterValue"
    new_main = api.call("CreateRouteTable", VpcId=vpc)["RouteTable"]["RouteTableId"]
    api.call("ReplaceRouteTableAssociation", AssociationId=main_association, RouteTableId=new_main)
    api.call("DeleteRouteTable", RouteTableId=main["RouteTableId"])
    api.call("DisassociateRouteTable", AssociationId=id)
    assert api.error("DisassociateRouteTable", AssociationId=id) == "InvalidAssociationID.NotFound"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"DestinationCidrBlock": "0.0.0.0/0"}, "MissingParameter"),
        ({"DestinationCidrBlock": "0.0.0.0/33", "GatewayId": "IGW"}, "InvalidParameterValue"),
        ({"GatewayId": "IGW"}, "MissingParameter"),
        ({"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "IGW"}, "RouteAlreadyExists"),
        ({"DestinationCidrBlock": "10.0.3.0/24", "GatewayId": "IGW"}, "InvalidParameterValue"),  # RT-08
        ({"DestinationCidrBlock": "169.254.169.0/24", "GatewayId": "IGW"}, "InvalidParameterValue"),  # RT-09
        ({"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-0123456789abcdef0"}, "InvalidInternetGatewayID.NotFound"),
        ({"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-0123456789abcdef0"}, "UnsupportedOperation"),
        ({"DestinationCidrBlock": "0.0.0.0/0", "NetworkInterfaceId": "eni-0123456789abcdef0"}, "InvalidNetworkInterfaceID.NotFound"),
        ({"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "IGW", "InstanceId": "i-0123456789abcdef0"}, "InvalidParameterCombination"),
    ],
)  # fmt: skip
def test_rt_08_09_10_refused_routes(api: Api, params: dict[str, Any], code: str) -> None:
    vpc = api.vpc()
    gateway = api.gateway(vpc)
    table = api.call("CreateRouteTable", VpcId=vpc)["RouteTable"]["RouteTableId"]
    given = {name: gateway if value == "IGW" else value for name, value in params.items()}
    assert api.error("CreateRoute", RouteTableId=table, **given) == code


def test_rt_10_11_12_route_life(api: Api) -> None:
    vpc = api.vpc()
    gateway = api.gateway(vpc)
    table = api.call("CreateRouteTable", VpcId=vpc)["RouteTable"]["RouteTableId"]
    anywhere = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    assert api.error("ReplaceRoute", **anywhere, GatewayId=gateway) == "InvalidParameterValue"
    assert api.error("DeleteRoute", **anywhere) == "InvalidRoute.NotFound"
    api.call("CreateRoute", **anywhere, GatewayId=gateway)
    assert api.error("CreateRoute", **anywhere, GatewayId=gateway) == "RouteAlreadyExists"
    api.call("DetachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    routes = api.call("DescribeRouteTables", RouteTableIds=[table])["RouteTables"][0]["Routes"]
    assert [r["State"] for r in routes] == ["active", "blackhole"]
    api.call("DeleteRoute", **anywhere)
    assert api.error("DeleteRoute", RouteTableId=table, DestinationCidrBlock="10.0.0.0/16") == "InvalidParameterValue"


def test_rt_13_17_gateway_table(api: Api) -> None:
    vpc = api.vpc()
    subnet, gateway = api.subnet(vpc), api.gateway(vpc)
    eni = api.interface(subnet)
    table = api.call("CreateRouteTable", VpcId=vpc)["RouteTable"]["RouteTableId"]
    api.call("AssociateRouteTable", RouteTableId=table, GatewayId=gateway)
    for destination in ("0.0.0.0/0", "10.0.7.0/24"):
        refused = api.error("CreateRoute", RouteTableId=table, DestinationCidrBlock=destination, NetworkInterfaceId=eni)
        assert refused == "InvalidParameterValue"
    api.call("CreateRoute", RouteTableId=table, DestinationCidrBlock="10.0.0.0/24", NetworkInterfaceId=eni)
    whole = {"RouteTableId": table, "DestinationCidrBlock": "10.0.0.0/16"}
    api.call("ReplaceRoute", **whole, NetworkInterfaceId=eni)
    api.call("ReplaceRoute", **whole, LocalTarget=True)
    routes = api.call("DescribeRouteTables", RouteTableIds=[table])["RouteTables"][0]["Routes"]
    assert ("10.0.0.0/16", "local") in {(r["DestinationCidrBlock"], r.get("GatewayId")) for r in routes}


# ---------------------------------------------------------------------- internet gateways and addresses
def test_igw_01_10_attachment(api: Api) -> None:
    vpc, other = api.vpc(), api.vpc("10.1.0.0/16")
    gateway = api.gateway(vpc)
    assert api.error("AttachInternetGateway", InternetGatewayId=gateway, VpcId=other) == "Resource.AlreadyAssociated"
    second = api.call("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    assert api.error("AttachInternetGateway", InternetGatewayId=second, VpcId=vpc) == "InvalidParameterValue"
    assert api.error("DetachInternetGateway", InternetGatewayId=second, VpcId=vpc) == "Gateway.NotAttached"
    assert api.error("DeleteInternetGateway", InternetGatewayId=gateway) == "DependencyViolation"


def test_igw_11_12_13_elastic_ip() -> None:
    api = Api(quotas={"elastic-ips": 2})
    vpc = api.vpc()
    eni = api.interface(api.subnet(vpc))
    id = api.call("AllocateAddress", Domain="vpc")["AllocationId"]
    assert api.error("AssociateAddress", AllocationId=id, NetworkInterfaceId=eni) == "Gateway.NotAttached"
    gateway = api.gateway(vpc)
    association = api.call("AssociateAddress", AllocationId=id, NetworkInterfaceId=eni)["AssociationId"]
    assert api.error("ReleaseAddress", AllocationId=id) == "InvalidIPAddress.InUse"
    assert api.error("DetachInternetGateway", InternetGatewayId=gateway, VpcId=vpc) == "DependencyViolation"
    shown = api.call("DescribeAddresses", AllocationIds=[id])["Addresses"][0]
    assert (shown["NetworkInterfaceId"], shown["AssociationId"]) == (eni, association)
    api.call("AllocateAddress")
    assert api.error("AllocateAddress") == "AddressLimitExceeded"
    api.call("DisassociateAddress", AssociationId=association)
    assert api.error("DisassociateAddress", AssociationId=association) == "InvalidAssociationID.NotFound"
    api.call("ReleaseAddress", AllocationId=id)
    assert api.error("ReleaseAddress", AllocationId=id) == "InvalidAllocationID.NotFound"


# ---------------------------------------------------------------------- network ACLs
def entry(acl: str, number: int, **more: Any) -> dict[str, Any]:
    return {"NetworkAclId": acl, "RuleNumber": number, "Protocol": "-1", "RuleAction": "allow", "Egress": False,
            "CidrBlock": "10.0.0.0/8"} | more  # fmt: skip


def test_acl_01_to_06_default_and_custom(api: Api) -> None:
    vpc = api.vpc()
    default = api.call("DescribeNetworkAcls")["NetworkAcls"][0]
    assert default["IsDefault"]
    assert [(e["RuleNumber"], e["RuleAction"]) for e in default["Entries"]] == [(100, "allow"), (32767, "deny")] * 2
    custom = api.call("CreateNetworkAcl", VpcId=vpc)["NetworkAcl"]
    assert [(e["RuleNumber"], e["RuleAction"], e["Protocol"]) for e in custom["Entries"]] == [(32767, "deny", "-1")] * 2
    api.call("AssociateVpcCidrBlock", VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
    numbers = [e["RuleNumber"] for e in api.call("DescribeNetworkAcls")["NetworkAcls"][0]["Entries"]]
    assert numbers == [100, 101, 32767, 32768] * 2


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"RuleNumber": 0}, "InvalidParameterValue"),  # ACL-07
        ({"RuleNumber": 32767}, "InvalidParameterValue"),
        ({"Protocol": "6"}, "MissingParameter"),  # ACL-13
        ({"Protocol": "1"}, "MissingParameter"),
        ({"Protocol": "6", "PortRange": {"From": 80, "To": 22}}, "InvalidParameterValue"),
        ({"Protocol": "300"}, "InvalidParameterValue"),
        ({"CidrBlock": "10.0.0.0/40"}, "InvalidParameterValue"),
        ({"Ipv6CidrBlock": "::/0"}, "InvalidParameterCombination"),  # ACL-12
        ({"CidrBlock": None}, "MissingParameter"),
        ({"RuleNumber": 100}, "NetworkAclEntryAlreadyExists"),  # ACL-09
        ({"NetworkAclId": "acl-0123456789abcdef0"}, "InvalidNetworkAclID.NotFound"),  # ACL-22
        ({"NetworkAclId": "acl-x"}, "InvalidNetworkAclId.Malformed"),
    ],
)
def test_acl_07_to_13_refused_entries(api: Api, more: dict[str, Any], code: str) -> None:
    acl = api.call("CreateNetworkAcl", VpcId=api.vpc())["NetworkAcl"]["NetworkAclId"]
    api.call("CreateNetworkAclEntry", **entry(acl, 100))
    assert api.error("CreateNetworkAclEntry", **(entry(acl, 110) | more)) == code


def test_acl_08_10_11_16_entry_life(api: Api) -> None:
    acl = api.call("CreateNetworkAcl", VpcId=api.vpc())["NetworkAcl"]["NetworkAclId"]
    api.call("CreateNetworkAclEntry", **entry(acl, 100, CidrBlock="100.68.0.18/18"))
    api.call("CreateNetworkAclEntry", **entry(acl, 100, Egress=True))
    assert api.error("ReplaceNetworkAclEntry", **entry(acl, 90)) == "InvalidNetworkAclEntry.NotFound"
    api.call("ReplaceNetworkAclEntry", **entry(acl, 100, RuleAction="deny"))
    shown = api.call("DescribeNetworkAcls", NetworkAclIds=[acl])["NetworkAcls"][0]["Entries"]
    inbound = next(e for e in shown if e["RuleNumber"] == 100 and not e["Egress"])
    assert (inbound["RuleAction"], inbound["CidrBlock"]) == ("deny", "10.0.0.0/8")
    api.call("DeleteNetworkAclEntry", NetworkAclId=acl, RuleNumber=100, Egress=False)
    gone = {"NetworkAclId": acl, "RuleNumber": 100, "Egress": False}
    assert api.error("DeleteNetworkAclEntry", **gone) == "InvalidNetworkAclEntry.NotFound"


def test_acl_15_icmpv6_with_ipv4_block(api: Api) -> None:
    acl = api.call("CreateNetworkAcl", VpcId=api.vpc())["NetworkAcl"]["NetworkAclId"]
    api.call("CreateNetworkAclEntry", **entry(acl, 100, Protocol="58", IcmpTypeCode={"Type": 128, "Code": 0}))
    shown = api.call("DescribeNetworkAcls", NetworkAclIds=[acl])["NetworkAcls"][0]["Entries"]
    assert next(e for e in shown if e["RuleNumber"] == 100)["IcmpTypeCode"] == {"Type": -1, "Code": -1}


def test_acl_18_entry_quota() -> None:
    api = Api(quotas={"rules-per-network-acl": 2})
    acl = api.call("CreateNetworkAcl", VpcId=api.vpc())["NetworkAcl"]["NetworkAclId"]
    for number in (1, 2):
        api.call("CreateNetworkAclEntry", **entry(acl, number))
        api.call("CreateNetworkAclEntry", **entry(acl, number, Egress=True))
    assert api.error("CreateNetworkAclEntry", **entry(acl, 3)) == "NetworkAclEntryLimitExceeded"
    ipv6 = entry(acl, 3) | {"CidrBlock": None, "Ipv6CidrBlock": "::/0"}
    api.call("CreateNetworkAclEntry", **ipv6)  # D-12: counted per family


def test_acl_20_to_25_associations(api: Api) -> None:
    vpc, other = api.vpc(), api.vpc("10.1.0.0/16")
    subnet = api.subnet(vpc)
    default = api.call("DescribeNetworkAcls", Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])[
        "NetworkAcls"
    ][0]
    association = default["Associations"][0]["NetworkAclAssociationId"]
    acl = api.call("CreateNetworkAcl", VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    foreign = api.call("CreateNetworkAcl", VpcId=other)["NetworkAcl"]["NetworkAclId"]
    move = {"AssociationId": association}
    assert api.error("ReplaceNetworkAclAssociation", **move, NetworkAclId=foreign) == "InvalidParameterValue"
    new = api.call("ReplaceNetworkAclAssociation", **move, NetworkAclId=acl)["NewAssociationId"]
    assert new != association
    assert api.call("ReplaceNetworkAclAssociation", AssociationId=new, NetworkAclId=acl)["NewAssociationId"] == new
    assert api.error("ReplaceNetworkAclAssociation", **move, NetworkAclId=acl) == "InvalidAssociationID.NotFound"
    assert api.error("DeleteNetworkAcl", NetworkAclId=acl) == "DependencyViolation"
    assert api.error("DeleteNetworkAcl", NetworkAclId=default["NetworkAclId"]) == "InvalidParameterValue"


# ---------------------------------------------------------------------- Regions
def test_regions_and_zones(api: Api) -> None:
    names = {r["RegionName"] for r in api.call("DescribeRegions")["Regions"]}
    assert {"us-east-1", "eu-west-1"} <= names
    opted = api.call("DescribeRegions", Filters=[{"Name": "opt-in-status", "Values": ["opt-in-not-required"]}])[
        "Regions"
    ]
    assert 0 < len(opted) < len(names)
    zones = api.call("DescribeAvailabilityZones")["AvailabilityZones"]
    assert len(zones) >= 3
    assert all(z["ZoneId"] and z["GroupName"] for z in zones)
    assert api.error("DescribeRegions", RegionNames=["mars-1"]) == "InvalidParameterValue"
