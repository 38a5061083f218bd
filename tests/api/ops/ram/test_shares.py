"""Prefix lists shared by AWS RAM, over boto3: invitations, organizations, what the other account sees and may, and what is
left when the share ends (spec PL-09 … PL-13)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence.model.aws_prefix_lists import service_list
from ringfence.model.kinds import SECURITY_GROUP, SHARE_INVITATION
from ringfence.model.world import put
from ringfence.policy.compile import compile_world
from ringfence.policy.ir import Group
from ringfence.store.store import Commit
from tests.api.front import ACCOUNT, OTHER_ACCOUNT, OTHER_KEY, Front

DAY = 86_400


class Two:
    """Two accounts; `ours` has a prefix list."""

    def __init__(self) -> None:
        self.front = Front()
        self.ours, self.theirs = self.front.client("ec2"), self.front.client("ec2", key=OTHER_KEY)
        self.ram, self.their_ram = self.front.client("ram"), self.front.client("ram", key=OTHER_KEY)
        made = self.ours.create_managed_prefix_list(
            PrefixListName="offices", MaxEntries=5, AddressFamily="IPv4", Entries=[{"Cidr": "192.0.2.0/24"}]
        )["PrefixList"]
        self.list, self.arn = made["PrefixListId"], made["PrefixListArn"]

    def share(self, *principals: str, **more: Any) -> str:
        given = {"name": "lists", "resourceArns": [self.arn], "principals": list(principals), **more}
        return str(self.ram.create_resource_share(**given)["resourceShare"]["resourceShareArn"])

    def invitation(self, status: str = "PENDING") -> str:
        (row,) = self.their_ram.get_resource_share_invitations()["resourceShareInvitations"]
        assert row["status"] == status
        assert (row["senderAccountId"], row["receiverAccountId"]) == (ACCOUNT, OTHER_ACCOUNT)
        return str(row["resourceShareInvitationArn"])

    def accepted(self) -> str:
        arn = self.share(OTHER_ACCOUNT)
        self.their_ram.accept_resource_share_invitation(resourceShareInvitationArn=self.invitation())
        return arn

    def seen(self) -> bool:
        """Does the other account see the list, in every way alike?"""
        shown = self.theirs.describe_managed_prefix_lists(Filters=[{"Name": "owner-id", "Values": [ACCOUNT]}])[
            "PrefixLists"
        ]
        seen = [row["PrefixListId"] for row in shown] == [self.list]
        named = code(self.theirs.describe_managed_prefix_lists, PrefixListIds=[self.list])
        read = code(self.theirs.get_managed_prefix_list_entries, PrefixListId=self.list)
        assert {named, read} == ({""} if seen else {"InvalidPrefixListID.NotFound"})
        return seen

    def refer(self, port: int = 443) -> str:
        """The other account's default group names the list."""
        (group,) = self.theirs.describe_security_groups()["SecurityGroups"]
        peer = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "PrefixListIds": [{"PrefixListId": self.list}]}
        self.theirs.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[peer])
        return str(group["GroupId"])

    def organization(self) -> str:
        """Both accounts in one; its ARN."""
        ours, theirs = self.front.client("organizations"), self.front.client("organizations", key=OTHER_KEY)
        made = ours.create_organization()["Organization"]
        asked = ours.invite_account_to_organization(Target={"Type": "ACCOUNT", "Id": OTHER_ACCOUNT})["Handshake"]["Id"]
        theirs.accept_handshake(HandshakeId=asked)
        return str(made["Arn"])


def code(call: Any, **params: Any) -> str:
    """The error's code; empty when there is none."""
    try:
        call(**params)
    except ClientError as problem:
        return str(problem.response["Error"]["Code"])
    return ""


@pytest.fixture
def two() -> Two:
    return Two()


