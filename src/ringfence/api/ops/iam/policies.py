"""Managed policies and their versions (IAM User Guide: "Managed policies and inline policies", "Versioning IAM policies").

AWS's own (IAM-39, `identity/aws_managed.py`) are found, read and attached like a customer's, and can be neither changed nor
deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import documents, tagging
from ringfence.api.ops.iam.entities import Identity, named, stem, taken
from ringfence.api.ops.iam.pages import by_name, encoded, instant, now, page
from ringfence.api.ops.iam.serve import iam
from ringfence.identity.aws_managed import OWNER, aws_managed
from ringfence.identity.identifiers import unique_id
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import GROUP, MANAGED_POLICY, ROLE, USER
from ringfence.model.nouns.identity import ManagedPolicy, PolicyVersion
from ringfence.model.quotas import POLICY_VERSIONS
from ringfence.model.row import Row
from ringfence.model.world import World, delete, put


# ---------------------------------------------------------------------- finding
def find(call: Call, world: World, arn: str) -> ManagedPolicy | None:
    """The policy of that ARN: the caller's account's or AWS's."""
    if arn in aws_managed():
        return aws_managed()[arn]
    found = named(world, MANAGED_POLICY, call.account_id, arn.rpartition("/")[2])
    return found if found is not None and MANAGED_POLICY.arn(found) == arn else None


def get(call: Call, world: World, arn: str) -> ManagedPolicy:
    """The policy of that ARN. ApiError NoSuchEntity, or InvalidInput for what is no policy's ARN."""
    found = find(call, world, arn)
    if found is None:
        raise _missing(arn)
    return found


def _missing(arn: str) -> ApiError:
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[:3] != ["arn", "aws", "iam"] or not parts[5].startswith("policy/"):
        return fault("InvalidInput", message=f"ARN {arn} is not valid.")
    return fault("NoSuchEntity", message=f"Policy {arn} was not found.")


def attachable(call: Call, world: World, arn: str) -> ManagedPolicy:
    """The policy to attach, or to use as a boundary. ApiError NoSuchEntity."""
    found = find(call, world, arn)
    if found is None:
        raise fault("NoSuchEntity", message=f"Policy {arn} does not exist or is not attachable.")
    return found


def _own(call: Call, world: World, arn: str) -> ManagedPolicy:
    """A policy that may be changed. ApiError AccessDenied for AWS's own."""
    found = get(call, world, arn)
    if found.owner_id == OWNER:
        raise fault(
            "AccessDenied", message=f"User: {call.principal.arn} is not authorized to change {arn}: it is AWS's"
        )
    return found


def _version(policy: ManagedPolicy, arn: str, id: str) -> PolicyVersion:
    for version in policy.versions:
        if version.id == id:
            return version
    text = f"Policy {arn} version {id} does not exist or is not attachable."
    raise fault("NoSuchEntity", message=text)


# ---------------------------------------------------------------------- who uses them
def attached_to(call: Call, world: World, arn: str) -> Iterator[Identity]:
    """The account's users, groups and roles that a policy is attached to."""
    for kind in (USER, GROUP, ROLE):
        yield from _of_account(call, world.by(kind, "policy", arn))


def bounding(call: Call, world: World, arn: str) -> Iterator[Identity]:
    """The account's users and roles that have a policy as their boundary."""
    for kind in (USER, ROLE):
        yield from _of_account(call, world.by(kind, "boundary", arn))


def _of_account(call: Call, rows: list[Any]) -> Iterator[Any]:
    found: list[Row] = rows
    return (row for row in found if row.owner_id == call.account_id)


# ---------------------------------------------------------------------- as the API shows them
def show(call: Call, world: World, policy: ManagedPolicy) -> dict[str, Any]:
    """As lists show it. AWS: CreatePolicy adds the tags, GetPolicy the tags and the description."""
    arn = MANAGED_POLICY.arn(policy)
    return stem(MANAGED_POLICY, "Policy", policy) | {
        "DefaultVersionId": policy.default,
        "AttachmentCount": sum(1 for _ in attached_to(call, world, arn)),
        "PermissionsBoundaryUsageCount": sum(1 for _ in bounding(call, world, arn)),
        "IsAttachable": True,
        "UpdateDate": instant(policy.updated or max(version.created for version in policy.versions)),
    }


