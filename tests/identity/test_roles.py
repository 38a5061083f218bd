"""Roles assumed by services (IAM-42, POL-16), found by ARN, and what their sessions are."""

from __future__ import annotations

import json

import pytest

from ringfence.identity.question import Context
from ringfence.identity.roles import NotAllowed, Wanted, assume_as_service, role_of
from ringfence.model.kinds import ROLE
from ringfence.model.nouns.identity import Role
from ringfence.model.world import World, put

ACCOUNT, OTHER = "111122223333", "444455556666"
FLOW_LOGS = "vpc-flow-logs.amazonaws.com"
LOG = f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc-flow-log/fl-1"
WANTED = Wanted(name="fl-1", now=1000, seconds=3600)
MINE: Context = {"aws:sourceaccount": ACCOUNT, "aws:sourcearn": LOG}


def trusting(principal: object, **condition: object) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps(
        {"Version": "2012-10-17", "Statement": statement | ({"Condition": condition} if condition else {})}
    )


def world(trust: str, **facts: object) -> World:
    role = Role(**{"id": "AROA1", "owner_id": ACCOUNT, "region": "aws-global", "name": "logs", "path": "/svc/", "created": 0,
                   "trust": trust, **facts})  # type: ignore[arg-type]  # fmt: skip
    return World().apply(put(ROLE, role))


ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/svc/logs"
#: VPC User Guide, "IAM role for publishing flow logs": the guard against a confused deputy
GUARDED = trusting(
    {"Service": FLOW_LOGS}, StringEquals={"aws:SourceAccount": ACCOUNT},
    ArnLike={"aws:SourceArn": f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc-flow-log/*"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("trust", "service", "context", "allowed"),
    [
        (trusting({"Service": FLOW_LOGS}), FLOW_LOGS, {}, True),
        (trusting({"Service": [FLOW_LOGS, "ec2.amazonaws.com"]}), FLOW_LOGS, {}, True),
        (trusting({"Service": "ec2.amazonaws.com"}), FLOW_LOGS, {}, False),
        (trusting({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}), FLOW_LOGS, {}, False),
        (trusting({"Federated": FLOW_LOGS}), FLOW_LOGS, {}, False),
        (GUARDED, FLOW_LOGS, MINE, True),
        (GUARDED, FLOW_LOGS, {}, False),
        (GUARDED, FLOW_LOGS, MINE | {"aws:sourceaccount": OTHER}, False),
        (GUARDED, FLOW_LOGS, MINE | {"aws:sourcearn": LOG.replace(ACCOUNT, OTHER)}, False),
        (GUARDED, FLOW_LOGS, MINE | {"aws:sourcearn": LOG.replace("vpc-flow-log", "vpc")}, False),
        (GUARDED, "ec2.amazonaws.com", MINE, False),
        ("{", FLOW_LOGS, MINE, False),
    ],
)
def test_pol_16_a_service_assumes_the_role_that_trusts_it_for_its_own_resource(
    trust: str, service: str, context: Context, allowed: bool
) -> None:
    if not allowed:
        with pytest.raises(NotAllowed):
            assume_as_service(world(trust), service, ROLE_ARN, context, WANTED)
        return
    who = assume_as_service(world(trust), service, ROLE_ARN, context, WANTED)
    assert who.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/logs/fl-1"
    assert who.user_id == "AROA1:fl-1"
    assert who.session is not None
    assert (who.session.issued_at, who.session.expires_at, who.session.issuer_arn) == (1000, 4600, ROLE_ARN)


def test_a_role_that_is_not_there() -> None:
    with pytest.raises(NotAllowed):
        assume_as_service(World(), FLOW_LOGS, ROLE_ARN, {}, WANTED)


@pytest.mark.parametrize(
    ("arn", "found"),
    [
        (ROLE_ARN, True),
        (f"arn:aws:iam::{ACCOUNT}:role/logs", False),
        (f"arn:aws:iam::{ACCOUNT}:role/svc/LOGS", False),
        (f"arn:aws:iam::{OTHER}:role/svc/logs", False),
        (f"arn:aws:iam::{ACCOUNT}:user/svc/logs", False),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/logs/x", False),
        ("", False),
        ("arn:aws:iam::x:role/logs", False),
        (ROLE_ARN + "\n", False),
    ],
)
def test_a_role_is_found_by_its_whole_arn_as_it_is_written(arn: str, found: bool) -> None:
    assert (role_of(world(GUARDED), arn) is not None) is found
