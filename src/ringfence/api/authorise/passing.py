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
from ringfence.model.world import World

#: parameters that hold a role's ARN -> the service the role goes to
ROLE_PARAMETERS: Mapping[str, str] = {
    "DeliverLogsPermissionArn": "vpc-flow-logs.amazonaws.com",
    "DeliverCrossAccountRole": "vpc-flow-logs.amazonaws.com",
}
_PROFILE, _EC2 = "IamInstanceProfile", "ec2.amazonaws.com"


def passed_roles(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """A question for every role that an EC2 call hands on."""
    for parameter, service in ROLE_PARAMETERS.items():
        if params.get(parameter):
            yield _pass(call, str(params[parameter]), service, "*")
    profile = params.get(_PROFILE) or {}
    if profile.get("Arn") or profile.get("Name"):
        yield _pass(
            call, _role_of(call, world, profile), _EC2, arn(call, "instance", str(params.get("InstanceId") or "*"))
        )


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
