"""Calls operations without a server: a World, a clock, repeatable ids. Every reply is checked against the model."""

from __future__ import annotations

from typing import Any

import ringfence.api.ops.accessanalyzer
import ringfence.api.ops.ec2
import ringfence.api.ops.iam
import ringfence.api.ops.sts  # noqa: F401
from ringfence.api.images import Images
from ringfence.api.ops.context import Call, Filled, Memo
from ringfence.api.ops.ec2 import default_vpc, lifecycle
from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.wire import model
from ringfence.api.wire.xml import XmlSerializer
from ringfence.identity.principal import Principal
from ringfence.insight.analyzer.engines import Engines
from ringfence.model.clock import ManualClock
from ringfence.model.errors import ApiError
from ringfence.model.ids import SeededIds
from ringfence.model.invariants import check
from ringfence.model.kinds import VPC
from ringfence.model.quotas import Limits
from ringfence.model.world import World

ACCOUNT, REGION = "111122223333", "us-east-1"


def plain(value: Any) -> Any:
    """A reply with its memoised parts filled in."""
    if isinstance(value, Memo | Filled):
        return plain(value.fill())
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


class Api:
    """One account in one Region."""

    def __init__(self, *, quotas: dict[str, int] | None = None, defaults: bool = False, seed: int = 0) -> None:
        self.world, self.clock, self.ids = World(), ManualClock(), SeededIds(seed)
        self.limits = Limits({"vpcs": 100, **(quotas or {})})
        self.images, self.engines = Images(), Engines()
        self._serializer = XmlSerializer()
        if defaults:
            made = default_vpc.initialise(self._context("Describe"), self.world)
            assert made is not None
            self.world = self.world.apply(made)

    def _context(self, action: str) -> Call:
        principal = Principal(
            account_id=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:root", user_id=ACCOUNT, access_key_id="AKIA"
        )
        return Call(
            service="ec2", action=action, region=REGION, principal=principal, request_id="test", now=self.clock.now(),
            ids=self.ids, limits=self.limits, images=self.images, engines=self.engines,
        )  # fmt: skip

    def call(self, action: str, **params: Any) -> Any:
        """The reply; the change is applied, and the World must be sound after it."""
        outcome = OPERATIONS["ec2", action].handler(self._context(action), self.world, params)
        found = model.operation("ec2", action)
        assert found is not None
        self._serializer.members(found.output_shape, outcome.reply)  # KeyError for a member the model lacks
        if outcome.change:
            self.world = self.world.apply(outcome.change)
            assert check(self.world) == []
        return plain(outcome.reply)

    def error(self, action: str, **params: Any) -> str:
        """The code of the fault a call must end in; nothing may have changed."""
        before = self.world
        try:
            self.call(action, **params)
        except ApiError as problem:
            assert self.world is before
            return problem.code
        raise AssertionError(f"{action} {params} succeeded")

    # ------------------------------------------------------------------ shortcuts
    def vpc(self, cidr: str = "10.0.0.0/16", **params: Any) -> str:
        return str(self.call("CreateVpc", CidrBlock=cidr, **params)["Vpc"]["VpcId"])

    def subnet(self, vpc: str, cidr: str = "10.0.0.0/24", **params: Any) -> str:
        return str(self.call("CreateSubnet", VpcId=vpc, CidrBlock=cidr, **params)["Subnet"]["SubnetId"])

    def group(self, vpc: str, name: str = "web") -> str:
        return str(self.call("CreateSecurityGroup", GroupName=name, Description="test", VpcId=vpc)["GroupId"])

    def interface(self, subnet: str, *groups: str, **params: Any) -> str:
        made = self.call("CreateNetworkInterface", SubnetId=subnet, Groups=list(groups), **params)
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def gateway(self, vpc: str) -> str:
        id = str(self.call("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"])
        self.call("AttachInternetGateway", InternetGatewayId=id, VpcId=vpc)
        return id

    def image(self) -> str:
        return str(self.call("DescribeImages")["Images"][0]["ImageId"])

    def settle(self) -> None:
        """Instances reach where they are going."""
        for instance in lifecycle.transitional(self.world):
            self.world = self.world.apply(lifecycle.settled(self.world, instance.id, lifecycle.destination(instance)))

    def default_vpc(self) -> str:
        return next(vpc.id for vpc in self.world.all(VPC) if vpc.is_default)


def tcp(port: int, cidr: str = "10.0.0.0/8", **extra: Any) -> dict[str, Any]:
    """One TCP permission."""
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr, **extra}]}
