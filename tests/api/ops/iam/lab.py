"""IAM over the wire: a boto3 client of the root, and the code and message of what is refused."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from ringfence.model.invariants import check
from ringfence.model.world import World
from tests.api.front import ACCOUNT, Front

READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
ALLOW = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}]}
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)


def _sound(world: World) -> None:
    assert check(world) == []


class Lab:
    """One installation; its root's client is `iam`."""

    def __init__(self) -> None:
        self.front = Front()
        self.front.pipeline.check = _sound
        self.iam = self.front.client("iam")

    def refused(self, method: str, **params: Any) -> tuple[str, int, str]:
        """Code, status and message of the fault that a call must end in; nothing may have changed."""
        before = self.front.store.world
        try:
            getattr(self.iam, method)(**params)
        except ClientError as problem:
            assert self.front.store.world is before
            error = problem.response
            return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]
        raise AssertionError(f"{method} {params} succeeded")

    def user(self, name: str = "ann", **params: Any) -> str:
        self.iam.create_user(UserName=name, **params)
        return name

    def role(self, name: str = "runner", **params: Any) -> str:
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, **params)
        return name

    def policy(self, name: str = "look", **params: Any) -> str:
        made = self.iam.create_policy(PolicyName=name, PolicyDocument=ALLOW, **params)
        return str(made["Policy"]["Arn"])

    def key(self, user: str = "ann") -> dict[str, Any]:
        return dict(self.iam.create_access_key(UserName=user)["AccessKey"])

    def caller(self, key: dict[str, Any]) -> str:
        """Who STS says a key belongs to; the error's code when it belongs to nobody."""
        sts = self.front.client("sts", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
        try:
            return str(sts.get_caller_identity()["Arn"])
        except ClientError as problem:
            return str(problem.response["Error"]["Code"])


__all__ = ["ACCOUNT", "ALLOW", "READ_ONLY", "TRUST", "Lab"]
