"""Guard rails: preventive access scopes refuse what would open one of their paths, before it is made."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence.model.nouns.network_insights import GUARD_TAG, OVERRIDE_TAG
from tests.api.front import Front

IGW = {"ResourceStatement": {"ResourceTypes": ["AWS::EC2::InternetGateway"]}}
SSH = {"PacketHeaderStatement": {"Protocols": ["tcp"], "DestinationPorts": ["22"]}}
ANYWHERE = [{"CidrIp": "0.0.0.0/0"}]


def ssh(**peer: Any) -> list[dict[str, Any]]:
    return [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **(peer or {"IpRanges": ANYWHERE})}]


class Site:
    """A VPC with a public and a private subnet, a host with a public address in the first; a scope against SSH from the internet."""

    def __init__(self) -> None:
        self.front = Front()
        self.ec2: Any = self.front.client("ec2")
        ec2 = self.ec2
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.public = ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        self.gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.group = ec2.create_security_group(GroupName="g", Description="g", VpcId=self.vpc)["GroupId"]
        self.open = ec2.create_security_group(GroupName="open", Description="open", VpcId=self.vpc)["GroupId"]
        made = ec2.create_network_interface(SubnetId=self.public, Groups=[self.group])["NetworkInterface"]
        self.eni = made["NetworkInterfaceId"]
        self.address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        ec2.associate_address(AllocationId=self.address, NetworkInterfaceId=self.eni)
        self.acl = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])["NetworkAcls"][0][
            "NetworkAclId"
        ]
        self.scope = self.make(MatchPaths=[{"Source": {**IGW, **SSH}}], name="no ssh")

    def make(self, name: str, **content: Any) -> str:
        tags = [{"Key": "Name", "Value": name}, {"Key": GUARD_TAG, "Value": "prevent"}]
        specification = [{"ResourceType": "network-insights-access-scope", "Tags": tags}]
        made = self.ec2.create_network_insights_access_scope(TagSpecifications=specification, **content)
        return str(made["NetworkInsightsAccessScope"]["NetworkInsightsAccessScopeId"])

    def refused(self, call: Callable[..., Any], **given: Any) -> str:
        """The message of a refusal; nothing has changed."""
        before = self.front.store.world
        with pytest.raises(ClientError) as problem:
            call(**given)
        assert problem.value.response["Error"]["Code"] == "OperationNotPermitted", problem.value
        assert self.front.store.world is before
        return str(problem.value.response["Error"]["Message"])


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_rule_that_opens_a_path_is_refused_with_the_path_and_the_rule(site: Site) -> None:
    text = site.refused(site.ec2.authorize_security_group_ingress, GroupId=site.group, IpPermissions=ssh())
    assert f"{site.scope} (no ssh)" in text
    assert f"{site.gateway} to {site.eni} (198.1" in text
    assert "tcp 22" in text
    assert re.search(f"sgr-[0-9a-f]+ of {site.group}", text)
    assert f"entry 100 of {site.acl}" in text
    web = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": ANYWHERE}]
    site.ec2.authorize_security_group_ingress(GroupId=site.group, IpPermissions=web)  # not what it is about
    inside = ssh(IpRanges=[{"CidrIp": "10.0.0.0/8"}])
    site.ec2.authorize_security_group_ingress(GroupId=site.group, IpPermissions=inside)


def test_a_wider_rule_is_refused_for_what_it_holds(site: Site) -> None:
    everything = [{"IpProtocol": "-1", "IpRanges": ANYWHERE}]
    assert "tcp 22" in site.refused(
        site.ec2.authorize_security_group_ingress, GroupId=site.group, IpPermissions=everything
    )


def test_dry_run_says_the_same(site: Site) -> None:
    ask = {"GroupId": site.group, "IpPermissions": ssh(), "DryRun": True}
    site.refused(site.ec2.authorize_security_group_ingress, **ask)
    inside = {**ask, "IpPermissions": ssh(IpRanges=[{"CidrIp": "10.0.0.0/8"}])}
    with pytest.raises(ClientError, match="DryRunOperation"):
        site.ec2.authorize_security_group_ingress(**inside)


def test_every_other_way_to_open_it_is_refused_too(site: Site) -> None:
    """Groups of an interface, a new interface with an address, a gateway, a network ACL."""
    site.ec2.authorize_security_group_ingress(GroupId=site.open, IpPermissions=ssh())  # nobody carries it yet
    site.refused(site.ec2.modify_network_interface_attribute, NetworkInterfaceId=site.eni, Groups=[site.open])
    quiet = site.ec2.create_network_interface(SubnetId=site.public, Groups=[site.open])["NetworkInterface"]
    second = site.ec2.allocate_address(Domain="vpc")["AllocationId"]
    give = {"AllocationId": second, "NetworkInterfaceId": quiet["NetworkInterfaceId"]}
    site.refused(site.ec2.associate_address, **give)
    deny = {"NetworkAclId": site.acl, "RuleNumber": 10, "Protocol": "-1", "RuleAction": "deny", "Egress": False}
    site.ec2.create_network_acl_entry(**deny, CidrBlock="0.0.0.0/0")
    site.ec2.associate_address(**give)  # behind a closed network ACL
    site.refused(site.ec2.delete_network_acl_entry, NetworkAclId=site.acl, RuleNumber=10, Egress=False)


def test_what_is_open_already_stays_and_may_be_closed(site: Site) -> None:
    """Only what a call opens is refused."""
    site.ec2.delete_tags(Resources=[site.scope], Tags=[{"Key": GUARD_TAG}])
    site.ec2.authorize_security_group_ingress(GroupId=site.group, IpPermissions=ssh())
    site.ec2.create_tags(Resources=[site.scope], Tags=[{"Key": GUARD_TAG, "Value": "prevent"}])
    site.ec2.create_security_group(GroupName="other", Description="other", VpcId=site.vpc)
    site.ec2.create_tags(Resources=[site.eni], Tags=[{"Key": "a", "Value": "b"}])
    site.ec2.revoke_security_group_ingress(GroupId=site.group, IpPermissions=ssh())
    site.refused(site.ec2.authorize_security_group_ingress, GroupId=site.group, IpPermissions=ssh())


def test_between_interfaces(site: Site) -> None:
    """A path between two subnets, by a reference to a group."""
    private = site.ec2.create_subnet(VpcId=site.vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    ends = {
        "Source": {"ResourceStatement": {"Resources": [site.public]}},
        "Destination": {"ResourceStatement": {"Resources": [private]}},
    }
    site.make(
        "apart",
        MatchPaths=[ends],
        ExcludePaths=[{"Destination": {"PacketHeaderStatement": {"DestinationPorts": ["5432"]}}}],
    )
    site.ec2.create_network_interface(SubnetId=private, Groups=[site.open])
    peer = {"UserIdGroupPairs": [{"GroupId": site.group}]}
    text = site.refused(site.ec2.authorize_security_group_ingress, GroupId=site.open, IpPermissions=ssh(**peer))
    assert "(apart)" in text
    database = [{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, **peer}]
    site.ec2.authorize_security_group_ingress(GroupId=site.open, IpPermissions=database)


def test_over_a_peering_connection(site: Site) -> None:
    """Either side's call may open what enters by it (PCX-05)."""
    ec2 = site.ec2
    far = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=far, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    ec2.create_network_interface(SubnetId=subnet)
    pcx = ec2.create_vpc_peering_connection(VpcId=site.vpc, PeerVpcId=far)["VpcPeeringConnection"][
        "VpcPeeringConnectionId"
    ]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=pcx)
    ec2.describe_vpc_peering_connections()
    peering = {"ResourceStatement": {"ResourceTypes": ["AWS::EC2::VPCPeeringConnection"]}}
    site.make(MatchPaths=[{"Source": {**peering, **SSH}}], name="peers")
    (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [far]}])["RouteTables"]
    way = {"RouteTableId": table["RouteTableId"], "DestinationCidrBlock": "10.0.0.0/16", "VpcPeeringConnectionId": pcx}
    rule = {"GroupId": site.group, "IpPermissions": ssh(IpRanges=[{"CidrIp": "10.1.0.0/16"}])}
    ec2.authorize_security_group_ingress(**rule)  # no way leads here yet
    text = site.refused(ec2.create_route, **way)
    assert f"{pcx} to {site.eni}" in text
    assert re.search(rf"let through by {pcx}, entry 100 of {site.acl}, sgr-\w+ of {site.group}\.", text)
    ec2.revoke_security_group_ingress(**rule)
    ec2.create_route(**way)
    text = site.refused(ec2.authorize_security_group_ingress, **rule)
    assert f"(peers) forbids what this call would open: {pcx} to {site.eni}" in text


