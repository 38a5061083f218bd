"""The credentials of instances (IAM-11): who gets which, how they rotate, when they end."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from ringfence.api.instance_credentials import ROTATE_SECONDS, InstanceCredentials
from ringfence.identity.sealing import Sealer, new_key
from ringfence.identity.sessions import open_token
from ringfence.model.clock import ManualClock
from ringfence.model.ids import SeededIds
from ringfence.model.kinds import INSTANCE, INSTANCE_PROFILE, ROLE
from ringfence.model.nouns.identity import InstanceProfile, Role
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.world import Change, World, delete, put
from tests.api.ops.harness import ACCOUNT, Api

TRUST = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}  # fmt: skip
INFO, CREDENTIALS = "meta-data/iam/info", "meta-data/iam/security-credentials/"


class Lab:
    """One instance with a profile and a role."""

    def __init__(self, trust: dict[str, Any] = TRUST) -> None:
        api = Api(defaults=True)
        self.role = Role(
            id="AROA1", owner_id=ACCOUNT, region="aws-global", name="app", created=0, trust=json.dumps(trust)
        )
        profile = InstanceProfile(
            id="AIPA1", owner_id=ACCOUNT, region="aws-global", name="web", created=0, role="AROA1"
        )
        api.world = api.world.apply(put(ROLE, self.role) + put(INSTANCE_PROFILE, profile))
        made = api.call("RunInstances", ImageId=api.image(), MinCount=1, MaxCount=1, IamInstanceProfile={"Name": "web"})
        api.settle()
        self.world, self.id, self.profile = api.world, made["Instances"][0]["InstanceId"], profile
        self.clock, self.sealer = ManualClock(), Sealer([new_key()])
        self.service = InstanceCredentials(self.now, self.sealer, SeededIds(), self.clock)

    def now(self) -> World:
        return self.world

    def change(self, change: Change) -> None:
        self.world = self.world.apply(change)

    def documents(self, version: int = 2) -> dict[str, Any]:
        return {path: json.loads(text) for path, text in self.service.documents(self.id, version=version).items()}

    def credentials(self, version: int = 2) -> dict[str, Any]:
        found: dict[str, Any] = self.documents(version)[CREDENTIALS + "app"]
        return found


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_the_documents_of_an_instance_with_a_role(lab: Lab) -> None:
    found = lab.documents()
    assert set(found) == {INFO, CREDENTIALS + "app"}
    arn = f"arn:aws:iam::{ACCOUNT}:instance-profile/web"
    assert found[INFO] == {"Code": "Success", "LastUpdated": "2026-01-01T00:00:00Z", "InstanceProfileArn": arn,
                           "InstanceProfileId": "AIPA1"}  # fmt: skip
    shown = found[CREDENTIALS + "app"]
    assert (shown["Code"], shown["Type"], shown["Expiration"]) == ("Success", "AWS-HMAC", "2026-01-01T06:00:00Z")
    made = open_token(lab.sealer, shown["Token"])
    assert (made.access_key_id, made.secret) == (shown["AccessKeyId"], shown["SecretAccessKey"])
    who = made.principal
    assert who.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/app/{lab.id}"
    assert who.session is not None
    keys = dict(who.session.keys)
    assert keys["ec2:roledelivery"] == "2.0"
    assert keys["ec2:sourceinstancearn"] == f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{lab.id}"
    assert keys["aws:ec2instancesourcevpc"].startswith("vpc-")


def test_the_session_tells_which_version_delivered_it(lab: Lab) -> None:
    one, two = lab.credentials(1), lab.credentials(2)
    assert one["AccessKeyId"] != two["AccessKeyId"]
    session = open_token(lab.sealer, one["Token"]).principal.session
    assert session is not None
    assert dict(session.keys)["ec2:roledelivery"] == "1.0"


def test_they_stay_the_same_until_they_rotate_long_before_they_expire(lab: Lab) -> None:
    first = lab.credentials()
    lab.clock.advance(ROTATE_SECONDS - 1)
    assert lab.credentials() == first
    lab.clock.advance(1)
    second = lab.credentials()
    assert second["AccessKeyId"] != first["AccessKeyId"]
    now, end = lab.clock.now(), datetime.fromisoformat(first["Expiration"])
    assert (end - now).total_seconds() >= 300


def test_a_role_taken_away_or_gone_gives_nothing_at_once(lab: Lab) -> None:
    assert lab.credentials()
    lab.change(put(INSTANCE_PROFILE, replace(lab.profile, role=None)))
    assert set(lab.documents()) == {INFO}
    lab.change(put(INSTANCE_PROFILE, lab.profile) + delete(ROLE, "AROA1"))
    assert set(lab.documents()) == {INFO}
    lab.change(delete(INSTANCE_PROFILE, "AIPA1"))
    assert lab.documents()[INFO]["Code"] == "InstanceProfileNotFound"
    row = lab.world.get(INSTANCE, lab.id)
    lab.change(put(INSTANCE, replace(row, iam_instance_profile=None, iam_instance_profile_id=None)))
    assert lab.documents() == {}


def test_a_revoked_role_gives_fresh_credentials_and_a_changed_trust_none(lab: Lab) -> None:
    first = lab.credentials()
    lab.clock.advance(5)
    lab.change(put(ROLE, replace(lab.role, revoked_before=lab.clock.now().timestamp())))
    assert lab.credentials()["AccessKeyId"] != first["AccessKeyId"]
    again = lab.clock.now().timestamp() + 0.5  # within the second in which the next ones are made
    lab.change(put(ROLE, replace(lab.role, revoked_before=again)))
    second = lab.credentials()
    lab.clock.advance(1)
    assert lab.credentials()["AccessKeyId"] != second["AccessKeyId"]
    lab.change(put(ROLE, replace(lab.role, trust="{}")))
    assert lab.credentials()["Code"] == "AssumeRoleUnauthorizedAccess"
    assert "SecretAccessKey" not in lab.credentials()


def test_the_last_use_of_a_role_is_no_reason_for_others(lab: Lab) -> None:
    first = lab.credentials()
    lab.change(put(ROLE, replace(lab.role, last_used=5.0)))
    assert lab.credentials() == first


@pytest.mark.parametrize(("account", "allowed"), [(ACCOUNT, True), ("999999999999", False)])
def test_the_trust_policy_may_ask_for_whom_ec2_acts(account: str, allowed: bool) -> None:
    """IAM-42: aws:SourceAccount and aws:SourceArn name the instance."""
    statement = TRUST["Statement"][0] | {"Condition": {"StringEquals": {"aws:SourceAccount": account}}}  # type: ignore[index]
    found = Lab(TRUST | {"Statement": [statement]}).credentials()
    assert (found["Code"] == "Success") is allowed


def test_no_instance_but_a_running_one_with_a_profile_has_any(lab: Lab) -> None:
    assert lab.service.documents("i-0none", version=2) == {}
    row = lab.world.get(INSTANCE, lab.id)
    lab.change(put(INSTANCE, replace(row, state=InstanceState.STOPPED)))
    assert lab.documents() == {}
