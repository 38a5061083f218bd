"""The executable specification against the examples AWS's documents give with their answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringfence.identity import spec
from ringfence.identity.principal import Principal, PrincipalKind, Session
from ringfence.identity.question import Attached, Effect, Policies, Question, Target

ACCOUNT, OTHER = "111122223333", "444455556666"
SUBNET = f"arn:aws:ec2:us-east-1:{ACCOUNT}:subnet/subnet-1"
USER = Principal(
    account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/bob", user_id="AIDA", kind=PrincipalKind.USER, name="bob"
)
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/ops"
ROLE = Principal(
    account_id=ACCOUNT, arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/ops/day", user_id="AROA:day", kind=PrincipalKind.ROLE,
    name="ops", session=Session(name="day", issued_at=0, expires_at=1, issuer_arn=ROLE_ARN),
)  # fmt: skip
ROOT = Principal(account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:root", user_id=ACCOUNT)
FEDERATED = Principal(
    account_id=ACCOUNT, arn=f"arn:aws:sts::{ACCOUNT}:federated-user/fred", user_id=f"{ACCOUNT}:fred",
    kind=PrincipalKind.FEDERATED, name="fred",
    session=Session(name="fred", issued_at=0, expires_at=1, issuer_arn=USER.arn),
)  # fmt: skip
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
NOTHING = {"Effect": "Allow", "Action": "s3:ListNothing", "Resource": "*"}


def attached(*statements: dict[str, Any]) -> Attached:
    return Attached("p", json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))


def ask(
    who: Principal = USER, action: str = "ec2:CreateSubnet", arn: str = SUBNET, account: str = ACCOUNT,
    context: dict[str, Any] | None = None, resource: Attached | None = None, **policies: Any,
) -> Effect:  # fmt: skip
    policies.setdefault("identity", (attached(EVERYTHING),))
    target = Target(arn=arn, account_id=account, policy=resource)
    question = Question(principal=who, action=action, targets=(target,), context=context or {})
    return spec.answer(question, Policies(**policies))


def holds(condition: dict[str, Any], context: dict[str, Any]) -> bool:
    return ask(context=context, identity=(attached({**EVERYTHING, "Condition": condition}),)) is Effect.ALLOWED


def grant(principal: Any, **more: Any) -> Attached:
    return attached({"Effect": "Allow", "Principal": principal, "Action": "*", "Resource": "*", **more})


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"StringEquals": {"aws:UserName": ["a", "b"]}}, {"aws:username": "b"}, True),  # names of keys: any case
        ({"StringEquals": {"aws:username": "b"}}, {"aws:username": "B"}, False),
        ({"StringEqualsIgnoreCase": {"aws:username": "b"}}, {"aws:username": "B"}, True),
        ({"StringEquals": {"k": "b"}}, {}, False),
        ({"StringNotEquals": {"k": "b"}}, {}, True),
        ({"StringNotEquals": {"k": ["a", "b"]}}, {"k": "b"}, False),
        ({"StringEqualsIfExists": {"k": "b"}}, {}, True),
        ({"StringEqualsIfExists": {"k": "b"}}, {"k": "c"}, False),
        ({"StringLike": {"k": "a*c?"}}, {"k": "abccd"}, True),
        ({"StringEquals": {"k": "a*"}}, {"k": "abc"}, False),
        ({"StringLike": {"k": "${*}a"}}, {"k": "*a"}, True),
        ({"StringLike": {"k": "${*}a"}}, {"k": "ba"}, False),
        ({"StringLike": {"k": "${aws:username}/*"}}, {"k": "bob/1", "aws:username": "bob"}, True),
        ({"StringLike": {"k": "${aws:username}"}}, {"k": "bob", "aws:username": "*"}, False),
        ({"StringEquals": {"k": "${aws:username, 'x'}"}}, {"k": "x"}, True),
        ({"StringEquals": {"k": "${aws:username}"}}, {"k": "${aws:username}"}, False),  # no value, nothing is like it
        ({"StringNotEquals": {"k": "${aws:username}"}}, {"k": "x"}, True),
        ({"NumericLessThanEquals": {"s3:max-keys": "10"}}, {"s3:max-keys": "9.5"}, True),
        ({"NumericLessThanEquals": {"s3:max-keys": 10}}, {"s3:max-keys": "11"}, False),
        ({"NumericLessThan": {"s3:max-keys": "ten"}}, {"s3:max-keys": "1"}, False),
        (
            {"DateGreaterThan": {"aws:TokenIssueTime": "2020-01-01T00:00:01Z"}},
            {"aws:tokenissuetime": "2020-01-02"},
            True,
        ),
        ({"DateEquals": {"k": "2020-01-01T01:00:00+01:00"}}, {"k": "1577836800"}, True),
        ({"DateLessThan": {"k": "tomorrow"}}, {"k": "1577836800"}, False),
        ({"Bool": {"k": True}}, {"k": "TRUE"}, True),
        ({"BinaryEquals": {"k": "QmluYXJ5"}}, {"k": "QmluYXJ5"}, True),
        ({"IpAddress": {"k": "203.0.113.0/24"}}, {"k": "203.0.113.9"}, True),
        ({"IpAddress": {"k": "2001:DB8:1234:5678::/64"}}, {"k": "2001:db8:1234:5678::1"}, True),
        ({"NotIpAddress": {"k": "203.0.113.0/24"}}, {"k": "2001:db8::1"}, True),
        ({"NotIpAddress": {"k": "203.0.113.0/24"}}, {}, True),
        ({"Null": {"k": "true"}}, {}, True),
        ({"Null": {"k": "false"}}, {"k": ()}, False),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {"k": ("a", "b")}, True),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {"k": ("a", "c")}, False),
        ({"ForAllValues:StringEquals": {"k": "a"}}, {}, True),
        ({"ForAnyValue:StringEquals": {"k": ["a", "b"]}}, {"k": ("c", "b")}, True),
        ({"ForAnyValue:StringEquals": {"k": "a"}}, {}, False),
        ({"ForAllValues:StringNotLike": {"aws:TagKeys": "key1*"}}, {"aws:tagkeys": ("key2:audit",)}, True),
        ({"ForAllValues:StringNotLike": {"aws:TagKeys": "key1*"}}, {"aws:tagkeys": ("key1:hr", "key2")}, False),
    ],
)
def test_conditions(condition: dict[str, Any], context: dict[str, Any], *, expected: bool) -> None:
    """IAM-26, IAM-27, IAM-28."""
    assert holds(condition, context) is expected


def test_an_arn_operator_keeps_to_its_segments() -> None:
    """Condition operators, "Amazon Resource Name (ARN) condition operators": the example with finance/document.txt."""
    value = {"k": "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"}
    pattern = "arn:aws:someservice:*:111122223333:finance/*"
    assert holds({"StringLike": {"k": pattern}}, value)
    assert not holds({"ArnLike": {"k": pattern}}, value)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({"Action": "EC2:createsubnet", "Resource": SUBNET}, True),  # IAM-21
        ({"Action": "ec2:Create?ubnet", "Resource": "arn:aws:ec2:*:*:subnet/*"}, True),
        ({"Action": "ec2:*", "Resource": "arn:aws:ec2:*:subnet/*"}, True),  # "can expand … beyond the colon boundaries"
        ({"Action": "ec2:*", "Resource": "arn:aws:ec2:us-*-1:subnet/*"}, False),  # only at the end of a segment
        ({"Action": "ec2:*", "Resource": "arn:aws:ec2:us-east-1:?:subnet/*"}, False),
        ({"Action": "ec2:*", "Resource": SUBNET.upper()}, False),
        ({"NotAction": "ec2:Create*", "Resource": "*"}, False),
        ({"NotAction": "s3:*", "NotResource": "arn:aws:ec2:*:*:vpc/*"}, True),
        ({"NotAction": "s3:*", "NotResource": "arn:aws:ec2:*:*:subnet/*"}, False),
    ],
)
def test_actions_and_resources(statement: dict[str, Any], *, expected: bool) -> None:
    assert (ask(identity=(attached({"Effect": "Allow", **statement}),)) is Effect.ALLOWED) is expected


def test_no_resource_level_permission_needs_the_wildcard() -> None:
    """IAM-24."""
    named = attached({"Effect": "Allow", "Action": "*", "Resource": "arn:aws:ec2:*:*:*"})
    assert ask(arn="*", identity=(named,)) is Effect.IMPLICIT_DENY
    assert ask(arn="*") is Effect.ALLOWED


def test_defaults() -> None:
    """IAM-14, IAM-15, IAM-18, IAM-25."""
    deny = {"Effect": "Deny", "Action": "ec2:Create*", "Resource": "*"}
    assert ask(identity=()) is Effect.IMPLICIT_DENY
    assert ask(identity=(attached(EVERYTHING, deny),)) is Effect.EXPLICIT_DENY
    assert ask(who=ROOT, identity=()) is Effect.ALLOWED
    assert ask(who=ROOT, identity=(), service_control=((attached(deny),),)) is Effect.EXPLICIT_DENY
    assert ask(who=ROOT, identity=(), service_control=((attached(EVERYTHING),), ())) is Effect.IMPLICIT_DENY
    assert spec.answer(Question(principal=ROOT, action="ec2:X", targets=()), Policies()) is Effect.IMPLICIT_DENY


@pytest.mark.parametrize(
    ("who", "principal", "limits", "expected"),
    [
        (USER, {"AWS": USER.arn}, ("identity", "boundary"), True),
        (USER, "*", ("identity", "boundary"), True),
        (USER, {"AWS": ACCOUNT}, ("identity",), False),  # delegates to the account, whose policies say nothing
        (ROLE, {"AWS": ROLE_ARN}, ("identity",), True),
        (ROLE, {"AWS": ROLE_ARN}, ("boundary",), False),  # "limited by an implicit deny in a permissions boundary"
        (ROLE, {"AWS": ROLE.arn}, ("identity", "boundary", "session"), True),
        (FEDERATED, {"AWS": FEDERATED.arn}, ("identity", "boundary", "session"), True),
        (FEDERATED, {"AWS": USER.arn}, ("identity",), False),  # a federated user without a session policy
    ],
)
def test_resource_policies_and_implicit_denies(
    who: Principal, principal: Any, limits: tuple[str, ...], *, expected: bool
) -> None:
    """IAM-17, IAM-19, IAM-20; "Resource-based policies and implicit denies in other policy types (same account)"."""
    given = {
        "identity": {"identity": ()},
        "boundary": {"boundary": attached(NOTHING)},
        "session": {"session": (attached(NOTHING),)},
    }
    policies: dict[str, Any] = {}
    for limit in limits:
        policies |= given[limit]
    answer = ask(who=who, resource=grant(principal), **policies)
    assert (answer is Effect.ALLOWED) is expected


def test_across_accounts_both_sides() -> None:
    """IAM-20."""
    there = f"arn:aws:ec2:us-east-1:{OTHER}:subnet/subnet-1"
    across = {"arn": there, "account": OTHER}
    assert ask(**across) is Effect.IMPLICIT_DENY
    assert ask(**across, resource=grant({"AWS": USER.arn}), identity=()) is Effect.IMPLICIT_DENY
    assert ask(**across, resource=grant({"AWS": ACCOUNT})) is Effect.ALLOWED
    assert ask(**across, resource=grant({"AWS": OTHER})) is Effect.IMPLICIT_DENY


def test_a_trust_policy_must_say_so() -> None:
    """IAM-09; "IAM role trust policies and KMS key policies are exceptions"."""
    trust = attached({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"})
    nobody = attached({"Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": "sts:AssumeRole"})
    assume = {"action": "sts:AssumeRole", "arn": ROLE_ARN}
    assert ask(**assume, resource=trust) is Effect.ALLOWED
    assert ask(**assume, resource=trust, identity=()) is Effect.IMPLICIT_DENY
    assert ask(**assume, resource=nobody) is Effect.IMPLICIT_DENY


def test_not_principal() -> None:
    """NotPrincipal, "Key points"."""

    def deny_but(*arns: str) -> Attached:
        return attached({"Effect": "Deny", "NotPrincipal": {"AWS": list(arns)}, "Action": "*", "Resource": "*"})

    assert ask(resource=deny_but(USER.arn, ACCOUNT)) is Effect.ALLOWED
    assert ask(resource=deny_but(USER.arn)) is Effect.EXPLICIT_DENY
    assert ask(resource=deny_but(USER.arn + "x", ACCOUNT)) is Effect.EXPLICIT_DENY
    assert ask(resource=deny_but(USER.arn, ACCOUNT), boundary=attached(EVERYTHING)) is Effect.EXPLICIT_DENY
    assert ask(who=ROLE, resource=deny_but(ROLE.arn, ROLE_ARN, ACCOUNT)) is Effect.ALLOWED  # the second example
    for missing in ((ROLE_ARN, ACCOUNT), (ROLE.arn, ACCOUNT), (ROLE.arn, ROLE_ARN)):
        assert ask(who=ROLE, resource=deny_but(*missing)) is Effect.EXPLICIT_DENY
