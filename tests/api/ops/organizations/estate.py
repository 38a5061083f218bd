"""An organization over the wire: a management account, members with users, and policies on them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from ringfence.identity.accounts import root_access_key
from ringfence.model.kinds import ACCESS_KEY
from ringfence.model.world import put
from ringfence.store.store import Commit
from tests.api.front import ACCOUNT, OTHER_ACCOUNT, OTHER_KEY, Front

EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def deny(action: str | list[str], **more: Any) -> str:
    return policy({"Effect": "Deny", "Action": action, "Resource": "*", **more})


class Estate:
    """`org`: the management account's client. The second account of the front is outside until it is invited."""

    def __init__(self) -> None:
        self.front = Front()
        self.org = self.front.client("organizations")
        self.other = self.front.client("organizations", key=OTHER_KEY)
        self.id: str = self.org.create_organization()["Organization"]["Id"]
        self.root: str = self.org.list_roots()["Roots"][0]["Id"]

    def alter(self, kind: Any, id: str, **fields: Any) -> None:
        """Change a row behind the API's back."""
        self.front.store.write(lambda world: Commit(change=put(kind, replace(world.get(kind, id), **fields))))

    # ------------------------------------------------------------------ making
    def account(self, name: str = "dev") -> str:
        made = self.org.create_account(Email=f"{name}@example.com", AccountName=name)["CreateAccountStatus"]
        return str(made["AccountId"])

    def unit(self, name: str, parent: str | None = None) -> str:
        made = self.org.create_organizational_unit(ParentId=parent or self.root, Name=name)
        return str(made["OrganizationalUnit"]["Id"])

    def policy(self, text: str, name: str = "limits", type: str = "SERVICE_CONTROL_POLICY") -> str:
        made = self.org.create_policy(Content=text, Description="", Name=name, Type=type)
        return str(made["Policy"]["PolicySummary"]["Id"])

    def attach(self, text: str, target: str, name: str = "limits", type: str = "SERVICE_CONTROL_POLICY") -> str:
        id = self.policy(text, name, type)
        self.org.attach_policy(PolicyId=id, TargetId=target)
        return id

    def invite(self) -> str:
        made = self.org.invite_account_to_organization(Target={"Id": OTHER_ACCOUNT, "Type": "ACCOUNT"})
        return str(made["Handshake"]["Id"])

    # ------------------------------------------------------------------ callers
    def root_of(self, account: str) -> dict[str, str]:
        """A root key of a member, as `ringfence account key` makes it."""
        made: list[dict[str, str]] = []

        def decide(world: Any) -> Commit:
            key, secret = root_access_key(world, self.front.pipeline.ids, self.front.sealer, account, 0.0)
            made.append({"key": key.id, "secret": secret})
            return Commit(change=put(ACCESS_KEY, key))

        self.front.store.write(decide)
        return made[0]

    def user_of(
        self, root: dict[str, str], name: str = "ann", statements: Iterable[dict[str, Any]] = (EVERYTHING,)
    ) -> dict[str, str]:
        iam = self.front.client("iam", **root)
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}

    def ec2(self, who: dict[str, str]) -> Any:
        return self.front.client("ec2", **who)


def code(call: Any, **params: Any) -> str:
    """The code of the fault that a call ends in; "ok" when it does not."""
    try:
        call(**params)
    except ClientError as problem:
        return str(problem.response["Error"]["Code"])
    return "ok"


def fault_of(estate: Estate, call: Any, **params: Any) -> tuple[str, str]:
    """Code and Reason of a refusal, which changed nothing and is in the trail."""
    before = estate.front.store.world
    try:
        call(**params)
    except ClientError as problem:
        assert estate.front.store.world is before
        found = str(problem.response["Error"]["Code"])
        assert estate.front.audit()[-1]["errorCode"] == found
        return found, str(problem.response.get("Reason", ""))
    raise AssertionError("it succeeded")


__all__ = ["ACCOUNT", "EVERYTHING", "OTHER_ACCOUNT", "OTHER_KEY", "Estate", "code", "deny", "fault_of", "policy"]
