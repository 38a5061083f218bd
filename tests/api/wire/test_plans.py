"""A request that is read by the plan of an earlier one is read as if there were no plans."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.api.wire import model
from ringfence.api.wire.query import MAX_PLANS, QueryParser, build_tree
from ringfence.model.errors import ApiError

Pairs = list[tuple[str, str]]
#: for each operation names of parameters with a value that is in order
REQUESTS: dict[tuple[str, str], dict[str, str]] = {
    ("ec2", "AuthorizeSecurityGroupIngress"): {
        "GroupId": "sg-1", "IpPermissions.1.IpProtocol": "tcp", "IpPermissions.1.FromPort": "1",
        "IpPermissions.1.ToPort": "2", "IpPermissions.1.IpRanges.1.CidrIp": "10.0.0.0/8",
        "IpPermissions.1.IpRanges.2.CidrIp": "10.0.0.0/9", "IpPermissions.2.IpProtocol": "-1",
        "IpPermissions.10.Groups.1.GroupId": "sg-2", "DryRun": "true",
    },
    ("ec2", "CreateNetworkAclEntry"): {
        "NetworkAclId": "acl-1", "RuleNumber": "100", "Protocol": "6", "RuleAction": "allow", "Egress": "false",
        "CidrBlock": "10.0.0.0/8", "PortRange.From": "1", "PortRange.To": "2",
    },
    ("ec2", "DescribeSecurityGroups"): {"Filter.1.Name": "vpc-id", "Filter.1.Value.1": "vpc-1", "MaxResults": "5"},
    ("ec2", "CreateTags"): {"ResourceId.1": "sg-1", "Tag.1.Key": "k", "Tag.1.Value": "v"},
    ("iam", "CreateUser"): {"UserName": "ann", "Tags.member.1.Key": "k", "Tags.member.1.Value": "v"},
    ("sts", "AssumeRole"): {"RoleArn": "arn:aws:iam::123456789012:role/r", "RoleSessionName": "session",
                            "DurationSeconds": "900"},
}  # fmt: skip
VALUES = st.sampled_from(
    ["", "0", "1", "65536", "99999999999", "allow", "DENY", "true", "x", "a\x01b", "ä&<", "10.0.0.0/8"]
)


def outcome(read: Any) -> Any:
    try:
        return read()
    except ApiError as error:
        return error.code, error.message


def both(parser: QueryParser, shape: Any, pairs: Pairs) -> tuple[Any, Any]:
    return outcome(lambda: parser.parameters(shape, pairs)), outcome(lambda: parser.parse(shape, build_tree(pairs)))


@given(st.sampled_from(sorted(REQUESTS)), st.data())
def test_plans_change_nothing(operation: tuple[str, str], data: st.DataObject) -> None:
    service, action = operation
    shape = model.operation(service, action).input_shape  # type: ignore[union-attr]
    parser, whole = QueryParser(ec2=service == "ec2"), REQUESTS[operation]
    names = data.draw(st.permutations(sorted(whole)))[: data.draw(st.integers(1, len(whole)))]
    parser.parameters(shape, list(whole.items()))
    outcome(lambda: parser.parameters(shape, [(name, whole[name]) for name in names]))
    for _ in range(3):
        given_ = [(name, data.draw(st.just(whole[name]) | VALUES)) for name in names]
        by_plan, plainly = both(parser, shape, given_)
        assert by_plan == plainly
        if isinstance(plainly, dict):
            assert list(by_plan) == list(plainly)  # the audit record shows them in this order


def test_a_plan_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = model.operation("ec2", "AuthorizeSecurityGroupIngress").input_shape  # type: ignore[union-attr]
    parser, pairs = QueryParser(ec2=True), list(REQUESTS["ec2", "AuthorizeSecurityGroupIngress"].items())
    first = parser.parameters(shape, pairs)
    monkeypatch.setattr(parser, "parse", lambda *_: pytest.fail("parsed anew"))
    again = parser.parameters(shape, pairs)
    assert again == first
    again["IpPermissions"].clear()  # nobody else's
    assert parser.parameters(shape, pairs) == first


def test_plans_are_few() -> None:
    shape = model.operation("ec2", "CreateTags").input_shape  # type: ignore[union-attr]
    parser = QueryParser(ec2=True)
    for number in range(1, MAX_PLANS + 20):
        parser.parameters(shape, [("ResourceId.1", "x"), (f"Tag.{number}.Key", "k")])
    assert 0 < len(parser._plans) <= MAX_PLANS
