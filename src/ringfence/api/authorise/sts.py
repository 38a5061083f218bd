"""What an STS request touches: the role to assume, with its trust policy (IAM-09; Service Authorization Reference, "AWS
Security Token Service")."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.api.authorise.ask import Ask, Values, pairs, request_tags, tag_keys
from ringfence.api.ops.context import Call, Params
from ringfence.identity import actions
from ringfence.identity.question import Attached, Target
from ringfence.model.kinds import ROLE
from ringfence.model.nouns.identity import Role
from ringfence.model.world import World


def role_of(world: World, arn: str) -> Role | None:
    """The role of an ARN, of whatever account."""
    fields = arn.split(":", 5)
    if len(fields) != 6:
        return None
    found = world.by(ROLE, "name", f"{fields[4]}/{fields[5].rpartition('/')[2].lower()}")
    return next((role for role in found if ROLE.arn(role) == arn), None)


def role_target(world: World, arn: str) -> Target:
    """The role as a target. One that does not exist has no trust policy, and is refused as if it trusted nobody."""
    role, fields = role_of(world, arn), arn.split(":", 5)
    if role is None:
        return Target(arn=arn, account_id=fields[4] if len(fields) == 6 else "")
    context = tag_keys(("aws:resourcetag", "iam:resourcetag"), role.tags)
    return Target(arn=arn, account_id=role.owner_id, context=context, policy=Attached(f"{arn}/trust", role.trust))


def asks(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """Every question that an STS call puts."""
    if params.get("RoleArn"):
        target = role_target(world, str(params["RoleArn"]))
    elif call.action == "GetFederationToken":
        arn = f"arn:aws:sts::{call.account_id}:federated-user/{params.get('Name') or '*'}"
        target = Target(arn=arn, account_id=call.account_id)
    else:
        about = actions.action("sts", call.action)
        known = about is not None and not about.resources
        yield Ask(f"sts:{call.action}", (Target(arn="*", account_id=call.account_id),) if known else ())
        return
    context = _request(params)
    yield Ask(f"sts:{call.action}", (target,), context)
    if params.get("Tags"):
        yield Ask("sts:TagSession", (target,), context)
    if params.get("SourceIdentity"):
        yield Ask("sts:SetSourceIdentity", (target,), context)


def _request(params: Params) -> Values:
    held = request_tags(pairs(params.get("Tags") or ()))
    for key, parameter in (("sts:externalid", "ExternalId"), ("sts:rolesessionname", "RoleSessionName"),
                           ("sts:sourceidentity", "SourceIdentity")):  # fmt: skip
        if params.get(parameter):
            held[key] = str(params[parameter])
    if params.get("TransitiveTagKeys"):
        held["sts:transitivetagkeys"] = tuple(map(str, params["TransitiveTagKeys"]))
    return held