def test_a_list_is_seen_and_may_be_named_once_the_invitation_is_accepted(two: Two) -> None:
    """PL-13, PL-09, PL-11."""
    share = two.share(OTHER_ACCOUNT, tags=[{"key": "team", "value": "net"}])
    assert not two.seen()
    pending = two.their_ram.list_pending_invitation_resources(resourceShareInvitationArn=two.invitation())["resources"]
    assert [(row["arn"], row["type"]) for row in pending] == [(two.arn, "ec2:PrefixList")]
    two.their_ram.accept_resource_share_invitation(resourceShareInvitationArn=two.invitation())
    two.invitation("ACCEPTED")
    two.ours.create_tags(Resources=[two.list], Tags=[{"Key": "ours", "Value": "1"}])
    assert two.seen()
    (face,) = two.theirs.describe_managed_prefix_lists(PrefixListIds=[two.list])["PrefixLists"]
    assert (face["Tags"], face["OwnerId"]) == ([], ACCOUNT)
    by_tag = [{"Name": "tag:ours", "Values": ["1"]}]
    assert two.theirs.describe_managed_prefix_lists(Filters=by_tag)["PrefixLists"] == []
    assert len(two.ours.describe_managed_prefix_lists(Filters=by_tag)["PrefixLists"]) == 1
    group = two.refer()
    found = two.ours.get_managed_prefix_list_associations(PrefixListId=two.list)["PrefixListAssociations"]
    assert found == [{"ResourceId": group, "ResourceOwner": OTHER_ACCOUNT}]
    assert code(two.ours.delete_managed_prefix_list, PrefixListId=two.list) == "DependencyViolation"
    (row,) = two.their_ram.get_resource_shares(resourceOwner="OTHER-ACCOUNTS")["resourceShares"]
    assert (row["resourceShareArn"], row["owningAccountId"], row.get("tags")) == (share, ACCOUNT, None)
    assert two.their_ram.get_resource_shares(resourceOwner="SELF")["resourceShares"] == []
    (shown,) = two.their_ram.list_resources(resourceOwner="OTHER-ACCOUNTS")["resources"]
    assert (shown["arn"], shown["status"]) == (two.arn, "AVAILABLE")
    assert [p["id"] for p in two.their_ram.list_principals(resourceOwner="OTHER-ACCOUNTS")["principals"]] == [ACCOUNT]
    assert [p["id"] for p in two.ram.list_principals(resourceOwner="SELF")["principals"]] == [OTHER_ACCOUNT]


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("modify_managed_prefix_list", {"PrefixListName": "x"}),
        ("restore_managed_prefix_list_version", {"PreviousVersion": 1, "CurrentVersion": 1}),
        ("delete_managed_prefix_list", {}),
        ("get_managed_prefix_list_associations", {}),
    ],
)
def test_who_a_list_is_shared_with_may_not_change_it(two: Two, method: str, more: dict[str, Any]) -> None:
    """PL-13."""
    two.accepted()
    assert code(getattr(two.theirs, method), PrefixListId=two.list, **more) == "OperationNotPermitted"
    assert (
        code(two.theirs.create_tags, Resources=[two.list], Tags=[{"Key": "a", "Value": "b"}]) == "OperationNotPermitted"
    )
    their_share = {"name": "x", "resourceArns": [two.arn]}
    assert code(two.their_ram.create_resource_share, **their_share) == "UnknownResourceException"


@pytest.mark.parametrize("how", ["resource", "principal", "share"])
def test_what_was_named_goes_on_when_the_share_ends(two: Two, how: str) -> None:
    """PL-13: neither seen nor newly named; what is there stays, and follows the list."""
    share = two.accepted()
    group = two.refer()
    if how == "share":
        two.ram.delete_resource_share(resourceShareArn=share)
    else:
        gone = {"resourceArns": [two.arn]} if how == "resource" else {"principals": [OTHER_ACCOUNT]}
        (ended,) = two.ram.disassociate_resource_share(resourceShareArn=share, **gone)["resourceShareAssociations"]
        assert ended["status"] == "DISASSOCIATED"
    assert not two.seen()
    with pytest.raises(ClientError, match=r"InvalidPrefixListID\.NotFound"):
        two.refer(80)
    two.ours.modify_managed_prefix_list(PrefixListId=two.list, AddEntries=[{"Cidr": "198.51.100.0/24"}])
    held = compile_world(two.front.store.world).fragments["Group", group]
    assert isinstance(held, Group)
    blocks = [str(allow.match.remote) for allow in held.ingress if allow.match.remote is not None]
    assert blocks == ["192.0.2.0/24", "198.51.100.0/24"]
    rule = next(r for r in two.front.store.world.get(SECURITY_GROUP, group).rules if r.prefix_list_id)
    two.theirs.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule.id])
    two.ours.delete_managed_prefix_list(PrefixListId=two.list)


def test_who_is_outside_sees_a_share_only_while_it_allows_that(two: Two) -> None:
    share = two.accepted()
    two.ram.update_resource_share(resourceShareArn=share, allowExternalPrincipals=False)
    assert not two.seen()
    two.ram.update_resource_share(resourceShareArn=share, allowExternalPrincipals=True)
    assert two.seen()


