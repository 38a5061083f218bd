"""VPC peering connections over the API (PCX-01..PCX-04, PCX-08, PCX-11..PCX-13) and groups named across them (SG-52..SG-54,
SG-82..SG-88, PCX-09)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from ringfence.api.authorise import questions
from ringfence.api.ops.context import Call
from ringfence.api.ops.ec2.peering_views import forgotten
from ringfence.identity.principal import Principal
from ringfence.model.kinds import PEERING_CONNECTION
from ringfence.policy.compile import compile_world
from ringfence.policy.ir import Names, Peering, PeerMembers, Via
from tests.api.ops.harness import ACCOUNT, REGION, Api, tcp

OTHER, FAR = "444455556666", "eu-west-1"


class Parties(Api):
    """Calls of several accounts and Regions."""

    account, region = ACCOUNT, REGION

    def _context(self, action: str) -> Call:
        principal = Principal(
            account_id=self.account, arn=f"arn:aws:iam::{self.account}:root", user_id=self.account, access_key_id="AKIA"
        )
        return replace(super()._context(action), region=self.region, principal=principal)

    @contextmanager
    def acting(self, account: str = OTHER, region: str = REGION) -> Iterator[None]:
        before = self.account, self.region
        self.account, self.region = account, region
        try:
            yield
        finally:
            self.account, self.region = before

    def request(self, vpc: str, peer: str, **params: Any) -> str:
        made = self.call("CreateVpcPeeringConnection", VpcId=vpc, PeerVpcId=peer, **params)["VpcPeeringConnection"]
        assert made["Status"]["Code"] == "initiating-request"
        return str(made["VpcPeeringConnectionId"])

    def accept(self, id: str) -> str:
        made = self.call("AcceptVpcPeeringConnection", VpcPeeringConnectionId=id)["VpcPeeringConnection"]
        return str(made["Status"]["Code"])

    def shown(self, **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("DescribeVpcPeeringConnections", **params)["VpcPeeringConnections"]
        return found

    def status(self, id: str) -> str:
        """As this party sees it; "" when it does not."""
        return next((one["Status"]["Code"] for one in self.shown() if one["VpcPeeringConnectionId"] == id), "")

    def pass_(self, *, hours: float) -> None:
        self.clock.advance(hours * 3600)


@pytest.fixture
def api() -> Parties:
    return Parties()


def peers(api: Parties, account: str = OTHER, region: str = REGION) -> tuple[str, str, str]:
    """(near, far, connection): active, of two accounts."""
    near = api.vpc("10.0.0.0/16")
    with api.acting(account, region):
        far = api.vpc("10.1.0.0/16")
    id = api.request(near, far, PeerOwnerId=account, PeerRegion=region)
    with api.acting(account, region):
        assert api.accept(id) == "provisioning"
    return near, far, id


# ---------------------------------------------------------------------- the life of a connection
def test_pcx_01_request_and_acceptance_between_accounts(api: Parties) -> None:
    near = api.vpc("10.0.0.0/16")
    with api.acting():
        far = api.vpc("10.1.0.0/16")
    id = api.request(near, far, PeerOwnerId=OTHER)
    assert api.status(id) == "pending-acceptance"
    assert api.error("AcceptVpcPeeringConnection", VpcPeeringConnectionId=id) == "OperationNotPermitted"
    assert api.error("RejectVpcPeeringConnection", VpcPeeringConnectionId=id) == "OperationNotPermitted"
    with api.acting():
        (seen,) = api.shown()
        assert "CidrBlock" not in seen["AccepterVpcInfo"]
        assert seen["RequesterVpcInfo"]["CidrBlock"] == "10.0.0.0/16"
        assert "ExpirationTime" in seen
        assert api.error("DeleteVpcPeeringConnection", VpcPeeringConnectionId=id) == "OperationNotPermitted"
        api.accept(id)
        assert api.accept(id) == "active"  # again: nothing changes
    (seen,) = api.shown()
    assert (seen["Status"]["Code"], seen["AccepterVpcInfo"]["CidrBlock"]) == ("active", "10.1.0.0/16")
    assert (seen["AccepterVpcInfo"]["OwnerId"], seen["AccepterVpcInfo"]["VpcId"]) == (OTHER, far)
    with api.acting("777788889999"):
        assert api.shown() == []
        assert (
            api.error("DeleteVpcPeeringConnection", VpcPeeringConnectionId=id)
            == "InvalidVpcPeeringConnectionID.NotFound"
        )


def test_pcx_01_only_in_the_accepters_region(api: Parties) -> None:
    near = api.vpc("10.0.0.0/16")
    with api.acting(ACCOUNT, FAR):
        far = api.vpc("10.1.0.0/16")
    id = api.request(near, far, PeerRegion=FAR)
    assert api.error("AcceptVpcPeeringConnection", VpcPeeringConnectionId=id) == "OperationNotPermitted"
    with api.acting(ACCOUNT, FAR):
        assert api.status(id) == "pending-acceptance"
        api.accept(id)
    assert api.status(id) == "active"


def test_pcx_02_12_a_request_expires_after_a_week_and_is_forgotten(api: Parties) -> None:
    near, far = api.vpc("10.0.0.0/16"), api.vpc("10.1.0.0/16")
    id = api.request(near, far)
    api.pass_(hours=167.9)
    assert api.status(id) == "pending-acceptance"
    api.pass_(hours=0.2)
    assert api.status(id) == "expired"
    assert api.error("AcceptVpcPeeringConnection", VpcPeeringConnectionId=id) == "InvalidStateTransition"
    api.world = api.world.apply(forgotten(api.world, api.clock.now()))
    row = api.world.find(PEERING_CONNECTION, id)
    assert row is not None
    assert (row.status.value, row.ended) == ("expired", row.expires)
    api.request(near, far)  # the expired one is in nobody's way
    api.pass_(hours=48)
    assert api.status(id) == ""
    api.world = api.world.apply(forgotten(api.world, api.clock.now()))
    assert api.world.find(PEERING_CONNECTION, id) is None


@pytest.mark.parametrize(
    ("end", "requester", "accepter"),  # how many hours each sees it
    [("reject", 48, 2), ("requester deletes", 2, 48), ("accepter deletes", 48, 2)],
)
def test_pcx_12_visibility_after_the_end(api: Parties, end: str, requester: float, accepter: float) -> None:
    near = api.vpc("10.0.0.0/16")
    with api.acting():
        far = api.vpc("10.1.0.0/16")
    id = api.request(near, far, PeerOwnerId=OTHER)
    with api.acting():
        if end == "reject":
            api.call("RejectVpcPeeringConnection", VpcPeeringConnectionId=id)
        else:
            api.accept(id)
    if end != "reject":
        with api.acting(ACCOUNT if end.startswith("requester") else OTHER):
            api.call("DeleteVpcPeeringConnection", VpcPeeringConnectionId=id)
    past = 0.0
    for hours in (1.9, 2.1, 47.9, 48.1):
        api.pass_(hours=hours - past)
        past = hours
        for account, seen in ((ACCOUNT, requester), (OTHER, accepter)):
            with api.acting(account):
                assert bool(api.status(id)) is (hours < seen), (hours, account)
    assert (
        api.error("DeleteVpcPeeringConnection", VpcPeeringConnectionId=id) == "InvalidVpcPeeringConnectionID.NotFound"
    )


def test_pcx_03_overlap_fails_the_request(api: Parties) -> None:
    near, far = api.vpc("10.0.0.0/16"), api.vpc("10.1.0.0/16")
    api.call("AssociateVpcCidrBlock", VpcId=far, CidrBlock="10.0.128.0/24")
    id = api.request(near, far)
    assert api.status(id) == "failed"
    for action in ("AcceptVpcPeeringConnection", "DeleteVpcPeeringConnection", "RejectVpcPeeringConnection"):
        assert api.error(action, VpcPeeringConnectionId=id) == "InvalidStateTransition"
    api.pass_(hours=2)
    assert api.status(id) == ""


def test_pcx_03_what_is_wrong_with_anothers_vpc_is_told_by_the_status(api: Parties) -> None:
    near = api.vpc("10.0.0.0/16")
    mine = api.vpc("10.1.0.0/16")
    assert api.status(api.request(near, "vpc-0123456789abcdef0", PeerOwnerId=OTHER)) == "failed"
    assert api.status(api.request(near, mine, PeerOwnerId=OTHER)) == "failed"
    assert api.status(api.request(near, mine, PeerRegion=FAR)) == "failed"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"PeerVpcId": "vpc-0123456789abcdef0"}, "InvalidVpcID.NotFound"),
    ({"PeerVpcId": "vpc-nonsense"}, "InvalidVpcID.Malformed"),
    ({}, "MissingParameter"),
    ({"PeerVpcId": "vpc-0123456789abcdef0", "PeerOwnerId": "me"}, "InvalidParameterValue"),
    ({"PeerVpcId": "vpc-0123456789abcdef0", "PeerRegion": "mars-1"}, "InvalidParameterValue"),
    ({"VpcId": "vpc-0123456789abcdef0", "PeerVpcId": "vpc-0123456789abcdef1"}, "InvalidVpcID.NotFound"),
]


@pytest.mark.parametrize(("params", "code"), WRONG)
def test_wrong_requests(api: Parties, params: dict[str, Any], code: str) -> None:
    assert api.error("CreateVpcPeeringConnection", **{"VpcId": api.vpc(), **params}) == code


def test_pcx_04_two_vpcs_have_one_connection(api: Parties) -> None:
    near, far = api.vpc("10.0.0.0/16"), api.vpc("10.1.0.0/16")
    first = api.request(near, far)
    for one, other in ((near, far), (far, near)):
        wrong = {"VpcId": one, "PeerVpcId": other}
        assert api.error("CreateVpcPeeringConnection", **wrong) == "VpcPeeringConnectionAlreadyExists"
    api.accept(first)
    assert api.error("CreateVpcPeeringConnection", VpcId=far, PeerVpcId=near) == "VpcPeeringConnectionAlreadyExists"
    assert api.error("RejectVpcPeeringConnection", VpcPeeringConnectionId=first) == "InvalidStateTransition"
    api.call("DeleteVpcPeeringConnection", VpcPeeringConnectionId=first)
    assert api.error("DeleteVpcPeeringConnection", VpcPeeringConnectionId=first) == "InvalidStateTransition"
    assert api.error("AcceptVpcPeeringConnection", VpcPeeringConnectionId=first) == "InvalidStateTransition"
    api.request(far, near)


def test_pcx_11_quotas() -> None:
    api = Parties(quotas={"outstanding-peering-requests": 2, "active-peerings-per-vpc": 1})
    near, *far = (api.vpc(f"10.{n}.0.0/16") for n in range(5))
    first, second = api.request(near, far[0]), api.request(near, far[1])
    wrong = {"VpcId": near, "PeerVpcId": far[2]}
    assert api.error("CreateVpcPeeringConnection", **wrong) == "OutstandingVpcPeeringConnectionLimitExceeded"
    api.accept(first)
    refused = api.error("AcceptVpcPeeringConnection", VpcPeeringConnectionId=second)
    assert refused == "ActiveVpcPeeringConnectionPerVpcLimitExceeded"
    api.request(near, far[2])


def test_pcx_13_blocks_while_a_request_waits(api: Parties) -> None:
    near, far = api.vpc("10.0.0.0/16"), api.vpc("10.1.0.0/16")
    id = api.request(near, far)
    assert api.error("AssociateVpcCidrBlock", VpcId=near, CidrBlock="10.2.0.0/16") == "OperationNotPermitted"
    assert api.error("AssociateVpcCidrBlock", VpcId=near, AmazonProvidedIpv6CidrBlock=True) == "OperationNotPermitted"
    api.call("AssociateVpcCidrBlock", VpcId=far, CidrBlock="10.3.0.0/16")
    assert api.status(id) == "pending-acceptance"
    api.call("AssociateVpcCidrBlock", VpcId=far, CidrBlock="10.0.0.0/17")
    assert api.status(id) == "failed"


def test_a_peers_block_cannot_be_added(api: Parties) -> None:
    near, far, _ = peers(api, ACCOUNT)
    assert api.error("AssociateVpcCidrBlock", VpcId=near, CidrBlock="10.1.0.0/20") == "InvalidVpc.Range"
    assert api.error("AssociateVpcCidrBlock", VpcId=far, CidrBlock="10.0.0.0/20") == "InvalidVpc.Range"
    api.call("AssociateVpcCidrBlock", VpcId=near, CidrBlock="10.2.0.0/16")
    assert api.shown()[0]["RequesterVpcInfo"]["CidrBlockSet"][1] == {"CidrBlock": "10.2.0.0/16"}


def test_net_17_a_vpc_goes_with_its_connections_but_not_before_anothers_request_is_answered(api: Parties) -> None:
    near, far, id = peers(api)
    api.call("DeleteVpc", VpcId=near)
    with api.acting():
        assert api.status(id) == "deleted"
        other = api.vpc("10.5.0.0/16")
        asked = api.request(far, (third := api.vpc("10.4.0.0/16")))
        waiting = api.request(other, api.shown()[0]["RequesterVpcInfo"]["VpcId"], PeerOwnerId=ACCOUNT)
        assert api.status(waiting) == "failed"  # that VPC is gone
        api.call("DeleteVpc", VpcId=third)  # a request of the same account goes with it
        assert api.status(asked) == "deleted"
    mine = api.vpc("10.6.0.0/16")
    with api.acting():
        waiting = api.request(other, mine, PeerOwnerId=ACCOUNT)
    assert api.error("DeleteVpc", VpcId=mine) == "DependencyViolation"
    api.call("RejectVpcPeeringConnection", VpcPeeringConnectionId=waiting)
    api.call("DeleteVpc", VpcId=mine)


# ---------------------------------------------------------------------- describe and tags
def test_filters_and_tags_of_either_side(api: Parties) -> None:
    near, far, id = peers(api)
    api.call("CreateTags", Resources=[id], Tags=[{"Key": "Name", "Value": "mine"}])
    with api.acting():
        api.call("CreateTags", Resources=[id], Tags=[{"Key": "Name", "Value": "theirs"}])
        assert api.shown()[0]["Tags"] == [{"Key": "Name", "Value": "theirs"}]
        shown = api.call("DescribeTags", Filters=[{"Name": "resource-id", "Values": [id]}])["Tags"]
        assert [tag["Value"] for tag in shown] == ["theirs"]
        api.call("DeleteTags", Resources=[id])
    assert api.shown()[0]["Tags"] == [{"Key": "Name", "Value": "mine"}]
    for name, value, found in (
        ("status-code", "active", 1), ("status-code", "pending-acceptance", 0), ("tag:Name", "mine", 1),
        ("requester-vpc-info.vpc-id", near, 1), ("requester-vpc-info.vpc-id", far, 0), ("accepter-vpc-info.vpc-id", far, 1),
        ("requester-vpc-info.owner-id", ACCOUNT, 1), ("accepter-vpc-info.owner-id", ACCOUNT, 0),
        ("requester-vpc-info.cidr-block", "10.0.0.0/16", 1), ("accepter-vpc-info.cidr-block", "10.0.0.0/16", 0),
        ("vpc-peering-connection-id", id, 1), ("status-message", "Act*", 1), ("tag:Name", "theirs", 0),
        ("expiration-time", "2*", 1),
    ):  # fmt: skip
        assert len(api.shown(Filters=[{"Name": name, "Values": [value]}])) == found, name
    assert api.error("DescribeVpcPeeringConnections", Filters=[{"Name": "x", "Values": []}]) == "InvalidParameterValue"
    unknown = {"VpcPeeringConnectionIds": ["pcx-0123456789abcdef0"]}
    assert api.error("DescribeVpcPeeringConnections", **unknown) == "InvalidVpcPeeringConnectionID.NotFound"
    malformed = {"VpcPeeringConnectionIds": ["pcx-what"]}
    assert api.error("DescribeVpcPeeringConnections", **malformed) == "InvalidVpcPeeringConnectionId.Malformed"


# ---------------------------------------------------------------------- options
def test_pcx_08_names_need_both_vpcs_hostnames_and_the_sides_owner(api: Parties) -> None:
    near, far, id = peers(api)
    ask = {"VpcPeeringConnectionId": id, "RequesterPeeringConnectionOptions": {"AllowDnsResolutionFromRemoteVpc": True}}
    disabled = "InvalidVpcPeeringConnectionState.DnsHostnamesDisabled"
    assert api.error("ModifyVpcPeeringConnectionOptions", **ask) == disabled
    api.call("ModifyVpcAttribute", VpcId=near, EnableDnsHostnames={"Value": True})
    assert api.error("ModifyVpcPeeringConnectionOptions", **ask) == disabled
    with api.acting():
        api.call("ModifyVpcAttribute", VpcId=far, EnableDnsHostnames={"Value": True})
        assert api.error("ModifyVpcPeeringConnectionOptions", **ask) == "OperationNotPermitted"
    told = api.call("ModifyVpcPeeringConnectionOptions", **ask)
    assert told["RequesterPeeringConnectionOptions"]["AllowDnsResolutionFromRemoteVpc"] is True
    (seen,) = api.shown()
    assert seen["RequesterVpcInfo"]["PeeringOptions"]["AllowDnsResolutionFromRemoteVpc"] is True
    assert seen["AccepterVpcInfo"]["PeeringOptions"]["AllowDnsResolutionFromRemoteVpc"] is False
    api.interface(api.subnet(near))
    names = {f.vpc_id: f.records for f in compile_world(api.world).fragments.values() if isinstance(f, Names)}
    assert names[near] == names[far] != ()  # the requester's, told to the accepter
    assert api.error("ModifyVpcPeeringConnectionOptions", VpcPeeringConnectionId=id) == "MissingParameter"


def test_pcx_08_only_of_active_ones_and_in_the_sides_region(api: Parties) -> None:
    options = {"AllowDnsResolutionFromRemoteVpc": False}
    near, _, id = peers(api, ACCOUNT, FAR)
    ask = {"VpcPeeringConnectionId": id, "AccepterPeeringConnectionOptions": options}
    assert api.error("ModifyVpcPeeringConnectionOptions", **ask) == "OperationNotPermitted"
    with api.acting(ACCOUNT, FAR):
        api.call("ModifyVpcPeeringConnectionOptions", **ask)
    waiting = api.request(near, api.vpc("10.7.0.0/16"))
    ask = {"VpcPeeringConnectionId": waiting, "AccepterPeeringConnectionOptions": options}
    assert api.error("ModifyVpcPeeringConnectionOptions", **ask) == "OperationNotPermitted"


# ---------------------------------------------------------------------- routes
def test_pcx_05_routes_lead_nowhere_until_the_connection_is_active_and_after_it(api: Parties) -> None:
    near, far = api.vpc("10.0.0.0/16"), api.vpc("10.1.0.0/16")
    third = api.vpc("10.2.0.0/16")
    id = api.request(near, far)
    tables = {
        one: api.call("DescribeRouteTables", Filters=[{"Name": "vpc-id", "Values": [one]}])["RouteTables"][0][
            "RouteTableId"
        ]
        for one in (near, far, third)
    }
    route = {"DestinationCidrBlock": "10.1.0.0/16", "VpcPeeringConnectionId": id}
    api.call("CreateRoute", RouteTableId=tables[near], **route)

    def state() -> list[str]:
        found = api.call("DescribeRouteTables", Filters=[
            {"Name": "route.vpc-peering-connection-id", "Values": [id]}])["RouteTables"]  # fmt: skip
        vias = {r.via for f in compile_world(api.world).fragments.values() for r in getattr(f, "routes", ())}
        shown = [r["State"] for table in found for r in table["Routes"] if "VpcPeeringConnectionId" in r]
        assert (Via.PEERING in vias) is ("active" in shown)
        return shown

    assert state() == ["blackhole"]
    api.accept(id)
    assert state() == ["active"]
    assert sum(isinstance(f, Peering) for f in compile_world(api.world).fragments.values()) == 2
    assert api.error("CreateRoute", RouteTableId=tables[third], **route) == "InvalidParameterValue"
    inside = {"DestinationCidrBlock": "10.0.1.0/24", "VpcPeeringConnectionId": id}
    assert api.error("CreateRoute", RouteTableId=tables[near], **inside) == "InvalidParameterValue"
    unknown = {"DestinationCidrBlock": "10.9.0.0/16", "VpcPeeringConnectionId": "pcx-0123456789abcdef0"}
    assert api.error("CreateRoute", RouteTableId=tables[near], **unknown) == "InvalidVpcPeeringConnectionID.NotFound"
    api.call("ReplaceRoute", RouteTableId=tables[near], **route)
    api.call("DeleteVpcPeeringConnection", VpcPeeringConnectionId=id)
    assert state() == ["blackhole"]
    assert api.error("ReplaceRoute", RouteTableId=tables[near], **route) == "InvalidVpcPeeringConnectionID.NotFound"


# ---------------------------------------------------------------------- groups across it
def named(group: str, **more: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": group, **more}]}


def pairs(api: Parties, group: str) -> list[dict[str, Any]]:
    (shown,) = api.call("DescribeSecurityGroups", GroupIds=[group])["SecurityGroups"]
    return [pair for permission in shown["IpPermissions"] for pair in permission["UserIdGroupPairs"]]


def stale(api: Parties, vpc: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.call("DescribeStaleSecurityGroups", VpcId=vpc)["StaleSecurityGroupSet"]
    return found


def test_sg_52_54_82_88_a_group_of_a_peer_in_another_account(api: Parties) -> None:
    near, far, id = peers(api)
    here = api.group(near, "web")
    with api.acting():
        there = api.group(far, "clients")
        subnet = api.subnet(far, "10.1.0.0/24")
        api.interface(subnet, there)
    wrong = {"GroupId": here, "IpPermissions": [named(there)]}
    assert api.error("AuthorizeSecurityGroupIngress", **wrong) == "InvalidGroup.NotFound"  # whose it is must be said
    api.call("AuthorizeSecurityGroupIngress", GroupId=here, IpPermissions=[named(f"{OTHER}/{there}")])
    api.call("RevokeSecurityGroupIngress", GroupId=here, IpPermissions=[named(there)])
    api.call(
        "AuthorizeSecurityGroupIngress", GroupId=here,
        IpPermissions=[named(there, UserId=OTHER, VpcPeeringConnectionId=id)],
    )  # fmt: skip
    (pair,) = pairs(api, here)
    assert pair == {
        "GroupId": there, "UserId": OTHER, "VpcId": far, "VpcPeeringConnectionId": id, "PeeringStatus": "active",
    }  # fmt: skip
    (members,) = [f for f in compile_world(api.world).fragments.values() if isinstance(f, PeerMembers)]
    assert (members.vpc_id, [(m.group_id, len(m.ipv4)) for m in members.groups]) == (near, [(there, 1)])
    with api.acting():  # SG-86
        found = api.call("DescribeSecurityGroupReferences", GroupId=[there])["SecurityGroupReferenceSet"]
        assert found == [{"GroupId": there, "ReferencingVpcId": near, "VpcPeeringConnectionId": id}]
    assert stale(api, near) == []
    api.call("DeleteVpcPeeringConnection", VpcPeeringConnectionId=id)  # SG-82, SG-83
    (found_stale,) = stale(api, near)
    (shown,) = found_stale["StaleIpPermissions"][0]["UserIdGroupPairs"]
    assert (shown["GroupId"], shown["VpcPeeringConnectionId"], shown["PeeringStatus"]) == (there, id, "deleted")
    assert pairs(api, here)[0]["PeeringStatus"] == "deleted"
    assert not any(isinstance(f, PeerMembers) for f in compile_world(api.world).fragments.values())
    again = api.request(near, far, PeerOwnerId=OTHER)  # SG-84
    with api.acting():
        api.accept(again)
    assert stale(api, near) == []
    with api.acting():  # SG-82: the group goes though it is referred to
        for eni in api.call("DescribeNetworkInterfaces")["NetworkInterfaces"]:
            api.call("DeleteNetworkInterface", NetworkInterfaceId=eni["NetworkInterfaceId"])
        api.call("DeleteSecurityGroup", GroupId=there)
    assert len(stale(api, near)) == 1
    api.call("RevokeSecurityGroupIngress", GroupId=here, IpPermissions=[named(there)])  # SG-88
    assert stale(api, near) == []


def test_sg_53_54_no_reference_without_an_active_connection_of_the_region(api: Parties) -> None:
    near = api.vpc("10.0.0.0/16")
    far, third = api.vpc("10.1.0.0/16"), api.vpc("10.2.0.0/16")
    with api.acting(ACCOUNT, FAR):
        abroad = api.vpc("10.3.0.0/16")
        foreign = api.group(abroad)
    here, there = api.group(near), api.group(far)
    id, over = api.request(near, far), api.request(near, abroad, PeerRegion=FAR)
    refused = "InvalidGroup.NotFound"
    assert api.error("AuthorizeSecurityGroupIngress", GroupId=here, IpPermissions=[named(there)]) == refused
    api.accept(id)
    with api.acting(ACCOUNT, FAR):
        api.accept(over)
    api.call("AuthorizeSecurityGroupIngress", GroupId=here, IpPermissions=[named(there)])
    for wrong in (named(foreign), named(foreign, VpcPeeringConnectionId=over), named(api.group(third))):
        assert api.error("AuthorizeSecurityGroupIngress", GroupId=here, IpPermissions=[wrong]) == refused
    unknown = named(there, VpcPeeringConnectionId="pcx-0123456789abcdef0")
    code = api.error("AuthorizeSecurityGroupIngress", GroupId=here, IpPermissions=[unknown])
    assert code == "InvalidVpcPeeringConnectionID.NotFound"
    api.call("AuthorizeSecurityGroupIngress", GroupId=here, IpPermissions=[tcp(22)])


# ---------------------------------------------------------------------- authorisation
def targets(api: Parties, action: str, **params: Any) -> dict[str, dict[str, Any]]:
    """What a call is authorised on: the end of the ARN → its condition keys."""
    (question, *_) = questions(api._context(action), api.world, params)
    return {target.arn.split(":", 3)[3]: dict(target.context) for target in question.targets}


def arn(id: str, account: str = ACCOUNT, region: str = REGION) -> str:
    return f"{region}:{account}:{'vpc-peering-connection' if id[:3] == 'pcx' or id == '*' else 'vpc'}/{id}"


def test_what_a_request_and_its_acceptance_are_authorised_on(api: Parties) -> None:
    """Service Authorization Reference, "Amazon EC2": both VPCs, as far as they are the caller's, and the connection."""
    near, mine = api.vpc("10.0.0.0/16"), api.vpc("10.2.0.0/16")
    with api.acting():
        far = api.vpc("10.1.0.0/16")
    ends = {"ec2:requestervpc": f"arn:aws:ec2:{arn(near)}", "ec2:acceptervpc": f"arn:aws:ec2:{arn(far, OTHER)}"}
    asked = targets(api, "CreateVpcPeeringConnection", VpcId=near, PeerVpcId=far, PeerOwnerId=OTHER)
    assert asked.keys() == {arn(near), arn("*")}
    assert asked[arn("*")].items() >= ends.items()
    assert asked[arn(near)]["ec2:vpcid"] == near
    own = targets(api, "CreateVpcPeeringConnection", VpcId=near, PeerVpcId=mine)
    assert own.keys() == {arn(near), arn(mine), arn("*")}
    id = api.request(near, far, PeerOwnerId=OTHER)
    api.call("CreateTags", Resources=[id], Tags=[{"Key": "stack", "Value": "mine"}])
    with api.acting():
        api.call("CreateTags", Resources=[id], Tags=[{"Key": "stack", "Value": "theirs"}])
        asked = targets(api, "AcceptVpcPeeringConnection", VpcPeeringConnectionId=id)
        assert asked.keys() == {arn(far, OTHER), arn(id, OTHER)}
        held = asked[arn(id, OTHER)]
        assert held.items() >= {**ends, "ec2:vpcpeeringconnectionid": id, "aws:resourcetag/stack": "theirs"}.items()
    for action in ("RejectVpcPeeringConnection", "DeleteVpcPeeringConnection"):
        asked = targets(api, action, VpcPeeringConnectionId=id)
        assert asked.keys() == {arn(id)}
        assert asked[arn(id)]["aws:resourcetag/stack"] == "mine"
    options = {"RequesterPeeringConnectionOptions": {"AllowDnsResolutionFromRemoteVpc": True}}
    asked = targets(api, "ModifyVpcPeeringConnectionOptions", VpcPeeringConnectionId=id, **options)
    assert asked[arn(id)]["ec2:attribute"] == "RequesterPeeringConnectionOptions"
    with api.acting("777788889999"):  # a stranger's policies see nothing of it
        asked = targets(api, "DeleteVpcPeeringConnection", VpcPeeringConnectionId=id)
        assert asked == {arn(id, "777788889999"): {"ec2:vpcpeeringconnectionid": id}}
