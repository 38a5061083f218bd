"""Access Analyzer over its own protocol, with an unmodified client (IAM-40)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence.identity import actions
from tests.api.front import USER_KEY, USER_SECRET, Front

IDENTITY, RESOURCE = "IDENTITY_POLICY", "RESOURCE_POLICY"


@pytest.fixture(scope="module")
def client() -> Any:
    return Front().client("accessanalyzer")


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


READ, ALL = policy(allow("ec2:Describe*")), policy(allow("ec2:*", Sid="All"))


def test_validate_policy(client: Any) -> None:
    text = json.dumps({"Statement": [{"Effect": "allow", "Action": "ec2:*", "Resource": "*"}]})
    found = client.validate_policy(policyDocument=text, policyType=IDENTITY)["findings"]
    assert [(f["issueCode"], f["findingType"]) for f in found] == [
        ("MISSING_VERSION", "WARNING"),
        ("INVALID_EFFECT", "ERROR"),
    ]
    span = found[1]["locations"][0]["span"]
    assert text[span["start"]["offset"] : span["end"]["offset"]] == '"allow"'


@pytest.mark.parametrize(
    ("statement", "codes"),
    [
        (allow("ec2:DescribeVpcs"), []),
        (allow("ec2:DescribeVpc"), ["INVALID_ACTION"]),
        (allow("ec3:DescribeVpcs"), ["INVALID_SERVICE_IN_ACTION"]),
        (allow("ec2:DeleteVpc", Condition={"ArnEquals": {"ec2:Vpc": "arn:aws:ec2:*:*:vpc/vpc-1"}}), []),
        (allow("ec2:DeleteVpc", Condition={"StringEquals": {"ec2:ResourceTag/Stack": "test"}}), []),
        (allow("ec2:DeleteVpc", Condition={"StringEquals": {"ec2:Vpcc": "x"}}), ["INVALID_SERVICE_CONDITION_KEY"]),
        (allow("ec2:RunInstances", Condition={"Bool": {"ec2:InstanceType": "true"}}), ["TYPE_MISMATCH"]),
    ],
)
def test_published_names(client: Any, statement: dict[str, Any], codes: list[str]) -> None:
    """Actions, services and condition keys are AWS's published ones."""
    found = client.validate_policy(policyDocument=policy(statement), policyType=IDENTITY)["findings"]
    assert [f["issueCode"] for f in found] == codes


def test_a_wildcard_is_no_more_than_the_actions_there_are(client: Any) -> None:
    names = sorted(f"ec2:{name}" for name in actions.ACTIONS["ec2"] if name.startswith("DescribeVpc"))
    reply = client.check_no_new_access(
        newPolicyDocument=policy(allow("ec2:DescribeVpc*")),
        existingPolicyDocument=policy(allow(names)),
        policyType=IDENTITY,
    )
    assert reply["result"] == "PASS"
    fewer = client.check_no_new_access(
        newPolicyDocument=policy(allow("ec2:DescribeVpc*")),
        existingPolicyDocument=policy(allow(names[1:])),
        policyType=IDENTITY,
    )
    assert names[0] in fewer["reasons"][0]["description"]


def test_findings_come_in_pages(client: Any) -> None:
    text = policy(*(allow("ec2:*", Effect="x", Sid=str(n)) for n in range(5)))
    pages = client.get_paginator("validate_policy").paginate(
        policyDocument=text, policyType=IDENTITY, PaginationConfig={"PageSize": 2}
    )
    codes = [f["issueCode"] for page in pages for f in page["findings"]]
    assert codes.count("INVALID_EFFECT") == 5


def test_no_new_access(client: Any) -> None:
    def check(new: str, old: str) -> Any:
        return client.check_no_new_access(newPolicyDocument=new, existingPolicyDocument=old, policyType=IDENTITY)

    assert check(READ, ALL)["result"] == "PASS"
    failed = check(ALL, READ)
    assert failed["result"] == "FAIL"
    assert failed["message"] == "The modified permissions grant new access compared to your existing policy."
    (reason,) = failed["reasons"]
    assert (reason["statementIndex"], reason["statementId"]) == (0, "All")
    assert "New access in the statement with SID: All. For example, arn:aws:iam::" in reason["description"]


def test_what_cannot_be_compared_fails_and_says_why(client: Any) -> None:
    variable = policy(allow("s3:*", Condition={"StringEquals": {"s3:prefix": "${aws:username}"}}))
    other = policy(allow("s3:*", Condition={"StringEquals": {"aws:username": "${s3:prefix}"}}))
    failed = client.check_no_new_access(newPolicyDocument=variable, existingPolicyDocument=other, policyType=IDENTITY)
    assert failed["result"] == "FAIL"
    assert "${aws:username}" in failed["reasons"][0]["description"]


def test_access_not_granted(client: Any) -> None:
    def check(*access: dict[str, Any]) -> Any:
        return client.check_access_not_granted(policyDocument=READ, access=list(access), policyType=IDENTITY)["result"]

    assert check({"actions": ["ec2:RunInstances"]}) == "PASS"
    assert check({"actions": ["ec2:RunInstances", "ec2:DescribeVpcs"]}) == "FAIL"
    assert check({"resources": ["arn:aws:ec2:us-east-1:123456789012:vpc/vpc-1"]}) == "FAIL"


def test_no_public_access(client: Any) -> None:
    def check(principal: Any) -> Any:
        text = policy(allow("s3:GetObject", "arn:aws:s3:::b/*", Principal=principal))
        return client.check_no_public_access(policyDocument=text, resourceType="AWS::S3::Bucket")

    assert check({"AWS": "123456789012"})["result"] == "PASS"
    assert "anybody, without credentials, may" in check("*")["reasons"][0]["description"]


def test_no_public_access_of_a_trust_policy(client: Any) -> None:
    text = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"},
        }
    )
    assert (
        client.check_no_public_access(policyDocument=text, resourceType="AWS::IAM::AssumeRolePolicyDocument")["result"]
        == "FAIL"
    )


@pytest.mark.parametrize(
    ("call", "params", "code"),
    [
        ("validate_policy", {"policyDocument": READ, "policyType": "OTHER"}, "ValidationException"),
        ("validate_policy", {"policyDocument": READ, "policyType": IDENTITY, "nextToken": "é"}, "ValidationException"),
        ("check_no_new_access", {"newPolicyDocument": "{", "existingPolicyDocument": READ, "policyType": IDENTITY},
         "InvalidParameterException"),
        ("check_no_new_access", {"newPolicyDocument": READ, "existingPolicyDocument": READ, "policyType": RESOURCE},
         "InvalidParameterException"),
        ("check_access_not_granted", {"policyDocument": READ, "access": [], "policyType": IDENTITY}, "ValidationException"),
        ("check_access_not_granted", {"policyDocument": READ, "access": [{}], "policyType": IDENTITY}, "ValidationException"),
        ("check_no_public_access", {"policyDocument": READ, "resourceType": "AWS::S3::Bucket"}, "InvalidParameterException"),
        ("check_no_public_access", {"policyDocument": READ, "resourceType": "Bucket"}, "ValidationException"),
    ],
)  # fmt: skip
def test_bad_requests(client: Any, call: str, params: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(client, call)(**params)
    assert caught.value.response["Error"]["Code"] == code


def test_the_checks_need_permission() -> None:
    """IAM-14: a user without policies may not ask."""
    with pytest.raises(ClientError) as caught:
        Front().client("accessanalyzer", key=USER_KEY, secret=USER_SECRET).validate_policy(
            policyDocument=READ, policyType=IDENTITY
        )
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
