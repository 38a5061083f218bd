"""What sessions may do with the whole chain of policies: roles, session policies, federated users, MFA (IAM-10, IAM-19,
IAM-33, POL-28), and the keys a session carries."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ringfence.api.instance_credentials import InstanceCredentials
from ringfence.model.ids import SeededIds
from ringfence.model.kinds import INSTANCE
from tests.api.front import ACCOUNT
from tests.api.ops.sts.lab import Lab, code_of, document, message_of, statement, trusting

ANN = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/ann"}
EC2 = document(statement("ec2:*", Resource="*"))


@pytest.fixture
def lab() -> Lab:
    return Lab()


def ec2(lab: Lab, credentials: Any) -> Any:
    return lab.front.with_session("ec2", credentials)


def test_a_role_session_has_the_roles_permissions_within_its_session_policy(lab: Lab) -> None:
    ann, arn = lab.user(), lab.role(trusting(ANN), policy=EC2)
    assert ec2(lab, lab.session(ann, arn)).create_vpc(CidrBlock="10.9.0.0/16")
    limited = lab.session(ann, arn, Policy=document(statement("ec2:Describe*", Resource="*")))
    assert ec2(lab, limited).describe_vpcs()
    assert code_of(ec2(lab, limited).create_vpc, CidrBlock="10.9.0.0/16") == "UnauthorizedOperation"
    wider = lab.session(ann, arn, Policy=document(statement("iam:*", Resource="*")))
    assert code_of(lab.front.with_session("iam", wider).list_users) == "AccessDenied"


def test_a_federated_user_has_what_user_and_session_policy_both_allow(lab: Lab) -> None:
    ann = lab.user(policy=document(statement(["ec2:Describe*", "sts:GetFederationToken"], Resource="*")))
    nothing = ann.get_federation_token(Name="bob")["Credentials"]
    assert code_of(ec2(lab, nothing).describe_vpcs) == "UnauthorizedOperation"
    some = ann.get_federation_token(Name="bob", Policy=EC2)["Credentials"]
    assert ec2(lab, some).describe_vpcs()
    assert code_of(ec2(lab, some).create_vpc, CidrBlock="10.9.0.0/16") == "UnauthorizedOperation"
    bare = ann.get_federation_token(Name="eve", Policy=document(statement("ec2:*", Resource="*", Sid="a")))[
        "Credentials"
    ]
    lab.iam[ACCOUNT].delete_user_policy(UserName="ann", PolicyName="p")
    assert code_of(ec2(lab, bare).describe_vpcs) == "UnauthorizedOperation"


def test_pol_28_deletes_need_a_second_factor(lab: Lab) -> None:
    guard = document(
        statement("ec2:*", Resource="*"),
        statement(
            "ec2:Delete*", "Deny", Resource="*", Condition={"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}
        ),
    )
    ann = lab.user(policy=guard)
    serial = lab.device()
    long_term = lab.front.client("ec2", key=lab.key["AccessKeyId"], secret=lab.key["SecretAccessKey"])
    vpc = long_term.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    assert code_of(long_term.delete_vpc, VpcId=vpc) == "UnauthorizedOperation"
    without = ann.get_session_token()["Credentials"]
    assert code_of(ec2(lab, without).delete_vpc, VpcId=vpc) == "UnauthorizedOperation"
    shown = ann.get_session_token(SerialNumber=serial, TokenCode=lab.code())["Credentials"]
    assert ec2(lab, shown).delete_vpc(VpcId=vpc)
    assert code_of(lab.front.with_session("iam", shown).list_users) == "AccessDenied"


def test_role_tags_and_session_tags_are_principal_tags(lab: Lab) -> None:
    by_tag = document(
        statement("ec2:DescribeVpcs", Resource="*", Condition={"StringEquals": {"aws:PrincipalTag/team": "net"}})
    )
    ann = lab.user()
    arn = lab.role(
        trusting(ANN, "sts:AssumeRole", "sts:TagSession"), policy=by_tag, Tags=[{"Key": "team", "Value": "net"}]
    )
    assert ec2(lab, lab.session(ann, arn)).describe_vpcs()
    other = lab.session(ann, arn, Tags=[{"Key": "Team", "Value": "db"}])
    assert code_of(ec2(lab, other).describe_vpcs) == "UnauthorizedOperation"


def test_a_session_of_an_instance_carries_its_own_keys(lab: Lab) -> None:
    """ec2:SourceInstanceARN, ec2:RoleDelivery: policies can hold a role's credentials to their instance and to IMDSv2."""
    root = lab.front.client("ec2")
    image = root.describe_images()["Images"][0]["ImageId"]
    trust = trusting({"Service": "ec2.amazonaws.com"})
    guard = document(
        statement("ec2:DescribeVpcs", Resource="*"),
        statement("*", "Deny", Resource="*", Condition={"NumericLessThan": {"ec2:RoleDelivery": "2.0"}}),
        statement("*", "Deny", Resource="*", Condition={"Null": {"ec2:SourceInstanceARN": "true"}}),
    )
    lab.role(trust, policy=guard)
    lab.iam[ACCOUNT].create_instance_profile(InstanceProfileName="web")
    lab.iam[ACCOUNT].add_role_to_instance_profile(InstanceProfileName="web", RoleName="app")
    root.run_instances(ImageId=image, MinCount=1, MaxCount=1, IamInstanceProfile={"Name": "web"})
    instance = lab.front.store.world.all(INSTANCE)[0]
    service = InstanceCredentials(lambda: lab.front.store.world, lab.front.sealer, SeededIds(9), lab.front.clock)

    def client(version: int) -> Any:
        found = json.loads(service.documents(instance.id, version=version)["meta-data/iam/security-credentials/app"])
        return ec2(lab, found | {"SessionToken": found["Token"]})

    assert client(2).describe_vpcs()
    assert code_of(client(1).describe_vpcs) == "UnauthorizedOperation"


