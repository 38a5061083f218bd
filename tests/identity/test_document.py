"""What may be stored as a policy, and what AWS says when it may not (IAM-22, IAM-40; IAM User Guide: "Grammar of the IAM
JSON policy language")."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.identity.compiled import compiled
from ringfence.identity.document import DocumentKind, PolicyError, check, malformed
from ringfence.model.errors import ApiError
from tests.identity.policies import policy, statement

SYNTAX, LEGACY = "Syntax errors in policy.", "The policy failed legacy parsing"
GOOD = statement()
K = DocumentKind


def refusal(text: str, kind: DocumentKind = K.MANAGED) -> tuple[str, str]:
    with pytest.raises(PolicyError) as caught:
        check(text, kind)
    return caught.value.message, caught.value.place


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("not json", SYNTAX, "line 1 column 1"),
        ("[]", SYNTAX, "not an object"),
        ('{"Version": "2012-10-17", "Version": "2012-10-17"}', SYNTAX, "'Version' is given twice"),
        ('{"Statement": [{"Effect": "Deny", "Effect": "Allow"}]}', SYNTAX, "'Effect' is given twice"),
        ('{"Statement": NaN}', SYNTAX, "NaN"),
        ("[" * 100_000, SYNTAX, "sensible size"),
        ('{"Statement": ' + "9" * 5000 + "}", SYNTAX, "sensible size"),
        (policy(), SYNTAX, "missing or empty"),
        (policy(GOOD, version="2013-01-01"), SYNTAX, "Version"),
        (policy(GOOD, version="2008-10-17"), "Policy document must be version 2012-10-17 or greater.", "Version"),
        (policy(GOOD, version=None), "Policy document must be version 2012-10-17 or greater.", "Version"),
        (json.dumps({"Version": "2012-10-17", "Statement": [GOOD], "Policy": 1}), SYNTAX, "unknown element 'Policy'"),
        (json.dumps({"Version": "2012-10-17", "Statement": ["x"]}), SYNTAX, "Statement[0] is not an object"),
        (policy(GOOD, statement(Extra=1)), SYNTAX, "Statement[1]: unknown element 'Extra'"),
        (policy(statement("Maybe")), SYNTAX, "Statement[0].Effect"),
        (policy(statement("allow")), LEGACY, "Statement[0].Effect"),
        (policy(statement(NotAction="ec2:*")), SYNTAX, "Statement[0] has Action and NotAction"),
        (policy(statement(NotResource="*")), SYNTAX, "Statement[0] has Resource and NotResource"),
        (policy(statement(action=None)), "Policy statement must contain actions.", "Statement[0]"),
        (policy(statement(action=[])), "Policy statement must contain actions.", "Statement[0]"),
        (policy(statement(resource=None)), "Policy statement must contain resources.", "Statement[0]"),
        (policy(statement(action=[["a"]])), SYNTAX, "Statement[0].Action"),
        (policy(statement(action="DeleteVpc")), "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
         "Statement[0].Action"),
        (policy(statement(action="ec2:a:b")), "Actions/Condition can contain only one colon.", "Statement[0].Action"),
        (policy(statement(action="e c2:a")), "Vendor e c2 is not valid", "Statement[0].Action"),
        (policy(statement(resource="vpc-1")), 'Resource vpc-1 must be in ARN format or "*".', "Statement[0].Resource"),
        (policy(statement(resource="arn:aws:ec2:vpc")), LEGACY, "Statement[0].Resource"),
        (policy(statement(Principal="*")), "Policy document should not specify a principal.", "Statement[0].Principal"),
        (policy(statement(Sid="a b")), "Statement IDs (SID) must be alpha-numeric. "
         "Check that your input satisfies the regular expression [0-9A-Za-z]*", "Statement[0].Sid"),
        (policy(statement(Sid="a"), statement(Sid="a")), "Statement IDs (SID) in a single policy must be unique.",
         "Statement[1].Sid"),
        (policy(statement(Condition=[])), SYNTAX, "Statement[0].Condition"),
        (policy(statement(Condition={"StringIs": {"a:b": "c"}})), SYNTAX, "StringIs: no such operator"),
        (policy(statement(Condition={"ForSomeValues:StringEquals": {"a:b": "c"}})), SYNTAX, "no such operator"),
        (policy(statement(Condition={"NullIfExists": {"a:b": "true"}})), SYNTAX, "no such operator"),
        (policy(statement(Condition={"StringEquals": {"a:b": {"c": 1}}})), SYNTAX, "Statement[0].Condition.StringEquals.a:b"),
        (policy(statement(Condition={"NumericEquals": {"a:b": "x"}})), LEGACY, "Condition.NumericEquals.a:b"),
        (policy(statement(Condition={"DateLessThan": {"a:b": "2020-13-01"}})), LEGACY, "Condition.DateLessThan.a:b"),
        (policy(statement(Condition={"IpAddress": {"a:b": True}, "DateEquals": {"a:b": "soon"}})), LEGACY, "DateEquals"),
    ],
)  # fmt: skip
def test_refused_with_the_sentence_and_the_place(text: str, message: str, place: str) -> None:
    got = refusal(text)
    assert got[0] == message
    assert place in got[1]


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (K.TRUST, statement(resource=None, Principal="*"), "AssumeRole policy may only specify STS AssumeRole actions."),
        (K.TRUST, statement(action="sts:AssumeRole", Principal="*"), "Has prohibited field Resource"),
        (K.TRUST, statement(action="sts:AssumeRole", resource=None), "Missing required field Principal"),
        (K.TRUST, statement(action="sts:AssumeRole", resource=None, NotPrincipal="*"), "Has prohibited field NotPrincipal"),
        (K.TRUST, statement(action="sts:AssumeRole", resource=None, Principal={"AWS": "bob"}),
         'Invalid principal in policy: "AWS":"bob"'),
        (K.TRUST, statement(action="sts:AssumeRole", resource=None, Principal={"AWS": "arn:aws:iam::111122223333:role/*"}),
         'Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:role/*"'),
        (K.TRUST, statement(action="sts:AssumeRole", resource=None, Principal={"Service": "ec2"}),
         'Invalid principal in policy: "SERVICE":"ec2"'),
        (K.TRUST, statement(action="sts:AssumeRole", resource=None, Principal={"User": "ec2"}), SYNTAX),
        (K.RESOURCE, statement(), "Missing required field Principal"),
        (K.ENDPOINT, statement(), "Missing required field Principal"),  # VPE-07
        (K.RESOURCE_CONTROL, statement(Principal={"AWS": "111122223333"}),
         'The Principal of a resource control policy must be "*".'),
        (K.SERVICE_CONTROL, statement(Principal="*"), "Policy document should not specify a principal."),
    ],
)  # fmt: skip
def test_what_a_kind_forbids(kind: DocumentKind, given: dict[str, Any], message: str) -> None:
    assert refusal(policy(given), kind)[0] == message


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (K.MANAGED, GOOD),
        (K.MANAGED, statement(Condition={"stringequals": {"aws:PrincipalTag/a": ["x", True, 3]}})),
        (K.MANAGED, statement(Condition={"Nonsense": {}})),  # AWS passes over an operator without keys
        (K.MANAGED, statement(resource=["arn:aws:ec2:*:*:vpc/${aws:username}", "*"])),
        (K.IDENTITY, statement(action="*", Sid="")),
        (K.TRUST, statement(action="sts:AssumeRole", resource=None, Principal={"Service": ["ec2.amazonaws.com"]})),
        (K.TRUST, statement(action="sts:AssumeRole", resource=None, Principal={"AWS": ["111122223333", "AIDAANNANNANNANN"]})),
        (K.TRUST, statement(action="sts:AssumeRoleWithWebIdentity", resource=None, Principal={
            "Federated": "arn:aws:iam::111122223333:oidc-provider/example.com"})),
        (K.RESOURCE, statement(NotPrincipal={"AWS": "arn:aws:sts::111122223333:assumed-role/a/b"})),
        (K.ENDPOINT, statement(Principal="*")),
        (K.RESOURCE_CONTROL, statement("Deny", Principal="*")),
    ],
)  # fmt: skip
def test_accepted(kind: DocumentKind, given: dict[str, Any]) -> None:
    check(policy(given), kind)


def test_an_older_version_may_stand_inline() -> None:
    check(policy(GOOD, version="2008-10-17"), K.IDENTITY)
    check(policy(GOOD, version=None), K.IDENTITY)


def test_the_operation_gets_code_sentence_and_place() -> None:
    with pytest.raises(ApiError) as caught:
        malformed(policy(statement("Maybe")), K.MANAGED)
    assert (caught.value.code, caught.value.message, caught.value.detail) == (
        "MalformedPolicyDocument", SYNTAX, "Statement[0].Effect",
    )  # fmt: skip


_NAMES = st.sampled_from(["Version", "Id", "Statement", "Effect", "Action", "NotAction", "Resource", "Principal",
                          "Condition", "Sid", "StringEquals", "aws:x", "AWS"])  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["Allow", "Deny", "2012-10-17", "*", "ec2:*", "arn:aws:ec2:::vpc/x", "${", "${}"]) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


@given(_VALUES, st.sampled_from(list(DocumentKind)))
def test_any_json_is_accepted_or_refused_and_what_is_refused_denies(value: Any, kind: DocumentKind) -> None:
    """Nothing but PolicyError comes out of `check`, and nothing at all out of `compiled`."""
    text = json.dumps(value)
    with contextlib.suppress(PolicyError):
        check(text, kind)
    for one in compiled(text).about("ec2:deletevpc"):
        one.holds("arn:aws:ec2:::vpc/x", {})


def test_a_text_that_is_no_policy_denies_everything() -> None:
    """`compiled` fails closed."""
    for text in ("", "{}x", '{"Statement": [{"Effect": "allow", "Action": "*", "Resource": "*"}]}',
                 '{"Statement": [{"Effect": "Allow", "Action": "*"}]}'):  # fmt: skip
        (only,) = compiled(text).statements
        assert not only.allows
        assert only.action("anything")
        assert only.holds("arn", {})
