"""Handing a role to a service needs iam:PassRole on it (IAM-34; IAM User Guide: "Granting a user permissions to pass a role
to an AWS service")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ringfence.api.authorise.ask import Ask
from ringfence.api.authorise.resources import arn
from ringfence.api.ops.context import Call, Params
from ringfence.api.ops.iam.entities import named
from ringfence.identity.question import Target
from ringfence.model.kinds import INSTANCE_PROFILE, ROLE
from ringfence.model.nouns.flow_log import FIREHOSE
from ringfence.model.world import World

#: parameters of CreateFlowLogs that hold a role's ARN
ROLE_PARAMETERS = ("DeliverLogsPermissionArn", "DeliverCrossAccountRole")
#: VPC User Guide, "Publish flow logs to CloudWatch Logs", "… to Amazon Data Firehose": which service the role goes to
_FLOW_LOGS, _LOG_DELIVERY = "vpc-flow-logs.amazonaws.com", "delivery.logs.amazonaws.com"
_WATCHED: Mapping[str, str] = {
    "VPC": "vpc", "Subnet": "subnet", "NetworkInterface": "network-interface", "TransitGateway": "transit-gateway",
    "TransitGatewayAttachment": "transit-gateway-attachment", "RegionalNatGateway": "natgateway",
}  # fmt: skip
_PROFILE, _EC2 = "IamInstanceProfile", "ec2.amazonaws.com"


def passed_roles(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """A question for every role that an EC2 call hands on."""
    for parameter in ROLE_PARAMETERS:
        if params.get(parameter):
            service = _LOG_DELIVERY if params.get("LogDestinationType") == FIREHOSE else _FLOW_LOGS
            for resource in _watched(call, params):
                yield _pass(call, str(params[parameter]), service, resource)
    profile = params.get(_PROFILE) or {}
    if profile.get("Arn") or profile.get("Name"):
        yield _pass(
            call, _role_of(call, world, profile), _EC2, arn(call, "instance", str(params.get("InstanceId") or "*"))
        )


def _watched(call: Call, params: Params) -> Iterator[str]:
    """The ARNs of what a flow log is for, which the role is passed for (POL-18); `*` when nothing is named."""
    type, ids = _WATCHED.get(str(params.get("ResourceType"))), params.get("ResourceIds") or ()
    yield from (arn(call, type, str(id)) for id in dict.fromkeys(map(str, ids))) if type and ids else ("*",)


def _pass(call: Call, role: str, service: str, resource: str) -> Ask:
    context = {"iam:passedtoservice": service} | ({"iam:associatedresourcearn": resource} if resource != "*" else {})
    return Ask("iam:PassRole", (Target(arn=role, account_id=call.account_id),), context)


def _role_of(call: Call, world: World, given: Params) -> str:
    """The ARN of a profile's role; of no role in particular when the profile or its role does not exist."""
    name = given.get("Name") or str(given["Arn"]).rpartition("/")[2]
    profile = named(world, INSTANCE_PROFILE, call.account_id, name)
    role = world.find(ROLE, profile.role) if profile is not None else None
    return ROLE.arn(role) if role is not None else f"arn:aws:iam::{call.account_id}:role/*"


def pass_to_profile(call: Call, role_arn: str) -> Ask:
    """AddRoleToInstanceProfile (IAM API Reference): "the caller … must be granted the PassRole permission"."""
    return _pass(call, role_arn, _EC2, "*")