def describe(policy: ManagedPolicy) -> dict[str, Any]:
    """The description, if there is one."""
    return {"Description": policy.description} if policy.description else {}


def show_version(policy: ManagedPolicy, version: PolicyVersion, *, document: bool) -> dict[str, Any]:
    """One version; the document where the operation shows it."""
    shown = {
        "VersionId": version.id,
        "IsDefaultVersion": version.id == policy.default,
        "CreateDate": instant(version.created),
    }
    return ({"Document": encoded(version.text)} if document else {}) | shown


# ---------------------------------------------------------------------- operations
@iam("CreatePolicy")
def create_policy(call: Call, world: World, params: Params) -> Outcome:
    """A policy with one version, v1. MalformedPolicyDocument, EntityAlreadyExists, LimitExceeded."""
    name, text = params["PolicyName"], params["PolicyDocument"]
    if taken(world, MANAGED_POLICY, call.account_id, name):
        raise fault(
            "EntityAlreadyExists", message=f"A policy called {name} already exists. Duplicate names are not allowed."
        )
    documents.check_managed(text)
    documents.check_size(call, "iam-policy-size", text)
    call.check_quota("iam-policies", world.count_owned(MANAGED_POLICY, call.account_id, call.region) + 1)
    moment = now(call)
    made = ManagedPolicy(
        id=unique_id(call.ids, "ANPA"), **call.owned(), name=name, path=params.get("Path") or "/", created=moment,
        description=params.get("Description"), versions=(PolicyVersion(id="v1", text=text, created=moment),),
        default="v1", updated=moment, tags=tagging.parse(call, params.get("Tags") or ()),
    )  # fmt: skip
    return Outcome({"Policy": show(call, world, made) | tagging.member(made.tags)}, put(MANAGED_POLICY, made))


@iam("GetPolicy")
def get_policy(call: Call, world: World, params: Params) -> Outcome:
    """AWS: with a list of tags even where it is empty."""
    found = get(call, world, params["PolicyArn"])
    return Outcome({"Policy": show(call, world, found) | describe(found) | {"Tags": tagging.shown(found.tags)}})


@iam("ListPolicies")
def list_policies(call: Call, world: World, params: Params) -> Outcome:
    """Scope AWS, Local or both; attached ones only; by path and by use."""
    scope = params.get("Scope") or "All"
    policies = [] if scope == "Local" else list(aws_managed().values())
    policies += [] if scope == "AWS" else call.mine(world, MANAGED_POLICY)
    chosen = [policy for policy in by_name(policies, params) if _wanted(call, world, policy, params)]
    rows, more = page(chosen, params, key=lambda policy: policy.id)
    return Outcome({"Policies": [show(call, world, policy) for policy in rows], **more})


def _wanted(call: Call, world: World, policy: ManagedPolicy, params: Params) -> bool:
    arn, use = MANAGED_POLICY.arn(policy), params.get("PolicyUsageFilter")
    permits = use != "PermissionsBoundary" and any(True for _ in attached_to(call, world, arn))
    bounds = use != "PermissionsPolicy" and any(True for _ in bounding(call, world, arn))
    if params.get("OnlyAttached"):
        return permits or bounds
    return use is None or permits or bounds


@iam("DeletePolicy")
def delete_policy(call: Call, world: World, params: Params) -> Outcome:
    """DeleteConflict while it is attached, is a boundary, or has versions besides the default one."""
    arn = params["PolicyArn"]
    policy = _own(call, world, arn)
    if any(attached_to(call, world, arn)) or any(bounding(call, world, arn)):
        raise fault("DeleteConflict", message="Cannot delete a policy attached to entities.")
    if len(policy.versions) > 1:
        text = (
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. "
            "The default version is deleted with the policy."
        )
        raise fault("DeleteConflict", message=text)
    return Outcome({}, delete(MANAGED_POLICY, policy.id))


