"""Rules aimed at what random ones seldom show: the order of ACL entries, ACLs inside one subnet, references and appliances.

A prototype's random packets noticed "ACL entries read backwards" once in 6,000 and "ACLs applied inside a subnet" never.
"""

from __future__ import annotations

import random
from ipaddress import ip_network
from typing import Any

from tests.differential.generator import Call, Site, refresh, tolerant


def strict(call: Call, chance: random.Random, site: Site) -> None:
    """Groups that let all through, and one ACL for every subnet whose entries overlap with opposite actions."""
    for group in site.groups:
        everything: dict[str, Any] = {
            "IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8"}, {"CidrIp": "203.0.113.0/25"}],
            "Ipv6Ranges": [{"CidrIpv6": "fd00::/8"}],
        }  # fmt: skip
        call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[everything])
        call("AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=[everything])
    acl = call("CreateNetworkAcl", VpcId=site.vpc)["NetworkAcl"]["NetworkAclId"]
    site.acls.append(acl)
    for egress in (False, True):
        _overlapping(call, chance, acl, egress)
    only = [{"Name": "vpc-id", "Values": [site.vpc]}]
    for found in call("DescribeNetworkAcls", Filters=only)["NetworkAcls"]:
        for association in found["Associations"]:
            if chance.random() < 0.8:
                id = association["NetworkAclAssociationId"]
                call("ReplaceNetworkAclAssociation", AssociationId=id, NetworkAclId=acl)


def _overlapping(call: Call, chance: random.Random, acl: str, egress: bool) -> None:
    """Narrow before wide and wide before narrow, allow and deny in turn, then all of TCP and UDP in one family."""
    first = chance.choice((True, False))
    low = chance.choice((80, 443, 1000))
    wide, narrow = (low, low + chance.choice((0, 100, 30000))), (low, low)
    ranges = [narrow, wide] if chance.random() < 0.5 else [wide, narrow]
    for number, (ports, block) in enumerate(zip(ranges, ("10.0.0.0/16", "10.0.0.0/23"), strict=True)):
        call(
            "CreateNetworkAclEntry", NetworkAclId=acl, RuleNumber=10 + number, Egress=egress, Protocol="6",
            RuleAction="allow" if (number == 0) is first else "deny", CidrBlock=block,
            PortRange={"From": ports[0], "To": ports[1]},
        )  # fmt: skip
    last = chance.choice((1024, 2000, 32768))
    for number, protocol in ((50, "6"), (51, "17")):
        call(
            "CreateNetworkAclEntry", NetworkAclId=acl, RuleNumber=number, Egress=egress, Protocol=protocol,
            RuleAction="allow", CidrBlock="0.0.0.0/0", PortRange={"From": last, "To": 65535},
        )  # fmt: skip


def referring(call: Call, chance: random.Random, site: Site) -> None:
    """Groups that let in by reference only, and a subnet whose traffic to another goes through an open appliance."""
    for group in site.groups:
        found = call("DescribeSecurityGroups", GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
        if found:
            call("RevokeSecurityGroupIngress", GroupId=group, IpPermissions=found)
        pairs = [{"GroupId": other} for other in site.groups]
        permission = {"IpProtocol": chance.choice(("-1", "-1", "47")), "UserIdGroupPairs": pairs}
        call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[permission])
    appliance = chance.choice(site.interfaces)["NetworkInterfaceId"]
    call("ModifyNetworkInterfaceAttribute", NetworkInterfaceId=appliance, SourceDestCheck={"Value": False})
    call("ModifyNetworkInterfaceAttribute", NetworkInterfaceId=appliance, Groups=[_open(call, site)])
    for table in site.tables:
        for number in range(3):
            tolerant(
                call, "CreateRoute", RouteTableId=table, DestinationCidrBlock=f"10.0.{number}.0/24",
                NetworkInterfaceId=appliance,
            )  # fmt: skip


def _open(call: Call, site: Site) -> str:
    """A group that lets everything through."""
    made: str = call("CreateSecurityGroup", GroupName="open", Description="differential", VpcId=site.vpc)["GroupId"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    call("AuthorizeSecurityGroupIngress", GroupId=made, IpPermissions=everything)
    return made


# ---------------------------------------------------------------------- by the operations of prefix lists and peering
def _list(call: Call, name: str, *blocks: str) -> str:
    made = call(
        "CreateManagedPrefixList", PrefixListName=name, MaxEntries=len(blocks) + 1,
        AddressFamily="IPv6" if ":" in blocks[0] else "IPv4", Entries=[{"Cidr": block} for block in blocks],
    )  # fmt: skip
    return str(made["PrefixList"]["PrefixListId"])


def listed(call: Call, chance: random.Random, site: Site) -> None:
    """Groups that let in by list only, and ways to the internet by list, one of which an address block contradicts."""
    wide = chance.choice((("0.0.0.0/0",), ("10.0.0.0/24", "203.0.113.0/25")))
    four, six = _list(call, "four", *wide), _list(call, "six", f"{site.prefix}00::/63", "2001:db8:ffff::/48")
    for group in site.groups:
        found = call("DescribeSecurityGroups", GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
        if found:
            call("RevokeSecurityGroupIngress", GroupId=group, IpPermissions=found)
        for which in (four, six):
            rule: dict[str, Any] = {"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": which}]}
            if chance.random() < 0.5:
                rule |= {
                    "IpProtocol": chance.choice(("6", "17")),
                    "FromPort": 80,
                    "ToPort": chance.choice((80, 443, 65535)),
                }
            call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[rule])
    outside = _list(call, "outside", "203.0.113.0/24", "198.51.100.0/24")
    appliance = chance.choice(site.interfaces)["NetworkInterfaceId"]
    for table in site.tables:
        call("CreateRoute", RouteTableId=table, DestinationPrefixListId=outside, GatewayId=site.gateway)
        if chance.random() < 0.5:
            tolerant(
                call, "CreateRoute", RouteTableId=table, DestinationCidrBlock=chance.choice(("198.51.100.0/24", "198.51.100.0/28")),
                NetworkInterfaceId=appliance,
            )  # fmt: skip


