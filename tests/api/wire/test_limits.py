"""Constraints of the EC2 model on input: enum, range, length and pattern, each with AWS's error code."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.api.wire import model
from ringfence.api.wire.query import QueryParser, build_tree
from ringfence.model.errors import ApiError


def parse(action: str, **form: str) -> dict[str, Any]:
    operation = model.operation("ec2", action)
    assert operation is not None
    return QueryParser(ec2=True).parse(operation.input_shape, build_tree(form.items()))


@pytest.mark.parametrize(
    ("action", "form", "code"),
    [
        ("DescribeRouteTables", {"MaxResults": "101"}, "InvalidParameterValue"),  # 5 to 100
        ("DescribeRouteTables", {"MaxResults": "4"}, "InvalidParameterValue"),
        ("DescribeSecurityGroups", {"MaxResults": "1001"}, "InvalidParameterValue"),
        ("DescribeStaleSecurityGroups", {"VpcId": "vpc-1", "NextToken": ""}, "InvalidParameterValue"),  # length
        ("DescribeInstanceTypes", {f"InstanceType.{n}": "t3.nano" for n in range(1, 102)}, "InvalidParameterValue"),
        (
            "DisassociateCapacityReservationBillingOwner",  # pattern
            {"CapacityReservationId": "cr-1", "UnusedReservationBillingOwnerId": "12345678901x"},
            "InvalidParameterValue",
        ),
        ("RegisterImage", {"Name": "ab"}, "InvalidAMIName.Malformed"),
        ("CreateVpc", {"InstanceTenancy": "shared"}, "InvalidParameterValue"),  # enum
        ("ModifyVpcTenancy", {"VpcId": "vpc-1", "InstanceTenancy": "dedicated"}, "UnsupportedTenancy"),
        ("CreateSecurityGroup", {"GroupName": "a", "GroupDescription": ""}, "MissingParameter"),
    ],
)
def test_what_the_model_does_not_allow_is_refused(action: str, form: dict[str, str], code: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse(action, **form)
    assert refused.value.code == code


def test_analyses_take_more_than_the_model_knows() -> None:
    """IPv6 addresses and every protocol: the operation checks them."""
    given = {"Source": "eni-1", "Protocol": "icmpv6", "ClientToken": "t", "DestinationIp": "2001:db8::1"}
    assert parse("CreateNetworkInsightsPath", **given) == given


def test_the_edges_of_a_range_are_inside_it() -> None:
    for edge in ("5", "100"):
        assert parse("DescribeRouteTables", MaxResults=edge) == {"MaxResults": int(edge)}


def test_a_range_is_named_in_the_message() -> None:
    with pytest.raises(ApiError, match=r"for parameter maxResults is invalid\. Expecting a value between 5 and 1000"):
        parse("DescribeVpcs", MaxResults="2")


def test_rule_actions_are_taken_in_any_case_and_kept_in_the_models_spelling() -> None:
    form = {"NetworkAclId": "acl-1", "RuleNumber": "1", "Protocol": "-1", "RuleAction": "ALLOW", "Egress": "false"}
    assert parse("CreateNetworkAclEntry", **form)["RuleAction"] == "allow"


@pytest.mark.parametrize(
    ("action", "form", "code", "message"),
    [
        ("TerminateInstances", {}, "InvalidParameterCombination", "No instances specified"),
        ("CreateTags", {"Tag.1.Key": "a"}, "MissingParameter", "resourceIdSet"),
        ("CreateTags", {"ResourceId.1": "vpc-1"}, "MissingParameter", "tagSet"),
        ("CreateSubnet", {}, "MissingParameter", "VpcId"),
        ("DescribeInstanceAttribute", {"InstanceId": "i-1", "Attribute": "userdata"}, "InvalidParameterValue",
         r"Value \(userdata\) for parameter attribute is invalid. Unknown attribute."),
    ],
)  # fmt: skip
def test_errors_of_their_own(action: str, form: dict[str, str], code: str, message: str) -> None:
    with pytest.raises(ApiError, match=message) as refused:
        parse(action, **form)
    assert refused.value.code == code
