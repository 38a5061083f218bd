"""Custom policy checks: every failure with a request that proves it, every pass proven (spec IAM-40; Access Analyzer)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ringfence.identity.analysis import checks
from ringfence.identity.analysis.engine import evaluator
from ringfence.identity.question import Attached, Policies
from tests.differential import iam_generator as generator
from tests.identity.analysis.engine import ENGINE, allow, deny, permits, text
from tests.sampling import part

PROVEN, UNDECIDED, PASS = "proven", "undecided", "pass"


def outcome(failures: list[checks.Failure]) -> str:
    if not failures:
        return PASS
    return PROVEN if all(f.witness is not None for f in failures) else UNDECIDED


def when(**condition: Any) -> dict[str, Any]:
    return {"Condition": condition}


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ([allow("ec2:*")], [allow("ec2:Describe*")], PROVEN),
        ([allow("ec2:Describe*")], [allow("ec2:*")], PASS),
        ([allow("ec2:Describe*")], [allow(["ec2:DescribeVpcs", "EC2:describesubnets"])], PASS),  # there are no others
        ([allow("sqs:Get*")], [allow(["sqs:GetQueueUrl", "sqs:GetQueueAttributes"])], PROVEN),  # here there may be
        ([{"Effect": "Allow", "NotAction": "ec2:*", "Resource": "*"}], [allow("*")], PASS),
        ([allow("*")], [{"Effect": "Allow", "NotAction": "ec2:*", "Resource": "*"}, allow("ec2:*")], PASS),
        ([allow("s3:*", "arn:aws:s3:::a/*")], [allow("s3:*", "arn:aws:s3:::a*")], PASS),
        ([allow("s3:*", "arn:aws:s3:::a*")], [allow("s3:*", "arn:aws:s3:::a/*")], PROVEN),
        ([allow("s3:*", "arn:aws:s3:::a?c")], [allow("s3:*", ["arn:aws:s3:::a*", "arn:aws:s3:::?bc"])], PASS),
        ([allow("ec2:*", "arn:aws:ec2:*:*:subnet/a")], [allow("ec2:*", "arn:aws:ec2:*:subnet/a")], PASS),  # a star goes on
        ([allow("ec2:*", "arn:aws:ec2:*:subnet/a")], [allow("ec2:*", "arn:aws:ec2:us*:*:subnet/a")], PROVEN),
        ([allow("ec2:*", "arn:aws:ec2:u*t:subnet/a")], [allow("s3:*")], PASS),  # within a field it does not: no such ARN
        ([allow("s3:*", "arn:aws:*:*:*:*")], [allow("s3:*", "arn:aws:s3:*:*:*")], PROVEN),
        (
            [allow("s3:*"), deny("s3:*", "arn:aws:s3:::x")],
            [{"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::x"}], PASS,
        ),
        (
            [allow("s3:*"), deny("s3:Get*", "arn:aws:s3:::x")], [allow("s3:*"), deny("s3:Get*", "arn:aws:s3:::x?")], PROVEN,
        ),
        ([allow("s3:*", **when(NumericLessThan={"k": "10"}))], [allow("s3:*", **when(NumericLessThanEquals={"k": "10"}))], PASS),
        ([allow("s3:*", **when(NumericLessThanEquals={"k": "10"}))], [allow("s3:*", **when(NumericLessThan={"k": 10}))], PROVEN),
        (
            [allow("s3:*", **when(DateLessThan={"k": "2020-01-01"}))],
            [allow("s3:*", **when(DateLessThan={"k": "1577836801"}))], PASS,
        ),
        (
            [allow("s3:*", **when(IpAddress={"k": "10.0.0.0/9"}))],
            [allow("s3:*", **when(IpAddress={"k": ["10.0.0.0/10", "10.64.0.0/10"]}))], PASS,
        ),
        (
            [allow("s3:*", **when(NotIpAddress={"k": "10.0.0.0/10"}))],
            [allow("s3:*", **when(NotIpAddress={"k": "10.0.0.0/9"}))], PROVEN,
        ),
        ([allow("s3:*", **when(StringLike={"k": "a*"}))], [allow("s3:*", **when(StringLike={"k": ["a?*", "a"]}))], PASS),
        ([allow("s3:*", **when(StringLikeIfExists={"k": "a"}))], [allow("s3:*", **when(StringLike={"k": "a"}))], PROVEN),
        ([allow("s3:*", **when(StringEquals={"k": "a"}))], [allow("s3:*", **when(StringEqualsIgnoreCase={"k": "A"}))], PASS),
        ([allow("s3:*", **when(Null={"k": "true"}))], [allow("s3:*", **when(StringNotEquals={"k": "a"}))], PASS),
        (
            [allow("s3:*", **when(**{"ForAllValues:StringEquals": {"k": ["a", "b"]}}))],
            [allow("s3:*", **when(**{"ForAllValues:StringEquals": {"k": "a"}}))], PROVEN,
        ),
        (
            [allow("s3:*", **when(**{"ForAnyValue:StringEquals": {"k": "a"}, "ForAllValues:StringEquals": {"k": "a"}}))],
            [allow("s3:*", **when(**{"ForAnyValue:StringLike": {"k": "a*"}}))], PASS,
        ),
        ([allow("s3:*", "arn:aws:s3:::${aws:username}/*")], [allow("s3:*", "arn:aws:s3:::*/*")], PASS),
        ([allow("s3:*", "arn:aws:s3:::${aws:username}/*")], [allow("s3:*", "arn:aws:s3:::${aws:username}/*")], PASS),
        ([allow("s3:*", "arn:aws:s3:::${aws:username}/*")], [allow("s3:*", "arn:aws:s3:::bob/*")], PROVEN),
        ([allow("s3:*", "arn:aws:s3:::${*}")], [allow("s3:*", "arn:aws:s3:::x")], PROVEN),
        (
            [allow("s3:*", **when(StringEquals={"k": "${aws:username}"}))],
            [allow("s3:*", **when(StringEquals={"aws:username": "${k}"}))], UNDECIDED,
        ),
    ],
)  # fmt: skip
def test_no_new_access(new: list[dict[str, Any]], old: list[dict[str, Any]], expected: str) -> None:
    failures = checks.new_access(ENGINE, text(*new), text(*old), named=False)
    assert outcome(failures) == expected
    assert all((f.witness is None) == bool(f.why) for f in failures)


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ({"AWS": "111122223333"}, "*", PASS),
        ("*", {"AWS": "111122223333"}, PROVEN),
        ({"AWS": "arn:aws:iam::111122223333:user/bob"}, {"AWS": "111122223333"}, PASS),
        ({"AWS": "111122223333"}, {"AWS": "arn:aws:iam::111122223333:user/bob"}, PROVEN),
        ({"AWS": "arn:aws:sts::111122223333:assumed-role/ops/x"}, {"AWS": "arn:aws:iam::111122223333:role/ops"}, PASS),
        (
            {"AWS": "arn:aws:iam::111122223333:role/ops"},
            {"AWS": "arn:aws:sts::111122223333:assumed-role/ops/x"},
            PROVEN,
        ),
        ({"Service": "a.amazonaws.com"}, {"Service": ["b.amazonaws.com", "a.amazonaws.com"]}, PASS),
        ({"Service": "a.amazonaws.com"}, {"AWS": "111122223333"}, PROVEN),
    ],
)
def test_no_new_access_of_resource_policies(new: Any, old: Any, expected: str) -> None:
    new_text, old_text = text(allow("s3:*", Principal=new)), text(allow("s3:*", Principal=old))
    assert outcome(checks.new_access(ENGINE, new_text, old_text, named=True)) == expected


def test_an_account_in_a_condition_is_the_account_in_principal() -> None:
    """The keys about the caller go with the caller: both ways of writing it are the same."""
    direct = text(allow("s3:*", Principal={"AWS": "111122223333"}))
    tested = text(allow("s3:*", Principal="*", Condition={"StringEquals": {"aws:PrincipalAccount": "111122223333"}}))
    assert not checks.new_access(ENGINE, tested, direct, named=True)
    assert not checks.new_access(ENGINE, direct, tested, named=True)


@pytest.mark.parametrize(
    ("policy", "actions", "resources", "expected"),
    [
        ([allow("ec2:*")], ["ec2:RunInstances"], [], PROVEN),
        ([allow("ec2:Describe*")], ["ec2:RunInstances"], [], PASS),
        ([allow("s3:*"), deny("s3:*", "arn:aws:s3:::secret/*")], ["s3:GetObject"], ["arn:aws:s3:::secret/*"], PASS),
        ([allow("s3:*"), deny("s3:*", "arn:aws:s3:::secret/*")], ["s3:GetObject"], ["arn:aws:s3:::secret*"], PROVEN),
        ([allow("s3:*", "arn:aws:s3:::sec*")], [], ["arn:aws:s3:::secret/x"], PROVEN),
        ([allow("s3:*", "arn:aws:s3:::sec*")], [], ["arn:aws:s3:::public/*"], PASS),
    ],
)
def test_access_not_granted(
    policy: list[dict[str, Any]], actions: list[str], resources: list[str], expected: str
) -> None:
    assert outcome(checks.access_granted(ENGINE, text(*policy), actions, resources, named=False)) == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([allow("s3:*", Principal="*")], PROVEN),
        ([allow("s3:*", Principal={"AWS": "*"})], PROVEN),
        ([allow("s3:*", Principal={"AWS": "111122223333"})], PASS),
        ([allow("s3:*", Principal={"Service": "a.amazonaws.com"})], PASS),
        ([allow("s3:*", Principal="*", **when(StringEquals={"aws:PrincipalOrgID": "o-1"}))], PASS),
        ([allow("s3:*", Principal="*", **when(StringNotEquals={"aws:PrincipalOrgID": "o-1"}))], PROVEN),
        ([allow("s3:*", Principal="*", **when(StringEqualsIfExists={"aws:PrincipalOrgID": "o-1"}))], PROVEN),
        ([allow("s3:*", Principal="*", **when(StringEquals={"aws:PrincipalAccount": "111122223333"}))], PASS),
        (
            [allow("s3:*", Principal="*", **when(ArnLike={"aws:PrincipalArn": "arn:aws:iam::111122223333:role/*"}))],
            PASS,
        ),
        ([allow("s3:*", Principal="*", **when(ArnLike={"aws:PrincipalArn": "arn:aws:iam::*:role/x"}))], PROVEN),
        ([allow("s3:*", Principal="*", **when(ArnLike={"aws:SourceArn": "arn:aws:sns:*:111122223333:*"}))], PASS),
        ([allow("s3:*", Principal="*", **when(ArnLike={"aws:SourceArn": "arn:aws:s3:::my*"}))], PROVEN),
        ([allow("s3:*", Principal="*", **when(IpAddress={"aws:SourceIp": "203.0.113.0/24"}))], PASS),
        ([allow("s3:*", Principal="*", **when(IpAddress={"aws:SourceIp": "0.0.0.0/1"}))], PROVEN),
        ([allow("s3:*", Principal="*", **when(StringEquals={"aws:SourceVpce": "vpce-1"}))], PASS),
        ([allow("s3:*", Principal="*", **when(StringLike={"aws:SourceVpce": "vpce-*"}))], PROVEN),
        ([allow("s3:*", Principal="*", **when(StringEquals={"s3:prefix": "x"}))], PROVEN),  # strangers can say that
        (
            [
                allow("s3:*", Principal="*"),
                deny("*", Principal="*", **when(StringNotEquals={"aws:PrincipalOrgID": "o-1"})),
            ],
            PASS,
        ),
        ([allow("s3:*", Principal="*"), deny("s3:Get*", Principal="*")], PROVEN),
    ],
)
def test_no_public_access(statements: list[dict[str, Any]], expected: str) -> None:
    assert outcome(checks.public_access(ENGINE, text(*statements))) == expected


def _pair(chance: random.Random) -> tuple[str, str]:
    def some(count: int) -> list[dict[str, Any]]:
        return [generator.statement(chance, deny=0.2, conditions=0.5) for _ in range(count)]

    new = some(chance.choice((1, 2, 3)))
    if chance.random() < 0.5:
        return text(*new), text(*some(chance.choice((1, 2, 3))))
    wider = [dict(one) for one in new]
    chosen = chance.choice(wider)
    if chance.random() < 0.5:
        chosen.pop("Condition", None)
    else:
        chosen["NotAction" if "NotAction" in chosen else "Action"] = "*"
    return text(*new), text(*wider, *some(1))


@pytest.mark.parametrize("start", part(range(0, 120, 20), 2))
def test_an_inclusion_is_never_contradicted(start: int) -> None:
    """Random pairs: where the answer is "pass" no request of the generator's is new; a witness is one."""
    for seed in range(start, start + 20):
        chance = random.Random(seed)
        new, old = _pair(chance)
        failures = checks.new_access(ENGINE, new, old, named=False)

        def allowed(policy: str, question: Any) -> bool:
            return permits(question, Policies(identity=(Attached("p", policy),)))

        for failure in failures:
            if failure.witness is not None:
                assert allowed(new, failure.witness)
                assert not allowed(old, failure.witness)
        for _ in range(0 if failures else 40):
            question = generator._ask(chance, generator.INSIDERS[1])
            assert not allowed(new, question) or allowed(old, question), (seed, new, old, question)


def test_what_is_too_much_fails_and_says_so() -> None:
    patterns = [f"*{c}{c}{c}*{c}{c}{c}*" for c in "abcdefgh"]
    new = text(allow("s3:*", **when(StringLike={"k": patterns})))
    failures = checks.new_access(ENGINE, new, text(allow("ec2:*")), named=False)
    assert outcome(failures) == UNDECIDED
    assert failures[0].why == "too many patterns for one part of the request"


def test_evaluator_and_specification_make_the_same_analysis() -> None:
    """The checks that are served stand on the evaluator; the tests above on the specification."""
    served = evaluator(ENGINE.catalogue)
    for seed in range(60):
        chance = random.Random(seed)
        new, old = _pair(chance)
        made, again = (checks.new_access(engine, new, old, named=False) for engine in (ENGINE, served))
        assert [(f.statement, f.witness, f.why) for f in made] == [(f.statement, f.witness, f.why) for f in again]
        public = text(
            allow(
                "s3:*", Principal=generator.named(chance, generator.INSIDERS[1]), Condition=generator.condition(chance)
            )
        )
        assert outcome(checks.public_access(ENGINE, public)) == outcome(checks.public_access(served, public))