def peered(call: Call, chance: random.Random, site: Site) -> None:
    """A second VPC of two instances; either side's routes may be missing; a group of the one is named by one of the other."""
    image = call("DescribeInstances", InstanceIds=site.instances[:1])["Reservations"][0]["Instances"][0]["ImageId"]
    vpc = call("CreateVpc", CidrBlock="10.1.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    block = call("DescribeVpcs", VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    prefix = block.removesuffix("00::/56")
    subnet = call("CreateSubnet", VpcId=vpc, CidrBlock="10.1.0.0/24", Ipv6CidrBlock=f"{prefix}00::/64")["Subnet"][
        "SubnetId"
    ]
    group = call("CreateSecurityGroup", GroupName="far", Description="differential", VpcId=vpc)["GroupId"]
    site.peers.append(vpc)
    made = call("CreateVpcPeeringConnection", VpcId=site.vpc, PeerVpcId=vpc)["VpcPeeringConnection"]
    pcx = made["VpcPeeringConnectionId"]
    call("AcceptVpcPeeringConnection", VpcPeeringConnectionId=pcx)
    _until_active(call, pcx)
    for table, ways in _ways(call, chance, site, vpc, block).items():
        for way in ways:
            tolerant(call, "CreateRoute", RouteTableId=table, VpcPeeringConnectionId=pcx, **way)
    near = chance.choice(site.groups)
    pair = [{"GroupId": near, "VpcPeeringConnectionId": pcx}]
    call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": pair}])
    pair = [{"GroupId": group, "VpcPeeringConnectionId": pcx}]
    tolerant(
        call,
        "AuthorizeSecurityGroupIngress",
        GroupId=near,
        IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": pair}],
    )
    for groups in ([group], [_default(call, vpc)]):
        interface = {"DeviceIndex": 0, "SubnetId": subnet, "Groups": groups, "Ipv6AddressCount": 1}
        ran = call(
            "RunInstances", ImageId=image, InstanceType="t3.nano", MinCount=1, MaxCount=1, NetworkInterfaces=[interface]
        )
        site.instances.append(ran["Instances"][0]["InstanceId"])
    refresh(call, site)


def _until_active(call: Call, pcx: str) -> None:
    for _ in range(100):
        found = call("DescribeVpcPeeringConnections", VpcPeeringConnectionIds=[pcx])["VpcPeeringConnections"][0]
        if found["Status"]["Code"] == "active":
            return
    raise AssertionError(found)


def _ways(call: Call, chance: random.Random, site: Site, vpc: str, block: str) -> dict[str, list[dict[str, str]]]:
    """Of each table of both VPCs the routes to the other, most of the time; sometimes a part of it only."""
    tables = call("DescribeRouteTables", Filters=[{"Name": "vpc-id", "Values": [site.vpc, vpc]}])["RouteTables"]
    out: dict[str, list[dict[str, str]]] = {}
    for table in tables:
        here = table["VpcId"] == vpc
        four = "10.0.0.0/16" if here else chance.choice(("10.1.0.0/16", "10.1.0.0/28", "10.0.0.0/8"))
        six = f"{site.prefix}00::/56" if here else block
        ways = [{"DestinationCidrBlock": four}, {"DestinationIpv6CidrBlock": six}]
        out[table["RouteTableId"]] = [way for way in ways if chance.random() < 0.85]
    return out


def _default(call: Call, vpc: str) -> str:
    """The VPC's default group, open to everything."""
    only = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    found: str = call("DescribeSecurityGroups", Filters=only)["SecurityGroups"][0]["GroupId"]
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    call("AuthorizeSecurityGroupIngress", GroupId=found, IpPermissions=[everything])
    return found


# ---------------------------------------------------------------------- by the operations of gateway endpoints
SERVICE = "com.amazonaws.us-east-1.s3"


def served(call: Call, chance: random.Random, site: Site) -> None:
    """A gateway endpoint for some route tables, longer prefixes that lead elsewhere, and groups and ACLs that know the service's list
    or its addresses."""
    named = [{"Name": "prefix-list-name", "Values": [SERVICE]}]
    listed = call("DescribeManagedPrefixLists", Filters=named)["PrefixLists"][0]["PrefixListId"]
    block = call("GetManagedPrefixListEntries", PrefixListId=listed)["Entries"][0]["Cidr"]
    site.service = [str(each) for each in ip_network(block)]
    only = [{"Name": "vpc-id", "Values": [site.vpc]}]
    tables = [each["RouteTableId"] for each in call("DescribeRouteTables", Filters=only)["RouteTables"]]
    some = [each for each in tables if chance.random() < 0.75] or tables[:1]
    call("CreateVpcEndpoint", VpcId=site.vpc, ServiceName=SERVICE, RouteTableIds=some)
    half = str(next(ip_network(block).subnets()))
    for table in site.tables:
        if chance.random() < 0.25:
            ways = ({"GatewayId": site.gateway}, {"NetworkInterfaceId": site.interfaces[0]["NetworkInterfaceId"]})
            tolerant(call, "CreateRoute", RouteTableId=table, DestinationCidrBlock=half, **chance.choice(ways))
    for group in site.groups:
        rule: dict[str, Any] = {"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": listed}]}
        if chance.random() < 0.5:
            rule |= {"IpProtocol": "6", "FromPort": 443, "ToPort": 443}
        if chance.random() < 0.7:
            call("AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=[rule])
    for acl in site.acls:
        entry = {
            "NetworkAclId": acl,
            "RuleNumber": 40,
            "Egress": chance.random() < 0.5,
            "CidrBlock": chance.choice((block, half)),
        }
        action = chance.choice(("deny", "allow"))
        tolerant(call, "CreateNetworkAclEntry", **entry, Protocol=chance.choice(("-1", "6")), RuleAction=action,
                 PortRange={"From": 443, "To": chance.choice((443, 65535))})  # fmt: skip
