"""Users of a running server: root gives them policies over the wire, they call over the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.api.front import ACCOUNT, KEY, SECRET
from tests.api.live import Live
from tests.identity.policies import statement

#: what a call that the policies allow may end in here, beside success: a rehearsal, or what is not built yet
ALLOWED_CODES = frozenset({"DryRunOperation", "UnsupportedOperation"})
DENIED_CODES = frozenset({"UnauthorizedOperation", "AccessDenied"})


class Lab:
    """The server, root's clients, and users made on demand."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.iam, self.ec2 = self.client("iam"), self.client("ec2")
        self._users = 0

    def client(self, service: str, key: str = KEY, secret: str = SECRET, region: str = "us-east-1") -> Any:
        config = Config(retries={"max_attempts": 0}, connect_timeout=10, read_timeout=60)
        return boto3.session.Session().client(
            service, region_name=region, endpoint_url=self.live.url, aws_access_key_id=key, aws_secret_access_key=secret,
            config=config,
        )  # fmt: skip

    def user(self, *statements: dict[str, Any], version: str = "2012-10-17", name: str | None = None) -> User:
        """A new user with one inline policy."""
        self._users += 1
        user_name = name or f"user{self._users}"
        self.iam.create_user(UserName=user_name)
        if statements:
            document = json.dumps({"Version": version, "Statement": list(statements)})
            self.iam.put_user_policy(UserName=user_name, PolicyName="inline", PolicyDocument=document)
        key = self.iam.create_access_key(UserName=user_name)["AccessKey"]
        return User(self, user_name, key["AccessKeyId"], key["SecretAccessKey"])

    # ------------------------------------------------------------------ things to act upon
    def vpc(self, **tags: str) -> str:
        return str(self.ec2.create_vpc(CidrBlock="10.0.0.0/16", **spec("vpc", tags))["Vpc"]["VpcId"])

    def subnet(self, vpc: str, block: str = "10.0.1.0/24") -> str:
        return str(self.ec2.create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"]["SubnetId"])

    def group(self, vpc: str, name: str, **tags: str) -> str:
        made = self.ec2.create_security_group(
            VpcId=vpc, GroupName=name, Description="x", **spec("security-group", tags)
        )  # fmt: skip
        return str(made["GroupId"])

    def route_table(self, vpc: str, **tags: str) -> str:
        return str(self.ec2.create_route_table(VpcId=vpc, **spec("route-table", tags))["RouteTable"]["RouteTableId"])

    def gateway(self, **tags: str) -> str:
        made = self.ec2.create_internet_gateway(**spec("internet-gateway", tags))
        return str(made["InternetGateway"]["InternetGatewayId"])


class User:
    """A user and what the answers to its calls say."""

    def __init__(self, lab: Lab, name: str, key: str, secret: str) -> None:
        self.lab, self.name, self.key, self.secret = lab, name, key, secret
        self.ec2 = lab.client("ec2", key, secret)
        self.iam = lab.client("iam", key, secret)

    def at(self, region: str) -> Any:
        return self.lab.client("ec2", self.key, self.secret, region)

    def may(self, method: str, client: Any = None, *, absent: bool = False, **params: Any) -> bool:
        """Whether the policies allow an EC2 call, by its rehearsal (DryRun). `absent`: on what is not there, or not right."""
        return allowed(getattr(client or self.ec2, method), absent=absent, DryRun=True, **params)

    def may_iam(self, method: str, **params: Any) -> bool:
        """Whether an IAM call is allowed, by making it."""
        return allowed(getattr(self.iam, method), **params)


def allowed(call: Callable[..., Any], *, absent: bool = False, **params: Any) -> bool:
    """True or False as the answer says; any other fault is a fault of the test, or comes after the policies (`absent`)."""
    try:
        call(**params)
    except ClientError as problem:
        code = problem.response["Error"]["Code"]
        if code in DENIED_CODES:
            return False
        if code in ALLOWED_CODES or (absent and (code.endswith(".NotFound") or code.startswith("Invalid"))):
            return True
        raise
    return True


def spec(noun: str, tags: dict[str, str]) -> dict[str, Any]:
    """TagSpecifications, when there are tags."""
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {"TagSpecifications": [{"ResourceType": noun, "Tags": listed}]} if tags else {}


def vpc_arn(vpc: str) -> str:
    return f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/{vpc}"


__all__ = ["ACCOUNT", "Lab", "User", "spec", "statement", "vpc_arn"]
