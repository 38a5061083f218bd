"""The policy simulator (IAM-41): what it says is what the evaluator decides, with the statement and its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringfence.api.ops.iam.positions import statement_span
from tests.api.ops.iam.lab import ACCOUNT, READ_ONLY, Lab

SUBNET = f"arn:aws:ec2:us-east-1:{ACCOUNT}:subnet/subnet-1"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, indent=1)


def statement(effect: str, action: str, resource: str = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


ALLOW, DENY = statement("Allow", "ec2:*"), statement("Deny", "ec2:DeleteSubnet")
TEST_ONLY = statement(
    "Allow", "ec2:CreateRoute", Condition={"StringEquals": {"ec2:ResourceTag/Stack": "${aws:username}"}}
)


def simulate(lab: Lab, *texts: str, action: str = "ec2:DeleteSubnet", **more: Any) -> dict[str, Any]:
    reply = lab.iam.simulate_custom_policy(PolicyInputList=list(texts), ActionNames=[action], **more)
    (result,) = reply["EvaluationResults"]
    return dict(result)


@pytest.mark.parametrize(
    ("texts", "decision", "matched"),
    [
        ([policy(ALLOW)], "allowed", [("PolicyInputList.1", 4)]),
        ([policy(statement("Allow", "s3:*"))], "implicitDeny", []),
        ([policy(ALLOW, DENY)], "explicitDeny", [("PolicyInputList.1", 9)]),
        ([policy(ALLOW), policy(DENY)], "explicitDeny", [("PolicyInputList.2", 4)]),
    ],
)
def test_the_three_decisions(lab: Lab, texts: list[str], decision: str, matched: list[tuple[str, int]]) -> None:
    """IAM-14, IAM-15, IAM-41: with the statement that decided, and the line on which it begins."""
    result = simulate(lab, *texts)
    assert result["EvalDecision"] == decision
    found = [(one["SourcePolicyId"], one["StartPosition"]["Line"]) for one in result["MatchedStatements"]]
    assert found == matched


def test_the_place_of_a_statement_is_its_text() -> None:
    text = ' {"Id": "a{[b", "Statement" : [ {"Sid":"]"} ,\n  {"Sid": "2",\n "Effect": "Deny"}], "Version":"x"}'
    spans = [statement_span(text, n) for n in range(3)]
    assert spans[2] is None
    assert spans[1] == ({"Line": 2, "Column": 3}, {"Line": 3, "Column": 19})
    assert statement_span('{"Statement":{"Sid":"1"}}', 0) == ({"Line": 1, "Column": 14}, {"Line": 1, "Column": 25})
    for broken in ("", "[", "{", '{"Statement"', "nothing"):
        assert statement_span(broken, 0) is None


def test_keys_that_are_missing_are_named_and_given_ones_count(lab: Lab) -> None:
    """IAM-26, IAM-28."""
    text, action = policy(TEST_ONLY), "ec2:CreateRoute"
    bare = simulate(lab, text, action=action)
    assert (bare["EvalDecision"], bare["MissingContextValues"]) == ("implicitDeny", ["ec2:ResourceTag/Stack"])
    caller = f"arn:aws:iam::{ACCOUNT}:user/ann"
    entry = {"ContextKeyName": "ec2:ResourceTag/Stack", "ContextKeyType": "string"}
    for value, decision in (("ann", "allowed"), ("bob", "implicitDeny")):
        result = simulate(
            lab, text, action=action, CallerArn=caller, ContextEntries=[entry | {"ContextKeyValues": [value]}]
        )
        assert (result["EvalDecision"], result["MissingContextValues"]) == (decision, [])
    keys = lab.iam.get_context_keys_for_custom_policy(PolicyInputList=[text])["ContextKeyNames"]
    assert keys == ["ec2:ResourceTag/Stack", "aws:username"]


def test_a_user_has_what_groups_and_policies_add_up_to_within_its_boundary(lab: Lab) -> None:
    """IAM-16, IAM-17: every source is named by what it is."""
    lab.user("ann")
    lab.iam.create_group(GroupName="ops")
    lab.iam.add_user_to_group(GroupName="ops", UserName="ann")
    lab.iam.put_group_policy(
        GroupName="ops", PolicyName="g", PolicyDocument=policy(statement("Allow", "ec2:DeleteSubnet"))
    )
    lab.iam.put_user_policy(UserName="ann", PolicyName="u", PolicyDocument=policy(statement("Allow", "ec2:DeleteVpc")))
    lab.iam.attach_user_policy(UserName="ann", PolicyArn=READ_ONLY)
    arn = f"arn:aws:iam::{ACCOUNT}:user/ann"
    actions = ["ec2:DeleteSubnet", "ec2:DeleteVpc", "ec2:DescribeVpcs", "ec2:CreateVpc"]

    def answers() -> list[tuple[str, list[str]]]:
        reply = lab.iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=actions)
        return [
            (result["EvalDecision"], [one["SourcePolicyId"] for one in result["MatchedStatements"]])
            for result in reply["EvaluationResults"]
        ]

    assert answers() == [
        ("allowed", ["group_ops_g"]), ("allowed", ["user_ann_u"]), ("allowed", [READ_ONLY]), ("implicitDeny", []),
    ]  # fmt: skip
    lab.iam.put_user_permissions_boundary(UserName="ann", PermissionsBoundary=READ_ONLY)
    assert [decision for decision, _ in answers()] == ["implicitDeny", "implicitDeny", "allowed", "implicitDeny"]
    reply = lab.iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=actions[:1])
    detail = reply["EvaluationResults"][0]["PermissionsBoundaryDecisionDetail"]
    assert detail == {"AllowedByPermissionsBoundary": False}
    group = lab.iam.simulate_principal_policy(PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:group/ops", ActionNames=actions)
    decisions = [result["EvalDecision"] for result in group["EvaluationResults"]]
    assert decisions == ["allowed", "implicitDeny", "implicitDeny", "implicitDeny"]


def test_roles_and_resource_policies(lab: Lab) -> None:
    lab.role()
    arn = f"arn:aws:iam::{ACCOUNT}:role/runner"
    ask = {"PolicySourceArn": arn, "ActionNames": ["sts:AssumeRole"], "ResourceArns": [arn]}
    assert lab.iam.simulate_principal_policy(**ask)["EvaluationResults"][0]["EvalDecision"] == "implicitDeny"
    lab.iam.put_role_policy(RoleName="runner", PolicyName="p", PolicyDocument=policy(statement("Allow", "sts:*")))
    assert lab.iam.simulate_principal_policy(**ask)["EvaluationResults"][0]["EvalDecision"] == "allowed"
    resource = policy({**statement("Deny", "s3:*"), "Principal": "*"})
    denied = simulate(lab, policy(statement("Allow", "s3:*")), action="s3:GetObject", ResourcePolicy=resource)
    assert denied["EvalDecision"] == "explicitDeny"
    assert [one["SourcePolicyType"] for one in denied["MatchedStatements"]] == ["resource"]


def test_results_come_for_every_action_and_resource_in_pages(lab: Lab) -> None:
    ask = {
        "PolicyInputList": [policy(statement("Allow", "ec2:*", SUBNET))],
        "ActionNames": ["ec2:DeleteSubnet", "ec2:CreateTags"], "ResourceArns": [SUBNET, SUBNET + "0"],
    }  # fmt: skip
    pages = list(lab.iam.get_paginator("simulate_custom_policy").paginate(**ask, PaginationConfig={"PageSize": 3}))
    results = [result for page in pages for result in page["EvaluationResults"]]
    assert len(pages) == 2
    assert [result["EvalDecision"] for result in results] == ["allowed", "implicitDeny"] * 2


def test_what_cannot_be_simulated(lab: Lab) -> None:
    good = {"PolicyInputList": [policy(ALLOW)], "ActionNames": ["ec2:DeleteVpc"]}
    for change in (
        {"PolicyInputList": ["{"]},
        {"ActionNames": ["vpc"]},
        {"CallerArn": "x" * 20},
        {"ResourcePolicy": "{"},
    ):
        assert lab.refused("simulate_custom_policy", **(good | change))[:2] == ("InvalidInput", 400), change
    missing = f"arn:aws:iam::{ACCOUNT}:user/nobody"
    ask = {"PolicySourceArn": missing, "ActionNames": ["ec2:DeleteVpc"]}
    assert lab.refused("simulate_principal_policy", **ask)[:2] == ("NoSuchEntity", 404)
    assert lab.refused("simulate_principal_policy", **(ask | {"PolicySourceArn": READ_ONLY}))[0] == "InvalidInput"