def test_invitations_are_rejected_and_expire(two: Two) -> None:
    share = two.share(OTHER_ACCOUNT)
    given = {"resourceShareInvitationArn": two.invitation()}
    assert code(two.ram.accept_resource_share_invitation, **given) == "ResourceShareInvitationArnNotFoundException"
    two.their_ram.reject_resource_share_invitation(**given)
    assert not two.seen()
    assert code(two.their_ram.accept_resource_share_invitation, **given) == (
        "ResourceShareInvitationAlreadyRejectedException"
    )
    again = two.ram.associate_resource_share(resourceShareArn=share, principals=[OTHER_ACCOUNT])
    assert again["resourceShareAssociations"][0]["status"] == "ASSOCIATING"
    rows = two.their_ram.get_resource_share_invitations()["resourceShareInvitations"]
    (late,) = [row["resourceShareInvitationArn"] for row in rows if row["status"] == "PENDING"]
    held = two.front.store.world.get(SHARE_INVITATION, late.rpartition("/")[2])
    two.front.store.write(lambda _: Commit(change=put(SHARE_INVITATION, replace(held, sent=held.sent - 7 * DAY))))
    given = {"resourceShareInvitationArn": late}
    assert code(two.their_ram.accept_resource_share_invitation, **given) == "ResourceShareInvitationExpiredException"
    assert not two.seen()


def test_within_an_organization_there_is_no_invitation(two: Two) -> None:
    """RAM User Guide, "Enable resource sharing within AWS Organizations"; who leaves sees nothing any more."""
    organization = two.organization()
    assert code(two.ram.create_resource_share, name="x", principals=[organization]) == "UnknownResourceException"
    assert code(two.their_ram.enable_sharing_with_aws_organization) == "OperationNotPermittedException"
    assert two.ram.enable_sharing_with_aws_organization()["returnValue"]
    for principal in (organization, OTHER_ACCOUNT, _unit(two, organization)):
        share = two.share(principal, allowExternalPrincipals=False)
        assert two.seen(), principal
        assert two.their_ram.get_resource_share_invitations()["resourceShareInvitations"] == []
        (found,) = two.ram.get_resource_share_associations(associationType="PRINCIPAL", resourceShareArns=[share])[
            "resourceShareAssociations"
        ]
        assert (found["associatedEntity"], found["status"], found["external"]) == (principal, "ASSOCIATED", False)
        two.ram.delete_resource_share(resourceShareArn=share)
        assert not two.seen()
    two.share(OTHER_ACCOUNT)
    two.share(organization)
    assert two.seen()
    ours = two.front.client("organizations")
    ours.disable_aws_service_access(ServicePrincipal="ram.amazonaws.com")
    assert not two.seen()
    ours.enable_aws_service_access(ServicePrincipal="ram.amazonaws.com")
    assert two.seen()
    two.front.client("organizations", key=OTHER_KEY).leave_organization()
    assert not two.seen()


def _unit(two: Two, organization: str) -> str:
    """The other account in a unit under a unit: the outer one."""
    client = two.front.client("organizations")
    root = client.list_roots()["Roots"][0]["Id"]
    outer = client.create_organizational_unit(ParentId=root, Name="outer")["OrganizationalUnit"]
    inner = client.create_organizational_unit(ParentId=outer["Id"], Name="inner")["OrganizationalUnit"]
    client.move_account(AccountId=OTHER_ACCOUNT, SourceParentId=root, DestinationParentId=inner["Id"])
    return str(outer["Arn"])


_S3 = service_list("us-east-1", "s3")
assert _S3 is not None
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("a list of AWS (PL-10)", {"resourceArns": [f"arn:aws:ec2:us-east-1:aws:prefix-list/{_S3.id}"]}, "OperationNotPermittedException"),
    ("a subnet (SHR-01)", {"resourceArns": [f"arn:aws:ec2:us-east-1:{ACCOUNT}:subnet/subnet-1"]}, "OperationNotPermittedException"),
    ("nothing", {"resourceArns": [f"arn:aws:ec2:us-east-1:{ACCOUNT}:prefix-list/pl-01234567890abcdef"]}, "UnknownResourceException"),
    ("no ARN", {"resourceArns": ["pl-1"]}, "MalformedArnException"),
    ("no principal", {"principals": ["ann"]}, "InvalidParameterException"),
    ("itself", {"principals": [ACCOUNT]}, "InvalidParameterException"),
    ("outside", {"principals": [OTHER_ACCOUNT], "allowExternalPrincipals": False}, "OperationNotPermittedException"),
    ("unknown unit", {"principals": [f"arn:aws:organizations::{ACCOUNT}:ou/o-abc/ou-abc-1"]}, "UnknownResourceException"),
    ("no name", {"name": ""}, "InvalidParameterException"),
    ("permission", {"permissionArns": ["arn:aws:ram::aws:permission/x"]}, "UnknownResourceException"),
    ("sources", {"sources": ["123456789012"]}, "OperationNotPermittedException"),
    ("tag", {"tags": [{"key": "aws:x", "value": ""}]}, "InvalidParameterException"),
]  # fmt: skip