def test_iam_34_a_profile_needs_the_right_to_pass_its_role(lab: Lab) -> None:
    root = lab.front.client("ec2")
    image = root.describe_images()["Images"][0]["ImageId"]
    id = root.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    arn = lab.role(trusting({"Service": "ec2.amazonaws.com"}), name="web")
    lab.iam[ACCOUNT].create_instance_profile(InstanceProfileName="web")
    lab.iam[ACCOUNT].add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
    lab.user(policy=EC2)
    ann = lab.front.client("ec2", key=lab.key["AccessKeyId"], secret=lab.key["SecretAccessKey"])
    wanted = {"InstanceId": id, "IamInstanceProfile": {"Name": "web"}}
    assert "iam:PassRole" in message_of(ann.associate_iam_instance_profile, **wanted)
    assert "iam:PassRole" in message_of(ann.run_instances, ImageId=image, MinCount=1, MaxCount=1,
                                        IamInstanceProfile={"Name": "web"})  # fmt: skip
    lab.iam[ACCOUNT].put_user_policy(
        UserName="ann", PolicyName="pass", PolicyDocument=document(statement("iam:PassRole", Resource=arn))
    )
    assert code_of(ann.associate_iam_instance_profile, **wanted) in (
        "IncorrectInstanceState",
        "IncorrectState",
    )  # allowed now


def test_iam_33_the_encoded_message_opens_for_those_who_may(lab: Lab) -> None:
    lab.user(policy=document(statement("sts:DecodeAuthorizationMessage", Resource="*")))
    keys = {"key": lab.key["AccessKeyId"], "secret": lab.key["SecretAccessKey"]}
    text = message_of(lab.front.client("ec2", **keys).create_vpc, CidrBlock="10.9.0.0/16")
    found = re.search(r"Encoded authorization failure message: (\S+)", text)
    assert found, text
    reply = lab.front.client("sts", **keys).decode_authorization_message(EncodedMessage=found[1])
    told = json.loads(reply["DecodedMessage"])
    assert (told["allowed"], told["context"]["action"]) == (False, "ec2:CreateVpc")
    bob = lab.user("bob")
    assert code_of(bob.decode_authorization_message, EncodedMessage=found[1]) == "AccessDenied"
    wrong = lab.front.client("sts", **keys).decode_authorization_message
    for message in (found[1][:-4] + "AAAA", "x", "é"):
        assert code_of(wrong, EncodedMessage=message) == "InvalidAuthorizationMessageException"


def test_the_trail_tells_whose_session_it_was(lab: Lab) -> None:
    """CloudTrail User Guide, "userIdentity": sessionContext."""
    ann, arn = lab.user(), lab.role(trusting(ANN, "sts:AssumeRole", "sts:SetSourceIdentity"))
    session = lab.session(ann, arn, SourceIdentity="ann.lee")
    lab.sts(session).get_caller_identity()
    who = lab.front.audit()[-1]["userIdentity"]
    assert who["type"] == "AssumedRole"
    context = who["sessionContext"]
    issuer = context["sessionIssuer"]
    assert (issuer["type"], issuer["arn"], issuer["accountId"], issuer["userName"]) == ("Role", arn, ACCOUNT, "app")
    assert context["attributes"]["mfaAuthenticated"] == "false"
    assert context["attributes"]["creationDate"].endswith("Z")
    assert context["sourceIdentity"] == "ann.lee"
    trail = json.dumps(lab.front.audit())
    assert session["SessionToken"] not in trail
    assert session["SecretAccessKey"] not in trail
    assert '"SessionToken": "HIDDEN_DUE_TO_SECURITY_REASONS"' in trail
