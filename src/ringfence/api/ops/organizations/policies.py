"""Service and resource control policies (AWS Organizations User Guide: "Managing organization policies"; IAM-18).

They bind from the commit on. Other policy types (tags, backups, declarative policies …) have no effect here and cannot be
enabled: PolicyTypeNotAvailableForOrganizationException.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.organizations.nodes import (
    arn,
    id_of,
    node,
    node_arn,
    node_name,
    node_type,
    nodes,
    parse_tags,
    put_node,
    show_root,
)
from ringfence.api.ops.organizations.serve import (
    invalid_input,
    letters,
    organizations,
    own_organization,
    page,
    violation,
)
from ringfence.identity import document
from ringfence.identity.document import DocumentKind
from ringfence.identity.organization import DEFAULTS, policy
from ringfence.model.errors import fault
from ringfence.model.kinds import ORGANIZATION_POLICY
from ringfence.model.nouns.organization import Node, Organization, OrganizationPolicy, PolicyType
from ringfence.model.quotas import ORGANIZATION_POLICIES_PER_TARGET, ORGANIZATION_POLICY_SIZE
from ringfence.model.world import NOTHING, Change, World, delete, put

_DOCUMENTS = {
    PolicyType.SERVICE_CONTROL.value: DocumentKind.SERVICE_CONTROL,
    PolicyType.RESOURCE_CONTROL.value: DocumentKind.RESOURCE_CONTROL,
}


# ---------------------------------------------------------------------- types
def _available(organization: Organization, type: str) -> str:
    """ApiError PolicyTypeNotAvailableForOrganizationException."""
    if type not in DEFAULTS:
        text = f"Policies of the type {type} have no effect in this installation."
        raise fault("PolicyTypeNotAvailableForOrganizationException", message=text)
    if not organization.all_features:
        text = "The organization has the consolidated billing features only."
        raise fault("PolicyTypeNotAvailableForOrganizationException", message=text)
    return type


def _at_root(call: Call, world: World, params: Params) -> tuple[Organization, str]:
    organization = own_organization(call, world)
    if params["RootId"] != organization.root:
        raise fault("RootNotFoundException")
    return organization, _available(organization, params["PolicyType"])


@organizations("EnablePolicyType")
def enable_policy_type(call: Call, world: World, params: Params) -> Outcome:
    """AWS's policy that allows everything is attached to the root, every unit and every account.

    ApiError RootNotFound, PolicyTypeAlreadyEnabled and PolicyTypeNotAvailableForOrganizationException.
    """
    organization, type = _at_root(call, world, params)
    if type in organization.enabled:
        raise fault("PolicyTypeAlreadyEnabledException")
    change, whole = NOTHING, replace(organization, enabled=(*organization.enabled, type))
    for found in (whole, *nodes(world, organization)[1:]):
        change += put_node(replace(found, policies=(*found.policies, DEFAULTS[type].id)))
    return Outcome({"Root": show_root(whole)}, change)


@organizations("DisablePolicyType")
def disable_policy_type(call: Call, world: World, params: Params) -> Outcome:
    """Every policy of the type is detached from everything. ApiError PolicyTypeNotEnabledException."""
    organization, type = _at_root(call, world, params)
    if type not in organization.enabled:
        raise fault("PolicyTypeNotEnabledException")
    whole = replace(organization, enabled=tuple(held for held in organization.enabled if held != type))
    change = NOTHING
    for found in (whole, *nodes(world, organization)[1:]):
        left = tuple(id for id in found.policies if (held := policy(world, id)) is None or held.type != type)
        change += put_node(replace(found, policies=left))
    return Outcome({"Root": show_root(whole)}, change)


# ---------------------------------------------------------------------- policies
def find(call: Call, world: World, id: str, code: str = "PolicyNotFoundException") -> OrganizationPolicy:
    """ApiError `code`."""
    found = policy(world, id)
    if found is None or found.organization not in ("aws", own_organization(call, world).id):
        raise fault(code)
    return found


def _own(call: Call, world: World, id: str) -> OrganizationPolicy:
    """A policy that may be changed. ApiError InvalidInputException IMMUTABLE_POLICY for AWS's."""
    found = find(call, world, id)
    if found.organization == "aws":
        raise invalid_input("IMMUTABLE_POLICY", "You specified a policy that is managed by AWS and can't be modified.")
    return found


