"""Tags of roots, units, accounts and policies (AWS Organizations User Guide: "Tagging AWS Organizations resources")."""

from __future__ import annotations

from dataclasses import replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.organizations.nodes import node, parse_tags, put_node
from ringfence.api.ops.organizations.policies import find
from ringfence.api.ops.organizations.serve import invalid_input, organizations, page
from ringfence.model.kinds import ORGANIZATION_POLICY
from ringfence.model.nouns.organization import Node, OrganizationPolicy
from ringfence.model.row import Tags
from ringfence.model.world import Change, World, put


def _tagged(call: Call, world: World, params: Params) -> Node | OrganizationPolicy:
    """ApiError TargetNotFoundException."""
    id = params["ResourceId"]
    return (
        find(call, world, id, "TargetNotFoundException")
        if id.startswith("p-")
        else node(call, world, id, "TargetNotFoundException")
    )


def _with(found: Node | OrganizationPolicy, tags: Tags) -> Change:
    """ApiError InvalidInputException for AWS's policies."""
    if isinstance(found, Node):
        return put_node(replace(found, tags=tags))
    if found.organization == "aws":
        raise invalid_input("TARGET_NOT_SUPPORTED", "You can't tag a policy that is managed by AWS.")
    return put(ORGANIZATION_POLICY, replace(found, tags=tags))


@organizations("TagResource")
def tag_resource(call: Call, world: World, params: Params) -> Outcome:
    found = _tagged(call, world, params)
    return Outcome({}, _with(found, parse_tags(call, params["Tags"], found.tags)))


@organizations("UntagResource")
def untag_resource(call: Call, world: World, params: Params) -> Outcome:
    found, gone = _tagged(call, world, params), set(params["TagKeys"])
    return Outcome({}, _with(found, tuple(tag for tag in found.tags if tag[0] not in gone)))


@organizations("ListTagsForResource")
def list_tags(call: Call, world: World, params: Params) -> Outcome:
    tags, more = page(_tagged(call, world, params).tags, params)
    return Outcome({"Tags": [{"Key": key, "Value": value} for key, value in tags], **more})
