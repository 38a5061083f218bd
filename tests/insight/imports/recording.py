"""What `aws ec2 describe-*` would record of a network, asked of the API itself; and small documents by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ringfence.insight.imports.load import Network, from_documents

Call = Callable[..., dict[str, Any]]
Documents = dict[str, Any]
OPERATIONS = (
    "DescribeVpcs", "DescribeSubnets", "DescribeSecurityGroups", "DescribeSecurityGroupRules", "DescribeNetworkAcls",
    "DescribeRouteTables", "DescribeInternetGateways", "DescribeAddresses", "DescribeNetworkInterfaces",
    "DescribeInstances", "DescribeDhcpOptions", "DescribePrefixLists", "DescribeManagedPrefixLists", "DescribeVpcEndpoints",
    "DescribeVpcPeeringConnections",
)  # fmt: skip


def recorded(call: Call) -> Documents:
    """One document for each operation, under names that say nothing."""
    found = {f"{number}.json": _plain(call(name)) for number, name in enumerate(OPERATIONS)}
    for vpc in call("DescribeVpcs")["Vpcs"]:
        for attribute in ("enableDnsSupport", "enableDnsHostnames"):
            answer = call("DescribeVpcAttribute", VpcId=vpc["VpcId"], Attribute=attribute)
            found[f"{vpc['VpcId']} {attribute}"] = _plain(answer)
    for held in call("DescribeManagedPrefixLists")["PrefixLists"]:
        if held["OwnerId"] != "AWS":
            answer = call("GetManagedPrefixListEntries", PrefixListId=held["PrefixListId"])
            found[f"entries of {held['PrefixListId']}"] = _plain(answer)
    return found


def _plain(value: Any) -> Any:
    """As the AWS CLI prints it: times are text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def imported(documents: Documents, **options: Any) -> Network:
    """The network of documents."""
    from ringfence.insight.imports.draft import Options

    return from_documents(documents.items(), Options(**options))


VPC, SUBNET, TABLE, ACL, GROUP, ENI, IGW, INSTANCE = (
    "vpc-00000000000000001", "subnet-00000000000000001", "rtb-00000000000000001", "acl-00000000000000001",
    "sg-00000000000000001", "eni-00000000000000001", "igw-00000000000000001", "i-00000000000000001",
)  # fmt: skip
OTHER, NEIGHBOUR = "eni-00000000000000002", "i-00000000000000002"
_ALL = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def site() -> Documents:
    """A VPC with one subnet, an internet gateway, a group that lets in tcp 80, and two running instances."""
    return copy.deepcopy({
        "vpcs": {"Vpcs": [{"VpcId": VPC, "CidrBlock": "10.0.0.0/16", "OwnerId": "111122223333", "State": "available"}]},
        "subnets": {"Subnets": [{"SubnetId": SUBNET, "VpcId": VPC, "CidrBlock": "10.0.0.0/24",
                                 "AvailabilityZone": "eu-west-1a"}]},
        "groups": {"SecurityGroups": [{
            "GroupId": GROUP, "VpcId": VPC, "GroupName": "default", "Description": "d", "OwnerId": "111122223333",
            "IpPermissions": [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
            "IpPermissionsEgress": [_ALL],
        }]},
        "acls": {"NetworkAcls": [{
            "NetworkAclId": ACL, "VpcId": VPC, "IsDefault": True,
            "Associations": [{"NetworkAclAssociationId": "aclassoc-1", "NetworkAclId": ACL, "SubnetId": SUBNET}],
            "Entries": [
                {"RuleNumber": n, "Protocol": "-1", "RuleAction": action, "Egress": out, "CidrBlock": "0.0.0.0/0"}
                for out in (True, False) for n, action in ((100, "allow"), (32767, "deny"))
            ],
        }]},
        "tables": {"RouteTables": [{
            "RouteTableId": TABLE, "VpcId": VPC, "Associations": [{"Main": True, "RouteTableAssociationId": "rtbassoc-1"}],
            "Routes": [
                {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"},
                {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": IGW, "State": "active"},
            ],
        }]},
        "gateways": {"InternetGateways": [{"InternetGatewayId": IGW, "Attachments": [{"VpcId": VPC, "State": "available"}]}]},
        "instances": {"Reservations": [{"ReservationId": "r-1", "OwnerId": "111122223333", "Instances": [
            {"InstanceId": id, "SubnetId": SUBNET, "VpcId": VPC, "State": {"Code": 16, "Name": "running"}}
            for id in (INSTANCE, NEIGHBOUR)
        ]}]},
        "interfaces": {"NetworkInterfaces": [
            {"NetworkInterfaceId": eni, "SubnetId": SUBNET, "VpcId": VPC, "PrivateIpAddress": address, "InterfaceType": "interface",
             "PrivateIpAddresses": [{"PrivateIpAddress": address, "Primary": True}], "Groups": [{"GroupId": GROUP}],
             "Attachment": {"InstanceId": instance, "DeviceIndex": 0, "AttachmentId": "eni-attach-1"},
             "SourceDestCheck": True,
             **({"Association": {"PublicIp": "54.1.2.3", "IpOwnerId": "amazon"}} if eni == ENI else {})}
            for eni, instance, address in ((ENI, INSTANCE, "10.0.0.10"), (OTHER, NEIGHBOUR, "10.0.0.11"))
        ]},
    })  # fmt: skip
