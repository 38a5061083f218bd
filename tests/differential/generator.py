"""Random and directed VPCs and packets for the differential tests.

A VPC is built through the operations themselves, so that only what a user can make is tested. The vocabulary is small on
purpose: addresses, ports and blocks meet each other often, at their edges too.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from ringfence.model.net import Address
from ringfence.policy.packet import Packet

Call = Callable[..., Any]

PORTS = (22, 80, 443, 1024, 3306, 32768, 40000, 65535)
RANGES = (
    (80, 80),
    (22, 22),
    (443, 443),
    (1024, 65535),
    (32768, 65535),
    (0, 65535),
    (0, 1023),
    (3306, 3306),
    (81, 79 + 364),
)
BLOCKS4 = (
    "0.0.0.0/0",
    "10.0.0.0/24",
    "10.0.1.0/24",
    "10.0.0.0/16",
    "10.0.0.4/32",
    "10.0.1.4/31",
    "203.0.113.0/24",
    "203.0.113.9/32",
)
PROTOCOLS = ("-1", "6", "17", "1", "58", "47", "50")
#: the router's services and its own addresses, what is reserved, and what no internet has (UF-01..07, RT-09, NET-13, IGW-08)
ODD = (
    "169.254.169.254", "169.254.169.253", "10.0.0.2", "10.0.1.1", "169.254.168.1", "169.254.7.7", "0.0.0.7", "127.0.0.1",
    "169.254.169.123", "fd00:ec2::123",
    "224.0.0.5", "240.0.0.1", "255.255.255.255", "172.16.0.1", "192.168.0.1", "100.64.0.1", "198.18.0.77",
    "fd00:ec2::254", "fd00:ec2::253", "fd00:ec2::9", "fd52:4946:ffff::1", "fd99::1", "fe80::9", "ff02::1", "::1", "::9:9",
)  # fmt: skip
OUTSIDE4, OUTSIDE6 = ("203.0.113.9", "198.51.100.7"), ("2001:db8:ffff::9",)


@dataclass
class Site:
    """What was built: ids and addresses to aim packets at."""

    vpc: str
    prefix: str
    subnets: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    acls: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    instances: list[str] = field(default_factory=list)
    interfaces: list[dict[str, Any]] = field(default_factory=list)
    gateway: str = ""
    peers: list[str] = field(default_factory=list)  # VPCs that were joined to it
    service: list[str] = field(default_factory=list)  # the addresses that a gateway endpoint leads to

    @property
    def addresses(self) -> list[Address]:
        """Private, public and outside addresses."""
        out: list[str] = [*OUTSIDE4, *OUTSIDE6, "10.0.0.77", "10.0.1.99"]
        for eni in self.interfaces:
            out += [a["PrivateIpAddress"] for a in eni["PrivateIpAddresses"]]
            out += [a["Ipv6Address"] for a in eni["Ipv6Addresses"]]
            out += [a["Association"]["PublicIp"] for a in eni["PrivateIpAddresses"] if "Association" in a]
        return [ip_address(text) for text in out]


def build(call: Call, chance: random.Random, *, image: str, hostile: bool = True) -> Site:
    """A random VPC of two or three subnets, three groups, two custom ACLs and four or five instances."""
    vpc = call("CreateVpc", CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    block = call("DescribeVpcs", VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    site = Site(vpc, block.removesuffix("00::/56"))
    for number in range(3):
        made = call(
            "CreateSubnet", VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", Ipv6CidrBlock=f"{site.prefix}{number:02x}::/64"
        )
        site.subnets.append(made["Subnet"]["SubnetId"])
    _gateway(call, chance, site)
    _groups(call, chance, site)
    _acls(call, chance, site)
    _instances(call, chance, site, image)
    if hostile:
        _appliance(call, chance, site)
    refresh(call, site)
    return site


def refresh(call: Call, site: Site) -> None:
    """Read the interfaces again: addresses may have come or gone."""
    only = [{"Name": "vpc-id", "Values": [site.vpc, *site.peers]}]
    site.interfaces = call("DescribeNetworkInterfaces", Filters=only)["NetworkInterfaces"]


def _gateway(call: Call, chance: random.Random, site: Site) -> None:
    site.gateway = call("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    call("AttachInternetGateway", InternetGatewayId=site.gateway, VpcId=site.vpc)
    for subnet in site.subnets:
        if chance.random() < 0.75:
            table = call("CreateRouteTable", VpcId=site.vpc)["RouteTable"]["RouteTableId"]
            site.tables.append(table)
            call("AssociateRouteTable", RouteTableId=table, SubnetId=subnet)
            if chance.random() < 0.85:
                call("CreateRoute", RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=site.gateway)
            if chance.random() < 0.6:
                call("CreateRoute", RouteTableId=table, DestinationIpv6CidrBlock="::/0", GatewayId=site.gateway)


def blocks(site: Site) -> tuple[str, ...]:
    return (*BLOCKS4, "::/0", f"{site.prefix}00::/64", f"{site.prefix}01::/64", "2001:db8:ffff::/48")


def permission(chance: random.Random, site: Site) -> dict[str, Any]:
    """A random IpPermission with one peer."""
    protocol = chance.choice(PROTOCOLS)
    out: dict[str, Any] = {"IpProtocol": protocol}
    if protocol in ("6", "17"):
        out["FromPort"], out["ToPort"] = chance.choice(RANGES)
    elif protocol in ("1", "58"):
        out["FromPort"], out["ToPort"] = chance.choice(((-1, -1), (8, -1), (8, 0), (128, -1), (3, 4), (0, 0)))
    peer = chance.choice((*blocks(site), "group", "group"))
    if peer == "group":
        out["UserIdGroupPairs"] = [{"GroupId": chance.choice(site.groups)}]
    elif ":" in peer:
        out["Ipv6Ranges"] = [{"CidrIpv6": peer}]
    else:
        out["IpRanges"] = [{"CidrIp": peer}]
    return out


def tolerant(call: Call, action: str, **params: Any) -> bool:
    """A call that may be refused for a duplicate."""
    try:
        call(action, **params)
    except Exception as problem:
        code = getattr(problem, "code", None) or getattr(problem, "response", {}).get("Error", {}).get("Code", "")
        if code not in ("InvalidPermission.Duplicate", "NetworkAclEntryAlreadyExists", "RouteAlreadyExists"):
            raise
        return False
    return True


def _groups(call: Call, chance: random.Random, site: Site) -> None:
    for number in range(3):
        made = call("CreateSecurityGroup", GroupName=f"g{number}", Description="differential", VpcId=site.vpc)
        site.groups.append(made["GroupId"])
    for group in site.groups:
        if chance.random() < 0.5:
            found = call("DescribeSecurityGroups", GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
            call("RevokeSecurityGroupEgress", GroupId=group, IpPermissions=found)
            for _ in range(chance.randrange(4)):
                tolerant(call, "AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=[permission(chance, site)])
        for _ in range(chance.randrange(1, 6)):
            tolerant(call, "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[permission(chance, site)])


def acl_entry(chance: random.Random, site: Site) -> dict[str, Any]:
    """A random network ACL entry."""
    protocol = chance.choice(PROTOCOLS)
    out: dict[str, Any] = {
        "RuleNumber": chance.choice((50, 90, 100, 110, 120)), "Protocol": protocol, "Egress": chance.random() < 0.5,
        "RuleAction": chance.choice(("allow", "allow", "deny")),
    }  # fmt: skip
    block = chance.choice(blocks(site))
    out["Ipv6CidrBlock" if ":" in block else "CidrBlock"] = block
    if protocol in ("6", "17"):
        first, last = chance.choice(RANGES)
        out["PortRange"] = {"From": first, "To": last}
    elif protocol in ("1", "58"):
        kind, code = chance.choice(((-1, -1), (8, -1), (0, -1), (128, 0), (129, -1)))
        out["IcmpTypeCode"] = {"Type": kind, "Code": code}
    return out


def _acls(call: Call, chance: random.Random, site: Site) -> None:
    only = [{"Name": "vpc-id", "Values": [site.vpc]}, {"Name": "default", "Values": ["true"]}]
    default = call("DescribeNetworkAcls", Filters=only)["NetworkAcls"][0]
    for association in default["Associations"]:
        if chance.random() < 0.6:
            continue
        acl = call("CreateNetworkAcl", VpcId=site.vpc)["NetworkAcl"]["NetworkAclId"]
        site.acls.append(acl)
        wide = chance.random() < 0.7
        for egress in (False, True):
            if wide:
                common = {"NetworkAclId": acl, "Protocol": "-1", "RuleAction": "allow", "Egress": egress}
                call("CreateNetworkAclEntry", **common, RuleNumber=200, CidrBlock="0.0.0.0/0")
                call("CreateNetworkAclEntry", **common, RuleNumber=201, Ipv6CidrBlock="::/0")
        for _ in range(chance.randrange(1, 7)):
            tolerant(call, "CreateNetworkAclEntry", NetworkAclId=acl, **acl_entry(chance, site))
        id = association["NetworkAclAssociationId"]
        call("ReplaceNetworkAclAssociation", AssociationId=id, NetworkAclId=acl)


def _instances(call: Call, chance: random.Random, site: Site, image: str) -> None:
    for number in range(chance.choice((4, 5))):
        groups = chance.sample(site.groups, chance.choice((1, 1, 2)))
        interface = {
            "DeviceIndex": 0, "SubnetId": site.subnets[number % 3], "Groups": groups,
            "AssociatePublicIpAddress": chance.random() < 0.6, "Ipv6AddressCount": 1,
        }  # fmt: skip
        made = call(
            "RunInstances", ImageId=image, InstanceType="t3.nano", MinCount=1, MaxCount=1, NetworkInterfaces=[interface]
        )
        site.instances.append(made["Instances"][0]["InstanceId"])


def _appliance(call: Call, chance: random.Random, site: Site) -> None:
    """Sometimes a subnet's traffic to another goes through an interface whose source/destination check may be off."""
    refresh(call, site)
    for table in site.tables:
        if chance.random() < 0.35:
            eni = chance.choice(site.interfaces)["NetworkInterfaceId"]
            if chance.random() < 0.7:
                call("ModifyNetworkInterfaceAttribute", NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
            destination = chance.choice(("10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "203.0.113.0/24"))
            tolerant(call, "CreateRoute", RouteTableId=table, DestinationCidrBlock=destination, NetworkInterfaceId=eni)


def change(call: Call, chance: random.Random, site: Site) -> None:
    """One random change in the middle of conversations."""
    kind = chance.randrange(5)
    group = chance.choice(site.groups)
    if kind == 0:
        tolerant(call, "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=[permission(chance, site)])
    elif kind == 1:
        rules = call("DescribeSecurityGroupRules", Filters=[{"Name": "group-id", "Values": [group]}])[
            "SecurityGroupRules"
        ]
        if rules:
            rule = chance.choice(rules)
            verb = "RevokeSecurityGroupEgress" if rule["IsEgress"] else "RevokeSecurityGroupIngress"
            call(verb, GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    elif kind == 2 and site.acls:
        tolerant(call, "CreateNetworkAclEntry", NetworkAclId=chance.choice(site.acls), **acl_entry(chance, site))
    elif kind == 3:
        own = [eni for eni in site.interfaces if eni["VpcId"] == site.vpc]
        eni = chance.choice(own)["NetworkInterfaceId"]
        call(
            "ModifyNetworkInterfaceAttribute",
            NetworkInterfaceId=eni,
            Groups=chance.sample(site.groups, chance.choice((1, 2))),
        )
    else:
        tolerant(call, "AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=[permission(chance, site)])


def packet(chance: random.Random, site: Site, *, odd: bool = False) -> tuple[str, Packet]:
    """A random packet and who sends it (an interface id, or `internet`). `odd`: sometimes to or from an ODD address."""
    everyone = site.addresses + ([ip_address(text) for text in ODD] if odd and chance.random() < 0.15 else [])
    sender = chance.choice([*site.interfaces, None])
    if site.service and sender is not None and chance.random() < 0.6:
        return str(sender["NetworkInterfaceId"]), _to_service(chance, site, sender)
    own: list[Address]
    if sender is None:
        own = [ip_address(text) for text in (*OUTSIDE4, *OUTSIDE6)]
    else:
        own = [ip_address(sender["PrivateIpAddress"]), ip_address(sender["Ipv6Addresses"][0]["Ipv6Address"])]
    source = chance.choice(own) if chance.random() < 0.95 else chance.choice(everyone)
    target = chance.choice([a for a in everyone if a.version == source.version and a != source])
    protocol = chance.choice((6, 6, 6, 17, 17, 1 if source.version == 4 else 58, 47, 50))
    made = Packet(
        src=source, dst=target, protocol=protocol,
        sport=chance.choice((40000, 1024, 2000, 32768, 65535)) if protocol in (6, 17) else 0,
        dport=chance.choice((*PORTS, 53, 67, 123)) if protocol in (6, 17) else 0,
        icmp_type=chance.choice((8, 8, 8, 0, 3, 11)) if protocol == 1 else chance.choice((128, 128, 1, 129)) if protocol == 58 else 0,
        icmp_code=chance.choice((0, 0, 4)) if protocol in (1, 58) else 0,
    )  # fmt: skip
    return ("internet" if sender is None else str(sender["NetworkInterfaceId"])), made


def _to_service(chance: random.Random, site: Site, sender: dict[str, Any]) -> Packet:
    """To what a gateway endpoint may lead to: most of the time what it answers."""
    protocol, port = chance.choice(
        ((6, 443), (6, 443), (6, 443), (6, 80), (6, 444), (17, 443), (1, 0), (1, 0), (47, 0))
    )
    return Packet(
        src=ip_address(sender["PrivateIpAddress"]), dst=ip_address(chance.choice(site.service)), protocol=protocol,
        sport=chance.choice((40000, 1024, 65535)) if port else 0, dport=port, icmp_type=8 if protocol == 1 else 0,
    )  # fmt: skip
