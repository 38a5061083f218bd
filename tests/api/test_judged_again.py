"""A change that waited is judged by the World it changes (IAM-07, IAM-15): no gap between asking the policies and the commit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringfence.api.begun import Begun
from ringfence.api.wire.http import HttpResponse
from tests.api.front import Front, http_request

ALLOW = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}]})


class Waiting:
    """Ann's call, authorised and not yet executed."""

    def __init__(self, front: Front, ec2: Any, group: str) -> None:
        self.front, self.begun = front, None
        ec2.meta.events.register_first("before-send", self._hold)
        with pytest.raises(KeyboardInterrupt):
            ec2.delete_security_group(GroupId=group)

    def _hold(self, request: Any, **_: Any) -> None:
        body = request.body if isinstance(request.body, bytes) else str(request.body).encode()
        asked = http_request(request.method, request.url, request.headers.items(), body)
        self.begun = self.front.pipeline.begin(asked)
        raise KeyboardInterrupt

    def finish(self) -> HttpResponse:
        assert isinstance(self.begun, Begun), self.begun
        return self.front.pipeline.finish(self.begun)


@pytest.fixture
def scene() -> tuple[Front, Any, str]:
    front = Front()
    iam, ec2 = front.client("iam"), front.client("ec2")
    iam.create_user(UserName="bea")
    iam.put_user_policy(UserName="bea", PolicyName="p", PolicyDocument=ALLOW)
    group = ec2.create_security_group(GroupName="web", Description="d")["GroupId"]
    return front, iam, group


def _bea(front: Front, iam: Any) -> tuple[Any, str]:
    key = iam.create_access_key(UserName="bea")["AccessKey"]
    return front.client("ec2", key=key["AccessKeyId"], secret=key["SecretAccessKey"]), key["AccessKeyId"]


def test_nothing_changed(scene: tuple[Front, Any, str]) -> None:
    front, iam, group = scene
    assert Waiting(front, _bea(front, iam)[0], group).finish().status == 200


def test_a_policy_taken_away_meanwhile(scene: tuple[Front, Any, str]) -> None:
    front, iam, group = scene
    waiting = Waiting(front, _bea(front, iam)[0], group)
    iam.delete_user_policy(UserName="bea", PolicyName="p")
    answer = waiting.finish()
    assert (answer.status, b"UnauthorizedOperation" in answer.body) == (403, True)
    assert front.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]


def test_a_key_deactivated_meanwhile(scene: tuple[Front, Any, str]) -> None:
    front, iam, group = scene
    ec2, key = _bea(front, iam)
    waiting = Waiting(front, ec2, group)
    iam.update_access_key(UserName="bea", AccessKeyId=key, Status="Inactive")
    answer = waiting.finish()
    assert (answer.status, b"AuthFailure" in answer.body) == (401, True)
    assert front.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]


def test_another_change_meanwhile_is_no_hindrance(scene: tuple[Front, Any, str]) -> None:
    front, iam, group = scene
    waiting = Waiting(front, _bea(front, iam)[0], group)
    iam.create_user(UserName="carl")
    assert waiting.finish().status == 200


def test_a_role_deleted_meanwhile(scene: tuple[Front, Any, str]) -> None:
    front, iam, group = scene
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}],
    }
    arn = iam.create_role(RoleName="app", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName="app", PolicyName="p", PolicyDocument=ALLOW)
    iam.put_user_policy(UserName="bea", PolicyName="q", PolicyDocument=ALLOW.replace("ec2:*", "sts:*"))
    key = iam.create_access_key(UserName="bea")["AccessKey"]
    sts = front.client("sts", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    session = sts.assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    waiting = Waiting(front, front.with_session("ec2", session), group)
    iam.delete_role_policy(RoleName="app", PolicyName="p")
    iam.delete_role(RoleName="app")
    answer = waiting.finish()
    assert (answer.status, b"AuthFailure" in answer.body) == (401, True)
