"""ValidatePolicy's findings: each of the table by an example, none in good policies, none lost in bad ones (IAM-40)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.identity.validation.findings import TABLE
from ringfence.identity.validation.positions import SyntaxFault, read
from ringfence.identity.validation.rules import IDENTITY, RESOURCE, TRUST, Asked, validate
from ringfence.identity.validation.vocabulary import Vocabulary

SCP = "SERVICE_CONTROL_POLICY"
VOCABULARY = Vocabulary(
    actions={"ec2": ("RunInstances", "DescribeVpcs"), "s3": ("GetObject", "PutObject"), "iam": ("PassRole", "CreateServiceLinkedRole"),
             "sts": ("AssumeRole",)},
    complete=True,
    keys={"ec2": {"ec2:vpc": "ARN", "ec2:resourcetag/": "String", "ec2:blob": "Binary"}},
    regions=("us-east-1", "eu-west-1"),
)  # fmt: skip


def statement(**more: Any) -> dict[str, Any]:
    """A good one, changed; None takes an element away."""
    made = {"Effect": "Allow", "Action": "ec2:DescribeVpcs", "Resource": "*"} | more
    return {name: value for name, value in made.items() if value is not None}


def policy(*statements: Any, **more: Any) -> str:
    made = {"Version": "2012-10-17", "Statement": list(statements)} | more
    return json.dumps({name: value for name, value in made.items() if value is not None})


def codes(text: str, kind: str = IDENTITY, resource_type: str | None = None) -> set[str]:
    return {found.code for found in validate(Asked(text, kind, resource_type, VOCABULARY))}


def when(operator: str, key: str, *values: Any) -> str:
    return policy(statement(Condition={operator: {key: values[0] if len(values) == 1 else list(values)}}))


def resource(**more: Any) -> str:
    return policy(statement(**{"Principal": {"AWS": "111122223333"}, "Resource": "arn:aws:s3:::b/*", **more}))


def trust(**more: Any) -> str:
    made = {"Principal": {"AWS": "111122223333"}, "Action": "sts:AssumeRole", "Resource": None}
    return policy(statement(**{**made, **more}))


ROLES = "arn:aws:iam::111122223333:role/*"
PASS, SLR = "iam:PassRole", "iam:CreateServiceLinkedRole"
NOT_THESE = {"Action": None, "NotAction": "ec2:*"}
APART = {"Resource": None, "NotResource": "arn:aws:iam::111122223333:role/x"}

EXAMPLES: list[tuple[str, str, str, str | None]] = [
    ("JSON_SYNTAX_ERROR", '{"Version": }', IDENTITY, None),
    ("JSON_SYNTAX_ERROR", '{"Version": "2012-10-17", "Version": "2012-10-17"}', IDENTITY, None),
    ("DATA_TYPE_MISMATCH", policy("x"), IDENTITY, None),
    ("DATA_TYPE_MISMATCH", policy(statement(Action=[1])), IDENTITY, None),
    ("MISSING_STATEMENT", policy(Statement=None), IDENTITY, None),
    ("MISSING_VERSION", policy(statement(), Version=None), IDENTITY, None),
    ("INVALID_VERSION", policy(statement(), Version="2012-10-18"), IDENTITY, None),
    ("INVALID_POLICY_ELEMENT", policy(statement(Resources="*")), IDENTITY, None),
    ("UNIQUE_SIDS_REQUIRED", policy(statement(Sid="a"), statement(Sid="a", Action="s3:*")), IDENTITY, None),
    ("UNIQUE_SIDS_RECOMMENDED", policy(statement(Sid="a", Principal="*"), statement(Sid="a", Principal="*")), RESOURCE, None),
    ("UNSUPPORTED_SID", policy(statement(Sid="a b")), IDENTITY, None),
    ("EMPTY_SID_VALUE", policy(statement(Sid="")), IDENTITY, None),
    ("REDUNDANT_STATEMENT", policy(statement(Sid="a"), statement(Sid="b")), IDENTITY, None),
    ("MISSING_ACTION", policy(statement(Action=None)), IDENTITY, None),
    ("MISSING_RESOURCE", policy(statement(Resource=None)), IDENTITY, None),
    ("MISSING_EFFECT", policy(statement(Effect=None)), IDENTITY, None),
    ("INVALID_EFFECT", policy(statement(Effect="allow")), IDENTITY, None),
    ("UNSUPPORTED_ELEMENT_COMBINATION", policy(statement(NotAction="s3:*")), IDENTITY, None),
    ("EMPTY_ARRAY_ACTION", policy(statement(Action=[])), IDENTITY, None),
    ("EMPTY_ARRAY_RESOURCE", policy(statement(Resource=[])), IDENTITY, None),
    ("INVALID_ACTION", policy(statement(Action="ec2:RunInstance")), IDENTITY, None),
    ("INVALID_ACTION", policy(statement(Action="RunInstances")), IDENTITY, None),
    ("INVALID_SERVICE_IN_ACTION", policy(statement(Action="ec3:RunInstances")), IDENTITY, None),
    ("WILDCARD_IN_SERVICE_NAME", policy(statement(Action="e*2:RunInstances")), IDENTITY, None),
    ("REDUNDANT_ACTION", policy(statement(Action=["ec2:Describe*", "ec2:DescribeVpcs"])), IDENTITY, None),
    ("REDUNDANT_RESOURCE", policy(statement(Resource=["arn:aws:s3:::a*", "arn:aws:s3:::ab"])), IDENTITY, None),
    ("INVALID_ARN_PREFIX", policy(statement(Resource="aws:s3:::a")), IDENTITY, None),
    ("MISSING_ARN_FIELD", policy(statement(Resource="arn:aws:s3:a")), IDENTITY, None),
    ("INVALID_PARTITION", policy(statement(Resource="arn:amazon:s3:::a")), IDENTITY, None),
    ("INVALID_ARN_SERVICE_CASE", policy(statement(Resource="arn:aws:S3:::a")), IDENTITY, None),
    ("INVALID_SERVICE", policy(statement(Resource="arn:aws:s4:::a")), IDENTITY, None),
    ("INVALID_ARN_ACCOUNT", policy(statement(Resource="arn:aws:ec2:us-east-1:1234:vpc/x")), IDENTITY, None),
    ("PASS_ROLE_WITH_NOT_RESOURCE", policy(statement(Action=PASS, **APART)), IDENTITY, None),
    ("PASS_ROLE_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE", policy(statement(Action="iam:*", **APART)), IDENTITY, None),
    ("PASS_ROLE_WITH_NOT_ACTION_AND_NOT_RESOURCE", policy(statement(**NOT_THESE, **APART)), IDENTITY, None),
    ("PASS_ROLE_WITH_STAR_IN_RESOURCE", policy(statement(Action=PASS, Resource=ROLES)), IDENTITY, None),
    ("PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE", policy(statement(Action="*")), IDENTITY, None),
    ("PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION", policy(statement(**NOT_THESE)), IDENTITY, None),
    ("CREATE_SLR_WITH_NOT_RESOURCE", policy(statement(Action=SLR, **APART)), IDENTITY, None),
    ("CREATE_SLR_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE", policy(statement(Action="iam:*", **APART)), IDENTITY, None),
    ("CREATE_SLR_WITH_NOT_ACTION_AND_NOT_RESOURCE", policy(statement(**NOT_THESE, **APART)), IDENTITY, None),
    ("CREATE_SLR_WITH_STAR_IN_RESOURCE", policy(statement(Action=SLR)), IDENTITY, None),
    ("CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE", policy(statement(Action="*")), IDENTITY, None),
    ("CREATE_SLR_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION", policy(statement(**NOT_THESE)), IDENTITY, None),
    ("UNSUPPORTED_PRINCIPAL", policy(statement(Principal="*")), IDENTITY, None),
    ("SCP_SYNTAX_ERROR_PRINCIPAL", policy(statement(Principal="*")), SCP, None),
    ("MISSING_PRINCIPAL", policy(statement()), RESOURCE, None),
    ("INVALID_PRINCIPAL_FORMAT", resource(Principal="111122223333"), RESOURCE, None),
    ("INVALID_PRINCIPAL_FORMAT", resource(Principal={"AWS": "bob"}), RESOURCE, None),
    ("INVALID_PRINCIPAL_KEY", resource(Principal={"Aws": "*"}), RESOURCE, None),
    ("EMPTY_ARRAY_PRINCIPAL", resource(Principal={"AWS": []}), RESOURCE, None),
    ("EMPTY_OBJECT_PRINCIPAL", resource(Principal={}), RESOURCE, None),
    ("UNSUPPORTED_WILDCARD_IN_PRINCIPAL", resource(Principal={"AWS": "arn:aws:iam::111122223333:user/*"}), RESOURCE, None),
    ("INVALID_SERVICE_PRINCIPAL_FORMAT", resource(Principal={"Service": "ec2"}), RESOURCE, None),
    ("RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL", resource(Principal={"Service": "ec2.amazonaws.com"}), RESOURCE, None),
    ("INVALID_ROLE_REFERENCE", resource(Principal={"AWS": "AROA0123456789ABCDEF"}), RESOURCE, None),
    ("INVALID_USER_REFERENCE", resource(Principal={"AWS": "AIDA0123456789ABCDEF"}), RESOURCE, None),
    ("ALLOW_WITH_NOT_PRINCIPAL", resource(Principal=None, NotPrincipal={"AWS": "111122223333"}), RESOURCE, None),
    ("ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL", trust(Principal=None, NotPrincipal={"AWS": "111122223333"}), RESOURCE, TRUST),
    ("ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL", trust(Principal="*"), RESOURCE, TRUST),
    ("ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE", trust(Resource="*"), RESOURCE, TRUST),
    ("EMPTY_OBJECT_CONDITION", policy(statement(Condition={})), IDENTITY, None),
    ("EMPTY_ARRAY_CONDITION", when("StringEquals", "aws:username", []), IDENTITY, None),
    ("EMPTY_ARRAY_CONDITION_FORALLVALUES", when("ForAllValues:StringEquals", "aws:TagKeys", []), IDENTITY, None),
    ("EMPTY_ARRAY_CONDITION_FORANYVALUE", when("ForAnyValue:StringEquals", "aws:TagKeys", []), IDENTITY, None),
    ("EMPTY_ARRAY_CONDITION_IFEXISTS", when("StringEqualsIfExists", "aws:username", []), IDENTITY, None),
    ("INVALID_CONDITION_OPERATOR", when("StringIs", "aws:username", "a"), IDENTITY, None),
    ("NULL_WITH_IF_EXISTS", when("NullIfExists", "aws:username", "true"), IDENTITY, None),
    ("NULL_WITH_QUALIFIER", when("ForAnyValue:Null", "aws:TagKeys", "true"), IDENTITY, None),
    ("DUPLICATE_KEYS_WITH_DIFFERENT_CASE", policy(statement(Condition={"StringEquals": {"aws:username": "a", "AWS:username": "b"}})),
     IDENTITY, None),
    ("INVALID_CONDITION_KEY_FORMAT", when("StringEquals", "username", "a"), IDENTITY, None),
    ("INVALID_GLOBAL_CONDITION_KEY", when("StringEquals", "aws:user", "a"), IDENTITY, None),
    ("INVALID_SERVICE_CONDITION_KEY", when("StringEquals", "ec2:vpcc", "a"), IDENTITY, None),
    ("UNSUPPORTED_GLOBAL_CONDITION_KEY", when("StringEquals", "aws:ARN", "a"), IDENTITY, None),
    ("MISSING_TAG_KEY_IN_CONDITION", when("StringEquals", "aws:RequestTag/", "a"), IDENTITY, None),
    ("MISSING_QUALIFIER", when("StringEquals", "aws:TagKeys", "a"), IDENTITY, None),
    ("FORALLVALUES_WITH_SINGLE_VALUED_KEY", when("ForAllValues:StringEquals", "aws:username", "a"), IDENTITY, None),
    ("INVALID_CONDITION_DATA_TYPE", when("StringEquals", "aws:username", "a", True), IDENTITY, None),
    ("INVALID_CONDITION_MULTIPLE_BOOLEAN", when("Bool", "aws:SecureTransport", "true", "false"), IDENTITY, None),
    ("TYPE_MISMATCH", when("StringEquals", "aws:MultiFactorAuthAge", "10"), IDENTITY, None),
    ("TYPE_MISMATCH_NUMBER", when("NumericEquals", "aws:MultiFactorAuthAge", "ten"), IDENTITY, None),
    ("TYPE_MISMATCH_DATE", when("DateLessThan", "aws:CurrentTime", "tomorrow"), IDENTITY, None),
    ("TYPE_MISMATCH_BOOLEAN", when("Bool", "aws:SecureTransport", "yes"), IDENTITY, None),
    ("TYPE_MISMATCH_IP_RANGE", when("IpAddress", "aws:SourceIp", "203.0.113.0/33"), IDENTITY, None),
    ("TYPE_MISMATCH_STRING", when("BinaryEquals", "ec2:blob", "?"), IDENTITY, None),
    ("INVALID_DATE_VALUE", when("DateLessThan", "aws:CurrentTime", "2021"), IDENTITY, None),
    ("WILDCARD_WITHOUT_LIKE_OPERATOR", when("StringEquals", "aws:username", "a*"), IDENTITY, None),
    ("REDUNDANT_CONDITION_VALUE_NUM", when("NumericLessThan", "aws:MultiFactorAuthAge", "1", "2"), IDENTITY, None),
    ("IMPROVE_IP_RANGE", when("IpAddress", "aws:SourceIp", "203.0.113.7/24"), IDENTITY, None),
    ("PRIVATE_IP_ADDRESS", when("IpAddress", "aws:SourceIp", "10.0.0.0/16"), IDENTITY, None),
    ("PRIVATE_NOT_IP_ADDRESS", when("NotIpAddress", "aws:SourceIp", "10.0.0.0/16"), IDENTITY, None),
    ("PRIVATE_IP_ADDRESS_SUBSET", when("IpAddress", "aws:SourceIp", "10.0.0.0/16", "203.0.113.0/24"), IDENTITY, None),
    ("PRIVATE_NOT_IP_ADDRESS_SUBSET", when("NotIpAddress", "aws:SourceIp", "10.0.0.0/16", "203.0.113.0/24"), IDENTITY, None),
    ("INVALID_REGION", when("StringEquals", "aws:RequestedRegion", "us-east-9"), IDENTITY, None),
    ("INVALID_VPC_FORMAT", when("StringEquals", "aws:SourceVpc", "vpc_1"), IDENTITY, None),
    ("INVALID_VPCE_FORMAT", when("StringEquals", "aws:SourceVpce", "vpc-12345678"), IDENTITY, None),
    ("INVALID_VARIABLE_FOR_OPERATOR", when("NumericEquals", "aws:MultiFactorAuthAge", "${aws:username}"), IDENTITY, None),
    ("MISSING_BRACE_IN_VARIABLE", policy(statement(Resource="arn:aws:s3:::${aws:username")), IDENTITY, None),
    ("MISSING_QUOTE_IN_VARIABLE", policy(statement(Resource="arn:aws:s3:::${aws:username, x}")), IDENTITY, None),
    ("UNSUPPORTED_SPACE_IN_VARIABLE", policy(statement(Resource="arn:aws:s3:::${aws:user name}")), IDENTITY, None),
    ("EMPTY_VARIABLE", policy(statement(Resource="arn:aws:s3:::${}")), IDENTITY, None),
    ("VARIABLE_UNSUPPORTED_IN_ELEMENT", policy(statement(Action="s3:${aws:username}")), IDENTITY, None),
    ("VARIABLE_UNSUPPORTED_IN_VERSION", policy(statement(Resource="arn:aws:s3:::${aws:username}"), Version="2008-10-17"), IDENTITY, None),
    ("POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA", policy(statement(Resource="arn:aws:s3:::" + "x" * 6200)), IDENTITY, None),
    ("POLICY_SIZE_EXCEEDS_SCP_QUOTA", policy(statement(Resource="arn:aws:s3:::" + "x" * 10300)), SCP, None),
]  # fmt: skip


@pytest.mark.parametrize(("code", "text", "kind", "resource_type"), EXAMPLES)
def test_each_finding(code: str, text: str, kind: str, resource_type: str | None) -> None:
    assert code in codes(text, kind, resource_type)


def test_every_finding_of_the_table_has_an_example() -> None:
    unseen = set(TABLE) - {code for code, *_ in EXAMPLES}
    assert not unseen


@pytest.mark.parametrize(
    ("text", "kind", "resource_type"),
    [
        (policy(statement()), IDENTITY, None),
        (policy(statement(Sid="One1", Condition={"ArnEquals": {"ec2:Vpc": "arn:aws:ec2:*:111122223333:vpc/x"}})), IDENTITY, None),
        (policy(statement(Action=PASS, Resource=ROLES, Condition={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}})),
         IDENTITY, None),
        (policy(statement(Effect="Deny", Action="*")), SCP, None),
        (policy(statement(Action=["ec2:*Vpcs", "ec2:Describe*"])), IDENTITY, None),  # neither includes the other
        (policy(statement(Resource="arn:aws:s3:::${aws:PrincipalTag/team, 'open'}/${*}")), IDENTITY, None),
        (when("ForAllValues:StringLike", "aws:TagKeys", "a*", "b?"), IDENTITY, None),
        (when("IpAddress", "aws:SourceIp", "203.0.113.0/24", "2001:db8::/32"), IDENTITY, None),
        (when("DateGreaterThan", "aws:CurrentTime", "2020-04-01T00:00:00Z"), IDENTITY, None),
        (resource(), RESOURCE, "AWS::S3::Bucket"),
        (trust(), RESOURCE, TRUST),
        (trust(Principal={"Service": "ec2.amazonaws.com"}), RESOURCE, TRUST),
    ],
)  # fmt: skip
def test_good_policies_have_no_findings(text: str, kind: str, resource_type: str | None) -> None:
    assert codes(text, kind, resource_type) == set()


def test_a_finding_points_at_its_place() -> None:
    text = '{\n  "Version": "2012-10-17",\n  "Statement": [{"Effect": "Allow", "Action": ["ec2:RunInstance"],\n"Resource": "*"}]\n}'
    (found,) = validate(Asked(text, IDENTITY, None, VOCABULARY))
    reply = found.as_reply(text)
    assert reply["findingDetails"] == "The action ec2:RunInstance does not exist. Did you mean ec2:RunInstances?"
    assert reply["learnMoreLink"].endswith(
        "policy-checks.html#access-analyzer-reference-policy-checks-error-invalid-action"
    )
    (place,) = reply["locations"]
    assert place["path"] == [{"value": "Statement"}, {"index": 0}, {"value": "Action"}, {"index": 0}]
    start, end = place["span"]["start"], place["span"]["end"]
    assert text[start["offset"] : end["offset"]] == '"ec2:RunInstance"'
    assert (start["line"], start["column"]) == (3, text.splitlines()[2].index('"ec2:Run'))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
    | st.sampled_from(["*", "Allow", "ec2:*", "${aws:username}", "arn:aws:s3:::x", "2012-10-17", "10.0.0.0/8"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["Version", "Statement", "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal",
                         "NotPrincipal", "Condition", "AWS", "Service", "StringEquals", "IpAddress", "Null", "Bool", "DateEquals",
                         "ForAllValues:StringLike", "aws:SourceIp", "aws:TagKeys", "aws:SourceVpc"]) | st.text(max_size=5),
        inner, max_size=4,
    ),
    max_leaves=25,
)  # fmt: skip
_POLICIES = st.fixed_dictionaries({"Statement": st.lists(st.dictionaries(
    st.sampled_from(["Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition"]), _JSON,
), max_size=3)}, optional={"Version": _JSON})  # fmt: skip


@given(
    _JSON | _POLICIES,
    st.sampled_from([IDENTITY, RESOURCE, SCP, "RESOURCE_CONTROL_POLICY"]),
    st.sampled_from([None, TRUST]),
)
def test_any_json_gives_findings(document: Any, kind: str, resource_type: str | None) -> None:
    text = json.dumps(document, indent=1)
    for found in validate(Asked(text, kind, resource_type, VOCABULARY)):
        reply = found.as_reply(text)
        for place in reply["locations"]:
            assert place["span"]["start"]["offset"] < place["span"]["end"]["offset"] <= len(text)


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: raw.decode("latin-1")))
def test_reading_agrees_with_json(text: str) -> None:
    """Whatever is JSON is read alike; whatever is not is refused with a place in the text."""
    try:
        expected = json.loads(text, parse_constant=lambda name: pytest.fail(name))
        known = True
    except (ValueError, pytest.fail.Exception):
        expected, known = None, False
    try:
        node = read(text)
    except SyntaxFault as fault:
        outcome = (False, 0 <= fault.offset <= len(text))
    else:
        outcome = (True, isinstance(node.value, dict | list) or node.value == expected)
    assert outcome == (known, True)
