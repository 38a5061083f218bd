"""Networks of two accounts and three Regions in one directory: recorded of the API itself, a Terraform plan and a Terraform state.

Three VPCs have the same addresses. What the recordings are changed in by hand, the API cannot make: a NAT gateway, and a list of AWS
by its own id.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringfence.api.ops.ec2.images import builtin_images
from ringfence.model.aws_prefix_lists import service_list
from ringfence.model.kinds import IMAGE
from ringfence.model.world import put
from tests.api.ops.ec2.test_peering import FAR, OTHER, Parties, named
from tests.api.ops.harness import ACCOUNT, REGION, tcp
from tests.insight.imports.recording import Documents, recorded
from tests.insight.imports.test_terraform import base, state

S3_LIST, NAT = "pl-63a5400a", "nat-0123456789abcdef0"  # AWS's own id of the list in us-east-1
PUBLIC, IPV6 = "54.170.1.2", "2a05:d018:1234:ab"  # AWS's in eu-west-1
S3_BLOCKS, S3_AT = ("3.5.0.0/19", "52.216.0.0/15"), "52.216.0.1"  # AWS's blocks of the list
UNREAD = "pl-0123456789abcdef0"
ANY, ANY6 = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, {"Ipv6Ranges": [{"CidrIpv6": "::/0"}]}


@dataclass
class Rich:
    """`documents`: by path. `names`: what tests call instances and addresses."""

    documents: Documents
    names: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """A directory of them."""
        for name, document in self.documents.items():
            file = folder / f"{name.replace(' ', '-').removesuffix('.json')}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(document))
        return folder


def rich() -> Rich:
    """The networks."""
    api, found = Parties(seed=7), Rich({})
    for region in (REGION, FAR):
        api.world = api.world.apply(put(IMAGE, *builtin_images(region)))
    image = api.image()
    near = _Builder(api, found, image, api.vpc("10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True))
    with api.acting():
        far = _Builder(api, found, image, api.vpc("10.1.0.0/16"))
    pcx = api.request(near.vpc, far.vpc, PeerOwnerId=OTHER)
    with api.acting():
        api.accept(pcx)
    groups = _near(near, pcx)
    with api.acting():
        _far(far, pcx, groups["app"])
    with api.acting(region=FAR):
        prefix, public = _twin(
            _Builder(api, found, api.image(), api.vpc("10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True))
        )
    api.settle()
    for account, region in ((ACCOUNT, REGION), (OTHER, REGION), (OTHER, FAR)):
        with api.acting(account, region):
            found.documents |= {f"{account}/{region}/{name}": each for name, each in recorded(api.call).items()}
    _by_hand(found, f"{ACCOUNT}/{REGION}", near.tables["private"])
    _as_on_aws(found, f"{OTHER}/{FAR}", {prefix: IPV6, public: PUBLIC})
    found.documents[f"{ACCOUNT}/eu-west-1/plan"] = base().document
    found.documents["state"] = state()
    return found


class _Builder:
    """One VPC."""

    def __init__(self, api: Parties, found: Rich, image: str, vpc: str) -> None:
        self.api, self.found, self.image, self.vpc, self.call = api, found, image, vpc, api.call
        self.tables: dict[str, str] = {}

    def group(self, name: str, *ingress: dict[str, Any]) -> str:
        made = self.api.group(self.vpc, name)
        self.call("AuthorizeSecurityGroupIngress", GroupId=made, IpPermissions=list(ingress))
        return made

    def table(self, name: str, subnet: str, *routes: dict[str, str]) -> str:
        made = self.call("CreateRouteTable", VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.call("AssociateRouteTable", RouteTableId=made, SubnetId=subnet)
        for route in routes:
            self.call("CreateRoute", RouteTableId=made, **route)
        self.tables[name] = made
        return str(made)

    def instance(self, name: str, subnet: str, *groups: str, **interface: Any) -> str:
        interface = {"DeviceIndex": 0, "SubnetId": subnet, "Groups": list(groups), **interface}
        made = self.call(
            "RunInstances",
            ImageId=self.image,
            InstanceType="t3.nano",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[interface],
        )
        id = str(made["Instances"][0]["InstanceId"])
        self.found.names[name] = id
        return id


def _near(b: _Builder, pcx: str) -> dict[str, str]:
    """Web, application and data tiers: a group names a group, a network ACL denies, a list names clients."""
    block = b.call("DescribeVpcs", VpcIds=[b.vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    public = b.api.subnet(b.vpc, "10.0.0.0/24", Ipv6CidrBlock=f"{block.removesuffix('/56')}/64")
    private = b.api.subnet(b.vpc, "10.0.1.0/24")
    gateway = b.api.gateway(b.vpc)
    clients = b.call("CreateManagedPrefixList", PrefixListName="clients", MaxEntries=3, AddressFamily="IPv4",
                     Entries=[{"Cidr": "203.0.113.0/24"}])["PrefixList"]["PrefixListId"]  # fmt: skip
    ways: tuple[tuple[str, str], ...] = (
        ("DestinationPrefixListId", clients), ("DestinationCidrBlock", "198.51.100.0/24"), ("DestinationIpv6CidrBlock", "::/0"),
    )  # fmt: skip
    b.table("public", public, *({key: to, "GatewayId": gateway} for key, to in ways))
    table = b.table("private", private, {"DestinationCidrBlock": "10.1.0.0/16", "VpcPeeringConnectionId": pcx})
    b.call("CreateVpcEndpoint", VpcId=b.vpc, ServiceName=f"com.amazonaws.{REGION}.s3", RouteTableIds=[table])
    web = b.group(
        "web", {**tcp(80), **ANY, **ANY6}, {**tcp(2222), "IpRanges": [], "PrefixListIds": [{"PrefixListId": clients}]}
    )
    app = b.group(
        "app",
        {**tcp(8080), "IpRanges": [], "UserIdGroupPairs": [{"GroupId": web}]},
        {**tcp(23), **ANY},
        {**tcp(443), **ANY},
    )
    _deny(b, private, 23)
    first = b.instance("web", public, web, Ipv6AddressCount=1)
    b.instance("app", private, app)
    b.instance(
        "db",
        private,
        b.group("db", {**tcp(3306), "IpRanges": [], "UserIdGroupPairs": [{"GroupId": app}]}, {**tcp(23), **ANY}),
    )
    eni = b.call("DescribeInstances", InstanceIds=[first])["Reservations"][0]["Instances"][0]["NetworkInterfaces"][0]
    address = b.call("AllocateAddress")
    b.call("AssociateAddress", AllocationId=address["AllocationId"], NetworkInterfaceId=eni["NetworkInterfaceId"])
    b.found.names["spare"] = b.api.interface(private, app, PrivateIpAddress="10.0.1.200")
    return {"web": web, "app": app}


def _deny(b: _Builder, subnet: str, port: int) -> None:
    """ACL-30: a network ACL of its own for the subnet, which denies one port and lets the rest through."""
    acl = b.call("CreateNetworkAcl", VpcId=b.vpc)["NetworkAcl"]["NetworkAclId"]
    entry = {"NetworkAclId": acl, "CidrBlock": "0.0.0.0/0"}
    b.call(
        "CreateNetworkAclEntry",
        **entry,
        RuleNumber=50,
        Egress=False,
        Protocol="6",
        RuleAction="deny",
        PortRange={"From": port, "To": port},
    )
    for egress in (False, True):
        b.call("CreateNetworkAclEntry", **entry, RuleNumber=100, Egress=egress, Protocol="-1", RuleAction="allow")
    for held in b.call("DescribeNetworkAcls", Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])[
        "NetworkAcls"
    ]:
        for association in held["Associations"]:
            if association["SubnetId"] == subnet:
                b.call(
                    "ReplaceNetworkAclAssociation",
                    AssociationId=association["NetworkAclAssociationId"],
                    NetworkAclId=acl,
                )


def _far(b: _Builder, pcx: str, app: str) -> None:
    """The peer, of another account, which names a group of the first (SG-52)."""
    subnet = b.api.subnet(b.vpc, "10.1.0.0/24")
    b.table("far", subnet, {"DestinationCidrBlock": "10.0.0.0/16", "VpcPeeringConnectionId": pcx})
    b.instance(
        "peer",
        subnet,
        b.group("peer", {**named(app, UserId=ACCOUNT), **tcp(5432, "10.9.0.0/16")}),
        PrivateIpAddress="10.1.0.10",
    )


def _twin(b: _Builder) -> tuple[str, str]:
    """Another Region's VPC with the addresses of the first, and its own rules. Its IPv6 prefix, and what the first has in public."""
    block = b.call("DescribeVpcs", VpcIds=[b.vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    prefix = block.removesuffix("00::/56")
    subnet = b.api.subnet(b.vpc, "10.0.0.0/24", Ipv6CidrBlock=f"{prefix}00::/64")
    gateway = b.api.gateway(b.vpc)
    ways = ({"DestinationCidrBlock": "0.0.0.0/0"}, {"DestinationIpv6CidrBlock": "::/0"})
    b.table("twin", subnet, *({**way, "GatewayId": gateway} for way in ways))
    group = b.group("twin", {**tcp(443), **ANY, **ANY6})
    first = b.instance(
        "twin", subnet, group, PrivateIpAddress="10.0.0.4", AssociatePublicIpAddress=True, Ipv6AddressCount=1
    )
    b.instance("sister", subnet, group, PrivateIpAddress="10.0.0.5")
    held = b.call("DescribeInstances", InstanceIds=[first])["Reservations"][0]["Instances"][0]
    return prefix, held["PublicIpAddress"]


def _by_hand(found: Rich, place: str, table_id: str) -> None:
    """The rest of the world by a NAT gateway, and AWS's own id and blocks of the list of S3."""
    ours = service_list(REGION, "s3")
    assert ours is not None
    documents = {
        name: json.loads(json.dumps(each).replace(ours.id, S3_LIST))
        for name, each in found.documents.items()
        if name.startswith(place)
    }
    for document in documents.values():
        for listed in document.get("PrefixLists", ()):
            if listed["PrefixListId"] == S3_LIST and "Cidrs" in listed:
                listed["Cidrs"] = list(S3_BLOCKS)
        for table in document.get("RouteTables", ()):
            if table["RouteTableId"] == table_id:
                table["Routes"].append(
                    {
                        "DestinationCidrBlock": "0.0.0.0/0",
                        "NatGatewayId": NAT,
                        "State": "active",
                        "Origin": "CreateRoute",
                    }
                )
    found.documents |= documents


def _as_on_aws(found: Rich, place: str, instead: dict[str, str]) -> None:
    """Addresses as AWS gives them, and a rule with a list whose entries were not recorded."""
    for name in [name for name in found.documents if name.startswith(place)]:
        text = json.dumps(found.documents[name])
        for old, new in instead.items():
            text = text.replace(old, new)
        found.documents[name] = json.loads(text)
        for group in found.documents[name].get("SecurityGroups", ()):
            if group["GroupName"] == "twin":
                peers = {
                    "IpRanges": [],
                    "Ipv6Ranges": [],
                    "UserIdGroupPairs": [],
                    "PrefixListIds": [{"PrefixListId": UNREAD}],
                }
                group["IpPermissions"].append({"IpProtocol": "tcp", "FromPort": 9443, "ToPort": 9443, **peers})
