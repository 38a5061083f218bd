"""Policy cases of sessions and endpoints, asked of the evaluator alone (POL-23 … POL-26, POL-28). Over the wire those of endpoints
are in tests/api/test_s3_authorise.py, and from inside guests in tests/e2e/test_gateway_endpoints.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringfence.api.authorise.request import principal_context
from tests.identity.policies import ACCOUNT, OTHER, SESSION, USER, allow, ask, deny, granting

BUCKET = "arn:aws:s3:::examplebucket"
OBJECT = f"{BUCKET}/key"


def test_pol_23_endpoint_policy() -> None:
    """Evaluator only."""
    endpoint = granting("*", action=["s3:GetObject", "s3:PutObject"], resource=[BUCKET, f"{BUCKET}/*"])
    for action, arn, expected in [("s3:GetObject", OBJECT, True), ("s3:PutObject", OBJECT, True),
                                  ("s3:GetObject", "arn:aws:s3:::other/key", False), ("s3:ListBucket", BUCKET, False)]:  # fmt: skip
        assert ask(identity=allow("s3:*"), action=action, arn=arn, endpoint=endpoint).allowed is expected


@pytest.mark.parametrize("key", ["aws:sourceVpce", "aws:sourceVpc"])
def test_pol_24_and_25_only_through_one_endpoint(key: str) -> None:
    """Evaluator only."""
    resource = granting("*", effect="Deny", action="s3:*", resource=[BUCKET, f"{BUCKET}/*"],
                        Condition={"StringNotEquals": {key: "x-1"}})  # fmt: skip
    for context, expected in [({key.lower(): "x-1"}, True), ({key.lower(): "x-2"}, False), ({}, False)]:
        decision = ask(identity=allow("s3:*"), action="s3:GetObject", arn=OBJECT, resource=resource, context=context)
        assert decision.allowed is expected


def test_pol_26_only_buckets_of_ones_own() -> None:
    """Evaluator only."""
    endpoint = granting("*", action="*")
    guard = deny("*", Condition={"StringNotEquals": {"s3:ResourceAccount": ACCOUNT}})
    for owner, expected in [(ACCOUNT, True), (OTHER, False)]:
        decision = ask(identity=(allow("s3:*"), guard), action="s3:GetObject", arn=OBJECT, endpoint=endpoint,
                       context={"s3:resourceaccount": owner})  # fmt: skip
        assert decision.allowed is expected


@pytest.mark.parametrize("operator", ["BoolIfExists", "Bool"])
def test_pol_28_second_factor(operator: str) -> None:
    """Evaluator only: a session that showed MFA, one that did not, and a long-term key, which has no such key at all."""
    guard = deny("ec2:Delete*", Condition={operator: {"aws:MultiFactorAuthPresent": "false"}})
    assert SESSION.session is not None
    with_mfa = replace(SESSION, session=replace(SESSION.session, mfa_at=100))
    for caller, expected in [(with_mfa, True), (SESSION, False), (USER, operator == "Bool")]:
        context = principal_context(caller, 200)
        assert ask(identity=(allow("*"), guard), caller=caller, context=context).allowed is expected
    assert principal_context(with_mfa, 200)["aws:multifactorauthage"] == "100"