def test_what_cannot_be_shared(two: Two) -> None:
    two.front.strict_clients = False
    ram = two.front.client("ram")
    for row, given, expected in REFUSED:
        assert code(ram.create_resource_share, **{"name": "x", **given}) == expected, row
    assert ram.get_resource_shares(resourceOwner="SELF")["resourceShares"] == []
    share = two.share()
    for arn, expected in (("x", "MalformedArnException"), (share[:-1] + "0", "UnknownResourceException")):
        assert code(ram.delete_resource_share, resourceShareArn=arn) in (expected, "UnknownResourceException")
        assert code(two.their_ram.delete_resource_share, resourceShareArn=share) == "UnknownResourceException"
    assert code(ram.get_resource_shares, resourceOwner="ME") == "ValidationException"
    assert code(ram.list_resources, resourceOwner="SELF", resourceType="ec2:Subnet") == "InvalidResourceTypeException"
    assert code(ram.list_principals, resourceOwner="SELF", nextToken="x") == "InvalidNextTokenException"


def test_shares_are_changed_tagged_and_found(two: Two) -> None:
    share = two.share(clientToken="once")
    assert two.share(clientToken="once") == share
    other = {"name": "other", "clientToken": "once"}
    assert code(two.ram.create_resource_share, **other) == "IdempotentParameterMismatchException"
    two.ram.update_resource_share(resourceShareArn=share, name="renamed", allowExternalPrincipals=False)
    two.ram.tag_resource(resourceShareArn=share, tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}])
    two.ram.untag_resource(resourceShareArn=share, tagKeys=["a"])
    filters = [{"tagKey": "b", "tagValues": ["2"]}]
    (row,) = two.ram.get_resource_shares(resourceOwner="SELF", name="renamed", tagFilters=filters)["resourceShares"]
    assert (row["tags"], row["allowExternalPrincipals"], row["status"]) == (
        [{"key": "b", "value": "2"}],
        False,
        "ACTIVE",
    )
    (found,) = two.ram.get_resource_share_associations(associationType="RESOURCE")["resourceShareAssociations"]
    assert (found["associatedEntity"], found["status"]) == (two.arn, "ASSOCIATED")
    assert two.ram.list_resource_types()["resourceTypes"][0]["resourceType"] == "ec2:PrefixList"
    two.ours.delete_managed_prefix_list(PrefixListId=two.list)
    assert two.ram.list_resources(resourceOwner="SELF")["resources"] == []


def test_sharing_is_authorised(two: Two) -> None:
    """IAM-30: ram:Principal, ram:ResourceArn, tags of the share."""
    iam = two.front.client("iam")
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    statements = [
        {"Effect": "Allow", "Action": "ram:CreateResourceShare", "Resource": "*",
         "Condition": {"ForAllValues:StringEquals": {"ram:Principal": [OTHER_ACCOUNT]}}},
        {"Effect": "Allow", "Action": "ram:DeleteResourceShare", "Resource": "*",
         "Condition": {"StringEquals": {"aws:ResourceTag/team": "net"}}},
    ]  # fmt: skip
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=document)
    ram = two.front.client("ram", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    denied = "AccessDeniedException"
    assert code(ram.create_resource_share, name="x", principals=["111122223333"]) == denied
    mine = ram.create_resource_share(name="x", principals=[OTHER_ACCOUNT])["resourceShare"]["resourceShareArn"]
    assert code(ram.delete_resource_share, resourceShareArn=mine) == denied
    two.ram.tag_resource(resourceShareArn=mine, tags=[{"key": "team", "value": "net"}])
    ram.delete_resource_share(resourceShareArn=mine)
    assert code(ram.get_resource_shares, resourceOwner="SELF") == denied
