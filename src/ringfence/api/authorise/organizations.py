"""Organizations' calls as policies see them: ids become ARNs (Service Authorization Reference: "AWS Organizations").

An id that names nothing is asked about all the same: the call is authorised before anything is looked up for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ringfence.api.authorise.ask import Ask, Values, pairs, request_tags, tag_keys
from ringfence.api.ops.context import Call, Params
from ringfence.api.ops.organizations.policies import policy_arn
from ringfence.identity import actions
from ringfence.identity.organization import policy
from ringfence.identity.question import Target
from ringfence.model.accounts import account_of
from ringfence.model.kinds import ACCOUNT, HANDSHAKE, ORGANIZATION, UNIT
from ringfence.model.nouns.organization import Organization
from ringfence.model.world import World

#: parameters that name a resource
_PARAMETERS = (
    "PolicyId", "TargetId", "AccountId", "ParentId", "RootId", "OrganizationalUnitId", "SourceParentId",
    "DestinationParentId", "ChildId", "ResourceId", "HandshakeId",
)  # fmt: skip


def asks(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """One question, on every resource that the request names."""
    about = actions.action("organizations", call.action)
    if about is None:
        yield Ask(f"organizations:{call.action}", ())
        return
    context = _context(world, params)
    organization = world.find(ORGANIZATION, account_of(world, call.account_id).organization)
    targets = [
        Target(
            arn=_arn(call, world, organization, id),
            account_id=call.account_id,
            context=_resource(world, organization, id),
        )
        for id in _named(params)
        if about.resources
    ]
    if call.action == "CreatePolicy":
        under = f"{organization.owner_id}:policy/{organization.id}" if organization else f"{call.account_id}:policy/o-*"
        type = str(params.get("Type") or "*").lower()
        targets = [Target(arn=f"arn:aws:organizations::{under}/{type}/*", account_id=call.account_id)]
    yield Ask(f"organizations:{call.action}", tuple(targets) or (Target(arn="*", account_id=call.account_id),), context)


def _named(params: Params) -> list[str]:
    named = [str(params[name]) for name in _PARAMETERS if params.get(name)]
    target = params.get("Target")
    if isinstance(target, dict) and target.get("Type") == "ACCOUNT":
        named.append(str(target.get("Id")))
    return list(dict.fromkeys(named))


def _arn(call: Call, world: World, organization: Organization | None, id: str) -> str:
    if id.startswith("p-"):
        found = policy(world, id)
        if found is not None and organization is not None:
            return policy_arn(organization, found)
        return _in(call, organization, "policy", f"*/{id}")
    if id.startswith("h-"):
        shook = world.find(HANDSHAKE, id)
        theirs = world.find(ORGANIZATION, shook.organization) if shook is not None else organization
        return _in(call, theirs, "handshake", f"invite/{id}")
    kind = "root" if id.startswith("r-") else "ou" if id.startswith("ou-") else "account"
    return _in(call, organization, kind, id)


def _in(call: Call, organization: Organization | None, kind: str, rest: str) -> str:
    owner, id = (organization.owner_id, organization.id) if organization else (call.account_id, "o-*")
    return f"arn:aws:organizations::{owner}:{kind}/{id}/{rest}"


def _context(world: World, params: Params) -> Values:
    """The keys of the request: policy type, service principal, tags."""
    held: Values = request_tags(pairs(params.get("Tags") or ()))
    if params.get("TagKeys"):
        held["aws:tagkeys"] = tuple(dict.fromkeys(map(str, params["TagKeys"])))
    found = policy(world, str(params.get("PolicyId") or params.get("ResourceId") or ""))
    type = params.get("PolicyType") or params.get("Type") or params.get("Filter") or (found.type if found else None)
    if isinstance(type, str):
        held["organizations:policytype"] = type
    if params.get("ServicePrincipal"):
        held["organizations:serviceprincipal"] = str(params["ServicePrincipal"])
    return held


def _resource(world: World, organization: Organization | None, id: str) -> Values:
    """The tags of a resource that the organization has."""
    if organization is None:
        return {}
    row: Any = (
        organization
        if id == organization.root
        else world.find(UNIT, id) or world.find(ACCOUNT, id) or policy(world, id)
    )
    if row is None or getattr(row, "organization", organization.id) != organization.id:
        return {}
    return tag_keys(("aws:resourcetag",), row.tags)
