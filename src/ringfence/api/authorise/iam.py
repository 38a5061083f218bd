"""What an IAM request touches (Service Authorization Reference, "AWS Identity and Access Management"). Names are known before
a thing exists, so a creation is authorised on the ARN that it will have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ringfence.api.authorise.ask import Ask, Values, pairs, request_tags, tag_keys
from ringfence.api.authorise.passing import pass_to_profile
from ringfence.api.ops.context import Call, Params
from ringfence.api.ops.iam.entities import named
from ringfence.identity import actions
from ringfence.identity.oidc import address_of
from ringfence.identity.principal import PrincipalKind
from ringfence.identity.question import Target
from ringfence.model.kinds import ACCESS_KEY, GROUP, INSTANCE_PROFILE, KINDS, MANAGED_POLICY, ROLE, USER, Kind
from ringfence.model.row import Row
from ringfence.model.world import World

_KINDS: Mapping[str, Kind[Any]] = {
    "user": USER, "group": GROUP, "role": ROLE, "instance-profile": INSTANCE_PROFILE, "policy": MANAGED_POLICY,
}  # fmt: skip
#: resource type -> the parameter with its name; for a policy: when it is made
_NAMES: Mapping[str, str] = {
    "user": "UserName", "group": "GroupName", "role": "RoleName", "instance-profile": "InstanceProfileName",
    "policy": "PolicyName", "mfa": "VirtualMFADeviceName", "saml-provider": "Name",
    "server-certificate": "ServerCertificateName",
}  # fmt: skip
#: resource type -> the parameter with its ARN
_ARNS: Mapping[str, tuple[str, ...]] = {
    "policy": ("PolicyArn",), "mfa": ("SerialNumber",), "oidc-provider": ("OpenIDConnectProviderArn",),
    "saml-provider": ("SAMLProviderArn",), "user": ("PolicySourceArn",), "role": ("PolicySourceArn",),
    "group": ("PolicySourceArn",),
}  # fmt: skip


def asks(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """Every question that an IAM call puts."""
    about = actions.action("iam", call.action)
    if about is None:
        yield Ask(f"iam:{call.action}", ())
        return
    context = _request(params)
    targets = tuple(
        Target(arn=arn, account_id=call.account_id, context={**_resource(world, use.type, arn), **context})
        for use in about.resources
        for arn in (*_arns(call, world, params, use.type, required=use.required), *_renamed(call, params, use.type))
    )
    yield Ask(f"iam:{call.action}", targets or (Target(arn="*", account_id=call.account_id),), context)
    if call.action == "AddRoleToInstanceProfile":
        yield pass_to_profile(call, *_arns(call, world, params, "role", required=True))


def _arns(call: Call, world: World, params: Params, type: str, *, required: bool) -> Iterator[str]:
    """The ARN of the resource of a type; one, or none when it is neither named nor required."""
    for parameter in _ARNS.get(type, ()):
        if params.get(parameter):
            given = str(params[parameter])
            if parameter != "PolicySourceArn" or f":{type}/" in given:
                yield given
            return
    name = params.get(_NAMES.get(type, ""))
    if name:
        yield _arn(call, world, type, str(name), str(params.get("Path") or "/"))
    elif type == "user" and required:
        yield _user(call, world, params)
    elif type == "role" and params.get("AWSServiceName"):
        yield f"arn:aws:iam::{call.account_id}:role/aws-service-role/{params['AWSServiceName']}/*"
    elif type == "role" and params.get("DeletionTaskId"):
        yield _arn(call, world, type, str(params["DeletionTaskId"]).split("/")[-2:][0], "/")
    elif type == "oidc-provider" and params.get("Url"):
        yield f"arn:aws:iam::{call.account_id}:oidc-provider/{address_of(str(params['Url']))}"
    elif required:
        yield f"arn:aws:iam::{call.account_id}:{type}/*"


def _arn(call: Call, world: World, type: str, name: str, path: str) -> str:
    """The ARN of what has this name, or will have it."""
    kind = _KINDS.get(type)
    row = named(world, kind, call.account_id, name) if kind is not None else None
    if kind is not None and row is not None and type != "policy":
        return kind.arn(row)
    return f"arn:aws:iam::{call.account_id}:{type}{path}{name}"


def _renamed(call: Call, params: Params, type: str) -> Iterator[str]:
    """AWS, UpdateUser and UpdateGroup: whoever renames needs permission for the new name too."""
    name, path = params.get(f"New{_NAMES.get(type, '')}"), params.get("NewPath")
    if name or path:
        old = params.get(_NAMES.get(type, ""))
        yield f"arn:aws:iam::{call.account_id}:{type}{path or '/'}{name or old}"


def _user(call: Call, world: World, params: Params) -> str:
    """AWS: without UserName it is the user who signs, or the one whose key is named."""
    key = world.find(ACCESS_KEY, params.get("AccessKeyId"))
    owner = world.find(USER, key.user_id) if key is not None and key.owner_id == call.account_id else None
    if owner is not None:
        return USER.arn(owner)
    principal = call.principal
    if principal.kind is PrincipalKind.USER:
        row = world.find(USER, principal.user_id)
        return USER.arn(row) if row is not None else principal.arn
    return f"arn:aws:iam::{call.account_id}:user/*"


# ---------------------------------------------------------------------- keys
def _request(params: Params) -> Values:
    """The keys that the request's parameters give."""
    held = request_tags(pairs(params.get("Tags") or ()))
    if params.get("TagKeys"):
        held["aws:tagkeys"] = tuple(dict.fromkeys(map(str, params["TagKeys"])))
    for key, parameter in (("iam:policyarn", "PolicyArn"), ("iam:permissionsboundary", "PermissionsBoundary"),
                           ("iam:awsservicename", "AWSServiceName")):  # fmt: skip
        if params.get(parameter):
            held[key] = str(params[parameter])
    return held


def _resource(world: World, type: str, arn: str) -> Values:
    """The keys of a thing that exists: its tags, and the boundary of a user or role, when the request sets none."""
    row = _row(world, type, arn)
    if row is None:
        return {}
    held = tag_keys(("aws:resourcetag", "iam:resourcetag"), row.tags)
    boundary = getattr(row, "boundary", None)
    return held | ({"iam:permissionsboundary": boundary} if boundary else {})


def _row(world: World, type: str, arn: str) -> Row | None:
    kind = _KINDS.get(type)
    if kind is None:
        held = KINDS.get({"mfa": "iam-mfa-device"}.get(type, f"iam-{type}"))
        return world.find(held, arn) if held is not None else None
    account, name = arn.split(":", 5)[4:5], arn.rpartition("/")[2]
    found = world.by(kind, "name", f"{account[0] if account else ''}/{name.lower()}")
    return next((row for row in found if kind.arn(row) == arn), None)
