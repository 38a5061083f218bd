"""Managed policies attached to users, groups and roles; inline policies; permissions boundaries: the same operations for
each sort of identity (IAM User Guide: "Adding and removing IAM identity permissions", "Permissions boundaries").
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import documents, entities
from ringfence.api.ops.iam.entities import ROLES, SORTS, USERS, Sort
from ringfence.api.ops.iam.pages import encoded, page
from ringfence.api.ops.iam.policies import attachable, find
from ringfence.api.ops.iam.serve import serve
from ringfence.model.errors import fault
from ringfence.model.kinds import MANAGED_POLICY
from ringfence.model.nouns.identity import InlinePolicy
from ringfence.model.world import World, put

#: identities as they are found for reading: service-linked roles can be read, not changed
_READ = {"User": entities.user, "Group": entities.group, "Role": entities.role}


def _readable(sort: Sort, call: Call, world: World, params: Params) -> Any:
    return _READ[sort.noun](call, world, params[sort.parameter])


# ---------------------------------------------------------------------- managed policies
def _attach(sort: Sort) -> None:
    def attach(call: Call, world: World, params: Params) -> Outcome:
        """AWS: attaching again changes nothing. NoSuchEntity, LimitExceeded."""
        found, arn = sort.named(call, world, params), params["PolicyArn"]
        attachable(call, world, arn)
        if arn in found.managed:
            return Outcome({})
        call.check_quota(f"iam-policies-per-{sort.noun.lower()}", len(found.managed) + 1)
        return Outcome({}, put(sort.kind, replace(found, managed=(*found.managed, arn))))

    def detach(call: Call, world: World, params: Params) -> Outcome:
        """NoSuchEntity for a policy that is not attached."""
        found, arn = sort.named(call, world, params), params["PolicyArn"]
        if arn not in found.managed:
            raise fault("NoSuchEntity", message=f"Policy {arn} was not found.")
        return Outcome({}, put(sort.kind, replace(found, managed=tuple(held for held in found.managed if held != arn))))

    def attached(call: Call, world: World, params: Params) -> Outcome:
        prefix = params.get("PathPrefix") or "/"
        held = [find(call, world, arn) for arn in _readable(sort, call, world, params).managed]
        chosen = [policy for policy in held if policy is not None and policy.path.startswith(prefix)]
        rows, more = page(chosen, params, key=lambda policy: policy.id)
        return Outcome({"AttachedPolicies": [show_attached(policy) for policy in rows], **more})

    serve(f"Attach{sort.noun}Policy", attach)
    serve(f"Detach{sort.noun}Policy", detach)
    serve(f"ListAttached{sort.noun}Policies", attached)


def show_attached(policy: Any) -> dict[str, str]:
    """A managed policy where it is attached."""
    return {"PolicyName": policy.name, "PolicyArn": MANAGED_POLICY.arn(policy)}


# ---------------------------------------------------------------------- inline policies
def _inline(sort: Sort) -> None:
    noun = sort.noun.lower()

    def held(found: Any, name: str) -> InlinePolicy:
        for policy in found.inline:
            if policy.name == name:
                return policy  # type: ignore[no-any-return]
        raise fault("NoSuchEntity", message=f"The {noun} policy with name {name} cannot be found.")

    def put_policy(call: Call, world: World, params: Params) -> Outcome:
        """Adds the policy, or replaces the one of that name. MalformedPolicyDocument, LimitExceeded."""
        found = sort.named(call, world, params)
        made = InlinePolicy(name=params["PolicyName"], text=params["PolicyDocument"])
        documents.check_inline(made.text)
        others = tuple(policy for policy in found.inline if policy.name != made.name)
        documents.check_inline_size(noun, found.name, [policy.text for policy in (*others, made)])
        return Outcome({}, put(sort.kind, replace(found, inline=(*others, made))))

    def get_policy(call: Call, world: World, params: Params) -> Outcome:
        found = _readable(sort, call, world, params)
        policy = held(found, params["PolicyName"])
        return Outcome({sort.parameter: found.name, "PolicyName": policy.name, "PolicyDocument": encoded(policy.text)})

    def delete_policy(call: Call, world: World, params: Params) -> Outcome:
        found = sort.named(call, world, params)
        gone = held(found, params["PolicyName"])
        kept = tuple(policy for policy in found.inline if policy is not gone)
        return Outcome({}, put(sort.kind, replace(found, inline=kept)))

    def list_policies(call: Call, world: World, params: Params) -> Outcome:
        names = sorted(policy.name for policy in _readable(sort, call, world, params).inline)
        rows, more = page(names, params, key=lambda name: name)
        return Outcome({"PolicyNames": list(rows), **more})

    serve(f"Put{sort.noun}Policy", put_policy)
    serve(f"Get{sort.noun}Policy", get_policy)
    serve(f"Delete{sort.noun}Policy", delete_policy)
    serve(f"List{sort.noun}Policies", list_policies)


# ---------------------------------------------------------------------- boundaries
def _boundary(sort: Sort) -> None:
    def put_boundary(call: Call, world: World, params: Params) -> Outcome:
        """IAM-17. NoSuchEntity when there is no such policy."""
        found, arn = sort.named(call, world, params), params["PermissionsBoundary"]
        attachable(call, world, arn)
        return Outcome({}, put(sort.kind, replace(found, boundary=arn)))

    def delete_boundary(call: Call, world: World, params: Params) -> Outcome:
        found = sort.named(call, world, params)
        if found.boundary is None:
            text = f"The {sort.noun.lower()} with name {found.name} has no permissions boundary."
            raise fault("NoSuchEntity", message=text)
        return Outcome({}, put(sort.kind, replace(found, boundary=None)))

    serve(f"Put{sort.noun}PermissionsBoundary", put_boundary)
    serve(f"Delete{sort.noun}PermissionsBoundary", delete_boundary)


for _sort in SORTS:
    _attach(_sort)
    _inline(_sort)
for _sort in (USERS, ROLES):
    _boundary(_sort)