def policy_arn(organization: Organization, found: OrganizationPolicy) -> str:
    type = found.type.lower()
    if found.organization == "aws":
        return f"arn:aws:organizations::aws:policy/{type}/{found.id}"
    return arn(organization, "policy", f"{type}/{found.id}")


def _summary(organization: Organization, found: OrganizationPolicy) -> dict[str, Any]:
    return {
        "Id": found.id, "Arn": policy_arn(organization, found), "Name": found.name, "Description": found.description,
        "Type": found.type, "AwsManaged": found.organization == "aws",
    }  # fmt: skip


def _whole(organization: Organization, found: OrganizationPolicy) -> dict[str, Any]:
    return {"Policy": {"PolicySummary": _summary(organization, found), "Content": found.text}}


def _check_content(type: str, text: str) -> None:
    """ApiError ConstraintViolationException POLICY_CONTENT_LIMIT_EXCEEDED, MalformedPolicyDocumentException."""
    if len(text) > ORGANIZATION_POLICY_SIZE:
        text = f"You have exceeded the maximum policy size of {ORGANIZATION_POLICY_SIZE} characters."
        raise violation("POLICY_CONTENT_LIMIT_EXCEEDED", text)
    document.malformed(text, _DOCUMENTS[type], "MalformedPolicyDocumentException")


def _check_policy_name(world: World, organization: Organization, name: str, type: str, *, by: str = "") -> None:
    """ApiError DuplicatePolicyException: names are unique within a type."""
    held = [*world.by(ORGANIZATION_POLICY, "organization", organization.id), *DEFAULTS.values()]
    if any(one.name == name and one.type == type and one.id != by for one in held):
        raise fault("DuplicatePolicyException")


@organizations("CreatePolicy")
def create_policy(call: Call, world: World, params: Params) -> Outcome:
    """ApiError DuplicatePolicy, MalformedPolicyDocument, ConstraintViolation and PolicyTypeNotAvailable… Exception."""
    organization = own_organization(call, world)
    type = _available(organization, params["Type"])
    _check_content(type, params["Content"])
    _check_policy_name(world, organization, params["Name"], type)
    count = world.count(ORGANIZATION_POLICY, "organization", organization.id)
    if count + 1 > call.limits["organizations-policies"]:
        raise violation("POLICY_NUMBER_LIMIT_EXCEEDED", "You have exceeded the number of policies in an organization.")
    made = OrganizationPolicy(
        id=f"p-{letters(call.ids, 8)}", **call.owned(), organization=organization.id, name=params["Name"], type=type,
        description=params["Description"], text=params["Content"], tags=parse_tags(call, params.get("Tags")),
    )  # fmt: skip
    return Outcome(_whole(organization, made), put(ORGANIZATION_POLICY, made))


@organizations("UpdatePolicy")
def update_policy(call: Call, world: World, params: Params) -> Outcome:
    """What is not given stays; effective at the next call of every account under it."""
    organization, found = own_organization(call, world), _own(call, world, params["PolicyId"])
    changed = replace(
        found, name=params.get("Name") or found.name, description=params.get("Description", found.description),
        text=params.get("Content", found.text),
    )  # fmt: skip
    _check_content(found.type, changed.text)
    _check_policy_name(world, organization, changed.name, found.type, by=found.id)
    return Outcome(_whole(organization, changed), put(ORGANIZATION_POLICY, changed))


