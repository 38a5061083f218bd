"""Any text as a policy: accepted, or refused with AWS's sentence; never another exception, neither there nor later."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ringfence.identity import spec
from ringfence.identity.analysis import checks
from ringfence.identity.analysis.engine import evaluator
from ringfence.identity.compiled import compiled
from ringfence.identity.document import DocumentKind, PolicyError, check
from ringfence.identity.evaluate import decide
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.question import Attached, Policies, Question, Target

KINDS = st.sampled_from(DocumentKind)
ACCOUNT = "111122223333"
USER = Principal(
    account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/a", user_id="AIDA", kind=PrincipalKind.USER, name="a"
)
#: words that policies are made of, so that random ones come near to being some
WORDS = st.sampled_from((
    "*", "ec2:*", "ec2:Run*", "s3:GetObject", "Allow", "Deny", "2012-10-17", "2008-10-17", "arn:aws:s3:::b/*",
    "arn:aws:s3:::b/${aws:username}", "arn:aws:ec2:*:*:*", "${aws:username, 'x'}", "${", "${}", "111122223333",
    f"arn:aws:iam::{ACCOUNT}:root", "ec2.amazonaws.com", "true", "10", "2020-01-01", "10.0.0.0/8", "QQ==", "", "S1",
))  # fmt: skip
NAMES = st.sampled_from((
    "Version", "Id", "Statement", "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal",
    "NotPrincipal", "Condition", "AWS", "Service", "Federated", "CanonicalUser", "StringEquals", "StringNotLike",
    "ForAllValues:StringEquals", "NumericLessThan", "DateEquals", "Bool", "BinaryEquals", "IpAddress", "ArnLike",
    "Null", "NullIfExists", "StringEqualsIfExists", "aws:username", "aws:TagKeys",
))  # fmt: skip
JSON = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
TESTS = st.dictionaries(NAMES, st.dictionaries(NAMES, WORDS | st.lists(WORDS, max_size=3), max_size=2), max_size=2)
STATEMENTS = st.fixed_dictionaries(
    {"Effect": st.sampled_from(("Allow", "Deny")), "Action": WORDS | st.lists(WORDS, max_size=3)},
    optional={
        "Resource": WORDS | st.lists(WORDS, max_size=3), "Sid": WORDS, "Condition": TESTS | JSON, "NotAction": JSON,
        "Principal": WORDS | st.dictionaries(NAMES, WORDS | st.lists(WORDS, max_size=2), max_size=2), "NotPrincipal": JSON,
    },
)  # fmt: skip
POLICIES = st.fixed_dictionaries({"Version": WORDS, "Statement": st.lists(STATEMENTS, max_size=3) | STATEMENTS | JSON})
#: policies that are mostly good, whatever they are for
ACTIONS = st.sampled_from(("*", "ec2:*", "ec2:Run*", "s3:GetObject", "s3:Get?bject", "EC2:RunInstances"))
RESOURCES = st.sampled_from((
    "*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/${aws:username}", "arn:aws:ec2:*:111122223333:*", "arn:aws:s3:::${aws:username, 'x'}/?",
    "arn:aws:ec2:*:vpc/x", "arn:aws:s3:::b/${*}",
))  # fmt: skip
OPERATORS = st.sampled_from((
    "StringEquals", "StringNotLike", "ForAllValues:StringEquals", "ForAnyValue:StringLike", "NumericLessThan", "DateEquals", "Bool",
    "BinaryEquals", "IpAddress", "NotIpAddress", "ArnLike", "Null", "StringEqualsIfExists",
))  # fmt: skip
KEYS = st.sampled_from(("aws:username", "aws:TagKeys", "aws:SourceIp", "s3:prefix", "aws:CurrentTime"))
VALUES = st.sampled_from(
    ("a", "a*", "true", "10", "2020-01-01", "10.0.0.0/8", "QQ==", "${aws:username}", "arn:aws:s3:::b", "")
)
PRINCIPALS = st.sampled_from(("*", {"AWS": "*"}, {"AWS": ACCOUNT}, {"AWS": USER.arn}, {"Service": "ec2.amazonaws.com"}))
LISTS = st.lists(VALUES, min_size=1, max_size=3)
CONDITIONS = st.dictionaries(OPERATORS, st.dictionaries(KEYS, VALUES | LISTS, min_size=1, max_size=2), max_size=2)


def plausible(kind: DocumentKind) -> st.SearchStrategy[str]:
    """Documents of a kind."""
    parts: dict[str, st.SearchStrategy[Any]] = {
        "Effect": st.sampled_from(("Allow", "Deny")), "Action": ACTIONS | st.lists(ACTIONS, min_size=1, max_size=3),
    }  # fmt: skip
    if kind is DocumentKind.TRUST:
        parts["Action"] = st.just("sts:AssumeRole")
    else:
        parts["Resource"] = RESOURCES | st.lists(RESOURCES, min_size=1, max_size=3)
    if kind in NAMING:
        parts["Principal"] = PRINCIPALS
    statements = st.lists(st.fixed_dictionaries(parts, optional={"Condition": CONDITIONS}), min_size=1, max_size=3)
    versions = st.sampled_from(("2012-10-17", "2012-10-17", "2008-10-17"))
    return st.fixed_dictionaries({"Version": versions, "Statement": statements}).map(json.dumps)


NAMING = (DocumentKind.RESOURCE, DocumentKind.TRUST, DocumentKind.ENDPOINT, DocumentKind.RESOURCE_CONTROL)
TEXTS = st.text(max_size=60) | (JSON | POLICIES).map(json.dumps)
#: a kind, and a text that is nothing, nearly a document of that kind, or one with a piece torn out or put in
ASKED = KINDS.flatmap(lambda kind: st.tuples(st.just(kind), TEXTS | plausible(kind) | plausible(kind).flatmap(torn)))


def torn(text: str) -> st.SearchStrategy[str]:
    """A text with some of it replaced."""
    places = st.integers(0, len(text))
    return st.builds(lambda a, b, new: text[: min(a, b)] + new + text[max(a, b) :], places, places, st.text(max_size=5))


def accepted(text: str, kind: DocumentKind) -> bool:
    try:
        check(text, kind)
    except PolicyError:
        return False
    return True


def ask(text: str, kind: DocumentKind) -> tuple[Question, Policies]:
    """A question on which the policy bears."""
    attached = Attached("p", text)
    named = kind in NAMING
    target = Target(arn="arn:aws:s3:::b/x", account_id=ACCOUNT, policy=attached if named else None)
    question = Question(principal=USER, action="s3:GetObject", targets=(target,), context={"aws:username": "a"})
    return question, Policies(identity=() if named else (attached,))


@settings(max_examples=400, deadline=None)
@given(ASKED)
def test_any_text_is_accepted_or_refused(asked: tuple[DocumentKind, str]) -> None:
    """IAM-40. What is accepted is understood by evaluator and specification, and alike."""
    kind, text = asked
    compiled(text)
    question, policies = ask(text, kind)
    effect = decide(question, policies).effect
    if accepted(text, kind):
        assert spec.answer(question, policies) is effect


ANALYSED = st.sampled_from((DocumentKind.MANAGED, DocumentKind.RESOURCE))


@settings(max_examples=150, deadline=None)
@given(ANALYSED.flatmap(lambda kind: st.tuples(st.just(kind), plausible(kind), plausible(kind))))
def test_what_is_accepted_can_be_analysed(asked: tuple[DocumentKind, str, str]) -> None:
    """A policy allows nothing that itself does not allow, and the checks never fail in another way."""
    kind, text, other = asked
    assume(accepted(text, kind) and accepted(other, kind))
    engine, named = evaluator({}), kind is DocumentKind.RESOURCE
    assert checks.new_access(engine, text, text, named=named) == []
    for failure in checks.new_access(engine, text, other, named=named):
        assert (failure.witness is None) == bool(failure.why)
    checks.access_granted(engine, text, ["ec2:RunInstances"], [], named=named)
    if named:
        checks.public_access(engine, text)