def test_an_override_lets_it_through_and_is_recorded(site: Site) -> None:
    until = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    ask = {"GroupId": site.group, "IpPermissions": ssh()}
    for useless in ("soon", (datetime.now(UTC) - timedelta(minutes=1)).isoformat()):
        site.ec2.create_tags(Resources=[site.scope], Tags=[{"Key": OVERRIDE_TAG, "Value": useless}])
        site.refused(site.ec2.authorize_security_group_ingress, **ask)
    site.ec2.create_tags(Resources=[site.scope], Tags=[{"Key": OVERRIDE_TAG, "Value": until}])
    site.ec2.authorize_security_group_ingress(**ask)
    event = site.front.audit()[-1]
    assert event["eventName"] == "AuthorizeSecurityGroupIngress"
    (told,) = event["additionalEventData"]["guardOverrides"]
    assert told["accessScope"].endswith(site.scope)
    assert told["until"] == until
    assert site.eni in json.dumps(told["opened"])
    refusals = [e for e in site.front.audit() if e.get("errorCode") == "Client.OperationNotPermitted"]
    assert len(refusals) == 2
    assert site.eni in refusals[0]["errorMessage"]


def test_scopes_without_the_tag_refuse_nothing(site: Site) -> None:
    site.ec2.delete_network_insights_access_scope(NetworkInsightsAccessScopeId=site.scope)
    site.ec2.create_network_insights_access_scope(MatchPaths=[{"Source": {**IGW, **SSH}}])
    site.ec2.authorize_security_group_ingress(GroupId=site.group, IpPermissions=ssh())


def test_a_launch_is_refused(site: Site) -> None:
    """RunInstances with a public address and an open group."""
    image = site.ec2.describe_images(Owners=["amazon", "self"])["Images"][0]["ImageId"]
    site.ec2.authorize_security_group_ingress(GroupId=site.open, IpPermissions=ssh())
    interface = {"DeviceIndex": 0, "SubnetId": site.public, "Groups": [site.open], "AssociatePublicIpAddress": True}
    launch = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    text = site.refused(site.ec2.run_instances, NetworkInterfaces=[interface], **launch)
    assert "tcp 22" in text
    site.ec2.run_instances(NetworkInterfaces=[{**interface, "AssociatePublicIpAddress": False}], **launch)