@organizations("DeletePolicy")
def delete_policy(call: Call, world: World, params: Params) -> Outcome:
    """ApiError PolicyInUseException while it is attached."""
    found = _own(call, world, params["PolicyId"])
    if any(found.id in held.policies for held in nodes(world, own_organization(call, world))):
        raise fault("PolicyInUseException")
    return Outcome({}, delete(ORGANIZATION_POLICY, found.id))


@organizations("DescribePolicy")
def describe_policy(call: Call, world: World, params: Params) -> Outcome:
    return Outcome(_whole(own_organization(call, world), find(call, world, params["PolicyId"])))


@organizations("ListPolicies")
def list_policies(call: Call, world: World, params: Params) -> Outcome:
    """Of one type: AWS's own first."""
    organization, type = own_organization(call, world), params["Filter"]
    held = [*DEFAULTS.values(), *world.by(ORGANIZATION_POLICY, "organization", organization.id)]
    found, more = page([one for one in held if one.type == type], params)
    return Outcome({"Policies": [_summary(organization, one) for one in found], **more})


# ---------------------------------------------------------------------- attachments
def _of_type(world: World, found: Node, type: str) -> list[OrganizationPolicy]:
    held = (policy(world, id) for id in found.policies)
    return [one for one in held if one is not None and one.type == type]


def _target(call: Call, world: World, params: Params) -> Node:
    return node(call, world, params["TargetId"], "TargetNotFoundException")


@organizations("AttachPolicy")
def attach_policy(call: Call, world: World, params: Params) -> Outcome:
    """ApiError PolicyNotFound, TargetNotFound, PolicyTypeNotEnabled, DuplicatePolicyAttachment, ConstraintViolation…"""
    organization, found = own_organization(call, world), find(call, world, params["PolicyId"])
    target = _target(call, world, params)
    if found.type not in organization.enabled:
        raise fault("PolicyTypeNotEnabledException")
    if found.id in target.policies:
        raise fault("DuplicatePolicyAttachmentException")
    if len(_of_type(world, target, found.type)) + 1 > ORGANIZATION_POLICIES_PER_TARGET:
        text = "You have exceeded the number of policies of this type that can be attached to an entity."
        raise violation("MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", text)
    return Outcome({}, put_node(replace(target, policies=(*target.policies, found.id))))


@organizations("DetachPolicy")
def detach_policy(call: Call, world: World, params: Params) -> Outcome:
    """ApiError PolicyNotAttachedException; ConstraintViolationException for the last service control policy of a target."""
    found, target = find(call, world, params["PolicyId"]), _target(call, world, params)
    if found.id not in target.policies:
        raise fault("PolicyNotAttachedException")
    if found.id == DEFAULTS[PolicyType.RESOURCE_CONTROL.value].id:
        raise invalid_input("NON_DETACHABLE_POLICY", "The policy RCPFullAWSAccess can't be detached.")
    if len(_of_type(world, target, found.type)) == 1:
        text = "You cannot remove the last policy of this type from an entity."
        raise violation("MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED", text)
    return Outcome({}, _detached(target, found.id))


def _detached(target: Node, id: str) -> Change:
    return put_node(replace(target, policies=tuple(held for held in target.policies if held != id)))


@organizations("ListPoliciesForTarget")
def list_policies_for_target(call: Call, world: World, params: Params) -> Outcome:
    """Those attached to the target itself."""
    organization = own_organization(call, world)
    found, more = page(_of_type(world, _target(call, world, params), params["Filter"]), params)
    return Outcome({"Policies": [_summary(organization, one) for one in found], **more})


@organizations("ListTargetsForPolicy")
def list_targets_for_policy(call: Call, world: World, params: Params) -> Outcome:
    organization, id = own_organization(call, world), find(call, world, params["PolicyId"]).id
    found, more = page([held for held in nodes(world, organization) if id in held.policies], params)
    shown = [
        {"TargetId": id_of(one), "Arn": node_arn(organization, one), "Name": node_name(one), "Type": node_type(one)}
        for one in found
    ]
    return Outcome({"Targets": shown, **more})
