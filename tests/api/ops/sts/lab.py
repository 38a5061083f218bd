"""Users, roles and their sessions over the wire: boto3 clients of a front door without a network."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence.identity import totp
from ringfence.identity.credentials import mfa_purpose
from ringfence.model.kinds import MFA_DEVICE, USER
from ringfence.model.nouns.identity import MfaDevice
from ringfence.model.row import Row
from ringfence.model.world import Change, put
from ringfence.store.store import Commit
from tests.api.front import ACCOUNT, OTHER_ACCOUNT, OTHER_KEY, Front

SEED = b"0123456789abcdefghij"


def statement(action: str | list[str], effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, **more}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trusting(principal: Any, *actions: str, **more: Any) -> str:
    return document(statement(list(actions or ("sts:AssumeRole",)), Principal=principal, **more))


class Lab:
    """Two accounts; users and roles of theirs."""

    def __init__(self) -> None:
        self.front = Front(strict_clients=False)
        self.iam = {ACCOUNT: self.front.client("iam"), OTHER_ACCOUNT: self.front.client("iam", key=OTHER_KEY)}

    def user(self, name: str = "ann", policy: str | None = None, account: str = ACCOUNT, **how: Any) -> Any:
        """An STS client of a new user."""
        self.iam[account].create_user(UserName=name, **how)
        if policy is not None:
            self.iam[account].put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
        self.key = self.iam[account].create_access_key(UserName=name)["AccessKey"]
        return self.front.client("sts", key=self.key["AccessKeyId"], secret=self.key["SecretAccessKey"])

    def role(self, trust: str, name: str = "app", account: str = ACCOUNT, policy: str | None = None, **how: Any) -> str:
        """The ARN of a new role."""
        made = self.iam[account].create_role(RoleName=name, AssumeRolePolicyDocument=trust, **how)["Role"]
        if policy is not None:
            self.iam[account].put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy)
        return str(made["Arn"])

    def write(self, change: Change) -> None:
        self.front.store.write(lambda _world: Commit(change=change))

    def put(self, kind: Any, row: Row) -> None:
        self.write(put(kind, row))

    def device(self, user: str = "ann") -> str:
        """An MFA device of a user; its serial number."""
        world = self.front.store.world
        row = next(row for row in world.all(USER) if row.name == user)
        serial = f"arn:aws:iam::{ACCOUNT}:mfa/{user}"
        sealed = base64.b64encode(self.front.sealer.seal(SEED, mfa_purpose(serial))).decode()
        self.put(MFA_DEVICE, MfaDevice(id=serial, owner_id=ACCOUNT, region="aws-global", sealed=sealed, user_id=row.id,
                                       enabled=1.0))  # fmt: skip
        return serial

    def code(self, steps: int = 0) -> str:
        return totp.code_at(SEED, int(self.front.clock.now().timestamp()) // 30 + steps)

    def session(self, sts: Any, arn: str, name: str = "s1", **how: Any) -> Any:
        """The credentials of a role session."""
        return sts.assume_role(RoleArn=arn, RoleSessionName=name, **how)["Credentials"]

    def sts(self, credentials: Any) -> Any:
        return self.front.with_session("sts", credentials)


def code_of(call: Any, **params: Any) -> str:
    """The code of the error a call ends in."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def message_of(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Message"])