@iam("CreatePolicyVersion")
def create_policy_version(call: Call, world: World, params: Params) -> Outcome:
    """AWS: numbers are never given twice. LimitExceeded for a sixth version."""
    policy, text = _own(call, world, params["PolicyArn"]), params["PolicyDocument"]
    documents.check_managed(text)
    documents.check_size(call, "iam-policy-size", text)
    if len(policy.versions) >= POLICY_VERSIONS:
        message = (
            f"A managed policy can have up to {POLICY_VERSIONS} versions. "
            "Before you create a new version, you must delete an existing version."
        )
        raise fault("LimitExceeded", message=message)
    made = PolicyVersion(id=f"v{policy.next_version}", text=text, created=now(call))
    changed = replace(
        policy, versions=(*policy.versions, made), next_version=policy.next_version + 1, updated=made.created,
        default=made.id if params.get("SetAsDefault") else policy.default,
    )  # fmt: skip
    return Outcome({"PolicyVersion": show_version(changed, made, document=False)}, put(MANAGED_POLICY, changed))


@iam("GetPolicyVersion")
def get_policy_version(call: Call, world: World, params: Params) -> Outcome:
    arn = params["PolicyArn"]
    policy = get(call, world, arn)
    version = _version(policy, arn, params["VersionId"])
    return Outcome({"PolicyVersion": show_version(policy, version, document=True)})


@iam("ListPolicyVersions")
def list_policy_versions(call: Call, world: World, params: Params) -> Outcome:
    """The newest first."""
    policy = get(call, world, params["PolicyArn"])
    versions, more = page(policy.versions[::-1], params, key=lambda version: version.id)
    return Outcome({"Versions": [show_version(policy, version, document=False) for version in versions], **more})


@iam("SetDefaultPolicyVersion")
def set_default_policy_version(call: Call, world: World, params: Params) -> Outcome:
    """The version in force from now on, wherever the policy is attached."""
    arn = params["PolicyArn"]
    policy = _own(call, world, arn)
    version = _version(policy, arn, params["VersionId"])
    return Outcome({}, put(MANAGED_POLICY, replace(policy, default=version.id, updated=now(call))))


@iam("DeletePolicyVersion")
def delete_policy_version(call: Call, world: World, params: Params) -> Outcome:
    """DeleteConflict for the default version."""
    arn = params["PolicyArn"]
    policy = _own(call, world, arn)
    version = _version(policy, arn, params["VersionId"])
    if version.id == policy.default:
        raise fault("DeleteConflict", message="Cannot delete the default version of a policy.")
    kept = tuple(held for held in policy.versions if held is not version)
    return Outcome({}, put(MANAGED_POLICY, replace(policy, versions=kept)))


def _for_tags(call: Call, world: World, params: Params) -> ManagedPolicy:
    return (
        get(call, world, params["PolicyArn"])
        if call.action.startswith("List")
        else _own(call, world, params["PolicyArn"])
    )


tagging.tag_operations("Policy", MANAGED_POLICY, _for_tags)


@iam("ListEntitiesForPolicy")
def list_entities_for_policy(call: Call, world: World, params: Params) -> Outcome:
    """Who a policy is attached to, or bounds: groups, users and roles, in one list that is paged as a whole."""
    arn, prefix = params["PolicyArn"], params.get("PathPrefix") or "/"
    get(call, world, arn)
    use, only = params.get("PolicyUsageFilter"), params.get("EntityFilter")
    found: dict[str, Identity] = {}
    for entity in attached_to(call, world, arn) if use != "PermissionsBoundary" else ():
        found[entity.id] = entity
    for entity in bounding(call, world, arn) if use != "PermissionsPolicy" else ():
        found[entity.id] = entity
    shown = [e for e in found.values() if e.path.startswith(prefix) and only in (None, type(e).__name__)]
    rows, more = page(sorted(shown, key=lambda e: (type(e).__name__, e.name.lower())), params, key=lambda e: e.id)
    return Outcome({**{f"Policy{noun}s": _refer(rows, noun) for noun in ("Group", "User", "Role")}, **more})


def _refer(entities: Any, noun: str) -> list[dict[str, str]]:
    return [{f"{noun}Name": e.name, f"{noun}Id": e.id} for e in entities if type(e).__name__ == noun]
